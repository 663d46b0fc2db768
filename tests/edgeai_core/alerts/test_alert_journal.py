"""The journal: what is written, what is read back, paging, acknowledging, other devices, durable inputs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgeai_core.alerts.journal as journal_module
from edgeai_core.alerts.alert import Alert, AlertState
from edgeai_core.alerts.journal import AlertConflictError, AlertNotFoundError, Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import Moment
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import InputError

ChangeOf = Callable[..., Change]

FROM_BED_7 = {
    "id": "bed7-1",
    "device": "bed-7",
    "app": "healthcare",
    "loop": "ecg",
    "code": "VF",
    "subject": "patient-1",
    "priority": "high",
    "raised_at": "2026-11-24T03:15:00Z",
    "evidence": {"confidence": 0.97},
}


def test_what_was_appended_is_read_back_whole(journal: Journal, change: ChangeOf) -> None:
    (event,) = journal.append([change(confidence=0.97)])
    assert (event.sequence, event.kind, event.by) == (1, "raised", "healthcare.ecg")
    alert = journal.alert(event.alert.id)
    assert alert == event.alert
    assert alert is not None
    assert (alert.device, alert.state, alert.evidence) == ("ward-3", AlertState.RAISED, {"confidence": 0.97})
    assert (alert.raised_at, alert.boot_id, alert.clock_synchronised) == (
        "2025-11-24T16:00:00.000Z",
        "boot-1",
        True,
    )
    assert journal.events(alert.id) == [event] == journal.events_after(0)


def test_a_second_begin_of_one_incident_writes_nothing(journal: Journal, change: ChangeOf) -> None:
    journal.append([change()])
    assert journal.append([change(), change()]) == []
    assert len(journal.alerts()) == 1


def test_the_same_code_of_another_subject_is_another_alert(journal: Journal, change: ChangeOf) -> None:
    journal.append([change(subject="patient-1"), change(subject="patient-2")])
    assert len(journal.open_alerts("healthcare", "ecg")) == 2


def test_an_end_without_a_begin_writes_nothing(journal: Journal, change: ChangeOf) -> None:
    assert journal.append([change(holds=False)]) == []
    assert journal.last_sequence() == 0


def test_an_acknowledgement_made_elsewhere_is_kept_when_the_loop_goes_on(
    journal: Journal, journal_path: Path, change: ChangeOf
) -> None:
    (event,) = journal.append([change()])
    other = Journal(journal_path, device="ward-3")
    other.acknowledge(event.alert.id, "nurse")
    other.close()
    (cleared,) = journal.append([change(holds=False, at_s=9)])
    assert cleared.kind == "cleared"
    assert cleared.alert.acknowledged_by == "nurse"


def test_a_latched_alert_that_was_acknowledged_elsewhere_gives_way_to_a_new_one(
    journal: Journal, change: ChangeOf
) -> None:
    (first,) = journal.append([change(latched=True)])
    journal.append([change(holds=False)])
    assert journal.acknowledge(first.alert.id, "nurse").alert.state is AlertState.CLEARED
    (second,) = journal.append([change(latched=True)])
    assert second.alert.id != first.alert.id


def test_acknowledging_twice_returns_the_first_event_and_writes_nothing(
    journal: Journal, change: ChangeOf
) -> None:
    (event,) = journal.append([change()])
    first = journal.acknowledge(event.alert.id, "nurse", "2026-11-24T03:00:00.000Z")
    assert journal.acknowledge(event.alert.id, "doctor") == first
    journal.append([change(holds=False)])
    assert journal.acknowledge(event.alert.id, "doctor") == first
    assert (first.kind, first.by, first.alert.acknowledged_by) == ("acknowledged", "nurse", "nurse")
    assert journal.last_sequence() == 3


def test_acknowledging_an_unknown_alert_says_so(journal: Journal) -> None:
    with pytest.raises(AlertNotFoundError, match="no alert 'nope'"):
        journal.acknowledge("nope", "nurse")


def test_who_listens_is_told_the_newest_sequence_after_each_commit_that_changed_something(
    journal_path: Path, change: ChangeOf
) -> None:
    told: list[int] = []
    journal = Journal(journal_path, device="ward-3", on_commit=told.append)
    journal.append([change(), change(subject="patient-2")])
    journal.append([change()])
    journal.acknowledge(journal.open_alerts()[0].id, "nurse")
    journal.prune()
    assert told == [2, 3]
    journal.close()


def test_a_reader_sees_what_another_process_wrote_and_can_poll_for_it(
    journal: Journal, journal_path: Path, change: ChangeOf
) -> None:
    reader = Journal(journal_path, device="ward-3", read_only=True)
    version = reader.data_version()
    assert reader.last_sequence() == 0
    journal.append([change()])
    assert reader.last_sequence() == 1
    assert reader.data_version() != version
    assert reader.events_after(0)[0].kind == "raised"
    reader.close()


# Paging and filters


def test_pages_do_not_shift_when_alerts_come_between_them(journal: Journal, change: ChangeOf) -> None:
    journal.append([change(subject=f"patient-{n}") for n in range(10)])
    first = journal.alerts(limit=4)
    journal.append([change(subject=f"late-{n}") for n in range(5)])
    journal.acknowledge(first[0][1].id, "nurse")
    second = journal.alerts(before=first[-1][0], limit=4)
    third = journal.alerts(before=second[-1][0], limit=4)
    subjects = [alert.subject for _, alert in [*first, *second, *third]]
    assert subjects == [f"patient-{n}" for n in reversed(range(10))]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 7))
def test_pages_of_any_size_hold_every_alert_once(journal: Journal, change: ChangeOf, size: int) -> None:
    if journal.last_sequence() == 0:
        journal.append([change(subject=f"patient-{n}") for n in range(13)])
    seen: list[int] = []
    while page := journal.alerts(before=seen[-1] if seen else None, limit=size):
        seen += [cursor for cursor, _ in page]
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 13


def test_filters_combine(journal: Journal, change: ChangeOf) -> None:
    journal.append(
        [
            change(code="VF", subject="patient-1"),
            change(code="LEAD_OFF", subject="patient-1", priority="low", at_s=60),
            change(code="VF", subject="patient-2", at_s=120),
        ]
    )
    journal.append([change(holds=False, code="VF", subject="patient-2", at_s=130)])
    journal.receive(FROM_BED_7)

    def found(**filters: Any) -> list[str]:
        return [f"{alert.device} {alert.code} {alert.subject}" for _, alert in journal.alerts(**filters)]

    assert found(code="VF", device="ward-3") == ["ward-3 VF patient-2", "ward-3 VF patient-1"]
    assert found(state="cleared") == ["ward-3 VF patient-2"]
    assert found(state=["raised", "latched"], priority="low") == ["ward-3 LEAD_OFF patient-1"]
    assert found(active=True, subject="patient-1", device="ward-3", priority=["high"]) == [
        "ward-3 VF patient-1"
    ]
    assert found(since="2025-11-24T16:01:00Z", until="2025-11-24T17:02:00+01:00") == [
        "ward-3 LEAD_OFF patient-1"
    ]
    assert found(device="bed-7") == ["bed-7 VF patient-1"]
    assert found(app="automotive") == []
    assert len(found(acknowledged=False)) == 4
    assert found(acknowledged=True) == []
    assert len(found(limit=0)) == 1


@pytest.mark.parametrize("filters", [{"state": "open"}, {"priority": "urgent"}, {"since": "yesterday"}])
def test_a_filter_that_makes_no_sense_is_named(journal: Journal, filters: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(filters))):
        journal.alerts(**filters)


def test_a_filter_is_a_value_and_never_sql(journal: Journal, change: ChangeOf) -> None:
    journal.append([change()])
    assert journal.alerts(subject="' OR 1=1 --") == []


# Replay of the events


_steps = st.lists(
    st.tuples(
        st.sampled_from(["holds", "gone", "ack"]),
        st.sampled_from(["VF", "LEAD_OFF"]),
        st.sampled_from(list(Priority)),
    ),
    max_size=25,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_steps, st.booleans())
def test_replaying_the_events_rebuilds_every_alerts_state(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, Priority]], latched: bool
) -> None:
    journal = Journal(tmp_path_factory.mktemp("replay") / "journal.sqlite3", device="ward-3")
    for number, (step, code, priority) in enumerate(steps):
        if step == "ack":
            for alert in journal.open_alerts():
                journal.acknowledge(alert.id, "nurse")
        else:
            moment = Moment(number * 1_000_000_000, number, "boot-1", True)
            condition = Condition(code, "patient-1", priority)
            journal.append(
                [
                    Change(
                        step == "holds",
                        "healthcare",
                        "ecg",
                        condition,
                        moment,
                        f"id-{number}",
                        "loop",
                        latched,
                    )
                ]
            )
    rebuilt: dict[str, tuple[bool, bool]] = {}
    newest: dict[str, Alert] = {}
    for event in journal.events_after(0, limit=1000):
        active, acknowledged = rebuilt.get(event.alert.id, (False, False))
        rebuilt[event.alert.id] = {
            "raised": (True, False),
            "updated": (active, False),  # only ever written for a rise in priority
            "acknowledged": (active, True),
            "latched": (False, acknowledged),
            "cleared": (False, acknowledged),
        }[event.kind]
        newest[event.alert.id] = event.alert
    stored = {alert.id: alert for _, alert in journal.alerts(limit=1000)}
    assert newest == stored
    assert rebuilt == {
        alert.id: (alert.active, alert.acknowledged_at is not None) for alert in stored.values()
    }
    open_keys = [(alert.code, alert.subject) for alert in journal.open_alerts()]
    assert len(open_keys) == len(set(open_keys))
    journal.close()


# Other devices


def test_an_alert_from_another_device_is_kept_once_however_often_it_is_sent(journal: Journal) -> None:
    first = journal.receive(FROM_BED_7)
    assert journal.receive(FROM_BED_7) == first
    assert (first.kind, first.by, first.alert.device) == ("raised", "bed-7", "bed-7")
    assert journal.last_sequence() == 1
    assert journal.open_alerts() == []  # its own are another matter


def test_an_alert_from_another_device_follows_that_device_and_keeps_our_acknowledgement(
    journal: Journal,
) -> None:
    journal.receive(FROM_BED_7)
    journal.acknowledge("bed7-1", "nurse")
    assert journal.receive(FROM_BED_7).kind == "acknowledged"
    cleared = journal.receive(FROM_BED_7 | {"active": False, "cleared_at": "2026-11-24T03:20:00Z"})
    assert (cleared.kind, cleared.alert.acknowledged_by) == ("cleared", "nurse")
    assert journal.receive(FROM_BED_7).alert.state is AlertState.CLEARED


def test_two_devices_may_raise_the_same_condition(journal: Journal, change: ChangeOf) -> None:
    journal.append([change()])
    journal.receive(FROM_BED_7)
    journal.receive(FROM_BED_7 | {"id": "bed8-1", "device": "bed-8"})
    assert len(journal.alerts(code="VF", subject="patient-1")) == 3


def test_a_device_cannot_write_to_anothers_alert_nor_speak_for_this_one(
    journal: Journal, change: ChangeOf
) -> None:
    (own,) = journal.append([change()])
    journal.receive(FROM_BED_7)
    with pytest.raises(AlertConflictError, match="another device"):
        journal.receive(FROM_BED_7 | {"device": "bed-8"})
    with pytest.raises(AlertConflictError, match="another device"):
        journal.receive(FROM_BED_7 | {"id": own.alert.id})
    with pytest.raises(InputError, match="own name"):
        journal.receive(FROM_BED_7 | {"device": "ward-3"})
    assert journal.last_sequence() == 2


def test_a_device_that_floods_is_stopped_until_somebody_acknowledges(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_UNSEEN_PER_DEVICE", 3)
    for number in range(3):
        journal.receive(FROM_BED_7 | {"id": f"bed7-{number}", "subject": f"patient-{number}"})
    with pytest.raises(AlertConflictError, match="unacknowledged"):
        journal.receive(FROM_BED_7 | {"id": "bed7-9"})
    journal.receive(FROM_BED_7 | {"id": "bed8-1", "device": "bed-8"})
    journal.acknowledge("bed7-0", "nurse")
    journal.receive(FROM_BED_7 | {"id": "bed7-9"})


# Durable inputs


def test_alerts_of_a_durable_input_are_written_with_it_and_skipped_when_it_comes_again(
    journal: Journal, change: ChangeOf
) -> None:
    assert journal.committed("studies") is None
    assert len(journal.append([change()], input=("studies", 5))) == 1
    assert journal.committed("studies") == 5
    assert journal.append([change(code="OTHER")], input=("studies", 5)) == []
    assert journal.append([change(code="OTHER")], input=("studies", 4)) == []
    assert [alert.code for alert in journal.open_alerts()] == ["VF"]
    journal.append((), input=("studies", 6))
    assert journal.committed("studies") == 6
    assert journal.committed("other") is None


def test_neither_alerts_nor_input_are_written_when_one_of_them_cannot_be(
    journal: Journal, change: ChangeOf
) -> None:
    def failing() -> Any:
        yield change()
        raise RuntimeError("a step's own fault")

    with pytest.raises(RuntimeError):
        journal.append(failing(), input=("studies", 1))
    assert journal.committed("studies") is None
    assert journal.last_sequence() == 0


def test_attempts_at_an_item_are_counted_across_restarts(journal: Journal, journal_path: Path) -> None:
    assert [journal.attempt("studies", 7) for _ in range(2)] == [1, 2]
    again = Journal(journal_path, device="ward-3")
    assert again.attempt("studies", 7) == 3
    assert again.attempt("studies", 8) == 1
    assert again.committed("studies") is None
    again.append((), input=("studies", 8))
    assert again.attempt("studies", 9) == 1
    again.close()


# Several processes


def _write_alerts(path: Path, name: str, count: int, start: Any, out: Any) -> None:
    journal = Journal(path, device="ward-3")
    start.wait()
    sequences = []
    for number in range(count):
        condition = Condition("VF", f"{name}-{number}", Priority.HIGH)
        moment = Moment(number, number, "boot-1", True)
        change = Change(True, "healthcare", name, condition, moment, f"{name}-{number}", name)
        sequences += [event.sequence for event in journal.append([change])]
    out.put(sequences)
    journal.close()


def test_several_processes_write_one_new_file_and_every_sequence_is_used_once(journal_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, out = context.Event(), context.Queue()
    writers = [
        context.Process(target=_write_alerts, args=(journal_path, f"loop-{n}", 15, start, out))
        for n in range(3)
    ]
    for writer in writers:
        writer.start()
    start.set()
    written = [out.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join(60)
    out.close()
    assert sorted(sequence for sequences in written for sequence in sequences) == list(range(1, 46))
    assert all(sequences == sorted(sequences) for sequences in written)
    journal = Journal(journal_path, device="ward-3")
    assert len(journal.alerts(limit=1000)) == 45
    journal.close()
