"""What the evaluation of the brake is asked: apart from it, so that its flags are known without its mathematics."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TracksOf = Literal["truth", "perception", "none"]


class BrakingOptions(BaseModel):
    """Which tables to drive, and for how long to drive in benign traffic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: float = Field(
        0.1, ge=0, le=1000, description="of benign traffic, simulated; 10 for the published figure"
    )
    step_kmh: int = Field(default=10, ge=5, le=40, description="between the speeds of the tables")
    tracks: TracksOf = Field(
        default="truth",
        description="truth: with noise and delay; perception: of rendered sensors; none: radar and lidar alone",
    )
    seed: int = Field(default=0, ge=0, description="of noise and traffic")
    threads: int = Field(default=2, ge=1, le=64, description="processor cores to use")
    picture: Path | None = Field(default=None, description="write the tables as a picture (.png)")
