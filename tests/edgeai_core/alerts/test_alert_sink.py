"""The sink: cycles in, alerts out; the loop never waits, and nothing is lost while it can be kept."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgeai_core.alerts.sink as sink_module
from edgeai_core.alerts.alert import AlertState
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.decision import Condition, Rule
from edgeai_core.errors import JournalError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.sample import Sample, View

ConditionOf = Callable[..., Condition]
CycleOf = Callable[..., Cycle[Any]]
SinkOf = Callable[..., AlertSink]

STALE = Fault(
    FaultKind.STALE,
    "input 'ecg' is 0.6 s old (limit 0.5 s); made by source Monitor; likely cause: it delivers nothing",
    input="ecg",
    made_by="source Monitor",
    age_ns=600_000_000,
    cause="it delivers nothing",
)
FAILED = Fault(FaultKind.EXCEPTION, "the step raised ValueError: no leads")


@pytest.fixture
def sink(journal_path: Path) -> Iterator[SinkOf]:
    made: list[AlertSink] = []

    def make(rules: dict[str, Rule] | None = None, journal: Any = journal_path, **options: Any) -> AlertSink:
        made.append(AlertSink("healthcare", "ecg", rules or {}, journal, device="ward-3", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _events(path: Path) -> list[tuple[str, str, str]]:
    journal = Journal(path, device="ward-3", read_only=True)
    found = [
        (event.kind, event.alert.code, event.alert.subject) for event in journal.events_after(0, limit=1000)
    ]
    journal.close()
    return found


def test_an_incident_of_many_cycles_is_one_alert_raised_and_cleared(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    for number in range(100):
        conditions = (condition(confidence=number / 100),) if 10 <= number < 60 else ()
        alerts.put(cycle(conditions, at_s=number / 10))
    assert alerts.flush(30)
    assert _events(journal_path) == [("raised", "VF", "patient-1"), ("cleared", "VF", "patient-1")]
    journal = Journal(journal_path, device="ward-3")
    ((_, alert),) = journal.alerts()
    assert alert.monotonic_ns == 1_000_000_000
    assert alert.evidence == {"confidence": 0.1}
    journal.close()


def test_an_alert_is_raised_in_time_though_the_decision_does_not_change(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink({"VF": Rule(raise_after_s=1.0, clear_after_s=2.0, latched=True)})
    same = (condition(),)
    for tenth in range(20):
        alerts.put(cycle(same, at_s=tenth / 10))
    for tenth in range(20, 41):
        alerts.put(cycle((), at_s=tenth / 10))
    assert alerts.flush(30)
    assert _events(journal_path) == [("raised", "VF", "patient-1"), ("latched", "VF", "patient-1")]


def test_a_late_decisions_conditions_count(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    fault = Fault(FaultKind.OVERRUN, "the step took 30 ms (deadline 20 ms)")
    alerts.put(cycle(None, fault=fault, late=(condition(),)))
    assert alerts.flush(30)
    assert _events(journal_path) == [("raised", "VF", "patient-1")]  # one overrun alone is no alert


def test_a_fallback_that_cannot_tell_leaves_alerts_standing_and_the_fault_is_an_alert_of_its_own(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    alerts.put(cycle((condition(),), at_s=0))
    for tenth in range(10, 30):
        alerts.put(cycle(None, at_s=tenth / 10, fault=STALE))
    assert alerts.flush(30)
    assert _events(journal_path) == [
        ("raised", "VF", "patient-1"),
        ("raised", "INPUT_STALE", "healthcare.ecg"),
    ]
    for second in range(3, 8):
        alerts.put(cycle((condition(),), at_s=second))
    assert alerts.flush(30)
    assert _events(journal_path)[2:] == [("cleared", "INPUT_STALE", "healthcare.ecg")]
    journal = Journal(journal_path, device="ward-3")
    ((_, alert),) = journal.alerts(code="INPUT_STALE")
    assert alert.title == STALE.message
    assert alert.evidence == {
        "fault": "stale",
        "input": "ecg",
        "age_s": 0.6,
        "made_by": "source Monitor",
        "cause": "it delivers nothing",
    }
    journal.close()


def test_a_step_that_fails_is_an_alert_at_once(sink: SinkOf, cycle: CycleOf, journal_path: Path) -> None:
    alerts = sink()
    alerts.put(cycle(None, fault=FAILED))
    assert alerts.flush(30)
    assert _events(journal_path) == [("raised", "STEP_FAILED", "healthcare.ecg")]


def test_a_loop_may_set_its_own_delay_for_its_faults(
    sink: SinkOf, cycle: CycleOf, journal_path: Path
) -> None:
    alerts = sink({"STEP_FAILED": Rule(raise_after_s=60)})
    alerts.put(cycle(None, fault=FAILED))
    assert alerts.flush(30)
    assert _events(journal_path) == []


def test_an_unchanged_decision_is_not_even_looked_at(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = sink()
    alerts.put(cycle((condition(),)))
    assert alerts.flush(30)
    assert alerts._writer.adoption is None or alerts.put(cycle((condition(),), at_s=0.5)) is None
    monkeypatch.setattr(sink_module, "observe", None)  # calling it would fail
    for number in range(1, 5):
        alerts.put(cycle((condition(confidence=number),), at_s=number))


def test_who_listens_is_told_of_each_commit(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    told: list[int] = []
    alerts = sink(on_commit=told.append)
    alerts.put(cycle((condition(),)))
    assert alerts.flush(30)
    assert told == [1]


# Restart


def test_an_incident_that_outlives_the_process_stays_one_alert(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    first = sink()
    first.put(cycle((condition(), condition("LEAD_OFF"))))
    first.close()
    second = sink()
    assert second.flush(30)
    second.put(cycle(None, at_s=0.1))
    second.put(cycle((condition(),), at_s=0.2))
    _settle(second, cycle, condition)
    assert _events(journal_path) == [
        ("raised", "VF", "patient-1"),
        ("raised", "LEAD_OFF", "patient-1"),
        ("cleared", "LEAD_OFF", "patient-1"),
    ]


def _settle(alerts: AlertSink, cycle: CycleOf, condition: ConditionOf) -> None:
    """Put cycles that say VF until what the journal holds has been taken over, and its consequences are written."""
    writer, deadline_s = alerts._writer, time.monotonic() + 30
    for tenth in itertools.count(3):
        assert alerts.flush(30)
        with writer._changed:  # the writer changes both together
            if writer.adoption is None and not writer._compare:
                break
            if writer.adoption is None:
                writer._changed.wait(0.01)
        assert time.monotonic() < deadline_s, "the writer never offers what the journal holds"
        alerts.put(cycle((condition(),), at_s=tenth / 10))
    alerts.put(cycle((condition(),), at_s=60 + tenth / 10))
    assert alerts.flush(30)


def test_what_others_say_of_a_loop_is_not_the_loops_to_clear(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, change: Callable[..., Any], journal_path: Path
) -> None:
    journal = Journal(journal_path, device="ward-3")
    journal.append([change(code="LOOP_DIED", subject="healthcare.ecg")])
    alerts = sink()
    alerts.put(cycle((condition(),)))
    _settle(alerts, cycle, condition)
    assert ("cleared", "LOOP_DIED", "healthcare.ecg") not in _events(journal_path)
    journal.close()


# Full disk


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
    events = [each for each in _events(journal_path) if each[1] == "VF"]
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
    assert [each for each in _events(path) if each[1] == "VF"] == [
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
    raised = [subject for kind, code, subject in _events(path) if (kind, code) == ("raised", "VF")]
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


# Durable inputs


def _study(sequence: int) -> dict[str, View[str]]:
    sample = Sample("study", time_ns=0, received_ns=0, sequence=sequence)
    return {"studies": View((sample,), age_ns=0)}


def test_a_durable_items_alerts_are_written_with_its_number_and_only_once(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    first = sink()
    assert first.attempt("studies", 1) == 1
    said = cycle((condition(subject="study-1"),), views=_study(1))
    first.put(said)
    assert first.flush(30)
    assert _events(journal_path) == []  # not before its number
    assert _committed(first, said, 1)
    first.close()
    second = sink()  # killed before the source heard of it: the item comes again
    assert second.attempt("studies", 1) == 2
    again = cycle((condition(subject="study-1"), condition(subject="other")), at_s=1, views=_study(1))
    second.put(again)
    assert _committed(second, again, 1)
    assert _events(journal_path) == [("raised", "VF", "study-1")]
    journal = Journal(journal_path, device="ward-3")
    assert journal.committed("studies") == 1
    journal.close()


def _committed(alerts: AlertSink, said: Cycle[Any], sequence: int) -> bool:
    return any(alerts.commit(said, "studies", sequence) for _ in range(60))


def test_a_fallback_commits_nothing_but_its_fault_is_written(
    sink: SinkOf, cycle: CycleOf, journal_path: Path
) -> None:
    alerts = sink()
    alerts.attempt("studies", 1)
    alerts.put(cycle(None, fault=FAILED, views=_study(1)))
    assert alerts.flush(30)
    assert _events(journal_path) == [("raised", "STEP_FAILED", "healthcare.ecg")]
    journal = Journal(journal_path, device="ward-3")
    assert journal.committed("studies") is None
    journal.close()


def test_an_item_that_is_refused_is_committed_with_an_alert_that_waits_for_a_person(
    sink: SinkOf, cycle: CycleOf, journal_path: Path
) -> None:
    alerts = sink()
    assert [alerts.attempt("studies", 9) for _ in range(4)] == [1, 2, 3, 4]
    refused = Fault(FaultKind.EXCEPTION, "item 9 of 'studies' is refused: 3 attempts failed", input="studies")
    said = cycle(None, fault=refused, views=_study(9))
    alerts.put(said)
    assert _committed(alerts, said, 9)
    assert _events(journal_path) == [
        ("raised", "INPUT_REFUSED", "studies#9"),
        ("latched", "INPUT_REFUSED", "studies#9"),
    ]


def test_a_durable_item_is_not_committed_while_the_disk_is_full(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "_COMMIT_WITHIN_S", 0.01)
    open_full, free = _full_disk_by_page_count(journal_path)
    alerts = sink(journal=open_full)
    said = cycle(
        tuple(condition(subject=f"finding-{n}", picture=["0.123"] * 1000) for n in range(9)), views=_study(1)
    )
    alerts.attempt("studies", 1)
    alerts.put(said)
    assert not alerts.commit(said, "studies", 1)
    assert not alerts.commit(said, "studies", 1)
    free()
    monkeypatch.setattr(sink_module, "_COMMIT_WITHIN_S", 30)
    assert alerts.commit(said, "studies", 1)
    assert len([each for each in _events(journal_path) if each[1] == "VF"]) == 9


def test_a_fault_of_ours_in_the_writer_is_said_and_later_alerts_are_still_written(
    sink: SinkOf,
    cycle: CycleOf,
    condition: ConditionOf,
    journal_path: Path,
    logged: Callable[[str], threading.Event],
) -> None:
    said_lost = logged("could not be written and are lost")

    class Faulty(Journal):
        broken = True

        def append(self, changes: Any, **options: Any) -> Any:
            if self.broken:
                self.broken = False
                raise ZeroDivisionError
            return super().append(changes, **options)

    alerts = sink(journal=lambda: Faulty(journal_path, device="ward-3"))
    alerts.put(cycle((condition("ODD"),), at_s=1))
    assert said_lost.wait(30)
    alerts.put(cycle((condition("VF"),), at_s=2))
    assert alerts.flush(30)
    assert ("raised", "VF", "patient-1") in _events(journal_path)
