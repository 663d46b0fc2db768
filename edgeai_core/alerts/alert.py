"""The record of one incident as people, other devices and the journal see it.

A condition is what a step says is true now. An alert is the record of one incident: one code with one subject
of one loop of one device. Its state follows from three facts (is it true now, has a person acknowledged it,
does it latch), so a contradictory record cannot be built.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NoReturn, cast

from edgeai_core.alerts.walltime import normalised_iso
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import InputError

EventKind = Literal[
    "raised", "acknowledged", "latched", "cleared", "updated", "silenced", "unsilenced", "escalated"
]

MAX_EVIDENCE_BYTES = 64 * 1024
"""How long an alert's evidence may be as JSON."""


class AlertState(StrEnum):
    """Where an alert stands, in the terms of ISA-18.2 (docs/alarms.md)."""

    RAISED = "raised"  # true now, nobody has acknowledged it
    ACKNOWLEDGED = "acknowledged"  # true now, a person knows
    LATCHED = "latched"  # no longer true, and it waits for a person
    CLEARED = "cleared"  # over


@dataclass(frozen=True)
class Alert:
    """One incident.

    Times are ISO 8601 in UTC with milliseconds. ``active``: its condition is true now. ``latched``: its rule;
    such an alert never clears without a person. ``raised_at`` and ``monotonic_ns`` are of the first raise, in
    ``boot_id``; ``clock_synchronised`` says whether the wall clock could be trusted then. ``evidence`` holds
    plain JSON values that a person can check. ``silenced_until``: till then nobody is to be called (ask
    ``lifecycle.silenced``). ``escalation`` counts how far up it was called, ``escalated_to`` names the last role.
    """

    id: str
    device: str
    app: str
    loop: str
    code: str
    subject: str
    priority: Priority
    title: str
    active: bool
    latched: bool
    raised_at: str
    updated_at: str
    acknowledged_at: str | None = None
    acknowledged_by: str | None = None
    cleared_at: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    boot_id: str = "unknown"
    clock_synchronised: bool = False
    monotonic_ns: int = 0
    silenced_at: str | None = None
    silenced_until: str | None = None
    silenced_by: str | None = None
    escalation: int = 0
    escalated_to: str | None = None
    escalated_at: str | None = None

    @property
    def state(self) -> AlertState:
        """Where it stands: it follows from ``active``, ``latched`` and ``acknowledged_at``."""
        if self.active:
            return AlertState.RAISED if self.acknowledged_at is None else AlertState.ACKNOWLEDGED
        if self.latched and self.acknowledged_at is None:
            return AlertState.LATCHED
        return AlertState.CLEARED

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "id": self.id,
            "device": self.device,
            "app": self.app,
            "loop": self.loop,
            "code": self.code,
            "subject": self.subject,
            "priority": self.priority.value,
            "title": self.title,
            "state": self.state.value,
            "active": self.active,
            "latched": self.latched,
            "raised_at": self.raised_at,
            "updated_at": self.updated_at,
            "acknowledged_at": self.acknowledged_at,
            "acknowledged_by": self.acknowledged_by,
            "cleared_at": self.cleared_at,
            "evidence": dict(self.evidence),
            "boot_id": self.boot_id,
            "clock_synchronised": self.clock_synchronised,
            "monotonic_ns": self.monotonic_ns,
            "silenced_at": self.silenced_at,
            "silenced_until": self.silenced_until,
            "silenced_by": self.silenced_by,
            "escalation": self.escalation,
            "escalated_to": self.escalated_to,
            "escalated_at": self.escalated_at,
        }


@dataclass(frozen=True)
class AlertEvent:
    """One change of one alert as the journal wrote it.

    ``sequence`` is the journal's: strictly increasing, never used twice. ``alert`` is how it stands after the
    change: read the state there, for acknowledging a latched alert also clears it. ``by`` is a loop, a device
    or a person.
    """

    sequence: int
    kind: EventKind
    at: str
    by: str
    alert: Alert

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "sequence": self.sequence,
            "kind": self.kind,
            "at": self.at,
            "by": self.by,
            "alert": self.alert.to_json(),
        }


def alert_from_json(body: Mapping[str, object]) -> Alert:
    """Return the alert that another device describes, checked as anything from outside is.

    Needed are ``id``, ``device``, ``app``, ``loop``, ``code``, ``subject``, ``priority`` and ``raised_at``; the
    rest has defaults, ``state`` is derived, unknown fields are ignored (a newer device may say more). Silence and
    escalation are not taken over: each device calls its own people.
    Raises InputError that names the field and the reason.
    """
    active = _bool(body, "active", True)
    raised_at = _time(body, "raised_at")
    if raised_at is None:
        _fail("raised_at", "it is missing")
    updated_at = _time(body, "updated_at") or raised_at
    priority = _text(body, "priority", 20)
    if priority not in {each.value for each in Priority}:
        _fail("priority", f"it is {priority!r}; it must be high, medium or low")
    if not _ID.fullmatch(alert_id := _text(body, "id", 64)):
        _fail("id", "it must be 1 to 64 letters, digits, '-' or '_'")
    monotonic_ns = body.get("monotonic_ns", 0)
    if not isinstance(monotonic_ns, int) or not 0 <= monotonic_ns < 2**63:
        _fail("monotonic_ns", "it must be a whole number of nanoseconds")
    alert = Alert(
        id=alert_id,
        device=_text(body, "device", _LONGEST_NAME),
        app=_text(body, "app", _LONGEST_NAME),
        loop=_text(body, "loop", _LONGEST_NAME),
        code=_text(body, "code", _LONGEST_NAME),
        subject=_text(body, "subject", _LONGEST_SUBJECT),
        priority=Priority(priority),
        title=_text(body, "title", _LONGEST_TITLE, default=""),
        active=active,
        latched=_bool(body, "latched", False),
        raised_at=raised_at,
        updated_at=updated_at,
        acknowledged_at=_time(body, "acknowledged_at"),
        acknowledged_by=_text(body, "acknowledged_by", 200, default="") or None,
        cleared_at=_time(body, "cleared_at"),
        evidence=_evidence(body),
        boot_id=_text(body, "boot_id", _LONGEST_NAME, default="unknown"),
        clock_synchronised=_bool(body, "clock_synchronised", False),
        monotonic_ns=monotonic_ns,
    )
    state = body.get("state", alert.state.value)
    if state != alert.state.value:
        _fail("state", f"it is {state!r}, but active, latched and acknowledged_at say {alert.state.value!r}")
    return alert


def plain_condition(condition: Condition) -> Condition:
    """Return a loop's condition as the journal can hold it: plain evidence, and text that is valid and not too long."""
    return Condition(
        code=_clean(condition.code)[:_LONGEST_NAME],
        subject=_clean(condition.subject)[:_LONGEST_SUBJECT],
        priority=condition.priority,
        title=_clean(condition.title)[:_LONGEST_TITLE],
        evidence=plain_evidence(condition.evidence),
    )


def plain_evidence(
    evidence: Mapping[str, object], limit_bytes: int = MAX_EVIDENCE_BYTES
) -> dict[str, object]:
    """Return a loop's evidence as plain JSON values of at most ``limit_bytes``.

    Numpy scalars and arrays become numbers and lists, enumerations their values, what is not finite None,
    what is not data its text. Where it is too long the longest values are left out, and ``left_out`` names them:
    an alert with part of its evidence is worth more than none.
    """
    values = {_clean(str(key))[:_LONGEST_NAME]: plain(value) for key, value in evidence.items()}
    if len(encode(values)) <= limit_bytes:
        return values
    sizes = {key: len(encode({key: value})) for key, value in values.items()}
    left_out: list[str] = []
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes.values()) <= limit_bytes - 1024:  # the rest is for the note itself
            break
        left_out.append(f"{key} ({sizes.pop(key)} bytes)")
        del values[key]
    more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    values["left_out"] = f"evidence is limited to {limit_bytes} bytes: {', '.join(left_out[:5])}{more}"
    return values


def plain(value: object, depth: int = 0) -> object:
    """Return a value as plain JSON: None, bool, int, finite float, str, list, dict with text keys."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _clean(str.__str__(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= _MAX_DEPTH:
        return "(nested too deep)"
    if isinstance(value, Mapping):
        return {_clean(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_EVIDENCE_BYTES // 2:  # a list of n items takes at least 2 n bytes
            return f"(left out: {len(value)} items)"
        return [plain(item, depth + 1) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        size = getattr(value, "size", 1)
        if size > MAX_EVIDENCE_BYTES // 2:
            return f"(left out: an array of {size} values)"
        return plain(value.tolist(), depth + 1)
    return _clean(str(value))[:500]


def encode(value: object) -> bytes:
    """Return plain values as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


_MAX_DEPTH = 8
_LONGEST_NAME = 100
_LONGEST_SUBJECT = 300
_LONGEST_TITLE = 500
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _fail(name: str, reason: str) -> NoReturn:
    raise InputError(f"alert from outside: {name}: {reason}")


def _clean(text: str) -> str:
    """Return text that UTF-8 can hold: file names may carry lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _text(body: Mapping[str, object], name: str, longest: int, default: str | None = None) -> str:
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not (value or default is not None):
        _fail(name, "it is missing" if value is None else "it must be text that is not empty")
    if len(value) > longest:
        _fail(name, f"it has {len(value)} characters; at most {longest} are taken")
    if _clean(value) != value or "\0" in value:
        _fail(name, "it is not valid text")
    return value


def _bool(body: Mapping[str, object], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        _fail(name, "it must be true or false")
    return value


def _time(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return normalised_iso(cast("str", value))
    except (ValueError, TypeError, OverflowError):
        _fail(name, f"{str(value)[:50]!r} is not an ISO 8601 time")


def _evidence(body: Mapping[str, object]) -> dict[str, object]:
    value = body.get("evidence", {})
    if not isinstance(value, Mapping):
        _fail("evidence", "it must be an object")
    try:
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    except (TypeError, ValueError, RecursionError):
        _fail("evidence", "it cannot be written as JSON")
    if size > MAX_EVIDENCE_BYTES:
        _fail("evidence", f"it takes {size} bytes as JSON; at most {MAX_EVIDENCE_BYTES} are taken")
    return {_clean(str(key)): plain(item) for key, item in value.items()}
