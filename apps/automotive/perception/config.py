"""The configuration of perception: where data come from, how sensors are mounted, which model looks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)


class CameraConfig(BaseModel):
    """The camera's lens, and how it is mounted in the vehicle frame."""

    model_config = _STRICT

    focal_px: float = Field(default=500.0, gt=10, le=100_000)
    width_px: int = Field(default=640, ge=16, le=16_384)
    height_px: int = Field(default=360, ge=16, le=16_384)
    centre_x_px: float | None = Field(default=None, description="none: the middle of the picture")
    centre_y_px: float | None = Field(default=None, description="none: the middle of the picture")
    x_m: float = 1.5
    y_m: float = 0.0
    z_m: float = Field(default=1.4, gt=0)
    pitch_rad: float = Field(default=0.02, ge=-0.8, le=0.8, description="positive downwards")


class RadarConfig(BaseModel):
    """How the radar is mounted in the vehicle frame, and how far it sees."""

    model_config = _STRICT

    x_m: float = 3.7
    y_m: float = 0.0
    yaw_rad: float = 0.0
    field_of_view_rad: float = Field(default=1.05, gt=0, le=3.2, description="half of the whole")
    max_range_m: float = Field(default=150.0, gt=0)


class PerceptionConfig(BaseModel):
    """Where perception looks, and with what."""

    model_config = _STRICT

    source: Literal["simulation", "kitti", "video"] = Field(
        default="simulation", description="the simulated road, a KITTI raw folder, or a camera or video file"
    )
    path: Path | None = Field(
        default=None, description="the KITTI folder, the video file or the camera (/dev/video0)"
    )
    rate_hz: float = Field(default=10.0, gt=0, le=120, description="of a recording without time stamps")
    repeat: bool = Field(default=False, description="play a recording again and again")
    model: str = Field(
        default="road",
        description="road ships and knows the simulation; yolox-nano is fetched; or a path to an .onnx",
    )
    camera: CameraConfig = CameraConfig()
    radar: RadarConfig = RadarConfig()
    vehicle: str = Field(default="ego", min_length=1, max_length=64, description="the subject of its alerts")
    priority: int | None = Field(
        default=5, ge=1, le=99, description="SCHED_FIFO, where the machine allows it"
    )
    live_rate_hz: float = Field(
        default=5.0, ge=0, le=30, description="of the page's picture and bird's-eye view"
    )
    threads: int = Field(default=1, ge=1, le=16, description="of the camera's detector")

    @model_validator(mode="after")
    def _whole(self) -> PerceptionConfig:
        if self.source != "simulation" and self.path is None:
            raise ValueError(f"source {self.source!r} needs a path")
        return self
