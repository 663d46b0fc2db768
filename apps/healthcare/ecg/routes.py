"""``/v1/healthcare/strips``: the seconds of ECG around an alert, on paper."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse

from apps.healthcare.ecg.strip_keeper import strip_of, strips_folder
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import services_of
from edgeai_core.http.tokens import Role

STRIPS = "/strips"

AlertId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", examples=["0d4f0c9d3b1e4c8f9f6a7e2b5c1d8a90"])]


def strips_router() -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix=STRIPS)

    @router.get(
        "/{alert}",
        summary="The ECG strip of an alert",
        dependencies=[allow(Role.VIEWER)],
        response_class=FileResponse,
        responses={200: {"content": {"image/svg+xml": {}}}, **responses(401, 403, 404, 422, 503)},
    )
    async def get_strip(alert: AlertId, request: Request) -> FileResponse:
        """Return the seconds around an alert of the ECG loop as SVG; it is there some seconds after the alert."""
        services = services_of(request)
        found = await services.reader.do(lambda journal: journal.alert(alert))
        if found is None:
            raise HTTPException(404, f"there is no alert {alert}; it never was, or retention has deleted it")
        path = await asyncio.to_thread(strip_of, strips_folder(services.state), found)
        if path is None:
            raise HTTPException(
                404,
                f"no strip is kept of alert {alert}: it is not drawn yet, is no ECG's, or made room for others",
            )
        return FileResponse(path, media_type="image/svg+xml", headers={"Content-Disposition": "inline"})

    return router
