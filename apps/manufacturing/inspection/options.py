"""What teaching and evaluation are asked: apart from both, so that their flags are known without their libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True)

Method = Literal["auto", "one-class", "supervised", "fine-tuned", "template"]


class TrainOptions(BaseModel):
    """What to teach on, and where to put the model."""

    model_config = _STRICT

    good: list[Path] = Field(
        default_factory=list, description="folder of pictures of good parts; may be repeated"
    )
    bad: list[Path] = Field(
        default_factory=list, description="folder of pictures of bad parts; may be repeated"
    )
    masks: list[Path] = Field(
        default_factory=list,
        description="folder of masks of defects, named as their pictures; may be repeated",
    )
    template: Path | None = Field(None, description="picture of a good board: what others are compared with")
    pairs: list[Path] = Field(
        default_factory=list,
        description="folder of <id>_temp, <id>_test and boxes in <folder>_not/<id>.txt; may be repeated",
    )
    split: Path | None = Field(None, description="with pairs: a list of the boards to teach on; none: all")
    groups: Path | None = Field(None, description="CSV with columns file and group: pictures of one part")
    out: Path | None = Field(None, description="folder for the model; none: the state folder, by version")
    method: Method = Field("auto", description="auto chooses by cross-validation what the data allow")
    false_reject_rate: float = Field(
        0.01, gt=0, lt=0.5, description="the wanted share of good parts rejected"
    )
    size: int = Field(0, ge=0, le=640, description="side to which pictures are brought; 0: by the pictures")
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation")
    version: str = Field("1.0.0", pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", description="version of the model")
    seed: int = Field(0, ge=0, description="of splits and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")


class EvaluateOptions(BaseModel):
    """What to judge, and on what."""

    model_config = _STRICT

    model: Path | None = Field(None, description="folder of a taught model")
    good: list[Path] = Field(
        default_factory=list, description="folder of pictures of good parts; may be repeated"
    )
    bad: list[Path] = Field(
        default_factory=list, description="folder of pictures of bad parts; may be repeated"
    )
    masks: list[Path] = Field(
        default_factory=list, description="in a cross-validation: folder of masks of defects; may be repeated"
    )
    pairs: list[Path] = Field(
        default_factory=list, description="folder of templates, boards and boxes; may be repeated"
    )
    split: Path | None = Field(None, description="with pairs: a list of the boards to judge; none: all")
    groups: Path | None = Field(None, description="CSV with columns file and group: pictures of one part")
    cross_validate: bool = Field(False, description="teach anew, by group, instead of judging a taught model")
    no_leaky: bool = Field(
        False, description="in a cross-validation, leave out what pictures drawn at random would have given"
    )
    method: Method = Field("auto", description="in a cross-validation: what to teach")
    jpeg: int = Field(
        0, ge=0, le=100, description="compress pictures by JPEG of this quality first; 0: as they are"
    )
    size: int = Field(0, ge=0, le=640, description="side to which pictures are brought; 0: by the pictures")
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation")
    seed: int = Field(0, ge=0, description="of splits and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")


class ContinualOptions(BaseModel):
    """What further part to learn on this device, beside those that the model in use knows."""

    model_config = _STRICT

    good: list[Path] = Field(
        min_length=1, description="folder of good parts of the new kind; may be repeated"
    )
    bad: list[Path] = Field(min_length=1, description="folder of bad parts of the new kind; may be repeated")
    groups: Path | None = Field(None, description="CSV with columns file and group: pictures of one part")
    known_good: list[Path] = Field(
        default_factory=list,
        description="folder of good parts that the model knows; none: those it remembers; may be repeated",
    )
    known_bad: list[Path] = Field(
        default_factory=list,
        description="folder of bad parts that the model knows; none: those it remembers; may be repeated",
    )
    model: Path | None = Field(
        None, description="folder of a taught model of parts; none: the current one of this device"
    )
    passes: int = Field(20, ge=1, le=1000, description="over the new pictures")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of the adapter")
    allowed_fall: float = Field(
        0.02, ge=0, le=1, description="of accuracy on known parts, before it is refused"
    )
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation that measures forgetting")
    seed: int = Field(0, ge=0, description="of splits and drawing")
    threads: int = Field(1, ge=1, le=64, description="processor cores to use")
