"""The life cycle of an alert as pure functions: no clock, no file, no thread.

Two questions, each a function. ``observe`` runs in the loop and asks of every decision: what began, rose or
ended, after the rule's delays? ``transition``, ``acknowledge``, ``silence``, ``unsilence``, ``escalate`` and ``merge``
run over rows of the journal, inside its transaction, and ask: given how this alert stands now, what does that make of
it? The journal decides last, for a person may have acknowledged an alert since the loop last looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edgeai_core.alerts.alert import Alert, AlertState, EventKind
from edgeai_core.alerts.walltime import Moment
from edgeai_core.decision import Condition, Priority, Rule

_URGENCY = {priority: place for place, priority in enumerate((Priority.LOW, Priority.MEDIUM, Priority.HIGH))}
_NO_DELAY = Rule()


class Key(NamedTuple):
    """What makes two conditions one incident of a loop."""

    code: str
    subject: str


@dataclass(frozen=True)
class Watch:
    """What is known of one incident between cycles.

    ``condition`` is the newest while it waits to be raised, then the most urgent. ``since_ns``: when it began.
    ``gone_ns``: since when it has been seen to be gone. ``standing``: its delay is over, so it is an alert.
    """

    condition: Condition
    since_ns: int
    gone_ns: int | None = None
    standing: bool = False


@dataclass(frozen=True)
class Observed:
    """What one look at a decision gave.

    ``watches`` replaces what was watched. ``began``: conditions to raise, or standing ones that rose in
    priority. ``ended``: conditions that are over.
    """

    watches: Mapping[Key, Watch]
    began: tuple[Condition, ...] = ()
    ended: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Change:
    """What a loop, or a process that speaks for one, wants written: ``holds`` from now on, or no longer.

    ``alert_id`` is used where it raises a new alert; ``latched`` is the rule it is raised under; ``by`` says who.
    """

    holds: bool
    app: str
    loop: str
    condition: Condition
    moment: Moment
    alert_id: str
    by: str
    latched: bool = False


def observe(
    watches: Mapping[Key, Watch],
    conditions: Iterable[Condition] | None,
    rules: Mapping[str, Rule],
    now_ns: int,
) -> Observed:
    """Return what began and what ended at ``now_ns``, and what to watch from here on.

    A condition is raised once it has held for ``raise_after_s`` without being seen gone, and is over once it has
    been seen gone for ``clear_after_s`` without a break. None ("cannot tell") raises and clears nothing; time
    spent so counts towards raising, never towards clearing, for clearing wrongly is the dangerous error.
    """
    if conditions is None:
        return Observed({key: replace(watch, gone_ns=None) for key, watch in watches.items()})
    present: dict[Key, Condition] = {}
    for condition in conditions:
        key = Key(condition.code, condition.subject)
        if key not in present or more_urgent(condition.priority, present[key].priority):
            present[key] = condition
    after: dict[Key, Watch] = {}
    began: list[Condition] = []
    ended: list[Condition] = []
    for key, condition in present.items():
        before = watches.get(key)
        if before is not None and before.standing:
            if more_urgent(condition.priority, before.condition.priority):
                began.append(condition)
            else:
                condition = before.condition
            after[key] = replace(before, condition=condition, gone_ns=None)
            continue
        since_ns = now_ns if before is None else before.since_ns
        standing = now_ns - since_ns >= _ns(_rule(rules, key).raise_after_s)
        if standing:
            began.append(condition)
        after[key] = Watch(condition, since_ns, standing=standing)
    for key, watch in watches.items():
        if key in present or not watch.standing:
            continue
        gone_ns = now_ns if watch.gone_ns is None else watch.gone_ns
        if now_ns - gone_ns >= _ns(_rule(rules, key).clear_after_s):
            ended.append(watch.condition)
        else:
            after[key] = replace(watch, gone_ns=gone_ns)
    return Observed(after, tuple(began), tuple(ended))


def due_ns(watches: Mapping[Key, Watch], rules: Mapping[str, Rule]) -> int | None:
    """Return when a decision that stays as it is would next change something; None: never."""
    times = [
        watch.gone_ns + _ns(_rule(rules, key).clear_after_s)
        if watch.gone_ns is not None
        else watch.since_ns + _ns(_rule(rules, key).raise_after_s)
        for key, watch in watches.items()
        if watch.gone_ns is not None or not watch.standing
    ]
    return min(times, default=None)


def transition(alert: Alert | None, change: Change, device: str) -> tuple[Alert, EventKind] | None:
    """Return how an incident's open alert stands after a change, and what to call it; None: nothing changes.

    ``alert`` is the incident's alert that has not cleared, None where there is none. What holds raises a new
    alert, or brings back a latched one that nobody had acknowledged yet: it is one incident. A rise in priority
    takes back an acknowledgement, for what the person acknowledged was less, and the escalation begins anew. Either
    ends a silence.
    """
    condition, at = change.condition, change.moment.iso
    if change.holds:
        if alert is None or alert.state is AlertState.CLEARED:
            return _raised(change, device), "raised"
        rises = more_urgent(condition.priority, alert.priority)
        if alert.active and not rises:
            return None
        if rises:
            alert = replace(
                alert,
                priority=condition.priority,
                title=_title(condition),
                evidence=condition.evidence,
                acknowledged_at=None,
                acknowledged_by=None,
                escalation=0,
                escalated_to=None,
                escalated_at=None,
            )
        kind: EventKind = "updated" if alert.active else "raised"
        return replace(_audible(alert), active=True, updated_at=at, cleared_at=None), kind
    if alert is None or not alert.active:
        return None
    return _settled(replace(alert, active=False, updated_at=at), at)


def acknowledge(alert: Alert, by: str, at: str) -> Alert | None:
    """Return an alert as a person's acknowledgement leaves it; None where it has been acknowledged already.

    A latched alert clears with it. One that came and went unseen is over already: it only records who knows.
    """
    if alert.acknowledged_at is not None:
        return None
    after = replace(_audible(alert), acknowledged_at=at, acknowledged_by=by, updated_at=at)
    if after.state is AlertState.CLEARED and after.cleared_at is None:
        after = replace(after, cleared_at=at)
    return after


def unanswered(alert: Alert) -> bool:
    """Return whether somebody should acknowledge an alert and nobody has."""
    return alert.state in (AlertState.RAISED, AlertState.LATCHED)


def silenced(alert: Alert, at: str) -> bool:
    """Return whether an alert is silenced at a time (ISO 8601 in the journal's form).

    A clock that was set back to before the silence began ends it: to call once too often is the safe error.
    """
    if alert.silenced_at is None or alert.silenced_until is None:
        return False
    return alert.silenced_at <= at < alert.silenced_until


def silence(alert: Alert, by: str, at: str, until: str) -> Alert | None:
    """Return an alert that calls nobody until a time; None where nobody is called anyway, or the time has passed.

    It is still there and still unanswered (IEC 60601-1-8: audio paused; ISA-18.2: shelved). Silencing again moves
    the end.
    """
    if not unanswered(alert) or until <= at:
        return None
    return replace(alert, silenced_at=at, silenced_until=until, silenced_by=by, updated_at=at)


def unsilence(alert: Alert, at: str) -> Alert | None:
    """Return an alert whose silence a person ends; None where it is not silenced."""
    return replace(_audible(alert), updated_at=at) if silenced(alert, at) else None


@dataclass(frozen=True)
class EscalationStep:
    """Whom to call (``role``: a charge nurse, say) where an alert of a priority has waited ``after_s`` unanswered."""

    priority: Priority
    after_s: float
    role: str


def escalate(alert: Alert, waited_s: float, steps: Sequence[EscalationStep], at: str) -> Alert | None:
    """Return an alert as calling further up leaves it after ``waited_s`` unanswered; None where nobody is due.

    The steps of its priority count from 1 in the order of their times. Where several are due at once (nobody was
    there to call), the last of them is called. A silence suspends: somebody is there.
    """
    if not unanswered(alert) or silenced(alert, at):
        return None
    mine = sorted((step for step in steps if step.priority is alert.priority), key=lambda step: step.after_s)
    due = [(number, step) for number, step in enumerate(mine, 1) if step.after_s <= waited_s]
    if not due or due[-1][0] <= alert.escalation:
        return None
    number, step = due[-1]
    return replace(alert, escalation=number, escalated_to=step.role, escalated_at=at, updated_at=at)


def merge(own: Alert | None, received: Alert, at: str) -> tuple[Alert, EventKind] | None:
    """Return how a copy of another device's alert stands after that device sent it again; None: nothing is new.

    The same message may come twice and an old one late, so nothing goes backwards: what has cleared stays so (a
    new incident has a new id), an acknowledgement from either side stays, priority only rises. ``updated_at`` is
    this side's time, for the other's clock may be wrong; ``raised_at`` stays as it was sent.
    """
    if own is None:
        received = replace(received, updated_at=at)
        if received.state is AlertState.CLEARED:
            return replace(received, cleared_at=received.cleared_at or at), "cleared"
        kinds: dict[AlertState, EventKind] = {
            AlertState.RAISED: "raised",
            AlertState.ACKNOWLEDGED: "acknowledged",
            AlertState.LATCHED: "latched",
        }
        return received, kinds[received.state]
    if own.cleared_at is not None:
        if own.acknowledged_at is None and received.acknowledged_at is not None:
            return _acknowledged_like(own, received, at), "acknowledged"
        return None
    merged = own
    kind: EventKind | None = None
    if more_urgent(received.priority, own.priority):
        merged = replace(
            merged,
            priority=received.priority,
            title=received.title,
            evidence=received.evidence,
            acknowledged_at=None,
            acknowledged_by=None,
            escalation=0,
            escalated_to=None,
            escalated_at=None,
        )
        kind = "updated"
    if merged.acknowledged_at is None and received.acknowledged_at is not None:
        merged, kind = _acknowledged_like(merged, received, at), "acknowledged"
    if received.active and not merged.active:
        merged, kind = replace(merged, active=True), "raised"
    if merged.active and not received.active:
        merged, kind = _settled(replace(merged, active=False), received.cleared_at or at)
    if kind is None:
        return None
    if merged.state is AlertState.CLEARED and merged.cleared_at is None:
        merged = replace(merged, cleared_at=at)
    return replace(merged if kind == "latched" else _audible(merged), updated_at=at), kind


def more_urgent(one: Priority, other: Priority) -> bool:
    """Return whether the first priority is above the second."""
    return _URGENCY[one] > _URGENCY[other]


def _raised(change: Change, device: str) -> Alert:
    condition, moment = change.condition, change.moment
    return Alert(
        id=change.alert_id,
        device=device,
        app=change.app,
        loop=change.loop,
        code=condition.code,
        subject=condition.subject,
        priority=condition.priority,
        title=_title(condition),
        active=True,
        latched=change.latched,
        raised_at=moment.iso,
        updated_at=moment.iso,
        evidence=condition.evidence,
        boot_id=moment.boot_id,
        clock_synchronised=moment.synchronised,
        monotonic_ns=moment.monotonic_ns,
    )


def _settled(alert: Alert, at: str) -> tuple[Alert, EventKind]:
    if alert.state is AlertState.LATCHED:
        return alert, "latched"
    return replace(_audible(alert), cleared_at=at), "cleared"


def _audible(alert: Alert) -> Alert:
    """Return an alert without its silence."""
    return replace(alert, silenced_at=None, silenced_until=None, silenced_by=None)


def _acknowledged_like(own: Alert, received: Alert, at: str) -> Alert:
    return replace(
        own,
        acknowledged_at=received.acknowledged_at,
        acknowledged_by=received.acknowledged_by or received.device,
        updated_at=at,
    )


def _title(condition: Condition) -> str:
    return condition.title or condition.code.replace("_", " ").capitalize()


def _rule(rules: Mapping[str, Rule], key: Key) -> Rule:
    return rules.get(key.code, _NO_DELAY)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
