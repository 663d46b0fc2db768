"""What training is asked: apart from it, so that its flags are known without its libraries."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class TrainOptions(BaseModel):
    """How much to render and train, and where to put the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pictures: int = Field(default=9000, ge=32, le=200_000, description="simulated pictures to train on")
    test_pictures: int = Field(
        default=600, ge=16, le=20_000, description="others, with other cameras, to measure on"
    )
    epochs: int = Field(default=5, ge=1, le=300)
    batch: int = Field(default=32, ge=2, le=256)
    learning_rate: float = Field(default=4e-3, gt=0, le=0.1)
    start: Path | None = Field(
        default=None,
        description="begin with the weights of a checkpoint (detector.npz of another --work folder)",
    )
    output: Path | None = Field(
        default=None, description="folder for the model; none: the state folder, by version"
    )
    version: str = Field(
        default="1.0.0", pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", description="version of the model"
    )
    seed: int = Field(default=0, ge=0, description="of pictures, weights and drawing")
    threads: int = Field(default=2, ge=1, le=64, description="processor cores to use")
    work: Path | None = Field(
        default=None,
        description="keep pictures and training in this folder: an interrupted run goes on from there",
    )
