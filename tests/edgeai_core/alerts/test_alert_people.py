"""Silence and escalation: whom an alert calls, for how long not, and who is next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.alerts.alert import Alert, AlertState, alert_from_json
from edgeai_core.alerts.journal import AlertNotFoundError, Journal
from edgeai_core.alerts.lifecycle import (
    EscalationStep,
    acknowledge,
    escalate,
    merge,
    silence,
    silenced,
    transition,
    unsilence,
)
from edgeai_core.alerts.policy import AlertPolicy, load_policy
from edgeai_core.decision import Priority
from edgeai_core.errors import ConfigError, InputError

T0, T1, T2, T3 = (f"2026-11-24T03:1{minute}:00.000Z" for minute in range(4))
STEPS = (
    EscalationStep(Priority.HIGH, 180.0, "physician"),
    EscalationStep(Priority.HIGH, 60.0, "charge nurse"),
    EscalationStep(Priority.LOW, 10.0, "technician"),
)


@pytest.fixture
def raised(change: Callable[..., Any]) -> Alert:
    result = transition(None, change(), "ward-3")
    assert result is not None
    return result[0]


def test_a_silenced_alert_stays_unanswered_and_calls_again_when_its_time_is_over(raised: Alert) -> None:
    quiet = silence(raised, "anna", T1, T2)
    assert quiet is not None
    assert (quiet.state, quiet.silenced_by, quiet.silenced_until) == (AlertState.RAISED, "anna", T2)
    assert [silenced(quiet, at) for at in (T0, T1, T2, T3)] == [False, True, False, False]


def test_a_clock_set_back_before_a_silence_ends_it(raised: Alert) -> None:
    quiet = silence(raised, "anna", T2, T3)
    assert quiet is not None
    assert not silenced(quiet, T1)


def test_half_a_silence_is_none(raised: Alert) -> None:
    assert not silenced(replace(raised, silenced_until=T3), T1)
    assert not silenced(replace(raised, silenced_at=T0), T1)


def test_what_calls_nobody_cannot_be_silenced(raised: Alert) -> None:
    known = acknowledge(raised, "anna", T1)
    assert known is not None
    assert silence(known, "anna", T1, T2) is None
    over = replace(raised, active=False, cleared_at=T1)
    assert over.state is AlertState.CLEARED
    assert silence(over, "anna", T1, T2) is None
    assert silence(raised, "anna", T1, T1) is None
    assert silence(raised, "anna", T2, T1) is None


def test_a_latched_alert_can_be_silenced_and_stays_so_when_its_condition_ends(
    raised: Alert, change: Callable[..., Any]
) -> None:
    quiet = silence(replace(raised, latched=True), "anna", T1, T3)
    assert quiet is not None
    result = transition(quiet, change(holds=False), "ward-3")
    assert result is not None
    assert (result[1], result[0].silenced_until) == ("latched", T3)
    assert silence(result[0], "ben", T2, T3) is not None


@pytest.mark.parametrize("how", ["acknowledged", "cleared", "updated", "raised again"])
def test_acknowledging_clearing_rising_and_coming_back_end_a_silence(
    raised: Alert, change: Callable[..., Any], how: str
) -> None:
    quiet = silence(replace(raised, priority=Priority.MEDIUM), "anna", T1, T3)
    assert quiet is not None
    after: Any
    if how == "acknowledged":
        after = acknowledge(quiet, "anna", T2)
    elif how == "cleared":
        after = transition(quiet, change(holds=False), "ward-3")[0]  # type: ignore[index]
    elif how == "updated":
        after = transition(quiet, change(priority="high"), "ward-3")[0]  # type: ignore[index]
    else:
        latched = replace(quiet, latched=True, active=False)
        after = transition(latched, change(priority="medium"), "ward-3")[0]  # type: ignore[index]
    assert (after.silenced_at, after.silenced_until, after.silenced_by) == (None, None, None)


def test_a_person_can_end_a_silence_and_only_one_that_is_on(raised: Alert) -> None:
    quiet = silence(raised, "anna", T1, T3)
    assert quiet is not None
    assert unsilence(quiet, T2) == replace(raised, updated_at=T2)
    assert unsilence(quiet, T3) is None
    assert unsilence(raised, T2) is None


def test_each_step_of_an_escalation_is_taken_once_in_the_order_of_the_times(raised: Alert) -> None:
    assert escalate(raised, 59.999, STEPS, T1) is None
    first = escalate(raised, 60.0, STEPS, T1)
    assert first is not None
    assert (first.escalation, first.escalated_to, first.escalated_at) == (1, "charge nurse", T1)
    assert first.state is AlertState.RAISED
    assert escalate(first, 179.999, STEPS, T2) is None
    second = escalate(first, 180.0, STEPS, T2)
    assert second is not None
    assert (second.escalation, second.escalated_to) == (2, "physician")
    assert escalate(second, 1e9, STEPS, T3) is None


def test_where_nobody_was_there_to_call_the_last_step_that_is_due_is_taken(raised: Alert) -> None:
    after = escalate(raised, 200.0, STEPS, T1)
    assert after is not None
    assert (after.escalation, after.escalated_to) == (2, "physician")


def test_only_what_is_unanswered_and_not_silenced_escalates(raised: Alert) -> None:
    quiet = silence(raised, "anna", T1, T3)
    assert quiet is not None
    assert escalate(quiet, 100.0, STEPS, T2) is None
    assert escalate(quiet, 100.0, STEPS, T3) is not None
    known = acknowledge(raised, "anna", T1)
    assert known is not None
    assert escalate(known, 1e9, STEPS, T2) is None
    latched = replace(raised, active=False, latched=True)
    assert escalate(latched, 100.0, STEPS, T2) is not None


def test_a_rise_in_priority_begins_the_escalation_anew(raised: Alert, change: Callable[..., Any]) -> None:
    low = escalate(replace(raised, priority=Priority.LOW), 10.0, STEPS, T1)
    assert low is not None
    assert low.escalated_to == "technician"
    result = transition(low, change(priority="high"), "ward-3")
    assert result is not None
    assert (result[0].escalation, result[0].escalated_to, result[0].escalated_at) == (0, None, None)


def test_an_acknowledgement_keeps_the_record_of_who_was_called(raised: Alert) -> None:
    first = escalate(raised, 60.0, STEPS, T1)
    assert first is not None
    known = acknowledge(first, "anna", T2)
    assert known is not None
    assert known.escalated_to == "charge nurse"


@given(st.lists(st.floats(0, 400), max_size=12))
def test_an_escalation_never_goes_down(waits_s: list[float]) -> None:
    alert = alert_from_json(
        {"id": "a", "device": "d", "app": "x", "loop": "y", "code": "c", "subject": "s", "priority": "high",
         "raised_at": T0}
    )  # fmt: skip
    levels = []
    for wait_s in waits_s:
        alert = escalate(alert, wait_s, STEPS, T1) or alert
        levels.append(alert.escalation)
    assert levels == sorted(levels)


def test_another_devices_silence_and_escalation_are_its_own(raised: Alert) -> None:
    sent = silence(raised, "anna", T1, T3)
    assert sent is not None
    body = replace(sent, escalation=2, escalated_to="physician").to_json()
    received = alert_from_json(body)
    assert (received.silenced_until, received.escalation, received.escalated_to) == (None, 0, None)
    mine = silence(received, "ben", T1, T3)
    assert mine is not None
    assert merge(mine, received, T2) is None
    result = merge(mine, replace(received, active=False, cleared_at=T2), T2)
    assert result is not None
    assert (result[1], result[0].silenced_until) == ("cleared", None)


def test_silence_survives_in_the_journal_and_is_an_event_of_its_own(
    journal: Journal, change: Callable[..., Any]
) -> None:
    alert = journal.append([change()])[0].alert
    event = journal.change(alert.id, "silenced", "anna", lambda a, at: silence(a, "anna", at, "9999-01-01"))
    assert event is not None
    assert (event.kind, event.by) == ("silenced", "anna")
    assert journal.alert(alert.id) == event.alert
    assert journal.events(alert.id)[-1] == event
    assert journal.change(alert.id, "silenced", "anna", lambda a, at: None) is None
    assert len(journal.events(alert.id)) == 2
    with pytest.raises(AlertNotFoundError):
        journal.change("no-such", "silenced", "anna", lambda a, at: a)


def test_the_site_says_whom_to_call_and_for_how_long_a_priority_may_be_silent(tmp_path: Any) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[edgeai.silence]\nhigh_s = 30\n[[edgeai.escalation]]\npriority = "high"\nafter_s = 60\nrole = "nurse"\n'
    )
    policy = load_policy(path)
    assert policy.steps() == (EscalationStep(Priority.HIGH, 60.0, "nurse"),)
    policy.check_silence(Priority.HIGH, 30.0)
    policy.check_silence(Priority.MEDIUM, 1800.0)
    with pytest.raises(InputError, match="up to 30 s"):
        policy.check_silence(Priority.HIGH, 30.1)
    with pytest.raises(InputError, match="not 0"):
        policy.check_silence(Priority.LOW, 0.0)
    assert load_policy(None) == AlertPolicy()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[edgeai]\nescalate = 1\n", "edgeai.escalate: there is no such field"),
        (
            '[[edgeai.escalation]]\npriority = "urgent"\nafter_s = 1\nrole = "x"\n',
            "edgeai.escalation.0.priority",
        ),
        ("[edgeai.silence]\nhigh_s = -1\n", "edgeai.silence.high_s"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_field(tmp_path: Any, text: str, reason: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_policy(path)
