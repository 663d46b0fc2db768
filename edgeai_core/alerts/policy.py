"""What a site says about calling people: the table ``[edgeai]`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeai_core.alerts.lifecycle import EscalationStep
from edgeai_core.decision import Priority
from edgeai_core.errors import ConfigError, InputError

TABLE = "edgeai"

_STRICT = ConfigDict(extra="forbid", frozen=True)
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]


class Step(BaseModel):
    """One step of an escalation: who is called where an alert of a priority has waited so long unanswered."""

    model_config = _STRICT

    priority: Priority
    after_s: Seconds
    role: Annotated[str, Field(min_length=1, max_length=100, description="for people: 'charge nurse', say")]


class SilenceLimits(BaseModel):
    """For how long, at most, an alert of each priority may be silenced at a time.

    Two minutes is what the particular standards of IEC 60601 for ventilators allow a high priority alarm.
    """

    model_config = _STRICT

    high_s: Seconds = 120.0
    medium_s: Seconds = 1800.0
    low_s: Seconds = 8 * 3600.0

    def of(self, priority: Priority) -> float:
        """Return the limit of one priority."""
        return {Priority.HIGH: self.high_s, Priority.MEDIUM: self.medium_s, Priority.LOW: self.low_s}[
            priority
        ]


class AlertPolicy(BaseModel):
    """How people are called. Without steps nothing escalates."""

    model_config = _STRICT

    escalation: Annotated[tuple[Step, ...], Field(max_length=30)] = ()
    silence: SilenceLimits = SilenceLimits()

    def steps(self) -> tuple[EscalationStep, ...]:
        """Return the steps of the escalation as the life cycle takes them."""
        return tuple(EscalationStep(each.priority, each.after_s, each.role) for each in self.escalation)

    def check_silence(self, priority: Priority, for_s: float) -> None:
        """Raise InputError where an alert of a priority may not be silenced for so long."""
        limit_s = self.silence.of(priority)
        if not 0 < for_s <= limit_s:
            raise InputError(
                f"an alert of {priority.value} priority can be silenced for up to {limit_s:g} s at a time,"
                f" not {for_s:g}"
            )


def load_policy(path: Path | None) -> AlertPolicy:
    """Return the policy of a configuration file, or the defaults. Raises ConfigError that names the field."""
    from edgeai_core.config import read_tables

    table = read_tables(path).get(TABLE, {}) if path is not None else {}
    try:
        return AlertPolicy.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join([TABLE, *(str(part) for part in first["loc"])])
        reason = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{path}: {field}: {reason}") from error
