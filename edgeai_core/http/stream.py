"""`/v1/alerts/stream`: every change of every alert as it is journalled, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from edgeai_core.errors import JournalError
from edgeai_core.http.auth import Principal, Who, allow
from edgeai_core.http.feed import EventsGoneError, Position
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

CHECK_S = 5.0
"""How often an idle stream looks whether its token is still good."""

_RETRY_MS = 2000
_EVENT_ID = r"^[0-9]{1,18}$"


async def held_slot(parts: Parts, who: Who) -> AsyncIterator[None]:
    """Hold one of the streams that may be open, until the answer has ended."""
    with parts.slots.take(who):
        yield


async def starting_position(
    parts: Parts,
    header: Annotated[str | None, Header(alias="Last-Event-ID", pattern=_EVENT_ID)] = None,
    query: Annotated[str | None, Query(alias="last_event_id", pattern=_EVENT_ID)] = None,
) -> Position:
    """Find where the stream starts, before it answers: who loads the alerts after that misses nothing."""
    given = header if header is not None else query
    return await parts.feed.position(None if given is None else int(given))


@router.get(
    "/stream",
    summary="Alert events as they are journalled",
    dependencies=[allow(Role.VIEWER), Depends(held_slot)],
    response_class=EventSourceResponse,
    responses=responses(401, 403, 422, 429, 503),
)
async def stream(
    parts: Parts,
    who: Who,
    start: Annotated[Position, Depends(starting_position)],
) -> AsyncIterator[ServerSentEvent]:
    """Send `alert` events with the journal's sequence as id; a reconnect with `Last-Event-ID` misses none.

    Without an id the stream starts now. `ready` says from where. `reset` says that events were missed which
    are no longer there: load the alerts anew; the stream goes on from now. A comment comes every 15 s.
    """
    if start.reset:
        yield _reset(start)
    yield ServerSentEvent(event="ready", data={"sequence": start.sequence}, retry=_RETRY_MS)
    sequence = start.sequence
    while not parts.feed.closed and still_good(parts, who):
        try:
            events = await parts.feed.after(sequence, CHECK_S)
        except EventsGoneError as gone:
            sequence = gone.position.sequence
            yield _reset(gone.position)
            continue
        except JournalError:
            return  # it is logged where it arose; the client comes back and is told why
        for event in events:
            yield ServerSentEvent(event="alert", id=str(event.sequence), raw_data=event.text)
            sequence = event.sequence


def still_good(parts: Parts, who: Principal) -> bool:
    """Say whether who opened a stream may still read it."""
    return not who.token_id or parts.tokens.holds(who.token_id)


def _reset(position: Position) -> ServerSentEvent:
    return ServerSentEvent(
        event="reset",
        data={
            "reason": position.reset,
            "first_sequence": position.first_sequence,
            "sequence": position.sequence,
        },
    )
