"""The configuration of the automotive app: a TOML table ``[automotive]``, the environment, or flags."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.automotive.braking.decide import Limits
from apps.automotive.perception.config import PerceptionConfig
from edgeai_core.loop.spec import Realtime

ScenarioName = Literal["motorway", "town", "country", "pedestrian", "jam_end", "cut_in"]

_STRICT = ConfigDict(extra="forbid", frozen=True)


class VehicleConfig(BaseModel):
    """The car that is driven: a mid-size passenger car; the origin is under the middle of the rear axle."""

    model_config = _STRICT

    name: str = Field(default="ego", min_length=1, max_length=64, description="the subject of its alerts")
    length_m: float = Field(default=4.6, gt=1, le=20)
    width_m: float = Field(default=1.9, gt=0.5, le=3)
    wheelbase_m: float = Field(default=2.8, gt=0.5, le=10)
    rear_overhang_m: float = Field(
        default=0.95, ge=0, le=5, description="from the rear axle to the rear bumper"
    )
    steering_limit_rad: float = Field(default=0.55, gt=0, le=1)
    steering_rate_radps: float = Field(default=0.6, gt=0, le=3)
    acceleration_mps2: float = Field(default=2.5, gt=0, le=10, description="the most that the drive gives")
    braking_mps2: float = Field(
        default=8.5, gt=0, le=12, description="the most that the brake gives on this road"
    )

    @property
    def front_m(self) -> float:
        """From the rear axle to the front bumper."""
        return self.length_m - self.rear_overhang_m

    @property
    def middle_m(self) -> float:
        """From the rear axle to the middle of the body."""
        return self.length_m / 2 - self.rear_overhang_m


class PlanningConfig(BaseModel):
    """The planning loop: ``[automotive.planning]``."""

    model_config = _STRICT

    speed_mps: float = Field(
        default=30.0, gt=0, le=60, description="never faster than this, whatever the road allows"
    )
    lateral_acceleration_mps2: float = Field(
        default=2.5, gt=0, le=6, description="in bends; twice that to evade"
    )
    headway_s: float = Field(default=1.6, gt=0.5, le=5, description="to the one ahead")
    lane_changes: bool = True
    priority: int | None = Field(
        default=6, ge=1, le=99, description="SCHED_FIFO, where the machine allows it"
    )


class BrakingConfig(BaseModel):
    """The braking loop: ``[automotive.braking]``."""

    model_config = _STRICT

    limits: Limits = Limits()
    spin_s: float = Field(
        default=0.0, ge=0, le=0.001, description="spin so long before a release instead of sleeping"
    )
    cores: tuple[int, ...] = ()
    priority: int | None = Field(
        default=20,
        ge=1,
        le=99,
        description="SCHED_FIFO, where the machine allows it: the brake comes before all",
    )

    @property
    def realtime(self) -> Realtime:
        """What the loop asks of the machine."""
        return Realtime(self.spin_s, self.cores, self.priority)


class SimulationConfig(BaseModel):
    """The simulated road: ``[automotive.simulation]``."""

    model_config = _STRICT

    scenario: ScenarioName = "town"
    drive: Path | None = Field(
        default=None,
        description="a recorded drive to play instead, or a folder of them: nobody drives the car",
    )
    drive_repeat: bool = Field(default=False, description="play recorded drives again and again")
    seed: int = Field(default=0, ge=0)
    repeat: bool = Field(
        default=True,
        description="at the end of a scenario begin the next one, with another seed",
    )
    camera_hz: float = Field(
        default=15.0,
        ge=1.0,
        le=50.0,
        description="pictures a second: one costs about 11 ms to render and 8 ms to look at, so two cores hold 15",
    )
    priority: int | None = Field(
        default=10, ge=1, le=99,
        description="SCHED_FIFO, where the machine allows it: the world waits for nobody but the brake",
    )  # fmt: skip
    with_brake: bool = Field(
        default=True, description="no: there is no braking loop, and nobody waits for one"
    )
    only_sensors: tuple[Literal["camera", "lidar", "radar"], ...] = Field(
        default=(), description="none: all of them"
    )
    failures: tuple[str, ...] = Field(
        default=(),
        description="what fails, as sensor:kind:amount:from_s:until_s, such as radar:late:0.2:5:10",
    )


class AutomotiveConfig(BaseModel):
    """The configuration of the app, one table per loop."""

    model_config = _STRICT

    vehicle: VehicleConfig = VehicleConfig()
    perception: PerceptionConfig = PerceptionConfig()
    planning: PlanningConfig = PlanningConfig()
    braking: BrakingConfig = BrakingConfig()
    simulation: SimulationConfig = SimulationConfig()
