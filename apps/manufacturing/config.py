"""The configuration of the manufacturing app: a TOML table ``[manufacturing]``, the environment, or flags."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.manufacturing.maintenance.config import MaintenanceConfig

_STRICT = ConfigDict(extra="forbid", frozen=True)


class CameraConfig(BaseModel):
    """Where pictures come from on a line: ``[manufacturing.inspection.camera]``."""

    model_config = _STRICT

    device: str = Field(
        default="", description="OpenCV index, file or URL (rtsp://...); empty: the simulated line"
    )
    command: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="a program that writes raw BGR frames to its output (ffmpeg, gst-launch), in place of device",
    )
    width: int = Field(default=640, ge=16, le=8192)
    height: int = Field(default=480, ge=16, le=8192)
    frame_timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="a camera without a frame for so long is started anew"
    )


class LineConfig(BaseModel):
    """The line that is simulated where neither a camera nor a recording is named."""

    model_config = _STRICT

    scenario: str = Field(default="shift", description="shift, drift, run_of_rejects or camera")
    seed: int = Field(default=0, ge=0)


class InspectionConfig(BaseModel):
    """The inspection loop: ``[manufacturing.inspection]``."""

    model_config = _STRICT

    line: str = Field(default="line-1", min_length=1, max_length=100, description="whose alerts these are")
    model: Path | None = Field(
        default=None, description="folder of a taught model; none: the one of the simulated parts"
    )
    recording: Path | None = Field(
        default=None,
        description="folder or zip of pictures, played in place of the camera",
    )
    repeat: bool = Field(default=False, description="play the recording over and over")
    parts_per_s: float = Field(default=2.0, gt=0, le=100, description="the pace of a recording or simulation")
    trigger: Literal["frame", "change", "message"] = Field(
        default="frame",
        description="frame: every picture is a part (triggered camera). change: a free-running camera, in which a"
        " part is looked at once, when it lies still. message: a free-running camera, whose next frame is looked at"
        " when a part is announced (POST /v1/manufacturing/parts)",
    )
    camera: CameraConfig = CameraConfig()
    simulation: LineConfig = LineConfig()
    pass_quality: float = Field(
        default=0.95, gt=0, lt=1, description="a part passes above this quality score"
    )
    run_length: int = Field(default=5, ge=2, le=1000, description="so many rejects in a row are an alert")
    usual_reject_rate: float = Field(
        default=0.02, gt=0, lt=0.5, description="the share of rejects of a process in control"
    )
    silent_after_s: float = Field(
        default=10.0, gt=0, le=3600, description="no picture for so long is an alert"
    )
    evidence: Path | None = Field(
        default=None, description="folder for pictures of rejects; none: the state folder's"
    )
    evidence_mb: float = Field(default=200.0, gt=0, le=1e6, description="at most so much of them is kept")


class ManufacturingConfig(BaseModel):
    """The configuration of the app, one table per loop."""

    model_config = _STRICT

    inspection: InspectionConfig = InspectionConfig()
    maintenance: MaintenanceConfig = MaintenanceConfig()
