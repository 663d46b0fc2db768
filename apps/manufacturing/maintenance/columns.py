"""Which columns of a table mean what: named in the configuration, for tables are never alike."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Columns(BaseModel):
    """The columns of a CSV file: ``[manufacturing.maintenance.columns]``.

    With ``vibration`` each row is a sample at ``rate_hz``. Without it each row is one measurement of slow
    quantities, and plays for a second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vibration: tuple[str, ...] = Field(default=(), max_length=16, description="acceleration, one per channel")
    unit: Literal["m/s2", "g"] = Field(default="m/s2", description="of the acceleration")
    rate_hz: float = Field(default=0.0, ge=0, le=200_000, description="samples a second of the vibration")
    rpm: str = Field(default="rpm", description="speed of the shaft")
    temperature_c: str = "temperature_c"
    pressure_bar: str = "pressure_bar"
    current_a: str = "current_a"
    hours: str = Field(default="hours", description="counter of running hours")
    others: tuple[str, ...] = Field(default=(), max_length=48, description="more columns to watch")

    @model_validator(mode="after")
    def _complete(self) -> Columns:
        if self.vibration and not self.rate_hz:
            raise ValueError("vibration needs rate_hz, its samples a second")
        names = [*self.vibration, *self.slow.values()]
        if len(set(names)) < len(names):
            raise ValueError("one column cannot be two quantities")
        return self

    @property
    def slow(self) -> dict[str, str]:
        """The slow quantities, and the column of each."""
        named = {
            "rpm": self.rpm,
            "temperature_c": self.temperature_c,
            "pressure_bar": self.pressure_bar,
            "current_a": self.current_a,
            "hours": self.hours,
        }
        return {**named, **{name: name for name in self.others}}
