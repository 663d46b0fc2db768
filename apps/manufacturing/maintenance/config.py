"""The maintenance loop's configuration: ``[manufacturing.maintenance]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from apps.manufacturing.maintenance.columns import Columns
from apps.manufacturing.maintenance.decide import Limits

if TYPE_CHECKING:
    from apps.manufacturing.maintenance.analysis import Settings

_STRICT = ConfigDict(extra="forbid", frozen=True)

Kind = Literal["outer_race", "inner_race", "ball", "imbalance", "misalignment", "cavitation"]


class BearingConfig(BaseModel):
    """The geometry of the bearing: lengths in one unit, whichever."""

    model_config = _STRICT

    elements: int = Field(default=9, ge=3, le=200, description="rolling elements")
    element_diameter: float = Field(default=0.3126, gt=0)
    pitch_diameter: float = Field(default=1.537, gt=0)
    contact_angle_deg: float = Field(default=0.0, ge=0, lt=90)

    @model_validator(mode="after")
    def _fits(self) -> BearingConfig:
        if self.element_diameter >= self.pitch_diameter:
            raise ValueError("element_diameter must be under pitch_diameter")
        return self


class MachineSimulation(BaseModel):
    """The machine that is played where no recording is named."""

    model_config = _STRICT

    number: int = Field(default=3, ge=0, description="the same number gives the same machine")
    kind: Kind | None = Field(default="outer_race", description="how it fails; none: drawn by its number")
    rate_hz: float = Field(default=25_600.0, ge=2_000.0, le=100_000.0)
    channels: int = Field(default=3, ge=1, le=3)
    every_h: float = Field(
        default=8.0, gt=0, le=1000.0, description="running hours from one measurement to the next"
    )
    burst_s: float = Field(
        default=1.0, ge=0.1, le=1.0, description="length of a measurement; each plays for 1 s"
    )


class MaintenanceConfig(BaseModel):
    """The maintenance loop."""

    model_config = _STRICT

    machine: str = Field(
        default="machine-1", min_length=1, max_length=100, description="whose alerts these are"
    )
    recording: Path | None = Field(
        default=None, description=".npz, .csv, cycles as .txt, or a folder of them; none: the simulation"
    )
    repeat: bool = Field(default=False, description="play the recording over and over")
    columns: Columns = Columns()
    model: Path | None = Field(default=None, description="folder of a taught model; none: those that ship")
    machine_class: Literal["large rigid", "large flexible", "medium rigid", "medium flexible"] = Field(
        default="medium flexible", description="ISO 20816-3: above 300 kW or from 15 kW, and its support"
    )
    bearing: BearingConfig = BearingConfig()
    rpm: float | None = Field(default=None, gt=0, le=60_000, description="the speed where none is measured")
    gear_teeth: int = Field(default=0, ge=0, le=10_000, description="of the wheel on this shaft; 0: no gear")
    axial_channel: int | None = Field(
        default=1, ge=0, le=15, description="counted from 0; none: none is axial"
    )
    temperature_limit_c: float = Field(default=90.0, ge=0, le=500, description="of the bearing's housing")
    learn_measurements: int = Field(
        default=20, ge=8, le=100_000, description="the first so many count as healthy: seconds, or bursts"
    )
    horizon_h: float = Field(default=72.0, gt=0, le=8760, description="a failure within it is foretold")
    limits: Limits = Limits()
    raise_after_s: float = Field(default=2.0, ge=0, le=3600, description="a condition must hold so long")
    clear_after_s: float = Field(default=30.0, ge=0, le=86_400, description="and be gone so long")
    simulation: MachineSimulation = MachineSimulation()

    def settings(self) -> Settings:
        """Return what the analysis is told."""
        from apps.manufacturing.maintenance.analysis import Settings
        from apps.manufacturing.maintenance.bearing import Bearing

        return Settings(
            machine=self.machine,
            machine_class=self.machine_class,
            bearing=Bearing(**self.bearing.model_dump()),
            rpm=self.rpm,
            gear_teeth=self.gear_teeth,
            axial_channel=self.axial_channel,
            temperature_limit_c=self.temperature_limit_c,
            learn=self.learn_measurements,
            horizon_h=self.horizon_h,
            limits=self.limits,
        )
