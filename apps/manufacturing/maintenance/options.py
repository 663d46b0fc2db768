"""What teaching and evaluation are asked: apart from both, so that their flags are known without their libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True)

Format = Literal["cmapss", "cwru", "table", "simulated"]


class TrainOptions(BaseModel):
    """What to teach on, and where to put the model."""

    model_config = _STRICT

    data: Path | None = Field(None, description="folder of the data, or a CSV file; none: format simulated")
    format: Format = Field("cmapss", description="cmapss, cwru, table, or simulated (machines of our own)")
    subset: str = Field("", description="of C-MAPSS: FD001 to FD004; none: the first there is")
    columns: Path | None = Field(None, description="TOML that names a table's columns")
    out: Path | None = Field(None, description="folder for the model; none: the state folder, by version")
    version: str = Field("1.0.0", pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", description="version of the model")
    horizon: int = Field(30, ge=1, le=10_000, description="cycles within which a failure is foretold")
    remember: bool = Field(
        True,
        description="of bearings: keep their spectra too, for the machine they are from; else lines alone",
    )
    machines: int = Field(120, ge=20, le=5000, description="simulated machines to learn from")
    seed: int = Field(0, ge=0, description="of splits and models")


class EvaluateOptions(BaseModel):
    """What to evaluate, and on what."""

    model_config = _STRICT

    data: Path | None = Field(None, description="folder of the data, or a CSV file; none: format simulated")
    format: Format = Field("cmapss", description="cmapss, cwru, table, or simulated (machines of our own)")
    subset: str = Field("", description="of C-MAPSS: FD001 to FD004; none: all there are")
    model: Path | None = Field(
        None, description="folder of a taught model; none: taught anew on the data's own training part"
    )
    columns: Path | None = Field(None, description="TOML that names a table's columns")
    horizon: int = Field(30, ge=1, le=10_000, description="cycles within which a failure is foretold")
    machines: int = Field(60, ge=20, le=5000, description="simulated machines to judge on")
    seed: int = Field(0, ge=0, description="of splits and models")
