"""Alerts and events as rows of the journal's tables, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from edgeai_core.alerts.alert import Alert, AlertEvent, EventKind, encode
from edgeai_core.decision import Priority

NAMES = (
    "id",
    "device",
    "app",
    "loop",
    "code",
    "subject",
    "priority",
    "title",
    "active",
    "latched",
    "raised_at",
    "updated_at",
    "acknowledged_at",
    "acknowledged_by",
    "cleared_at",
    "evidence",
    "boot_id",
    "clock_synchronised",
    "monotonic_ns",
    "silenced_at",
    "silenced_until",
    "silenced_by",
    "escalation",
    "escalated_to",
    "escalated_at",
)  # of Alert and of the table alike
COLUMNS = ", ".join(NAMES)
EVENT_COLUMNS = "sequence, kind, at, by, body"


def to_row(alert: Alert) -> list[object]:
    """Return an alert's values in the order of COLUMNS."""
    values = [getattr(alert, name) for name in NAMES]
    values[NAMES.index("priority")] = alert.priority.value
    values[NAMES.index("evidence")] = encode(alert.evidence).decode()
    return values


def from_row(row: Sequence[object]) -> Alert:
    """Return the alert of a row of COLUMNS."""
    values = dict(zip(NAMES, row, strict=True))
    return _alert_of(values | {"evidence": json.loads(cast("str", values["evidence"]))})


def event_from_row(row: Sequence[object]) -> AlertEvent:
    """Return the event of a row of EVENT_COLUMNS."""
    sequence, kind, at, by, body = cast("tuple[int, EventKind, str, str, str]", tuple(row))
    return AlertEvent(sequence, kind, at, by, _alert_of(_known(json.loads(body))))


def event_from_json(text: str) -> AlertEvent:
    """Return the event whose ``to_json`` the journal itself kept as text."""
    values = json.loads(text)
    return AlertEvent(
        values["sequence"], values["kind"], values["at"], values["by"], _alert_of(_known(values["alert"]))
    )


def _known(values: Mapping[str, object]) -> dict[str, object]:
    return {name: values.get(name) for name in NAMES}


def _alert_of(values: Mapping[str, object]) -> Alert:
    """Return an alert from what the journal itself wrote; events of its first version say nothing of escalation."""
    fields = dict(values) | {"escalation": values.get("escalation") or 0}
    fields["priority"] = Priority(cast("str", fields["priority"]))
    for name in ("active", "latched", "clock_synchronised"):
        fields[name] = bool(fields[name])
    return Alert(**fields)  # type: ignore[arg-type]
