"""Every study that was handed in has its answer and its alert, though the process that answers is killed (kill -9)."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.healthcare.imaging.decide import Code
from apps.healthcare.imaging.inbox import Inbox, study_id
from apps.healthcare.imaging.report import worklist
from edgeai_core.alerts.journal import Journal
from tests.apps.healthcare.imaging.conftest import phantom, png

ROOT = Path(__file__).parents[4]

ANSWERS = """
import sys
from pathlib import Path
from tests.apps.healthcare.imaging.fakes import fake_triage
from tests.apps.healthcare.imaging.test_imaging_triage import Bench

class Telling(Bench):
    def spec(self):
        spec = super().spec()
        build = spec.build
        def telling():
            parts = build()
            def step(snapshot):
                decision = parts.step(snapshot)
                print(decision.output.study, flush=True)
                return decision
            return replace(parts, step=step)
        return replace(spec, build=telling)

from dataclasses import replace
Telling(Path(sys.argv[1]), fake_triage()).run(int(sys.argv[2]))
"""


@pytest.mark.system
def test_no_study_is_lost_or_alerted_twice_when_the_loop_is_killed_again_and_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    contents = [png(phantom(64, 64, seed=number)) for number in range(12)]
    for number, content in enumerate(contents[:6]):
        inbox.put(content, f"posted-{number}.png", "xray")
    for number, content in enumerate(contents[6:]):
        (tmp_path / "inbox" / "xray" / f"copied-{number}.png").write_bytes(content)
    studies = {study_id(each) for each in contents}
    chance = random.Random(3)
    judged = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", ANSWERS, str(tmp_path), "1000"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 3)):  # at least as many wait at every start
                assert process.stdout.readline().strip() in studies
                judged += 1
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
    inbox.collect()
    inbox.collect()
    left = len(inbox.waiting())
    assert left >= len(studies) - judged > 0
    end = subprocess.run(
        [sys.executable, "-c", ANSWERS, str(tmp_path), str(left)], cwd=ROOT, capture_output=True, text=True
    )
    assert end.returncode == 0, end.stderr
    assert inbox.waiting() == []
    assert {each["study"] for each in worklist(tmp_path / "reports", 100)} == studies
    answered = list((tmp_path / "inbox" / "answered").rglob("*.png"))
    assert sorted(study_id(path.read_bytes()) for path in answered) == sorted(studies)
    journal = Journal(tmp_path / "journal.sqlite3", read_only=True)
    alerts = journal.open_alerts()
    journal.close()
    assert len(alerts) == len(studies)
    assert {alert.code for alert in alerts} == {Code.PNEUMONIA}
