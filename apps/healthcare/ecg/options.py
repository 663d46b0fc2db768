"""What training and evaluation are asked: apart from both, so that their flags are known without their libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainOptions(BaseModel):
    """What to train, on what, and where to put the models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: list[Path] = Field(min_length=1, description="folder of WFDB records; may be given several times")
    output: Path | None = Field(None, description="folder for the models; none: the state folder, by version")
    version: str = Field(
        "1.0.0", pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", description="version of the models"
    )
    part: Literal["all", "rhythm", "classes"] = Field(
        "all", description="rhythm network and beat detector, network of beat classes, or all"
    )
    class_records: Literal["all", "ds1"] = Field(
        "all",
        description="records that the classes of beats are learnt from; ds1: de Chazal's first half of MIT-BIH",
    )
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation that sets the thresholds")
    epochs: int = Field(10, ge=1, le=200, description="of each training")
    seed: int = Field(0, ge=0, description="of splits, weights and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")
    work: Path | None = Field(
        None, description="keep trainings in this folder: an interrupted run goes on from there"
    )


class EvaluateOptions(BaseModel):
    """What to evaluate, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: list[Path] = Field(min_length=1, description="folder of WFDB records; may be given several times")
    part: Literal["all", "classes"] = Field(
        "all", description="classes: only beat classes and atrial fibrillation, in a tenth of the time"
    )
    cross_validate: bool = Field(
        False, description="train anew, patient-wise, instead of judging the model that ships"
    )
    model: Path | None = Field(
        None, description="another rhythm model (.onnx with its card); none: the one that ships"
    )
    folds: int = Field(5, ge=2, le=20, description="parts of a cross-validation")
    epochs: int = Field(10, ge=1, le=200, description="of each training in a cross-validation")
    seed: int = Field(0, ge=0, description="of splits, weights and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")
    work: Path | None = Field(
        None, description="keep trainings in this folder: an interrupted run goes on from there"
    )
    leaky: bool = Field(
        True, description="in a cross-validation, also print what windows drawn at random would have given"
    )
    tick_s: float = Field(
        0.5, gt=0, le=0.5, description="the analysis decides so often; 0.1 is what the loop does"
    )


class ContinualOptions(BaseModel):
    """A patient (or a few) to learn on this device, beside what the network in use knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: list[Path] = Field(
        min_length=1,
        description="annotated WFDB records of the new patient; folder or record; may be repeated",
    )
    known: list[Path] = Field(
        default_factory=list,
        description="folder of records of other patients, to rehearse and to judge by; none: what the current"
        " version remembers; may be repeated",
    )
    model: Path | None = Field(
        None, description="another rhythm model (.onnx with its card); none: the current one of this device"
    )
    passes: int = Field(20, ge=1, le=1000, description="over the new windows")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of the adapter")
    allowed_fall: float = Field(
        0.02, ge=0, le=1, description="of balanced accuracy on other patients, before it is refused"
    )
    learn_share: float = Field(
        0.5, gt=0, lt=1, description="the first so much of each record is learnt from, the rest judges"
    )
    seed: int = Field(0, ge=0, description="of splits and drawing")


class FederatedOptions(BaseModel):
    """The patients whose records are divided among clients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: list[Path] = Field(min_length=1, description="folder of WFDB records; may be given several times")
    every_s: float = Field(4.0, ge=0.5, le=60, description="a window every so many seconds")
