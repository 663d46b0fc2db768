"""`/v1/loops`: how every loop runs, from the statistics that loops keep in the state folder."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from edgeai_core.http.auth import allow
from edgeai_core.http.problems import responses
from edgeai_core.http.services import Parts
from edgeai_core.http.tokens import Role

router = APIRouter(prefix="/v1/loops", tags=["loops"])

_EXAMPLE = {
    "app": "healthcare",
    "loop": "ecg",
    "alive": True,
    "reason": None,
    "pid": 4711,
    "cycles": 1042,
    "idle_wakes": 0,
    "missed_releases": 0,
    "dropped_samples": 0,
    "overruns": 0,
    "faults": 0,
    "level": 0,
    "rate_hz": 10.0,
    "target_rate_hz": 10.0,
    "deadline_s": 0.1,
    "lateness_us": {"p50": 61.4, "p99": 229.3, "p999": 655.3, "max": 983.0, "count": 1042},
    "duration_us": {"p50": 1835.0, "p99": 5242.9, "p999": 7340.0, "max": 7864.3, "count": 1042},
}


class LoopList(BaseModel):
    """Every loop's statistics.

    ``alive``: it makes progress; else ``reason`` says what is wrong. Times of histograms are in microseconds.
    """

    loops: list[dict[str, Any]] = Field(examples=[[_EXAMPLE]])


@router.get(
    "", summary="How every loop runs", dependencies=[allow(Role.VIEWER)], responses=responses(401, 403)
)
async def list_loops(parts: Parts) -> LoopList:
    """Return counters and percentiles of every loop, read now."""
    return LoopList(loops=await asyncio.to_thread(parts.watch.loops))
