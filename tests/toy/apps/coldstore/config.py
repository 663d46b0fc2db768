"""The configuration: a TOML table ``[coldstore]``, the environment, or flags."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Everything that differs from site to site, with units in the names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str = "Coldstore"
    sensor: Path = Field(Path("/sys/class/thermal/thermal_zone0/temp"), description="a file of millidegrees")
    recording: Path | None = Field(None, description="a temperature a line, played instead of the sensor")
    limit_celsius: float = 70.0
    patience_s: float = Field(3.0, ge=0, description="it must be too warm for so long")
