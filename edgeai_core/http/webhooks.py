"""`/v1/webhooks`: how the receivers do, and dead letters. Receivers are added on the device, by `edgeai webhook`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Field

from edgeai_core.alerts import outbox
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.receivers import Receiver, read_receivers
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.http.alerts import EventBody, Time
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts, Services
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Sequence = Annotated[int, Path(ge=1, lt=2**63)]


class WebhookBody(BaseModel):
    """One receiver: what it wants and how it does. Neither its secrets nor the path of its address are told."""

    name: str = Field(examples=["pager"])
    host: str = Field(examples=["pager.ward.example:8443"])
    priorities: list[str] = Field(examples=[["high"]])
    apps: list[str]
    kinds: list[str]
    roles: list[str]
    delivered: int | None = Field(description="the newest event it has got, or did not want")
    waiting: int | None = Field(description="events after that")
    delivered_at: Time | None
    failing_since: Time | None
    failure: str | None = Field(examples=["it answered 503 Service Unavailable"])
    dead: int = Field(description="events that it refused for good")


class DeadLetterBody(BaseModel):
    """An event that a receiver refused for good."""

    at: Time
    reason: str
    again: bool = Field(description="it is about to be sent once more")
    event: EventBody


@router.get(
    "",
    summary="Webhook receivers and how they do",
    dependencies=[allow(Role.ADMIN)],
    response_model=list[WebhookBody],
    responses=responses(401, 403, 503),
)
async def list_webhooks(parts: Parts) -> list[dict[str, Any]]:
    """List the receivers in the order in which they were added."""
    receivers = _receivers(parts)

    def read(journal: Journal) -> list[dict[str, Any]]:
        return [webhook_json(journal, each) for each in receivers]

    return await parts.reader.do(read)


@router.get(
    "/{name}/dead-letters",
    summary="What a receiver refused for good",
    dependencies=[allow(Role.ADMIN)],
    response_model=list[DeadLetterBody],
    responses=responses(401, 403, 404, 422, 503),
)
async def list_dead_letters(
    name: Name,
    parts: Parts,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> list[dict[str, Any]]:
    """List dead letters, oldest first; the next page starts after the last one's sequence."""
    _check_known(parts, name)
    letters = await parts.reader.do(
        lambda journal: outbox.dead_letters(journal, name, after=after, limit=limit)
    )
    return [letter.to_json() for letter in letters]


@router.post(
    "/{name}/dead-letters/{sequence}/retry",
    summary="Send a dead letter once more",
    status_code=202,
    dependencies=[allow(Role.ADMIN)],
    responses=responses(401, 403, 404, 422, 503),
)
async def retry(name: Name, sequence: Sequence, parts: Parts) -> dict[str, Any]:
    """Send it before what waits, under its old id and sequence."""
    await _change(parts, name, lambda journal: outbox.send_again(journal, name, sequence))
    return {"name": name, "sequence": sequence, "again": True}


@router.delete(
    "/{name}/dead-letters/{sequence}",
    summary="Discard a dead letter",
    status_code=204,
    dependencies=[allow(Role.ADMIN)],
    responses=responses(401, 403, 404, 422, 503),
)
async def discard(name: Name, sequence: Sequence, parts: Parts) -> None:
    """Discard it: the receiver never gets it."""
    await _change(parts, name, lambda journal: outbox.discard(journal, name, sequence))


def webhook_json(journal: Journal, receiver: Receiver) -> dict[str, Any]:
    """Return what may be known of a receiver, with how it does."""
    found = outbox.standing(journal, receiver.name)
    return {
        **receiver.to_json(),
        "delivered": found and found.delivered,
        "waiting": found and found.waiting,
        "delivered_at": found and found.delivered_at,
        "failing_since": found and found.failing_since,
        "failure": found and found.failure,
        "dead": found.dead if found else 0,
    }


def _receivers(parts: Services) -> list[Receiver]:
    try:
        return read_receivers(parts.state.webhooks)
    except ConfigError as error:
        raise HTTPException(503, f"the webhooks cannot be read on the device: {error}") from None


def _check_known(parts: Services, name: str) -> None:
    if name not in {each.name for each in _receivers(parts)}:
        raise HTTPException(404, f"there is no webhook {name}")


async def _change(parts: Services, name: str, work: Any) -> None:
    _check_known(parts, name)
    try:
        await parts.writer.do(work)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
