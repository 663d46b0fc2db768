"""A disk that is full: the loop goes on, what is kept is written in order afterwards, and what is lost is said."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgeai_core.alerts.sink as sink_module
from edgeai_core.alerts.alert import AlertState
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.decision import Condition
from edgeai_core.errors import JournalError
from edgeai_core.loop.cycle import Cycle
from tests.edgeai_core.alerts.conftest import events_of, study

ConditionOf = Callable[..., Condition]
CycleOf = Callable[..., Cycle[Any]]
SinkOf = Callable[..., AlertSink]


def _full_disk_by_page_count(journal_path: Path) -> tuple[Callable[[], Journal], Callable[[], None]]:
    opened: list[Journal] = []

    def open_full() -> Journal:
        journal = Journal(journal_path, device="ward-3")
        (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        opened.append(journal)
        return journal

    def free() -> None:
        with opened[0]._reading() as connection:
            connection.execute("PRAGMA max_page_count = 1000000")

    return open_full, free


def test_while_the_disk_is_full_the_loop_goes_on_and_everything_is_written_in_order_afterwards(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    journal_path: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_full, said_again = logged("kept in memory"), logged("can be written again")
    open_full, free = _full_disk_by_page_count(journal_path)
    alerts = sink(journal=open_full)
    subjects = [f"patient-{n}" for n in range(12)]
    for number, subject in enumerate(subjects):
        alerts.put(cycle((condition(subject=subject, ecg_mv=["0.123"] * 1000),), at_s=number))
    assert said_full.wait(30)
    alerts.put(cycle((), at_s=20))
    free()
    assert said_again.wait(30)
    assert alerts.flush(30)
    events = [each for each in events_of(journal_path) if each[1] == "VF"]
    assert [subject for kind, _, subject in events if kind == "raised"] == subjects
    assert [subject for kind, _, subject in events if kind == "cleared"] == subjects
    journal = Journal(journal_path, device="ward-3")
    ((_, outage),) = journal.alerts(code="JOURNAL_UNWRITABLE")
    assert (outage.state, outage.subject) == (AlertState.LATCHED, "healthcare.ecg")
    assert outage.evidence["lost"] == 0
    journal.close()
    assert alerts.dropped == 0


def test_when_memory_is_full_too_the_newest_is_kept_and_the_journal_ends_up_with_what_is_true(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    journal_path: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_full = logged("kept in memory")
    open_full, free = _full_disk_by_page_count(journal_path)
    alerts = sink(journal=open_full, max_held=5)
    big = ["0.123"] * 2000
    number = 0
    while not said_full.is_set() or alerts.dropped < 10:
        number += 1
        alerts.put(cycle((condition(), condition(subject=f"patient-{number}", ecg_mv=big)), at_s=number))
        if number % 5 == 0:
            said_full.wait(0.01)
        assert number < 100_000
    last = f"patient-{number}"
    free()
    for later in range(1, 300):
        assert alerts.flush(30)
        if alerts._writer.adoption is None and not alerts._writer._compare:
            break
        alerts.put(cycle((condition(), condition(subject=last)), at_s=number + later))
    assert alerts.flush(30)
    journal = Journal(journal_path, device="ward-3")
    active = {alert.subject for alert in journal.open_alerts() if alert.active}
    assert active == {"patient-1", last}  # VF of patient-1 holds all the time; every other one is over
    ((_, outage),) = journal.alerts(code="JOURNAL_UNWRITABLE", limit=1)
    assert outage.evidence["lost"] == alerts.dropped > 0
    journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path, leave: int = 0) -> Path:
    """Fill a disk but for some bytes; return the file to delete."""
    ballast = folder / "ballast"
    status = os.statvfs(folder)
    ballast.write_bytes(bytes(status.f_bavail * status.f_bsize - leave))
    return ballast


def test_a_disk_that_is_full_when_the_loop_starts_is_waited_out(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    small_disk: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_again = logged("can be written again")
    ballast = _fill(small_disk)
    path = small_disk / "journal.sqlite3"
    alerts = sink(journal=path)
    alerts.put(cycle((condition(),), at_s=1))
    alerts.put(cycle((), at_s=2))
    ballast.unlink()
    assert said_again.wait(30)
    assert alerts.flush(30)
    assert [each for each in events_of(path) if each[1] == "VF"] == [
        ("raised", "VF", "patient-1"),
        ("cleared", "VF", "patient-1"),
    ]


def test_a_disk_that_fills_up_loses_nothing_that_was_written_and_nothing_that_was_kept(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    small_disk: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_full = logged("kept in memory")
    path = small_disk / "journal.sqlite3"
    alerts = sink(journal=path)
    ballast = _fill(small_disk, leave=300 * 1024)
    number = 0
    while not said_full.is_set():
        number += 1
        alerts.put(cycle((condition(subject=f"patient-{number}", ecg_mv=["0.123"] * 1000),), at_s=number))
        if number % 20 == 0:
            said_full.wait(0.01)
        assert number < 300
    ballast.unlink()
    assert alerts.flush(60)
    raised = [subject for kind, code, subject in events_of(path) if (kind, code) == ("raised", "VF")]
    assert raised == [f"patient-{n}" for n in range(1, number + 1)]


def test_a_journal_that_cannot_be_used_stops_the_start_and_not_the_loop_later(
    sink: SinkOf, tmp_path: Path
) -> None:
    (tmp_path / "journal.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(JournalError, match="damaged"):
        sink(journal=tmp_path / "journal.sqlite3")


def test_closing_while_nothing_can_be_written_ends_and_says_what_is_lost(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    journal_path: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_full, said_lost = logged("kept in memory"), logged("could not be written and are lost")
    alerts = sink(journal=_full_disk_by_page_count(journal_path)[0])
    for number in range(40):
        alerts.put(cycle((condition(subject=f"patient-{number}", ecg_mv=["0.123"] * 1000),), at_s=number))
    assert said_full.wait(30)
    alerts.close()
    assert said_lost.is_set()


def test_a_durable_item_is_not_committed_while_the_disk_is_full(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "_COMMIT_WITHIN_S", 0.01)
    open_full, free = _full_disk_by_page_count(journal_path)
    alerts = sink(journal=open_full)
    said = cycle(
        tuple(condition(subject=f"finding-{n}", picture=["0.123"] * 1000) for n in range(9)), views=study(1)
    )
    alerts.attempt("studies", 1)
    alerts.put(said)
    assert not alerts.commit(said, "studies", 1)
    assert not alerts.commit(said, "studies", 1)
    free()
    monkeypatch.setattr(sink_module, "_COMMIT_WITHIN_S", 30)
    assert alerts.commit(said, "studies", 1)
    assert len([each for each in events_of(journal_path) if each[1] == "VF"]) == 9
