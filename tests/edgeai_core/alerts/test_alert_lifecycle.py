"""The life cycle as pure functions: what is raised, what is cleared, and what never is."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.alerts.alert import Alert, AlertState
from edgeai_core.alerts.lifecycle import (
    Change,
    EscalationStep,
    Key,
    Observed,
    Watch,
    acknowledge,
    due_ns,
    merge,
    more_urgent,
    observe,
    transition,
)
from edgeai_core.alerts.walltime import Moment
from edgeai_core.decision import Condition, Priority, Rule

VF = Condition("VF", "patient-1", Priority.HIGH, "Ventricular fibrillation")
LEAD_OFF = Condition("LEAD_OFF", "patient-1", Priority.LOW, "Lead off")

_conditions = st.lists(
    st.builds(
        Condition,
        code=st.sampled_from(["VF", "LEAD_OFF"]),
        subject=st.sampled_from(["patient-1", "patient-2"]),
        priority=st.sampled_from(list(Priority)),
    ),
    max_size=4,
).map(tuple)
_rules = st.fixed_dictionaries(
    {},
    optional={
        code: st.builds(
            Rule, raise_after_s=st.integers(0, 4), clear_after_s=st.integers(0, 4), latched=st.booleans()
        )
        for code in ("VF", "LEAD_OFF")
    },
)
_looks = st.lists(st.tuples(st.integers(0, 3), st.none() | _conditions), max_size=40)


def watch_all(
    looks: list[tuple[int, tuple[Condition, ...] | None]], rules: dict[str, Rule]
) -> list[tuple[int, str, Condition]]:
    """Run decisions through ``observe``; return (second, what, condition) of every change."""
    watches: Any = {}
    seen = []
    now_s = 0
    for step_s, conditions in looks:
        now_s += step_s
        observed = observe(watches, conditions, rules, now_s * 1_000_000_000)
        watches = observed.watches
        seen += [(now_s, "began", each) for each in observed.began]
        seen += [(now_s, "ended", each) for each in observed.ended]
    return seen


def change(
    holds: bool, condition: Condition = VF, at_s: int = 0, alert_id: str = "a", latched: bool = False
) -> Change:
    moment = Moment(1_764_000_000_000_000_000 + at_s * 1_000_000_000, at_s, "boot-1", True)
    return Change(holds, "healthcare", "ecg", condition, moment, alert_id, "healthcare.ecg", latched)


def raised(**changes: Any) -> Alert:
    made = transition(None, change(True, **changes), "ward-3")
    assert made is not None
    return made[0]


def test_a_condition_that_holds_is_raised_once_and_cleared_once_however_many_cycles_it_lasts() -> None:
    looks = [(0, ())] + [(1, (VF,))] * 50 + [(1, ())] * 50
    assert watch_all(looks, {}) == [(1, "began", VF), (51, "ended", VF)]


def test_a_condition_is_raised_only_after_its_delay() -> None:
    rules = {"VF": Rule(raise_after_s=3)}
    assert watch_all([(1, (VF,))] * 3, rules) == []
    assert watch_all([(1, (VF,))] * 4, rules) == [(4, "began", VF)]
    assert watch_all([(1, (VF,)), (1, (VF,)), (1, ()), (1, (VF,)), (1, (VF,))], rules) == []


def test_a_condition_is_cleared_only_after_it_was_gone_for_its_delay() -> None:
    rules = {"VF": Rule(clear_after_s=3)}
    gone = [(1, (VF,)), (1, ()), (1, ()), (1, ())]
    assert watch_all(gone, rules) == [(1, "began", VF)]
    assert watch_all([*gone, (1, ())], rules) == [(1, "began", VF), (5, "ended", VF)]


def test_time_in_which_nobody_could_tell_does_not_count_towards_clearing() -> None:
    rules = {"VF": Rule(clear_after_s=3)}
    looks: list[Any] = [(1, (VF,)), (1, ()), (1, None), (60, ()), (2, ()), (1, ())]
    assert watch_all(looks, rules) == [(1, "began", VF), (66, "ended", VF)]


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 5))
def test_one_incident_is_one_alert_whatever_the_flicker_within_the_delay(
    gaps_s: list[int], delay_s: int
) -> None:
    looks: list[Any] = [(1, (VF,))]
    for gap_s in gaps_s:
        looks += [(0, ()), (min(gap_s, delay_s - 1), ()), (0, (VF,))]
    assert [what for _, what, _ in watch_all(looks, {"VF": Rule(clear_after_s=delay_s)})] == ["began"]


@given(_looks, _rules, st.lists(st.integers(0, 100), max_size=20))
def test_cannot_tell_raises_and_clears_nothing(
    looks: list[Any], rules: dict[str, Rule], steps_s: list[int]
) -> None:
    watches: Any = {}
    now_s = 0
    for step_s, conditions in looks:
        now_s += step_s
        watches = observe(watches, conditions, rules, now_s * 1_000_000_000).watches
    standing = {key for key, watch in watches.items() if watch.standing}
    for step_s in steps_s:
        now_s += step_s
        observed = observe(watches, None, rules, now_s * 1_000_000_000)
        assert not observed.began
        assert not observed.ended
        watches = observed.watches
    assert {key for key, watch in watches.items() if watch.standing} == standing


@given(_looks, _rules)
def test_every_end_follows_a_begin_and_a_second_begin_only_says_that_it_is_more_urgent(
    looks: list[Any], rules: dict[str, Rule]
) -> None:
    urgency = {Priority.LOW: 0, Priority.MEDIUM: 1, Priority.HIGH: 2}
    standing: dict[tuple[str, str], Priority] = {}
    for _, what, condition in watch_all(looks, rules):
        key = (condition.code, condition.subject)
        if what == "began":
            assert key not in standing or urgency[condition.priority] > urgency[standing[key]]
            standing[key] = condition.priority
        else:
            del standing[key]


@given(_looks, _rules, _conditions, st.integers(0, 2**34))
def test_nothing_changes_before_the_due_time_while_the_decision_stays_the_same(
    looks: list[Any], rules: dict[str, Rule], conditions: tuple[Condition, ...], wait_ns: int
) -> None:
    watches: Any = {}
    now_ns = 0
    for step_s, said in [*looks, (1, conditions)]:
        now_ns += step_s * 1_000_000_000
        watches = observe(watches, said, rules, now_ns).watches
    due = due_ns(watches, rules)
    later_ns = now_ns + wait_ns
    observed = observe(watches, conditions, rules, later_ns)
    if due is None or later_ns < due:
        assert not observed.began
        assert not observed.ended
    else:
        assert observed.began or observed.ended


def test_of_two_conditions_of_one_incident_the_more_urgent_counts() -> None:
    low = replace(VF, priority=Priority.LOW)
    assert watch_all([(1, (low, VF, low))], {}) == [(1, "began", VF)]


def test_a_standing_condition_that_rises_is_told_again_and_ends_as_the_gravest_that_it_was() -> None:
    low, medium = (replace(VF, priority=each) for each in (Priority.LOW, Priority.MEDIUM))
    looks: list[Any] = [
        (1, (low,)),
        (1, (medium,)),
        (1, (medium,)),
        (1, (low,)),
        (1, (VF,)),
        (1, (low,)),
        (1, ()),
    ]
    assert watch_all(looks, {}) == [
        (1, "began", low),
        (2, "began", medium),
        (5, "began", VF),
        (7, "ended", VF),
    ]


def test_a_rise_in_priority_updates_the_alert_and_takes_back_the_acknowledgement() -> None:
    alert = acknowledge(raised(condition=replace(VF, priority=Priority.LOW)), "nurse", "t1")
    assert alert is not None
    assert alert.state is AlertState.ACKNOWLEDGED
    after = transition(alert, change(True, VF), "ward-3")
    assert after is not None
    assert (after[1], after[0].state, after[0].priority) == ("updated", AlertState.RAISED, Priority.HIGH)
    assert after[0].id == alert.id


def test_a_fall_in_priority_changes_nothing_while_the_incident_lasts() -> None:
    alert = raised()
    assert transition(alert, change(True, replace(VF, priority=Priority.LOW)), "ward-3") is None


def test_an_alert_without_a_latch_clears_by_itself_when_its_condition_is_gone() -> None:
    after = transition(raised(), change(False, at_s=5), "ward-3")
    assert after is not None
    assert (after[1], after[0].state) == ("cleared", AlertState.CLEARED)
    assert after[0].cleared_at == "2025-11-24T16:00:05.000Z"


def test_a_latched_alert_waits_for_a_person_and_clears_with_the_acknowledgement() -> None:
    latched = transition(raised(latched=True), change(False, at_s=5), "ward-3")
    assert latched is not None
    assert (latched[1], latched[0].state, latched[0].cleared_at) == ("latched", AlertState.LATCHED, None)
    cleared = acknowledge(latched[0], "nurse", "t9")
    assert cleared is not None
    assert (cleared.state, cleared.cleared_at, cleared.acknowledged_by) == (AlertState.CLEARED, "t9", "nurse")


def test_a_latched_alert_whose_condition_comes_back_is_raised_again_under_its_id() -> None:
    latched = transition(raised(latched=True, alert_id="first"), change(False), "ward-3")
    assert latched is not None
    again = transition(latched[0], change(True, alert_id="second"), "ward-3")
    assert again is not None
    assert (again[1], again[0].state, again[0].id) == ("raised", AlertState.RAISED, "first")


def test_a_latched_alert_that_comes_back_no_graver_keeps_what_it_said_and_who_was_called() -> None:
    alert = replace(raised(latched=True), active=False, escalation=1, escalated_to="nurse", escalated_at="t1")
    for priority in (Priority.HIGH, Priority.LOW):
        again = transition(
            alert, change(True, Condition("VF", "patient-1", priority, "Fibrillation")), "ward-3"
        )
        assert again is not None
        assert again == (replace(alert, active=True, updated_at=again[0].updated_at), "raised")


def test_a_condition_that_comes_back_after_the_alert_cleared_is_a_new_alert() -> None:
    cleared = transition(raised(alert_id="first"), change(False), "ward-3")
    assert cleared is not None
    again = transition(cleared[0], change(True, alert_id="second"), "ward-3")
    assert again is not None
    assert again[0].id == "second"


def test_an_alert_that_came_and_went_unseen_can_still_be_acknowledged_once() -> None:
    cleared = transition(raised(), change(False, at_s=5), "ward-3")
    assert cleared is not None
    seen = acknowledge(cleared[0], "nurse", "t9")
    assert seen is not None
    assert (seen.state, seen.acknowledged_by, seen.cleared_at) == (
        AlertState.CLEARED,
        "nurse",
        cleared[0].cleared_at,
    )
    assert acknowledge(seen, "doctor", "t10") is None


_steps = st.lists(
    st.tuples(st.sampled_from(["holds", "gone", "ack"]), st.sampled_from(list(Priority))), max_size=30
)


@given(_steps)
def test_a_latched_alert_never_clears_without_a_person(steps: list[tuple[str, Priority]]) -> None:
    alert: Alert | None = None
    for number, (step, priority) in enumerate(steps):
        before = alert
        if step == "ack":
            alert = (acknowledge(alert, "nurse", "t") or alert) if alert else None
        else:
            said = change(step == "holds", replace(VF, priority=priority), alert_id=str(number), latched=True)
            made = transition(alert, said, "ward-3")
            alert = made[0] if made else alert
        if alert is not None and alert.state is AlertState.CLEARED:
            assert alert.acknowledged_by == "nurse"
        if before is not None and alert is not None and before.state is not AlertState.CLEARED:
            assert alert.id == before.id


@given(_steps, st.booleans())
def test_acknowledging_twice_changes_nothing_more(steps: list[tuple[str, Priority]], latched: bool) -> None:
    alert = raised(latched=latched)
    for step, priority in steps:
        if step != "ack":
            said = change(step == "holds", replace(VF, priority=priority), latched=latched)
            made = transition(alert, said, "ward-3")
            alert = made[0] if made else alert
    once = acknowledge(alert, "nurse", "t1")
    assert once is not None
    assert acknowledge(once, "doctor", "t2") is None


@given(_steps, st.booleans(), st.data())
def test_an_alert_of_another_device_ends_the_same_whatever_is_sent_twice(
    steps: list[tuple[str, Priority]], latched: bool, data: st.DataObject
) -> None:
    alert = raised(latched=latched)
    versions = [alert]
    for step, priority in steps:
        if step == "ack":
            alert = acknowledge(alert, "nurse", "2025-11-24T16:00:00.000Z") or alert
        elif alert.state is not AlertState.CLEARED:
            made = transition(alert, change(step == "holds", replace(VF, priority=priority)), "ward-3")
            alert = made[0] if made else alert
        versions.append(alert)
    copy: Alert | None = None
    for index, version in enumerate(versions):
        merged = merge(copy, version, "t")
        copy = merged[0] if merged else copy
        assert merge(copy, version, "u") is None  # the same again is nothing new
        if data.draw(st.booleans()) and copy is not None and copy.state is AlertState.CLEARED:
            old = versions[data.draw(st.integers(0, index))]
            late = merge(copy, old, "v")
            assert late is None or late[0].state is AlertState.CLEARED  # an old one never brings it back
    assert copy is not None
    assert copy.state is alert.state
    assert copy.priority is alert.priority


@pytest.mark.parametrize("title", ["", "Ventricular fibrillation"])
def test_an_alert_always_has_a_title(title: str) -> None:
    alert = raised(condition=Condition("LEAD_OFF", "patient-1", Priority.LOW, title))
    assert alert.title == (title or "Lead off")


def test_an_adopted_alert_goes_on_without_a_second_begin_and_ends_when_its_condition_is_gone() -> None:
    standing = {Key("VF", "patient-1"): Watch(VF, 0, standing=True)}
    assert observe(standing, (VF,), {}, 10).began == ()
    assert observe(standing, (), {}, 10).ended == (VF,)


def test_every_step_up_in_priority_is_a_rise_and_nothing_else_is() -> None:
    ranks = [Priority.LOW, Priority.MEDIUM, Priority.HIGH]
    for one in ranks:
        for other in ranks:
            rises = ranks.index(one) > ranks.index(other)
            assert more_urgent(one, other) is rises
            standing = raised(condition=replace(VF, priority=other))
            after = transition(standing, change(True, replace(VF, priority=one)), "ward-3")
            assert (after is not None) is rises


def test_the_time_at_which_a_change_is_due_is_the_earliest_of_all_delays() -> None:
    second = 1_000_000_000
    rules = {
        "VF": Rule(raise_after_s=3, clear_after_s=20),
        "LEAD_OFF": Rule(raise_after_s=1, clear_after_s=2),
    }
    waits = {Key("VF", "patient-1"): Watch(VF, 5 * second)}
    gone = {Key("LEAD_OFF", "patient-1"): Watch(LEAD_OFF, 0, gone_ns=4 * second, standing=True)}
    stands = {Key("VF", "patient-2"): Watch(VF, 0, standing=True)}
    assert due_ns(waits, rules) == 8 * second
    assert due_ns(gone, rules) == 6 * second
    assert due_ns(waits | gone | stands, rules) == 6 * second
    assert due_ns(waits, {}) == 5 * second
    assert due_ns(stands, rules) is None


def test_an_alert_latches_only_where_its_change_says_so() -> None:
    said = change(True)
    plain = Change(True, "healthcare", "ecg", VF, said.moment, "a", "healthcare.ecg")
    made = transition(None, plain, "ward-3")
    assert made is not None
    assert not made[0].latched


def test_what_the_life_cycle_was_given_and_gave_cannot_be_changed_afterwards() -> None:
    for record, name in (
        (Watch(VF, 0), "since_ns"),
        (Observed({}), "began"),
        (change(True), "holds"),
        (EscalationStep(Priority.HIGH, 1.0, "nurse"), "role"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, getattr(record, name))


# Copies of another device's alerts


def test_the_first_copy_stands_as_it_was_sent_and_is_called_what_it_is() -> None:
    sent = raised(latched=True)
    known = replace(sent, acknowledged_at="t1", acknowledged_by="anna")
    for received, kind in (
        (sent, "raised"),
        (known, "acknowledged"),
        (replace(sent, active=False), "latched"),
    ):
        assert merge(None, received, "t9") == (replace(received, updated_at="t9"), kind)
    over = replace(known, active=False)
    assert merge(None, over, "t9") == (replace(over, updated_at="t9", cleared_at="t9"), "cleared")
    told = replace(over, cleared_at="t3")
    assert merge(None, told, "t9") == (replace(told, updated_at="t9"), "cleared")


def test_a_copy_whose_priority_rises_is_unanswered_again_and_called_from_the_beginning() -> None:
    own = replace(
        raised(condition=replace(VF, priority=Priority.MEDIUM)), acknowledged_at="t1", acknowledged_by="anna",
        escalation=2, escalated_to="physician", escalated_at="t1", silenced_at="t1", silenced_until="t8",
    )  # fmt: skip
    sent = replace(raised(), title="worse", evidence={"confidence": 0.9})
    result = merge(own, sent, "t9")
    assert result is not None
    after, kind = result
    assert (kind, after.state, after.priority, after.title) == (
        "updated",
        AlertState.RAISED,
        Priority.HIGH,
        "worse",
    )
    assert after.evidence == {"confidence": 0.9}
    assert (after.acknowledged_by, after.escalation, after.escalated_to, after.escalated_at) == (
        None,
        0,
        None,
        None,
    )
    assert (after.silenced_until, after.updated_at, after.raised_at) == (None, "t9", own.raised_at)


def test_an_acknowledgement_that_is_sent_is_taken_with_its_name_or_that_of_the_device() -> None:
    own = raised()
    sent = replace(own, acknowledged_at="t1", acknowledged_by="anna")
    for received, by in ((sent, "anna"), (replace(sent, acknowledged_by=None), "ward-3")):
        result = merge(own, received, "t9")
        assert result is not None
        after, kind = result
        assert (kind, after.acknowledged_at, after.acknowledged_by, after.updated_at) == (
            "acknowledged",
            "t1",
            by,
            "t9",
        )
        assert (after.active, after.cleared_at) == (True, None)
    mine = replace(own, acknowledged_at="t2", acknowledged_by="ben")
    assert merge(mine, sent, "t9") is None


def test_an_acknowledgement_clears_a_copy_that_was_latched() -> None:
    own = replace(raised(latched=True), active=False)
    result = merge(own, replace(own, acknowledged_at="t1", acknowledged_by="anna"), "t9")
    assert result is not None
    assert (result[1], result[0].state, result[0].cleared_at) == ("acknowledged", AlertState.CLEARED, "t9")


def test_a_copy_ends_when_its_device_says_so_at_the_time_it_says() -> None:
    own = raised()
    for sent, cleared_at in (
        (replace(own, active=False, cleared_at="t3"), "t3"),
        (replace(own, active=False), "t9"),
    ):
        result = merge(own, sent, "t9")
        assert result is not None
        assert (result[1], result[0].state, result[0].cleared_at) == (
            "cleared",
            AlertState.CLEARED,
            cleared_at,
        )
    latched = replace(raised(latched=True), silenced_at="t1", silenced_until="t99", silenced_by="ben")
    result = merge(latched, replace(latched, active=False), "t9")
    assert result is not None
    assert (result[1], result[0].cleared_at, result[0].silenced_until) == ("latched", None, "t99")


def test_a_latched_copy_comes_back_with_its_device_and_one_that_has_cleared_never() -> None:
    own = replace(raised(latched=True), active=False, silenced_at="t1", silenced_until="t99")
    result = merge(own, replace(own, active=True), "t9")
    assert result is not None
    assert (result[1], result[0].state, result[0].silenced_until) == ("raised", AlertState.RAISED, None)
    over = replace(own, cleared_at="t5", latched=False)
    assert merge(over, replace(own, active=True), "t9") is None
    seen = merge(over, replace(over, acknowledged_at="t6", acknowledged_by="anna"), "t9")
    assert seen is not None
    assert (seen[1], seen[0].acknowledged_by, seen[0].cleared_at) == ("acknowledged", "anna", "t5")
    assert merge(seen[0], replace(over, acknowledged_at="t7"), "t10") is None
