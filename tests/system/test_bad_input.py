"""Whatever a file, a flag or a client holds: one line says what is wrong, nothing hangs, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from apps.healthcare.ecg.loop import MODEL
from edgeai_core.alerts.alert import alert_from_json
from edgeai_core.alerts.journal import Journal
from edgeai_core.cli.main import execute
from edgeai_core.decision import Decision
from edgeai_core.loop.spec import Every, LoopSpec
from edgeai_core.loop.statistics import LoopStatistics, read_statistics
from edgeai_core.state import State

pytestmark = pytest.mark.system

DEADLINE_S = 60
HEAD = b"# rate_hz: 250\nII\n"
ROWS = b"0.1\n" * 500
SAMPLES = np.zeros(500, "<i2").tobytes()
SAMPLE = Path(__file__).parents[2] / "data_samples" / "healthcare" / "ecg" / "2_asystole.csv"


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """End a test that waits for ever: on a pipe that nobody writes to, in a pattern that explodes."""

    def stop(*_: object) -> NoReturn:
        pytest.fail(f"it hangs: not over after {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with one clean line and the given exit code; return the line."""

    def refused(*arguments: object, code: int) -> str:
        capsys.readouterr()
        actual = execute([str(each) for each in arguments])
        out, err = capsys.readouterr()
        assert actual == code, (out, err)
        assert err.startswith("edgeai: "), err
        assert err.count("\n") == 1, err
        assert "internal fault" not in err
        assert "Traceback" not in out + err
        assert err[:-1].isprintable(), "a terminal would obey it"
        return err

    return refused


CSV_FILES = {
    "empty": (b"", "empty"),
    "only a head": (HEAD, "holds no sample"),
    "binary": (bytes(range(256)) * 50, "not UTF-8"),
    "zeros": (HEAD + b"\0" * 20_000, "longer than 4096 characters"),
    "one endless line": (HEAD + b"1" * 1_000_000, "longer than 4096 characters"),
    "no rate": (b"II\n" + ROWS, "the rate is not said"),
    "rate zero": (b"# rate_hz: 0\nII\n" + ROWS, "must be a positive number"),
    "rate not a number": (b"# rate_hz: nan\nII\n" + ROWS, "must be a positive number"),
    "10 Hz": (b"# rate_hz: 10\nII\n" + ROWS, "sampled at 10 Hz"),
    "100 kHz": (b"# rate_hz: 100000\nII\n" + ROWS, "sampled at 100000 Hz"),
    "times too near": (b"time_s,II\n" + b"".join(b"%de-320,1\n" % i for i in range(300)), "sampled at"),
    "a time far away": (b"time_s,II\n0,1\n0.004,1\n0.008,1\n1e300,1\n", "1e+300 s are missing"),
    "1e9 mV": (HEAD + b"1e9\n" * 500, "more than 1000 mV"),
    "infinite": (HEAD + b"inf\n" * 500, "more than 1000 mV"),
    "text in the middle": (HEAD + ROWS + b"abc\n", ":503: 'abc' is not a number"),
    "13 leads": (b"# rate_hz: 250\n" + b",".join(b"L%d" % i for i in range(13)) + b"\n", "1 to 12 leads"),
    "a lead that a terminal obeys": (b"# rate_hz: 250\n\x1b[31mII\n" + ROWS, "is no name of a lead"),
}


@pytest.mark.parametrize(("content", "says"), CSV_FILES.values(), ids=CSV_FILES.keys())
def test_a_csv_file_that_is_no_electrocardiogram_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], content: bytes, says: str
) -> None:
    path = tmp_path / "recording.csv"
    path.write_bytes(content)
    assert says in refused("replay", "healthcare.ecg", path, code=3)


SIGNAL = "r.dat 16 200 16 0 0 0 0 II\n"
HEADERS = {
    "empty": ("", SAMPLES, "it is empty"),
    "binary": ("\x00\x01\x02" * 500, SAMPLES, "WFDB header"),
    "samples missing": ("r 1 250 500\n" + SIGNAL, None, "No such file"),
    "samples cut short": ("r 1 250 500\n" + SIGNAL, SAMPLES[:300], "cannot be read"),
    "outside its folder": ("r 1 250 500\n../../etc/passwd 16 200 16 0 0 0 0 II\n", None, "not a readable"),
    "absurdly many samples": ("r 1 250 999999999999\n" + SIGNAL, SAMPLES, "cannot be read"),
    "more samples than numbers": ("r 1 250 " + "9" * 400 + "\n" + SIGNAL, SAMPLES, "nothing can be read"),
    "rate zero": ("r 1 0 500\n" + SIGNAL, SAMPLES, "its rate is 0"),
    "rate below zero": ("r 1 -250 500\n" + SIGNAL, SAMPLES, "its rate is -250"),
    "shifted for ever": (
        "r 1 250 500\n" + SIGNAL.replace("16 200", "16:99999999999 200"),
        SAMPLES,
        "shifted",
    ),
    "unknown format": ("r 1 250 500\n" + SIGNAL.replace("16 200", "999 200"), SAMPLES, "cannot be read"),
    "one endless line": ("r 1 250 500\n" + "x" * 100_000, SAMPLES, "not a WFDB header"),
    "made of itself": ("r/2 1 250 1000\nr 500\nr 500\n", None, "not a readable WFDB header"),
    "20 leads": (
        "r 20 250 25\n" + "".join(f"r.dat 16 200 16 0 0 0 0 ECG{i}\n" for i in range(20)),
        SAMPLES,
        "from 1 to 12",
    ),
}


@pytest.mark.parametrize(("header", "samples", "says"), HEADERS.values(), ids=HEADERS.keys())
def test_a_wfdb_record_that_cannot_be_played_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], header: str, samples: bytes | None, says: str
) -> None:
    pytest.importorskip("wfdb")
    (tmp_path / "r.hea").write_text(header)
    if samples is not None:
        (tmp_path / "r.dat").write_bytes(samples)
    assert says in refused("replay", "healthcare.ecg", tmp_path / "r", code=3)
    if "12" not in says:  # an evaluation takes any number of leads
        refused("evaluate", "healthcare.ecg", "--data", tmp_path, code=3)


def test_a_pipe_or_a_device_in_place_of_a_file_is_refused_and_never_waited_for(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    pytest.importorskip("wfdb")
    for name in ("a.csv", "a.hea", "b.dat", "config.toml", "rhythm.onnx", "tokens.toml"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "b.hea").write_text("b 1 250 500\nb.dat 16 200 16 0 0 0 0 II\n")
    for recording in ("a.csv", "a.hea", "b"):
        refused("replay", "healthcare.ecg", tmp_path / recording, code=3)
    refused("evaluate", "healthcare.ecg", "--data", tmp_path, code=3)
    for config in (tmp_path / "config.toml", "/dev/zero"):
        refused("replay", "healthcare.ecg", SAMPLE, "--config", config, code=2)
    model = f"healthcare.ecg.model={tmp_path / 'rhythm.onnx'}"
    refused("replay", "healthcare.ecg", SAMPLE, "--set", model, code=4)
    refused("token", "list", "--state", tmp_path, code=2)


def test_a_path_that_no_file_can_have_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "circle.csv").symlink_to("circle.csv")
    refused("replay", "healthcare.ecg", tmp_path / "circle.csv", code=3)
    refused("replay", "healthcare.ecg", tmp_path / ("a" * 300 + ".csv"), code=1)
    refused("replay", "healthcare.ecg", tmp_path / "a\nb\x1b[31m.csv", code=3)
    refused("alerts", "list", "--state", tmp_path / ("a" * 300), code=1)


CONFIGURATIONS = {
    "brackets without end": ("a=" + "[" * 100_000, "not valid TOML"),
    "a number without end": ("a=" + "9" * 5000, "not valid TOML"),
    "too large": ("#" * 2_000_000, "at most"),
    "unknown field": ("[healthcare.ecg]\nfoo=1", "config.toml:2: healthcare.ecg.foo: there is no such field"),
    "wrong type": ("[healthcare.ecg]\nmains_hz='x'", "config.toml:2: healthcare.ecg.mains_hz"),
    "a limit that nothing passes": ("[healthcare.ecg.limits]\nasystole_s=nan", "finite number"),
    "a rate that nothing passes": ("[healthcare.ecg.limits]\nvt_bpm=inf", "finite number"),
}


@pytest.mark.parametrize(("text", "says"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_configuration_that_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, refused: Callable[..., str], text: str, says: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    line = refused("replay", "healthcare.ecg", SAMPLE, "--config", path, code=2)
    assert says in line
    assert len(line) < 1000


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[healthcare.ecg]\nfoo=1\n")
    assert "config.toml:2: healthcare.ecg.foo" in refused(
        "replay", "healthcare.ecg", SAMPLE, "--config", path, code=2
    )


def _model(folder: Path, model: bytes, card: str) -> str:
    (folder / "rhythm.onnx").write_bytes(model)
    (folder / "rhythm.card.toml").write_text(card)
    for vectors in MODEL.parent.glob("*.npz"):
        shutil.copy(vectors, folder)
    return f"healthcare.ecg.model={folder / 'rhythm.onnx'}"


def test_a_model_that_is_not_its_cards_is_never_run(tmp_path: Path, refused: Callable[..., str]) -> None:
    whole = MODEL.read_bytes()
    card = MODEL.with_suffix(".card.toml").read_text()

    def says(model: bytes, card: str = card) -> str:
        return refused("replay", "healthcare.ecg", SAMPLE, "--set", _model(tmp_path, model, card), code=4)

    assert "the model is empty" in says(b"")
    assert "not the file of its card" in says(whole + b"\0")
    cut = whole[:2000]
    of_the_cut = card.replace(hashlib.sha256(whole).hexdigest(), hashlib.sha256(cut).hexdigest())
    assert "corrupt" in says(cut, of_the_cut)
    assert "card is empty" in says(whole, "")
    assert "version" in says(whole, "\n".join(each for each in card.splitlines() if "version" not in each))
    assert "not valid TOML" in says(whole, "a=" + "9" * 5000)
    assert "not valid TOML" in says(whole, "a=" + "[" * 100_000)


def test_a_run_whose_journal_cannot_be_used_ends_at_once_and_leaves_the_file_as_it_is(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    state = State(tmp_path / "state").create()
    journal = os.urandom(9000)
    state.journal.write_bytes(journal)
    run = ("run", "healthcare.ecg", "--input", SAMPLE, "--state", state.root)
    assert "is damaged" in refused(*run, code=6)
    assert "is damaged" in refused("alerts", "list", "--state", state.root, code=6)
    assert state.journal.read_bytes() == journal
    state.journal.unlink()
    with sqlite3.connect(state.journal) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    assert "of another program" in refused(*run, code=6)


def test_an_alert_cannot_command_the_terminal_that_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State(tmp_path / "state").create()
    journal = Journal(state.journal, device="here")
    journal.receive({
        "id": "a1", "device": "bed-7", "app": "a", "loop": "b", "code": "C", "priority": "high",
        "subject": "\x1b[2J", "title": "\x1b]0;owned\x07\nsecond line", "raised_at": "2026-11-24T03:15:00Z",
    })  # fmt: skip
    journal.close()
    assert execute(["alerts", "list", "--state", str(state.root)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out[:-1].isprintable()


def test_a_loop_that_starts_on_a_full_disk_counts_on_instead_of_dying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = LoopSpec(
        name="probe",
        trigger=Every(10.0),
        inputs=(),
        build=lambda: pytest.fail("it is not built"),
        deadline_s=0.1,
        safe=Decision(None),
    )
    path = tmp_path / "app.probe.stats"
    LoopStatistics(spec, "app", path, started_ns=1).close()

    def full(descriptor: int, offset: int, length: int) -> None:
        if os.fstat(descriptor).st_size < length:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    statistics = LoopStatistics(spec, "app", path, started_ns=2)
    assert read_statistics(path)["started_ns"] == 2, "the file that had room already is used"
    statistics.close()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    LoopStatistics(spec, "app", tmp_path / "other.stats").close()
    assert not (tmp_path / "other.stats").exists()


@pytest.mark.parametrize("target", ["a closed pipe", "a full disk", "nothing"])
def test_a_command_whose_output_has_nowhere_to_go_ends_without_a_traceback(target: str) -> None:
    command = [sys.executable, "-m", "edgeai_core.cli.main", "apps", "--json"]
    if target == "nothing":
        command = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command]
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full, os.fdopen(writer, "wb") as closed:
        output = {"a closed pipe": closed, "a full disk": full}.get(target)
        process = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, timeout=DEADLINE_S)
    assert (process.returncode != 0) == (target != "nothing")
    assert b"Traceback" not in process.stderr
    assert b"internal fault" not in process.stderr
    assert process.stderr.count(b"\n") <= 1


def test_a_table_fits_a_narrow_terminal_that_knows_ascii_alone(tmp_path: Path) -> None:
    narrow = {
        **os.environ,
        "COLUMNS": "40",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    command = [sys.executable, "-m", "edgeai_core.cli.main", "top", "--once", "--state", str(tmp_path)]
    process = subprocess.run(command, env=narrow, capture_output=True, timeout=DEADLINE_S)
    assert process.returncode == 0, process.stderr
    assert process.stdout.isascii()


@contextmanager
def _server(state: State) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A server in a process of its own: its port, and what its log says once it has ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    command = [sys.executable, "-m", "edgeai_core.cli.main", "serve", "--state", str(state.root)]
    process = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def end() -> bytes:
        process.terminate()
        return process.communicate(timeout=DEADLINE_S)[0]

    try:
        while not (state.run / "serve.json").exists():
            assert process.poll() is None, process.communicate()[0]
        yield port, end
    finally:
        process.kill()
        process.communicate()


def _ask(port: int, request: bytes) -> bytes:
    """Send a request; return the answer up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # the server need not take what it refuses
            connection.sendall(request)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
        return answer


def test_a_server_answers_every_malformed_request_loses_nothing_and_logs_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State(tmp_path / "state").create()
    assert execute(["token", "create", "bed-7", "--role", "device", "--state", str(state.root)]) == 0
    token = capsys.readouterr().out.strip()
    good = {
        "id": "a1", "device": "bed-7", "app": "a", "loop": "b", "code": "C", "subject": "s",
        "priority": "high", "raised_at": "2026-11-24T03:15:00Z",
    }  # fmt: skip

    def post(body: bytes, secret: str = token) -> bytes:
        head = (
            f"POST /v1/alerts HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return _ask(port, head.encode() + body)

    with _server(state) as (port, end):
        assert b" 200 " in post(json.dumps(good).encode())[:20]
        for body in (b'{"a":', b"[" * 100_000, b'{"id":"\xff\xfe"}', b'{"monotonic_ns":NaN}', b"9" * 9000):
            assert b" 400 " in post(body)[:20], body[:20]
        assert b" 422 " in post(b'{"id":"a2"}')[:20]
        assert b" 413 " in post(b'{"a":"' + b"x" * (10 << 20) + b'"}')[:20]
        assert b" 401 " in post(json.dumps(good).encode(), secret=token[:-1] + "!")[:20]
        for line in (b"GET / \r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n"
                     b"Content-Length: -5\r\n\r\n"):  # fmt: skip
            assert b" 400 " in _ask(port, line)[:20], line
        asked = b"GET /v1/%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert b" 401 " in _ask(port, asked % b"nothing")[:20]
        assert b" 401 " in _ask(port, asked % b"alerts/..%2f..%2ftokens.toml")[:20]
        log = end()
    assert b"Traceback" not in log
    assert token.encode() not in log
    assert token.rpartition("_")[2].encode() not in log
    journal = Journal(state.journal, read_only=True)
    (alert,) = [alert for _, alert in journal.alerts()]
    journal.close()
    assert alert.id == alert_from_json(good).id
