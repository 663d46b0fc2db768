"""`/v1/live`: what loops show to people now. It comes from live topics, not from the journal, and carries no ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from edgeai_core.http.auth import Who, allow
from edgeai_core.http.hub import Watcher, as_json, picture
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts
from edgeai_core.http.stream import CHECK_S, held_slot, still_good
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/live", tags=["live"])

Topic = Annotated[str, Field(min_length=1, max_length=200)]


class LiveValue(BaseModel):
    """One value of a live topic; ``time_ns`` is on the device's monotonic clock."""

    topic: str = Field(examples=["healthcare.ecg/cycle"])
    time_ns: int
    data: object = Field(examples=[{"number": 1042, "level": 0, "fault": None}])


class Topics(BaseModel):
    """The topics on which something has come since the server started."""

    topics: list[str] = Field(examples=[["healthcare.ecg/cycle", "healthcare.ecg/ecg"]])


@router.get("", summary="Which live topics there are", dependencies=[allow(Role.VIEWER)])
async def topics(parts: Parts) -> Topics:
    """Name the live topics on which something has come."""
    return Topics(topics=parts.hub.topics())


@router.get(
    "/stream",
    summary="Live values as they come",
    dependencies=[allow(Role.VIEWER), Depends(held_slot)],
    response_class=EventSourceResponse,
    responses=responses(401, 403, 422, 429),
)
async def stream(
    parts: Parts,
    who: Who,
    topics: Annotated[list[Topic], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
) -> AsyncIterator[ServerSentEvent]:
    """Send `live` events of the topics named (none: of all), beginning with the latest value of each.

    They carry no id, for what is missed is not sent again: a client too slow for a topic loses its oldest
    values, and a `dropped` event counts them.
    """
    watcher = Watcher(frozenset(topics))
    parts.hub.watch(watcher)
    told = 0
    try:
        yield ServerSentEvent(comment="live")
        while not parts.hub.closed and still_good(parts, who):
            for text in await watcher.next(CHECK_S):
                yield ServerSentEvent(event="live", raw_data=text)
            if watcher.dropped > told:
                told = watcher.dropped
                yield ServerSentEvent(event="dropped", data={"values": told})
    finally:
        parts.hub.unwatch(watcher)


@router.get(
    "/{topic:path}",
    summary="The latest value of a live topic",
    dependencies=[allow(Role.VIEWER)],
    response_model=LiveValue,
    responses=responses(401, 403, 404, 422),
)
async def latest(topic: Annotated[str, Path(max_length=200)], parts: Parts) -> Response:
    """Return the latest value as JSON; where it is a picture, the picture itself."""
    message = parts.hub.latest(topic)
    if message is None:
        raise HTTPException(404, "nothing has come on this topic since the server started")
    image = picture(message)
    if image is not None:
        return Response(image[1], media_type=image[0], headers={"X-Time-Ns": str(message.time_ns)})
    return Response(as_json(message), media_type="application/json")
