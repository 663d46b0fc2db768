"""What the evaluation of the planner is asked: apart from it, so that its flags are known without its mathematics."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class PlanningOptions(BaseModel):
    """Which scenarios to drive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenarios: int = Field(1000, ge=1, le=100_000, description="seeded scenarios, eight families in turn")
    first: int = Field(0, ge=0, description="the first seed")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use; timings want 1")
    noise: bool = Field(True, description="no: the planner is given the exact truth of this moment")
    picture: Path | None = Field(None, description="write what was driven as a picture (.png); needs matplotlib")
