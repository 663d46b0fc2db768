"""The configuration of the healthcare app: a TOML table ``[healthcare]``, the environment, or flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from apps.healthcare.ecg.decide import ATRIAL_AFTER_S, ATRIAL_CLEAR_AFTER_S, ECTOPY_CLEAR_AFTER_S, Limits
from apps.healthcare.simulation.scenarios import LEAD_AXES, SCENARIOS
from apps.healthcare.vitals.decide import Limits as VitalsLimits
from apps.healthcare.vitals.fuse import MaxAges

_STRICT = ConfigDict(extra="forbid", frozen=True)


class SimulationConfig(BaseModel):
    """The patient who is played where no recording is named."""

    model_config = _STRICT

    scenario: str = Field(default="rounds", description=f"one of {', '.join(SCENARIOS)}")
    rate_hz: float = Field(default=250.0, ge=100.0, le=1000.0)
    leads: tuple[str, ...] = Field(
        default=("II", "V1"), min_length=1, description=f"among {', '.join(LEAD_AXES)}"
    )
    seed: int | None = Field(
        default=None, ge=0, description="tells hearts apart; rounds differ by the clock all the same"
    )

    @field_validator("scenario")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SCENARIOS:
            raise ValueError(f"there is no scenario {name!r}; choose {', '.join(SCENARIOS)}")
        return name

    @field_validator("leads")
    @classmethod
    def _simulated(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [lead for lead in leads if lead not in LEAD_AXES]
        if unknown or len(set(leads)) < len(leads):
            raise ValueError(f"leads must be different ones of {', '.join(LEAD_AXES)}")
        return leads


class EcgConfig(BaseModel):
    """The ECG loop: ``[healthcare.ecg]``."""

    model_config = _STRICT

    patient: str = Field(
        default="patient-1", min_length=1, max_length=100, description="whose alerts these are"
    )
    recording: Path | None = Field(
        default=None, description="WFDB record, .csv file or folder; none: the simulation"
    )
    repeat: bool = Field(default=False, description="play the recording over and over")
    leads: Annotated[
        tuple[str, ...],
        Field(max_length=12, description="leads to use, by name; none: the recording's first three"),
    ] = ()
    mains_hz: Literal[50, 60] = 50
    simulation: SimulationConfig = SimulationConfig()
    model: Path | None = Field(
        default=None, description="a rhythm network of your own; none: the one that ships"
    )
    beat_model: Path | None = Field(
        default=None, description="a network of beat classes of your own; none: the one that ships"
    )
    limits: Limits = Limits()
    clear_after_s: float = Field(
        default=5.0, ge=0, le=60, description="a rhythm alert clears when gone this long"
    )
    rate_clear_after_s: float = Field(
        default=15.0,
        ge=0,
        le=60,
        description="a rate alert clears when gone this long: rates waver around limits",
    )
    ectopy_clear_after_s: float = Field(
        default=ECTOPY_CLEAR_AFTER_S,
        ge=0,
        le=86400,
        description="an alert for ventricular beats clears when gone this long: else there would be hundreds",
    )
    atrial_after_s: float = Field(
        default=ATRIAL_AFTER_S,
        ge=0,
        le=600,
        description="atrial fibrillation is an alert when believed so long",
    )
    atrial_clear_after_s: float = Field(
        default=ATRIAL_CLEAR_AFTER_S,
        ge=0,
        le=3600,
        description="an alert for atrial fibrillation clears when gone this long",
    )
    signal_lost_after_s: float = Field(
        default=1.0, ge=0, le=10, description="so long no lead may give a signal"
    )


class ImagingConfig(BaseModel):
    """The imaging loop: ``[healthcare.imaging]``."""

    model_config = _STRICT

    inbox: Path | None = Field(
        default=None,
        description="folder that is watched for studies; none: inbox/imaging in the state folder",
    )
    recording: Path | None = Field(
        default=None, description="a study, or a folder of studies, played once instead of the inbox"
    )
    models: dict[Literal["xray", "ct", "mri"], Path] = Field(
        default={}, description="networks of your own, by modality; else those that ship"
    )


class BedsideSimulationConfig(BaseModel):
    """The patient whose vital signs are played where no recording is named."""

    model_config = _STRICT

    course: Literal["stable", "sepsis", "bleeding", "respiratory_failure", "artefacts"] = "stable"
    seed: int | None = Field(default=None, ge=0, description="none: another patient at every start")


class VitalsConfig(BaseModel):
    """The vitals loop: ``[healthcare.vitals]``."""

    model_config = _STRICT

    patient: str = Field(
        default="patient-1", min_length=1, max_length=100, description="whose alerts these are"
    )
    recording: Path | None = Field(
        default=None, description=".csv of vital signs or a folder of them; none: the simulation"
    )
    repeat: bool = Field(default=False, description="play the recording over and over")
    simulation: BedsideSimulationConfig = BedsideSimulationConfig()
    limits: VitalsLimits = VitalsLimits()
    max_ages: MaxAges = MaxAges()
    clear_after_s: float = Field(
        default=300.0, ge=0, le=3600, description="a deterioration is over when gone this long"
    )
    latched: bool = Field(default=True, description="a deterioration that is over waits for a person")
    signal_lost_after_s: float = Field(
        default=30.0, ge=0, le=600, description="so long a sensor may give nothing of use"
    )


class HealthcareConfig(BaseModel):
    """The configuration of the app, one table per loop."""

    model_config = _STRICT

    ecg: EcgConfig = EcgConfig()
    imaging: ImagingConfig = ImagingConfig()
    vitals: VitalsConfig = VitalsConfig()
