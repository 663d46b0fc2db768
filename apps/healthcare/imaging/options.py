"""What the imaging tasks can be told; the command line makes flags of these."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["xray", "ct", "mri"]


class TrainOptions(BaseModel):
    """What to train, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: Literal["xray", "ct", "mri", "gate"] = Field(description="which network")
    data: Path = Field(
        description="folder with labels.csv (file, label, and where known group, split), or one folder per class; "
        "for the gate one folder each of xray, ct, mri and foreign pictures"
    )
    teacher: Path | None = Field(
        None,
        description="a network (.onnx with its card) that a small one learns from, on data with a split val that it "
        "did not see; none: the usual network",
    )
    output: Path | None = Field(None, description="folder for model and card; none: in the state folder")
    version: str = Field("1.0.0", pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", description="version of the model")
    leave_val: bool = Field(False, description="keep the split val out of the final network too")
    copies: int = Field(8, ge=1, le=64, description="variations of each picture")
    epochs: int | None = Field(
        None, ge=1, le=200, description="of each training; none: what the modality needs"
    )
    folds: int = Field(5, ge=2, le=20, description="parts of the cross-validation that calibrates")
    seed: int = Field(0, ge=0, description="of splits, weights and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")
    work: Path | None = Field(
        None, description="keep features in this folder: another run need not compute them"
    )


class EvaluateOptions(BaseModel):
    """What to evaluate, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: Modality = Field(description="which network")
    data: Path = Field(
        description="folder with labels.csv (file, label, and where known group, split), or one folder per class"
    )
    split: str = Field(
        "", description="which split to judge; none: test where there is one, else val, else everything"
    )
    cross_validate: bool = Field(
        False, description="train anew, group-wise, instead of judging the model that ships"
    )
    model: Path | None = Field(
        None, description="another network (.onnx with its card); none: the one that ships"
    )
    copies: int = Field(8, ge=1, le=64, description="variations of each picture, in a cross-validation")
    epochs: int | None = Field(
        None,
        ge=1,
        le=200,
        description="of each training in a cross-validation; none: what the modality needs",
    )
    folds: int = Field(5, ge=2, le=20, description="parts of a cross-validation")
    seed: int = Field(0, ge=0, description="of splits, weights and drawing")
    threads: int = Field(2, ge=1, le=64, description="processor cores to use")
    leaky: bool = Field(
        False, description="in a cross-validation, also print what pictures drawn at random would have given"
    )
    work: Path | None = Field(
        None, description="keep features in this folder: another run need not compute them"
    )
