"""The command line: it says what it does, in one line where something is wrong, and ends with a code that tells."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.cli.main import execute
from edgeai_core.cli.options import choose
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import ConfigError
from edgeai_core.state import State


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run one command; return what it printed and what it said."""
    capsys.readouterr()
    actual = execute([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert actual == code, err
    return out, err


def one_line(text: str) -> str:
    assert text.startswith("edgeai: ")
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_the_command_line_starts_without_numpy_whose_threads_a_command_may_still_hold() -> None:
    code = (
        "import sys, edgeai_core.cli.main; print({'numpy', 'cv2', 'onnxruntime', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Fine for 5 s, too warm for 10 s, fine again for 10 s."""
    path = tmp_path / "warm.csv"
    path.write_text("20000\n" * 5 + "90000\n" * 10 + "20000\n" * 10)
    return path


# -- usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "--nonsense"),
        (["fly"], "fly"),
        (["run"], "APP"),
        (["run", "nosuch"], "no app named 'nosuch'"),
        (["evaluate", "nosuch.task"], "no app named 'nosuch'"),
        (["top", "--once", "extra"], "extra"),
        (["serve", "--bind", "nowhere"], "HOST:PORT"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    _, err = run(capsys, *arguments, code=2)
    assert said in one_line(err)


def test_help_teaches_the_first_steps(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "--help")
    for word in ("edgeai demo", "edgeai new NAME", "Exit codes", "replay", "doctor"):
        assert word in out
    assert run(capsys, code=2)[0].count("Exit codes") == 1


def test_a_fault_of_ours_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai_core.cli.apps.app_names", lambda: 1 / 0)
    _, err = run(capsys, "apps", code=1)
    assert "internal fault: ZeroDivisionError" in one_line(err)


def test_a_reader_that_leaves_ends_the_command_quietly(coldstore: str, recording: Path) -> None:
    command = [sys.executable, "-m", "edgeai_core.cli.main", "replay", coldstore, str(recording), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(capsys, "--version")[0].strip() == version("edgeai")


# -- apps, configuration, inputs


def test_apps_lists_what_is_installed(capsys: pytest.CaptureFixture[str], coldstore: str) -> None:
    out, _ = run(capsys, "apps")
    assert "coldstore: Coldstore: a temperature that must not rise\n  loop coldstore.probe" in out
    entries = json.loads(run(capsys, "apps", "--json")[0])
    assert {"name": "coldstore", "loops": ["probe"]}.items() <= next(
        entry for entry in entries if entry["name"] == "coldstore"
    ).items()


def test_a_broken_app_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str], coldstore: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai_core.cli.apps.app_names", lambda: ["coldstore", "gone"])
    out, err = run(capsys, "apps", code=2)
    assert "coldstore: Coldstore" in out
    assert "gone: no app named 'gone'" in out
    one_line(err)


def test_an_input_goes_to_the_loop_it_names(coldstore: str) -> None:
    for given in ("coldstore.probe=/a/b=c.csv", "/a/b=c.csv"):
        (chosen,) = choose([coldstore], inputs=[given])
        assert chosen.config.recording == Path("/a/b=c.csv")
    (chosen,) = choose(["coldstore.probe"], settings=["coldstore.limit_celsius=5"])
    assert chosen.config.limit_celsius == 5
    assert [spec.name for spec in chosen.loops] == ["probe"]


@pytest.mark.parametrize(
    ("names", "settings", "inputs", "reason"),
    [
        (["coldstore.door"], [], [], "has no loop 'door' .it has: probe"),
        (["coldstore"], [], ["coldstore.door=x"], "there is no loop 'coldstore.door'"),
        (["coldstore"], [], ["a.csv", "b.csv"], "has a recording already"),
        (["coldstore", "healthcare"], [], ["a.csv"], "say for which loop"),
        (["coldstore"], ["limit_celsius=5"], [], "written as APP.FIELD=VALUE"),
        (["coldstore"], ["healthcare.ecg.patient=x"], [], "not among those named"),
        (["coldstore"], ["coldstore.limit=5"], [], "no such field"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    coldstore: str, names: list[str], settings: list[str], inputs: list[str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        choose(names, None, settings, inputs)


# -- replay and decisions


def test_a_replay_prints_the_changes_and_a_summary(
    capsys: pytest.CaptureFixture[str], coldstore: str, recording: Path
) -> None:
    lines = run(capsys, "replay", coldstore, str(recording))[0].splitlines()
    assert "status=FINE" in lines[0]
    raised = next(line for line in lines if "RAISED TOO_WARM (Coldstore, high)" in line)
    assert raised.startswith("     8.000 s")
    assert any("OVER TOO_WARM" in line for line in lines)
    assert lines[-1].endswith("1 alerts raised, 0 cycles with a fault")


def test_a_replay_twice_is_the_same_byte_for_byte(
    capsys: pytest.CaptureFixture[str], coldstore: str, recording: Path
) -> None:
    first, _ = run(capsys, "replay", coldstore, str(recording), "--json")
    again, _ = run(capsys, "replay", coldstore, str(recording), "--json")
    assert first == again
    lines = [json.loads(line) for line in first.splitlines()]
    assert lines[-1]["summary"]["raised"] == {"TOO_WARM": 1}
    warm = next(line for line in lines if line["raised"])
    assert warm["output"] == {"status": "TOO_WARM", "celsius": 90.0}
    assert warm["raised"][0]["evidence"] == {"celsius": 90.0}


def test_a_recording_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], coldstore: str, tmp_path: Path
) -> None:
    _, err = run(capsys, "replay", coldstore, str(tmp_path / "none.csv"), code=5)
    assert "none.csv" in one_line(err)
    (tmp_path / "words.csv").write_text("warm\n")
    assert "no temperature" in one_line(
        run(capsys, "replay", coldstore, str(tmp_path / "words.csv"), code=5)[1]
    )


def test_a_changed_decision_is_shown_with_its_moment_before_it_is_taken(
    capsys: pytest.CaptureFixture[str],
    coldstore: str,
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = tmp_path / "samples"
    folder = samples / "coldstore" / "probe"
    folder.mkdir(parents=True)
    sample = folder / "warm.csv"
    sample.write_text(recording.read_text())
    _, err = run(capsys, "decisions", "check", str(samples), code=3)
    assert "no decisions lie beside it" in one_line(err)
    assert "stored" in run(capsys, "decisions", "accept", str(samples), "--yes")[0]
    assert "as stored" in run(capsys, "decisions", "check", str(samples))[0]

    sample.write_text("20000\n" * 7 + "90000\n" * 8 + "20000\n" * 10)
    out, err = run(capsys, "decisions", "check", str(samples), code=1)
    one_line(err)
    assert "5.000 s to 7.000 s: " in out
    assert "status=TOO_WARM} -> {status=FINE}" in out
    assert "8.000 s to 10.000 s: alerts: TOO_WARM Coldstore -> none" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    run(capsys, "decisions", "accept", str(samples), code=130)  # nobody agrees: nothing is stored
    run(capsys, "decisions", "check", str(samples), code=1)
    run(capsys, "decisions", "accept", str(samples), "--yes")
    run(capsys, "decisions", "check", str(samples))


def test_damaged_decisions_are_told_and_can_be_written_anew(
    capsys: pytest.CaptureFixture[str], coldstore: str, recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "samples" / "coldstore" / "probe"
    folder.mkdir(parents=True)
    recording.rename(folder / "warm.csv")
    (folder / "warm.decisions.jsonl").write_text("{not json\n")
    assert "is damaged" in one_line(run(capsys, "decisions", "check", str(tmp_path / "samples"), code=3)[1])
    run(capsys, "decisions", "accept", str(tmp_path / "samples"), "--yes")
    run(capsys, "decisions", "check", str(tmp_path / "samples"))
    assert "holds no recordings" in one_line(run(capsys, "decisions", "check", str(folder), code=2)[1])


# -- tokens and alerts


def test_a_token_is_shown_once_and_never_again(
    capsys: pytest.CaptureFixture[str], state_folder: Path
) -> None:
    secret = run(capsys, "token", "create", "bed-4", "--role", "operator")[0].strip()
    listed = run(capsys, "token", "list")[0]
    assert "operator" in listed
    assert "bed-4" in listed
    assert secret not in listed
    assert secret not in (state_folder / "tokens.toml").read_text()
    assert "revoked bed-4" in run(capsys, "token", "revoke", "bed-4")[0]
    assert json.loads(run(capsys, "token", "list", "--json")[0]) == []
    assert "no token 'bed-4'" in one_line(run(capsys, "token", "revoke", "bed-4", code=2)[1])
    assert "no role 'king'" in one_line(run(capsys, "token", "create", "x", "--role", "king", code=2)[1])


def raise_alert(folder: Path, code: str, alert_id: str) -> None:
    journal = Journal(State(folder).create().journal, device="here")
    condition = Condition(code, "patient", Priority.HIGH, "A sentence")
    journal.append([Change(True, "clinic", "ecg", condition, now(), alert_id, by="clinic.ecg")])
    journal.close()


def test_alerts_are_listed_and_acknowledged_by_the_beginning_of_their_id(
    capsys: pytest.CaptureFixture[str], state_folder: Path
) -> None:
    assert "no open alert" in run(capsys, "alerts", "list")[1]
    raise_alert(state_folder, "FIRST", "aa11")
    raise_alert(state_folder, "SECOND", "ab22")
    listed = run(capsys, "alerts", "list")[0].splitlines()
    assert "SECOND  patient  A sentence" in listed[0]
    assert "FIRST" in listed[1]
    assert "begins the ids of 2" in one_line(run(capsys, "alerts", "ack", "a", code=1)[1])
    assert "acknowledged by nurse" in run(capsys, "alerts", "ack", "aa", "--by", "nurse")[0]
    states = {each["code"]: each["state"] for each in json.loads(run(capsys, "alerts", "list", "--json")[0])}
    assert states == {"FIRST": "acknowledged", "SECOND": "raised"}
    assert "no alert 'zz'" in one_line(run(capsys, "alerts", "ack", "zz", code=1)[1])


def test_tail_prints_changes_as_they_come(
    capsys: pytest.CaptureFixture[str], state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_alert(state_folder, "BEFORE", "aa11")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    steps = [lambda s: raise_alert(state_folder, "AFTER", "bb22"), interrupted]
    monkeypatch.setattr("edgeai_core.cli.alerts.time.sleep", lambda s: steps.pop(0)(s))
    out, _ = run(capsys, "alerts", "tail", code=130)
    assert "AFTER" in out
    assert "BEFORE" not in out


def test_acknowledging_where_no_journal_is_makes_none(
    capsys: pytest.CaptureFixture[str], state_folder: Path
) -> None:
    assert "does not exist" in one_line(run(capsys, "alerts", "ack", "x", code=3)[1])
    assert not state_folder.exists()


# -- top


def test_top_shows_the_loops_of_a_state(
    capsys: pytest.CaptureFixture[str], coldstore: str, recording: Path, state_folder: Path
) -> None:
    from edgeai_core.loop.statistics import LoopStatistics
    from edgeai_core.sensors.replay import replay

    assert "no loop has run" in run(capsys, "top", "--once")[0]
    (chosen,) = choose([coldstore], inputs=[str(recording)])
    state = State(state_folder).create()
    statistics = LoopStatistics(chosen.loops[0], coldstore, state.statistics(coldstore, "probe"))
    for cycle in replay(chosen.loops[0]):
        statistics.note_cycle(cycle, 0, 0)
    statistics.close()
    shown = run(capsys, "top", "--once")[0]
    assert "coldstore.probe" in shown
    (loop,) = json.loads(run(capsys, "top", "--json")[0])
    assert (loop["loop"], loop["target_rate_hz"]) == ("probe", 2)
    (state.run / "old.stats").write_bytes(b"of another release")
    assert len(json.loads(run(capsys, "top", "--json")[0])) == 1
