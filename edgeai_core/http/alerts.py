"""`/v1/alerts`: list, look at, post from another device, acknowledge, silence; how the alarm system does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from edgeai_core.alerts import lifecycle
from edgeai_core.alerts.alert import Alert, AlertState, EventKind, encode
from edgeai_core.alerts.assessment import assess_journal
from edgeai_core.alerts.journal import AlertConflictError, AlertNotFoundError, Journal
from edgeai_core.alerts.walltime import iso_from_ns, normalised_iso, now
from edgeai_core.decision import Priority
from edgeai_core.errors import InputError
from edgeai_core.http.auth import Principal, Who, allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts, Services
from edgeai_core.http.tokens import Role
from edgeai_core.state import evidence_of

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

_MAX_PAGE_BYTES = 1 << 20

Text = Annotated[str, Field(max_length=300)]
Time = Annotated[str, Field(max_length=40, examples=["2026-11-24T03:15:00.250Z"])]
AlertId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

_EXAMPLE: dict[str, Any] = {
    "id": "0d4f0c9d3b1e4c8f9f6a7e2b5c1d8a90",
    "device": "bed-7",
    "app": "healthcare",
    "loop": "ecg",
    "code": "VENTRICULAR_FIBRILLATION",
    "subject": "patient-1",
    "priority": "high",
    "title": "Ventricular fibrillation",
    "state": "raised",
    "active": True,
    "latched": False,
    "raised_at": "2026-11-24T03:15:00.250Z",
    "updated_at": "2026-11-24T03:15:00.250Z",
    "acknowledged_at": None,
    "acknowledged_by": None,
    "cleared_at": None,
    "evidence": {"confidence": 0.97},
    "boot_id": "6f9a1c9e-5d0a-4a57-9d9f-0d9c8f0f8f11",
    "clock_synchronised": True,
    "monotonic_ns": 86400000000000,
    "silenced_at": None,
    "silenced_until": None,
    "silenced_by": None,
    "escalation": 0,
    "escalated_to": None,
    "escalated_at": None,
}


class AlertBody(BaseModel):
    """An alert as another device sends it, and as this one tells it. Unknown fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    device: Annotated[str, Field(min_length=1, max_length=100)]
    app: Annotated[str, Field(min_length=1, max_length=100)]
    loop: Annotated[str, Field(min_length=1, max_length=100)]
    code: Annotated[str, Field(min_length=1, max_length=100)]
    subject: Annotated[str, Field(min_length=1, max_length=300)]
    priority: Priority
    title: Annotated[str, Field(max_length=500)] = ""
    state: AlertState | None = None
    active: bool = True
    latched: bool = False
    raised_at: Time
    updated_at: Time | None = None
    acknowledged_at: Time | None = None
    acknowledged_by: Annotated[str, Field(max_length=200)] | None = None
    cleared_at: Time | None = None
    evidence: dict[str, Any] = Field(default={}, description="plain values, at most 64 KiB as JSON")
    boot_id: Annotated[str, Field(max_length=100)] = "unknown"
    clock_synchronised: bool = False
    monotonic_ns: Annotated[int, Field(ge=0, lt=2**63)] = 0
    silenced_at: Time | None = None
    silenced_until: Time | None = Field(
        default=None, description="till then it calls nobody; ignored in a post"
    )
    silenced_by: Annotated[str, Field(max_length=200)] | None = None
    escalation: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="how many steps further up somebody was called; ignored in a post"
    )
    escalated_to: Annotated[str, Field(max_length=200)] | None = None
    escalated_at: Time | None = None


class EventBody(BaseModel):
    """One change of one alert; ``alert`` is how it stands after it."""

    sequence: int
    kind: str = Field(examples=["raised"])
    at: Time
    by: str = Field(examples=["healthcare.ecg"])
    alert: AlertBody


class AlertWithEvents(AlertBody):
    """An alert with everything that happened to it, oldest first."""

    events: list[EventBody]
    recording: str | None = Field(
        default=None,
        description="where the recorded time around it is",
        examples=["/v1/alerts/0d4f/recording"],
    )


class AlertPage(BaseModel):
    """One page, newest first; ``next_cursor`` is null on the last."""

    alerts: list[AlertBody]
    next_cursor: str | None = Field(examples=["128"])


class Filters(BaseModel):
    """Which alerts to list: those that match everything given. ``since`` and ``until`` bound ``raised_at``."""

    model_config = ConfigDict(extra="forbid")

    # The limit is the field's, not its type's: older releases of FastAPI take the latter for a single value.
    state: list[AlertState] | None = Field(default=None, max_length=4)
    active: bool | None = None
    acknowledged: bool | None = None
    app: Text | None = None
    loop: Text | None = None
    code: Text | None = None
    subject: Text | None = None
    priority: list[Priority] | None = Field(default=None, max_length=3)
    device: Text | None = None
    since: Time | None = None
    until: Time | None = None
    cursor: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None = Field(
        default=None, description="`next_cursor` of the page before: what is raised meanwhile shifts nothing"
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


By = Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Acknowledgement(BaseModel):
    """Who acknowledges, where several people share one token."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"by": "Night shift"}]})

    by: By | None = None


class Silence(BaseModel):
    """For how long an alert calls nobody; the longest time of its priority is the site's to say."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"for_s": 120}]})

    for_s: Annotated[float, Field(gt=0, le=7 * 86400)]
    by: By | None = None


class Stretch(BaseModel):
    """A stretch of time; by default the last 30 days."""

    model_config = ConfigDict(extra="forbid")

    since: Time | None = None
    until: Time | None = None


class AssessmentBody(BaseModel):
    """How the alarm system does, in the measures of ISA-18.2 (docs/alarms.md)."""

    since: Time
    until: Time
    days: float
    raised: int
    raised_per_day: float
    by_priority: dict[str, int]
    frequent: list[dict[str, Any]] = Field(
        examples=[[{"source": "healthcare.vitals SPO2_LOW bed-4", "raised": 12}]]
    )
    chattering: list[dict[str, Any]] = Field(description="raised three times or more within a minute")
    standing: list[dict[str, Any]] = Field(description="annunciated for more than 24 hours")
    most_in_10_minutes: int
    flood_share: float = Field(description="share of the time with ten or more in ten minutes")
    acknowledged: int
    acknowledge_median_s: float | None
    escalated: int
    silenced: int


@router.get(
    "",
    summary="List alerts, newest first",
    dependencies=[allow(Role.VIEWER)],
    response_model=AlertPage,
    responses=responses(401, 403, 422, 503),
)
async def list_alerts(filters: Annotated[Filters, Query()], parts: Parts) -> Response:
    """List the alerts that match every filter, a page at a time."""
    return _json(await parts.reader.do(lambda journal: _page(journal, filters)))


@router.post(
    "",
    summary="Take an alert from another device",
    dependencies=[allow(Role.DEVICE)],
    response_model=EventBody,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
)
async def post_alert(body: AlertBody, parts: Parts, who: Who) -> Response:
    """Write another device's alert to this journal. The same message again changes nothing.

    A device's token is named as the device: it may post that device's alerts and no other's.
    """
    if who.role is Role.DEVICE and body.device != who.name:
        raise HTTPException(403, f"this token is of device {who.name!r}; it may not post for another")
    values = body.model_dump(mode="json", exclude_unset=True)
    values = {name: value for name, value in values.items() if value is not None}
    try:
        event = await parts.writer.do(lambda journal: journal.receive(values, by=who.name))
    except AlertConflictError as error:
        raise HTTPException(409, str(error)) from None
    return _json(encode(event.to_json()))


@router.get(
    "/statistics",
    summary="How the alarm system does",
    dependencies=[allow(Role.VIEWER)],
    response_model=AssessmentBody,
    responses=responses(400, 401, 403, 422, 503),
)
async def statistics(stretch: Annotated[Stretch, Query()], parts: Parts) -> Response:
    """Count rates, floods, chattering and standing alarms over a stretch of time."""
    until = datetime.now(UTC) if stretch.until is None else _moment("until", stretch.until)
    since = until - timedelta(days=30) if stretch.since is None else _moment("since", stretch.since)
    found = await parts.reader.do(lambda journal: assess_journal(journal, since, until))
    return _json(encode(found.to_json()))


@router.get(
    "/{id}",
    summary="One alert with its history",
    dependencies=[allow(Role.VIEWER)],
    response_model=AlertWithEvents,
    responses=responses(401, 403, 404, 422, 503),
)
async def get_alert(id: AlertId, parts: Parts) -> Response:
    """Return one alert as it stands, and everything that happened to it."""

    def read(journal: Journal) -> bytes | None:
        alert = journal.alert(id)
        if alert is None:
            return None
        events = [event.to_json() for event in journal.events(id)]
        kept = evidence_of(parts.state.evidence, id) is not None
        recording = f"/v1/alerts/{id}/recording" if kept else None
        return encode({**alert.to_json(), "events": events, "recording": recording})

    found = await parts.reader.do(read)
    if found is None:
        raise HTTPException(404, f"there is no alert {id}; it never was, or retention has deleted it")
    return _json(found)


@router.get(
    "/{id}/recording",
    summary="The recorded time around an alert",
    dependencies=[allow(Role.VIEWER)],
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **responses(401, 403, 404, 422)},
)
async def get_recording(id: AlertId, parts: Parts) -> FileResponse:
    """Return what was recorded around a critical alert, as MCAP; while it goes on, as far as it has come."""
    path = await asyncio.to_thread(evidence_of, parts.state.evidence, id)
    if path is None:
        raise HTTPException(
            404, f"nothing is recorded around alert {id}: it is not critical, or it made room for others"
        )
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@router.post(
    "/{id}/acknowledge",
    summary="Say that a person knows",
    dependencies=[allow(Role.OPERATOR)],
    response_model=EventBody,
    responses=responses(400, 401, 403, 404, 409, 422, 503),
)
async def acknowledge(id: AlertId, parts: Parts, who: Who, body: Acknowledgement | None = None) -> Response:
    """Acknowledge an alert. The first one counts: again, it answers with the first one's event."""
    by = _named(who, body.by if body is not None else None)
    try:
        event = await parts.writer.do(lambda journal: journal.acknowledge(id, by))
    except AlertNotFoundError as error:
        raise HTTPException(404, str(error)) from None
    except AlertConflictError as error:
        raise HTTPException(409, str(error)) from None
    return _json(encode(event.to_json()))


@router.post(
    "/{id}/silence",
    summary="Call nobody for a while",
    dependencies=[allow(Role.OPERATOR)],
    response_model=EventBody,
    responses=responses(400, 401, 403, 404, 409, 422, 503),
)
async def silence(id: AlertId, parts: Parts, who: Who, body: Silence) -> Response:
    """Silence an unanswered alert for a bounded time: it stays on the list and calls again when the time is over.

    Again moves the end. An acknowledgement, a rise in priority and its return end a silence.
    """
    until = iso_from_ns(now().wall_ns + round(body.for_s * 1e9))
    by = _named(who, body.by)

    def silenced(alert: Alert, at: str) -> Alert | None:
        parts.policy.check_silence(alert.priority, body.for_s)
        return lifecycle.silence(alert, by, at, until)

    return await _changed(
        parts, id, "silenced", by, silenced, "nobody is called for it: there is nothing to silence"
    )


@router.delete(
    "/{id}/silence",
    summary="Call again",
    dependencies=[allow(Role.OPERATOR)],
    response_model=EventBody,
    responses=responses(400, 401, 403, 404, 409, 422, 503),
)
async def unsilence(id: AlertId, parts: Parts, who: Who) -> Response:
    """End an alert's silence before its time."""
    return await _changed(parts, id, "unsilenced", who.name, lifecycle.unsilence, "it is not silenced")


async def _changed(
    parts: Services,
    id: str,
    kind: EventKind,
    by: str,
    what: Callable[[Alert, str], Alert | None],
    otherwise: str,
) -> Response:
    """Change an alert; where its state leaves nothing to change, 409 says ``otherwise``."""
    try:
        event = await parts.writer.do(lambda journal: journal.change(id, kind, by, what))
    except AlertNotFoundError as error:
        raise HTTPException(404, str(error)) from None
    if event is None:
        raise HTTPException(409, f"alert {id}: {otherwise}")
    return _json(encode(event.to_json()))


def _named(who: Principal, note: str | None) -> str:
    note = (note or "").strip()
    return f"{note} ({who.name})" if note else who.name


def _moment(name: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(normalised_iso(text))
    except (ValueError, OverflowError):
        raise InputError(f"{name}: {text[:50]!r} is not an ISO 8601 time") from None


def _page(journal: Journal, filters: Filters) -> bytes:
    wanted = filters.model_dump(exclude={"cursor", "limit"})
    before = int(filters.cursor) if filters.cursor else None
    rows = journal.alerts(**wanted, before=before, limit=filters.limit + 1)
    alerts: list[bytes] = []
    size = 0
    for _, alert in rows[: filters.limit]:
        text = encode(alert.to_json())
        size += len(text)
        if alerts and size > _MAX_PAGE_BYTES:
            break
        alerts.append(text)
    more = len(rows) > len(alerts)
    cursor = f'"{rows[len(alerts) - 1][0]}"' if more else "null"
    return b'{"alerts":[' + b",".join(alerts) + b'],"next_cursor":' + cursor.encode() + b"}"


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
