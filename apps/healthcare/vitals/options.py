"""What the evaluation is asked: apart from it, so that its flags are known without its libraries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluateOptions(BaseModel):
    """How many simulated patients to watch, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patients: int = Field(20, ge=1, le=1000, description="of each course")
    hours: float = Field(2.0, ge=0.5, le=24, description="for which each is watched")
    waves: int = Field(10, ge=0, le=1000, description="minutes of waveforms, each of another patient")
    claims: int = Field(20, ge=0, le=1000, description="arrhythmias, and artefacts like them, of each kind")
    seed: int = Field(0, ge=0, description="of the first patient; the others follow")
