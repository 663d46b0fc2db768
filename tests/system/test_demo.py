"""The demo in a terminal: it prints where the page is, shows what runs, ends on Ctrl-C and leaves nothing."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeai_core.cli.main import execute

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DEADLINE_S = 90.0


def read_until(terminal: int, pattern: str) -> str:
    """Read a terminal until something is seen; return all that was."""
    seen = ""
    deadline = time.monotonic() + DEADLINE_S
    while not re.search(pattern, seen):
        assert time.monotonic() < deadline, f"{pattern!r} never came: {seen}"
        if select.select([terminal], [], [], 1.0)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def test_in_a_terminal_the_demo_shows_page_loops_and_alerts_and_ends_on_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeai_core.cli.main", "demo"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        read_until(ours, r"the page: http://127\.0\.0\.1:\d+/")
        read_until(ours, r"healthcare\.ecg.*10/10 Hz|healthcare\.ecg.* runs ")
        read_until(ours, "HIGH")
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:  # what it still says must not fill the terminal
                try:
                    os.read(ours, 65536)
                except OSError:
                    break  # its side is closed
        assert process.wait(DEADLINE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("edgeai-demo")] == []


def test_an_alert_that_does_not_come_in_time_is_named_and_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "healthcare" / "ecg"
    folder.mkdir(parents=True)
    stable = ROOT / "data_samples" / "healthcare" / "ecg" / "4_stable.csv"
    (folder / "stable.csv").write_bytes(stable.read_bytes())
    promised = '{"time_s": 0.5, "loop": "healthcare.ecg", "alerts": ["ASYSTOLE patient-1"]}\n'
    (folder / "stable.decisions.jsonl").write_text(promised)
    monkeypatch.setattr("edgeai_core.cli.demo.MARGIN_S", 0.0)
    assert execute(["demo", "--samples", str(tmp_path), "--seconds", "1"]) == 1
    assert "these alerts did not come: ASYSTOLE (came: " in capsys.readouterr().err
