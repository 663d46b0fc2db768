"""`/healthz` and `/readyz`: does the server live, and do the loops make progress."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from edgeai_core.http.auth import Who, public
from edgeai_core.http.problems import problem, responses
from edgeai_core.http.services import Parts
from edgeai_core.runners.preparing import being_prepared

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: str = Field(examples=["ok"])


@router.get("/healthz", summary="The server lives", dependencies=[public()])
async def healthz() -> Health:
    """Answer at once: no file is read, no thread is asked."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Every loop makes progress",
    dependencies=[public()],
    response_model=Health,
    responses=responses(503),
)
async def readyz(parts: Parts, who: Who) -> Response | Health:
    """Answer 503 where a loop makes no progress, or the journal cannot be followed; who may look is told which.

    A model that is being prepared is named too: a loop that measures or compiles its model starts late.
    """
    reasons = [f"loop {name}: {reason}" for name, reason in sorted(parts.watch.unready().items())]
    model = being_prepared(parts.state.cache / "engines") if reasons else None
    if model is not None:
        reasons.insert(0, f"preparing: model {model}")
    if parts.feed.failing:
        reasons.append("journal: it cannot be read")
    if not reasons:
        return Health(status="ok")
    if who.role is None:
        return problem(503, "not everything makes progress; ask with a token which")
    return problem(503, "; ".join(reasons), errors=[{"detail": reason} for reason in reasons])
