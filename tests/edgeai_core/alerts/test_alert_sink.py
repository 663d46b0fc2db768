"""The sink: cycles in, alerts out; the loop never waits, and nothing is lost while it can be kept."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgeai_core.alerts.sink as sink_module
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.decision import Condition, Rule
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from tests.edgeai_core.alerts.conftest import events_of, study

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


def test_an_incident_of_many_cycles_is_one_alert_raised_and_cleared(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    for number in range(100):
        conditions = (condition(confidence=number / 100),) if 10 <= number < 60 else ()
        alerts.put(cycle(conditions, at_s=number / 10))
    assert alerts.flush(30)
    assert events_of(journal_path) == [("raised", "VF", "patient-1"), ("cleared", "VF", "patient-1")]
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
    assert events_of(journal_path) == [("raised", "VF", "patient-1"), ("latched", "VF", "patient-1")]


def test_a_late_decisions_conditions_count(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    fault = Fault(FaultKind.OVERRUN, "the step took 30 ms (deadline 20 ms)")
    alerts.put(cycle(None, fault=fault, late=(condition(),)))
    assert alerts.flush(30)
    assert events_of(journal_path) == [("raised", "VF", "patient-1")]  # one overrun alone is no alert


def test_a_fallback_that_cannot_tell_leaves_alerts_standing_and_the_fault_is_an_alert_of_its_own(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    alerts = sink()
    alerts.put(cycle((condition(),), at_s=0))
    for tenth in range(10, 30):
        alerts.put(cycle(None, at_s=tenth / 10, fault=STALE))
    assert alerts.flush(30)
    assert events_of(journal_path) == [
        ("raised", "VF", "patient-1"),
        ("raised", "INPUT_STALE", "healthcare.ecg"),
    ]
    for second in range(3, 8):
        alerts.put(cycle((condition(),), at_s=second))
    assert alerts.flush(30)
    assert events_of(journal_path)[2:] == [("cleared", "INPUT_STALE", "healthcare.ecg")]
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
    assert events_of(journal_path) == [("raised", "STEP_FAILED", "healthcare.ecg")]


def test_a_loop_may_set_its_own_delay_for_its_faults(
    sink: SinkOf, cycle: CycleOf, journal_path: Path
) -> None:
    alerts = sink({"STEP_FAILED": Rule(raise_after_s=60)})
    alerts.put(cycle(None, fault=FAILED))
    assert alerts.flush(30)
    assert events_of(journal_path) == []


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
    assert events_of(journal_path) == [
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
    assert ("cleared", "LOOP_DIED", "healthcare.ecg") not in events_of(journal_path)
    journal.close()


# Durable inputs


def test_a_durable_items_alerts_are_written_with_its_number_and_only_once(
    sink: SinkOf, cycle: CycleOf, condition: ConditionOf, journal_path: Path
) -> None:
    first = sink()
    assert first.attempt("studies", 1) == 1
    said = cycle((condition(subject="study-1"),), views=study(1))
    first.put(said)
    assert first.flush(30)
    assert events_of(journal_path) == []  # not before its number
    assert _committed(first, said, 1)
    first.close()
    second = sink()  # killed before the source heard of it: the item comes again
    assert second.attempt("studies", 1) == 2
    again = cycle((condition(subject="study-1"), condition(subject="other")), at_s=1, views=study(1))
    second.put(again)
    assert _committed(second, again, 1)
    assert events_of(journal_path) == [("raised", "VF", "study-1")]
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
    alerts.put(cycle(None, fault=FAILED, views=study(1)))
    assert alerts.flush(30)
    assert events_of(journal_path) == [("raised", "STEP_FAILED", "healthcare.ecg")]
    journal = Journal(journal_path, device="ward-3")
    assert journal.committed("studies") is None
    journal.close()


def test_an_item_that_is_refused_is_committed_with_an_alert_that_waits_for_a_person(
    sink: SinkOf, cycle: CycleOf, journal_path: Path
) -> None:
    alerts = sink()
    assert [alerts.attempt("studies", 9) for _ in range(4)] == [1, 2, 3, 4]
    refused = Fault(FaultKind.EXCEPTION, "item 9 of 'studies' is refused: 3 attempts failed", input="studies")
    said = cycle(None, fault=refused, views=study(9))
    alerts.put(said)
    assert _committed(alerts, said, 9)
    assert events_of(journal_path) == [
        ("raised", "INPUT_REFUSED", "studies#9"),
        ("latched", "INPUT_REFUSED", "studies#9"),
    ]


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
    assert ("raised", "VF", "patient-1") in events_of(journal_path)
