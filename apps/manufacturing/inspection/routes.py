"""``POST /v1/manufacturing/parts``: a controller announces a part, and the loop takes its picture."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from apps.manufacturing.inspection.trigger import MAX_NAME, send_trigger
from edgeai_core.errors import SensorError
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import services_of
from edgeai_core.http.tokens import Role


class Announced(BaseModel):
    """A part that lies before the camera now."""

    model_config = ConfigDict(extra="forbid")

    part: str = Field(
        min_length=1,
        max_length=MAX_NAME,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="its serial number or any name: what the result is called by",
        examples=["A-004711"],
    )


def parts_router() -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["manufacturing"])

    @router.post(
        "/parts",
        summary="Announce a part to be inspected",
        status_code=202,
        dependencies=[allow(Role.DEVICE)],
        responses=responses(401, 403, 413, 422, 503),
    )
    async def announce(request: Request, body: Announced) -> Announced:
        """Trigger an inspection (`trigger = "message"`): the next frame of the camera is this part's picture.

        202 says that the loop has heard it; the result comes by the loop's own topics. 503: no loop listens.
        """
        run = services_of(request).state.run
        try:
            heard = await asyncio.to_thread(send_trigger, run, body.part)
        except (SensorError, OSError) as error:
            raise HTTPException(503, str(error)) from None
        if not heard:
            raise HTTPException(
                503,
                'no inspection waits for messages: run it with manufacturing.inspection.trigger = "message"',
            )
        return body

    return router
