"""What the journal returned as written is there after kill -9."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai_core.alerts.journal import Journal

WRITER = """
import sys
from pathlib import Path
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority

path, name = Path(sys.argv[1]), sys.argv[2]
journal = Journal(path, device="ward-3")
number = 0
while True:
    number += 1
    condition = Condition("VF", f"patient-{number}", Priority.HIGH, evidence={"ecg_mv": [0.1] * 200})
    change = Change(True, "healthcare", name, condition, now(), f"{name}-{number}", by=name)
    (raised,) = journal.append([change], input=(name, number))
    print(raised.sequence, "raised", raised.alert.id, number, flush=True)
    acknowledged = journal.acknowledge(raised.alert.id, "nurse")
    print(acknowledged.sequence, "acknowledged", raised.alert.id, number, flush=True)
"""


@pytest.mark.system
def test_every_change_that_was_returned_as_written_survives_kill_9_of_two_writers(journal_path: Path) -> None:
    promised: dict[int, tuple[str, str]] = {}
    committed: dict[str, int] = {}
    chance = random.Random(1)
    for round_number in range(3):
        names = [f"loop-{round_number}-{n}" for n in range(2)]
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(journal_path), name], stdout=subprocess.PIPE, text=True
            )
            for name in names
        ]
        outputs = []
        for writer in writers:
            assert writer.stdout is not None
            outputs.append([writer.stdout.readline() for _ in range(chance.randrange(1, 40))])
        for writer, lines, name in zip(writers, outputs, names, strict=True):
            writer.send_signal(signal.SIGKILL)
            assert writer.stdout is not None
            with writer.stdout as output:
                rest = output.read()
            assert writer.wait(60) == -signal.SIGKILL
            for line in "".join([*lines, rest]).splitlines(keepends=True):
                if line.endswith("\n"):  # the last one may have been cut by the kill
                    sequence, kind, alert_id, number = line.split()
                    assert int(sequence) not in promised
                    promised[int(sequence)] = (kind, alert_id)
                    committed[name] = int(number)
    assert len(promised) >= 8

    journal = Journal(journal_path, device="ward-3")
    written: dict[int, tuple[str, str]] = {}
    while events := journal.events_after(max(written, default=0), limit=1000):
        written |= {event.sequence: (event.kind, event.alert.id) for event in events}
    assert promised.items() <= written.items()
    for kind, alert_id in promised.values():
        alert = journal.alert(alert_id)
        assert alert is not None
        assert kind == "raised" or alert.acknowledged_by == "nurse"
    for name, number in committed.items():
        assert (journal.committed(name) or 0) >= number
    journal.close()
    connection = sqlite3.connect(journal_path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
