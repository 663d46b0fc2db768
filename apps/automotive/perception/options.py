"""What the evaluation of perception is asked: apart from it, so that its flags are known without its libraries."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class EvaluateOptions(BaseModel):
    """Which recordings to track, how, and where to put the tracks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kitti: Path = Field(
        description="folder with detections/, label_02/, calib/ and ego_poses/ (NNNN.txt each), and sequences.txt"
    )
    ego_poses: bool = Field(
        False, description="use the camera's poses, so that tracks stand still on the ground"
    )
    results: Path | None = Field(
        None, description="write tracks in KITTI's format there, one file per sequence"
    )
