"""Whole runs: real processes, real signals, a real journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from edgeai_core.alerts.alert import Alert
from edgeai_core.alerts.journal import Journal
from edgeai_core.errors import JournalError
from edgeai_core.state import State

pytestmark = pytest.mark.system

T = TypeVar("T")
DEADLINE_S = 60.0


def until(look: Callable[[], T | None], what: str) -> T:
    """Look again and again until there is something to see; fail after a time that no busy machine needs."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"{what}: it never happened")


class Run:
    """An ``edgeai run`` and what it says."""

    def __init__(self, state: Path, log: Path, *arguments: str) -> None:
        self.state = State(state)
        self._log = log
        command = [sys.executable, "-m", "edgeai_core.cli.main", "run", *arguments, "--state", str(state)]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file, stdout=file)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def says(self, words: str, times: int = 1) -> None:
        until(lambda: self.said.count(words) >= times or self._fail_if_over(words), words)

    def _fail_if_over(self, words: str) -> bool:
        assert self.process.poll() is None or words in self.said, self.said
        return False

    def alerts(self) -> dict[str, Alert]:
        """All alerts by code; empty where there is no journal yet, or one is just being made."""
        try:
            journal = Journal(self.state.journal, device="test", read_only=True)
        except JournalError:
            return {}
        try:
            return {alert.code: alert for _, alert in reversed(journal.alerts())}
        finally:
            journal.close()

    def alert(self, code: str, state: str = "raised") -> Alert:
        def look() -> Alert | None:
            alert = self.alerts().get(code)
            return alert if alert is not None and alert.state.value == state else None

        return until(look, f"{code} {state}; {self.said}")

    def pid(self, child: str) -> int:
        line = next(
            line for line in reversed(self.said.splitlines()) if f"supervisor {child} started" in line
        )
        return int(line.rsplit("pid=", 1)[1])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def sensor(tmp_path: Path) -> Path:
    """A sensor's file: too warm."""
    path = tmp_path / "sensor"
    path.write_text("90000\n")
    return path


@pytest.fixture
def start(tmp_path: Path, coldstore: str, sensor: Path) -> Iterator[Callable[..., Run]]:
    """Start runs of the toy vertical that end with the test."""
    runs: list[Run] = []
    settings = [f"--set=coldstore.sensor={sensor}", "--set=coldstore.patience_s=0"]

    def start(*arguments: str) -> Run:
        run = Run(tmp_path / "state", tmp_path / f"log{len(runs)}", coldstore, *settings, *arguments)
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.end()


def test_a_recording_runs_at_real_speed_raises_its_alert_and_ends_by_itself(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    recording = tmp_path / "probe.csv"
    recording.write_text("20000\n90000\n20000\n")
    run = start("--input", str(recording))
    assert run.process.wait(DEADLINE_S) == 0, run.said
    assert list(run.alerts()) == ["TOO_WARM"]
    assert run.alerts()["TOO_WARM"].state.value == "cleared"
    assert "loop ended" in run.said


def test_a_loop_killed_by_force_loses_no_alert_comes_back_and_goes_on_with_the_same_incident(
    start: Callable[..., Run], sensor: Path
) -> None:
    run = start()
    before = run.alert("TOO_WARM")
    run.says("makes progress")
    os.kill(run.pid("coldstore.probe"), signal.SIGKILL)
    run.says("makes progress", times=2)
    assert run.alert("LOOP_DIED", "cleared").subject == "coldstore.probe"
    assert run.alert("TOO_WARM").id == before.id
    sensor.write_text("20000\n")
    assert run.alert("TOO_WARM", "cleared").id == before.id
    assert run.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_order_and_what_stands_stays_open(
    start: Callable[..., Run], number: signal.Signals
) -> None:
    run = start()
    run.alert("TOO_WARM")
    child = run.pid("coldstore.probe")
    assert run.end(number) == 0, run.said
    assert "loop ended" in run.said
    assert not Path(f"/proc/{child}").exists()
    assert run.alerts()["TOO_WARM"].state.value == "raised"


def test_seconds_end_a_run_in_order(start: Callable[..., Run]) -> None:
    run = start("--seconds", "0.5")
    assert run.process.wait(DEADLINE_S) == 0, run.said


def test_a_loop_whose_sensor_is_gone_says_so_and_recovers(start: Callable[..., Run], sensor: Path) -> None:
    run = start()
    run.alert("TOO_WARM")
    sensor.rename(sensor.with_name("away"))
    fault = run.alert("INPUT_STALE")
    assert "No such file" in fault.title
    assert run.alerts()["TOO_WARM"].state.value == "raised", "nobody knows that it is over"
    sensor.with_name("away").rename(sensor)
    run.alert("INPUT_STALE", "cleared")
    assert run.end() == 0


def test_one_loop_runs_once_with_one_state(start: Callable[..., Run]) -> None:
    first = start()
    first.alert("TOO_WARM")
    second = start()
    assert second.process.wait(DEADLINE_S) == 2
    assert f"already runs with this state, as process {first.pid('coldstore.probe')}" in second.said
    assert list(first.alerts()) == ["TOO_WARM"], "the loop runs: nothing says that it does not"
    assert first.end() == 0


def test_a_run_serves_its_alerts_and_says_whether_its_loops_live(start: Callable[..., Run]) -> None:
    run = start("--serve", "127.0.0.1:0", "--loopback-without-token")
    alert = run.alert("TOO_WARM")
    until((run.state.run / "serve.json").exists, "the server starts")
    url = json.loads((run.state.run / "serve.json").read_text())["url"].rstrip("/")

    def get(path: str) -> bytes:
        with urllib.request.urlopen(url + path, timeout=DEADLINE_S) as answer:
            return bytes(answer.read())

    def ready() -> bool:
        try:
            return bool(get("/readyz"))
        except urllib.error.HTTPError:
            return False

    until(ready, "the loop is ready")
    (served,) = json.loads(get("/v1/alerts?code=TOO_WARM"))["alerts"]
    assert served["id"] == alert.id
    (loop,) = json.loads(get("/v1/loops"))["loops"]
    assert (loop["app"], loop["loop"]) == ("coldstore", "probe")
    assert run.end() == 0
    assert not (run.state.run / "serve.json").exists()


def test_a_configuration_that_makes_no_sense_ends_before_anything_starts(start: Callable[..., Run]) -> None:
    run = start("--set=coldstore.limit=5")
    assert run.process.wait(DEADLINE_S) == 2
    assert run.said.startswith("edgeai: --set coldstore.limit: ")
    assert run.said.count("\n") == 1


def test_without_a_supervisor_the_loop_ends_too(start: Callable[..., Run]) -> None:
    run = start()
    run.alert("TOO_WARM")
    child = run.pid("coldstore.probe")
    run.end(signal.SIGKILL)
    until(lambda: not _runs(child), "the loop ends")


@contextmanager
def _samples_run(tmp_path: Path) -> Iterator[Run]:
    samples = Path(__file__).parents[2] / "data_samples" / "healthcare" / "ecg"
    run = Run(tmp_path / "ecg", tmp_path / "log", "healthcare.ecg", "--input", str(samples))
    try:
        yield run
    finally:
        run.end()


def test_all_processes_of_the_ecg_app_together_take_less_than_200_mib(tmp_path: Path) -> None:
    with _samples_run(tmp_path) as run:
        run.alert("VENTRICULAR_FIBRILLATION")
        pids = [run.process.pid, run.pid("healthcare.ecg")]
        kib = sum(_proportional_kib(pid) for pid in pids)
    assert kib < 200 * 1024


def _proportional_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("the kernel tells no proportional memory")


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def replayed(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "edgeai_core.cli.main", "replay", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE_S)
    return done.returncode, done.stdout + done.stderr


def test_a_recorded_run_replays_to_the_same_decisions_and_another_limit_is_told(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    recording = tmp_path / "run.mcap"
    run = start("--record", str(recording), "--evidence-s", "0")
    run.alert("TOO_WARM")
    assert run.end() == 0, run.said
    code, said = replayed("coldstore", str(recording))
    assert code == 0, said
    assert "RAISED TOO_WARM" in said
    assert "the replay equals the live decisions" in said.splitlines()[-1]
    assert replayed("coldstore", str(recording)) == (code, said)
    code, said = replayed("coldstore", str(recording), "--set", "coldstore.limit_celsius=95")
    assert code == 1
    assert "DIFFERS" in said
    code, said = replayed("coldstore", str(recording), "--json")
    assert json.loads(said.splitlines()[-1])["replay"]["equal"] is True


def test_a_recorder_killed_by_force_takes_no_loop_along_and_leaves_a_file_that_reads(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    recording = tmp_path / "run.mcap"
    run = start("--record", str(recording))
    run.alert("TOO_WARM")
    loop = run.pid("coldstore.probe")
    until(lambda: recording.exists() and recording.stat().st_size > 2000, "something is recorded")
    os.kill(run.pid("recorder"), signal.SIGKILL)
    run.says("recorder started", times=2)
    until((tmp_path / "run-2.mcap").exists, "a second file")
    assert run.pid("coldstore.probe") == loop
    assert run.end() == 0, run.said
    code, said = replayed("coldstore", str(recording))
    assert code == 0, said
    assert "the file was cut short and read up to its last whole chunk" in said


def test_a_critical_alert_leaves_the_time_around_it_as_evidence(start: Callable[..., Run]) -> None:
    run = start("--evidence-s", "20")
    alert = run.alert("TOO_WARM")
    kept = run.state.evidence / f"{alert.id}.mcap"
    until(kept.exists, "evidence is kept")
    assert run.end() == 0, run.said
    code, said = replayed("coldstore", str(kept))
    assert code == 0, said
    assert "the replay equals the live decisions" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--record", "x.txt"], "is an MCAP file; call it x.mcap"),
        (["--record", "/nowhere/x.mcap"], "no folder that can be written to"),
        (["--record-mb", "10"], "nothing is recorded"),
    ],
)
def test_a_recording_that_cannot_be_made_is_refused_before_anything_runs(
    start: Callable[..., Run], arguments: list[str], words: str
) -> None:
    run = start(*arguments)
    assert run.process.wait(DEADLINE_S) == 2
    assert words in " ".join(run.said.split())
