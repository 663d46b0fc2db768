"""``/v1/healthcare/studies``: hand in a study, see the worklist, an answer, its pictures and its page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from apps.healthcare.config import ImagingConfig
from apps.healthcare.imaging import report
from apps.healthcare.imaging.decide import Status
from apps.healthcare.imaging.inbox import MAX_STUDY_BYTES, Inbox, Queued, study_id
from apps.healthcare.imaging.loop import inbox_folder, reports_folder
from edgeai_core.errors import InputError
from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import services_of
from edgeai_core.http.tokens import Role

STUDIES = "/studies"
_MOST = 200

StudyId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0d4f0c9d3b1e4c8f9f6a7e2b5c1d8a90"])]


class StudyView(BaseModel):
    """What is known of one study. ``status`` is WAITING until it is answered."""

    study: StudyId
    reference: str = Field(examples=["accession-4711.dcm"])
    status: Status
    modality: str = Field("", examples=["xray"])
    finding: str = Field("", examples=["pneumonia"])
    probability: float | None = Field(None, examples=[0.93])
    triage: int = Field(4, ge=1, le=4, description="1 now, 2 soon, 3 unclear, 4 routine")
    reason: str = ""
    message: str = ""
    model: str = ""
    version: str = ""
    digest: str = ""
    answered_at: str = ""
    note: str = ""
    probabilities: dict[str, float] = {}
    notes: list[str] = []
    pictured: bool = Field(
        True, description="whether `picture.jpg` can be had: not of what could not be read"
    )


class Worklist(BaseModel):
    """Studies, the most urgent first, then those that wait, in the order in which they came."""

    studies: list[StudyView]


def studies_router(config: ImagingConfig) -> APIRouter:
    """Return the routes. Nothing of them touches a model: a study is only put into the inbox here."""
    router = APIRouter(prefix=STUDIES)

    def inbox(request: Request) -> Inbox:
        return Inbox(inbox_folder(config, services_of(request).state))

    def folder(request: Request) -> Path:
        return reports_folder(services_of(request).state)

    @router.post(
        "",
        status_code=202,
        summary="Hand in a study",
        dependencies=[allow(Role.DEVICE)],
        response_model=StudyView,
        responses=responses(401, 403, 413, 415, 422, 503),
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
    )
    async def hand_in(
        request: Request,
        modality: Literal["xray", "ct", "mri"] | None = None,
        reference: Annotated[str, Query(max_length=80, pattern=r"^[^\x00-\x1f\x7f/\\]*$")] = "study",
    ) -> StudyView:
        """Take one picture (DICOM, PNG, JPEG or NPY, as the body). When this answers, it is on the disk.

        ``reference`` is the sender's own word for it; use no patient's name. The same bytes again are the same study.
        """
        content = await request.body()
        if request.headers.get("content-type", "").startswith(("multipart/", "application/json", "text/")):
            raise HTTPException(415, "send the picture itself as the body, as application/octet-stream")
        if not content:
            raise HTTPException(422, "the body is empty; send the picture itself")
        if len(content) > MAX_STUDY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_STUDY_BYTES} bytes")
        known = await asyncio.to_thread(report.read_facts, folder(request), study_id(content))
        if known is not None and known.get("status") != Status.REFUSED:
            return StudyView(**_known_fields(known))
        try:
            queued = await asyncio.to_thread(inbox(request).put, content, reference, modality)
        except InputError as error:
            raise HTTPException(503, str(error), {"Retry-After": "30"}) from None
        return _waiting(queued)

    @router.get(
        "",
        summary="The worklist",
        dependencies=[allow(Role.VIEWER)],
        response_model=Worklist,
        responses=responses(401, 403, 422),
    )
    async def worklist(request: Request, limit: Annotated[int, Query(ge=1, le=_MOST)] = 50) -> Worklist:
        """Return the newest answers, the most urgent first, and behind them what waits."""
        answered = await asyncio.to_thread(report.worklist, folder(request), limit)
        queued = await asyncio.to_thread(inbox(request).waiting)
        waiting = [_waiting(each) for each in queued[: max(limit - len(answered), 10)]]
        return Worklist(studies=[*(StudyView(**_known_fields(each)) for each in answered), *waiting])

    @router.get(
        "/{study}",
        summary="One study",
        dependencies=[allow(Role.VIEWER)],
        response_model=StudyView,
        responses=responses(401, 403, 404, 422),
    )
    async def study(request: Request, study: StudyId) -> StudyView:
        """Return one study's answer, or that it waits."""
        known = await asyncio.to_thread(report.read_facts, folder(request), study)
        if known is not None:
            return StudyView(**_known_fields(known))
        for each in await asyncio.to_thread(inbox(request).waiting):
            if each.id == study:
                return _waiting(each)
        raise HTTPException(404, "there is no such study")

    for name, media_type in (
        (report.PICTURE, "image/jpeg"),
        (report.MAP, "image/jpeg"),
        (report.PAGE, "text/html"),
    ):
        _add_file(router, folder, name, media_type)
    return router


def _add_file(router: APIRouter, folder: Any, name: str, media_type: str) -> None:
    async def serve(request: Request, study: StudyId) -> Response:
        path = folder(request) / study / name
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise HTTPException(404, "there is no such picture or page of this study") from None
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if media_type == "text/html":  # it holds its style and its pictures, and runs nothing
            headers["Content-Security-Policy"] = (
                "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
            )
        return Response(content, media_type=media_type, headers=headers)

    router.add_api_route(
        f"/{{study}}/{name}",
        serve,
        methods=["GET"],
        summary=f"{name} of a study",
        dependencies=[allow(Role.VIEWER)],
        response_class=Response,
        responses=responses(401, 403, 404, 422),
    )


def _waiting(queued: Queued) -> StudyView:
    return StudyView(
        study=queued.id,
        reference=queued.reference,
        status=Status.WAITING,
        modality=queued.modality or "",
        finding="",
        probability=None,
        triage=4,
        pictured=False,
    )


def _known_fields(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in StudyView.model_fields if name in facts}
