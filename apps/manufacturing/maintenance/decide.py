"""Belief -> decision: the only place that knows alarm words and limits."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from edgeai_core.decision import Condition, Decision, Priority

if TYPE_CHECKING:
    from apps.manufacturing.maintenance.fuse import Belief

Status = Literal["NORMAL", "MAINTENANCE_REQUIRED", "CANNOT_TELL"]

ACTION = "Schedule maintenance within 24 hours"


class Code(StrEnum):
    """The conditions of this loop, the gravest first."""

    MAINTENANCE_REQUIRED = "MAINTENANCE_REQUIRED"
    VIBRATION_ZONE_D = "VIBRATION_ZONE_D"
    MACHINE_UNUSUAL = "MACHINE_UNUSUAL"
    SENSOR_TROUBLE = "SENSOR_TROUBLE"


TITLES = {
    Code.MAINTENANCE_REQUIRED: "Maintenance required",
    Code.VIBRATION_ZONE_D: "Vibration can damage the machine (ISO 20816 zone D)",
    Code.MACHINE_UNUSUAL: "The machine does not run as it used to",
    Code.SENSOR_TROUBLE: "A sensor of the machine gives no usable signal",
}

PRIORITIES = {
    Code.MAINTENANCE_REQUIRED: Priority.HIGH,
    Code.VIBRATION_ZONE_D: Priority.HIGH,
    Code.MACHINE_UNUSUAL: Priority.LOW,
    Code.SENSOR_TROUBLE: Priority.MEDIUM,
}


@dataclass(frozen=True)
class Limits:
    """Where alerts begin. Raises ValueError for limits that contradict each other.

    Maintenance is required above ``failure_probability``, and until it falls under ``failure_probability_over``.
    A machine is unusual from ``anomaly`` on, until under ``anomaly_over`` (spreads of the healthy measurements).
    """

    failure_probability: float = 0.8
    failure_probability_over: float = 0.6
    anomaly: float = 6.0
    anomaly_over: float = 4.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(limit) for limit in vars(self).values()):
            raise ValueError("every limit must be a finite number")
        if not 0 < self.failure_probability_over <= self.failure_probability < 1:
            raise ValueError("it must be 0 < failure_probability_over <= failure_probability < 1")
        if not 0 < self.anomaly_over <= self.anomaly:
            raise ValueError("it must be 0 < anomaly_over <= anomaly")


@dataclass(frozen=True)
class MaintenanceOutput:
    """What other loops and people get.

    ``failure_probability`` is that of a failure within the horizon of the configuration. Times to failure are in
    ``remaining_unit``, None where no end is in sight or nothing can be told. ``health_index`` is 1 as learnt, 0 at
    a limit. ``zone`` is that of ISO 20816, empty where no vibration is measured.
    """

    machine: str
    status: Status
    failure_probability: float | None = None
    time_to_failure: float | None = None
    time_to_failure_low: float | None = None
    time_to_failure_high: float | None = None
    remaining_unit: str = "h"
    action: str = ""
    fault: str = "none"
    fault_probability: float | None = None
    health_index: float | None = None
    anomaly: float | None = None
    zone: str = ""
    velocity_mm_s: float | None = None
    hours: float | None = None
    learning: float = 0.0
    time_s: float = 0.0
    simulated: bool = False


def decide(
    belief: Belief, standing: Set[Code] | None, limits: Limits, machine: str, simulated: bool
) -> Decision[MaintenanceOutput]:
    """Say what holds now, given what held before (``standing``; None: nothing has been judged yet).

    Where nothing can be told of the machine what stands, stands; that a sensor is in trouble can always be told.
    """
    before = standing or frozenset()
    found = _found(belief, before, limits) if belief.judged else set(before) - {Code.SENSOR_TROUBLE}
    if belief.troubles:
        found.add(Code.SENSOR_TROUBLE)
    required = Code.MAINTENANCE_REQUIRED in found
    status: Status = "MAINTENANCE_REQUIRED" if required else "NORMAL" if belief.judged else "CANNOT_TELL"
    low, median, high = belief.remaining or (math.inf, math.inf, math.inf)
    output = MaintenanceOutput(
        machine=machine,
        status=status,
        failure_probability=belief.failure_probability,
        time_to_failure=_finite(median),
        time_to_failure_low=_finite(low),
        time_to_failure_high=_finite(high),
        remaining_unit=belief.remaining_unit,
        action=ACTION if required else "",
        fault=belief.kind,
        fault_probability=belief.kind_probability,
        health_index=belief.health_index,
        anomaly=belief.anomaly,
        zone=belief.seen.zone if belief.seen else "",
        velocity_mm_s=belief.seen.velocity_mm_s if belief.seen else None,
        hours=belief.hours,
        learning=belief.learning,
        time_s=belief.time_s,
        simulated=simulated,
    )
    if not belief.judged and standing is None and not found:
        return Decision(output, conditions=None)
    return Decision(output, tuple(condition(code, output, belief) for code in Code if code in found))


def condition(code: Code, output: MaintenanceOutput, belief: Belief | None) -> Condition:
    """Return the condition with what a person needs to check it."""
    evidence: dict[str, object] = {"time_s": round(output.time_s, 3)}
    if code is Code.MAINTENANCE_REQUIRED:
        evidence |= {"status": "MAINTENANCE_REQUIRED", "action": ACTION, "fault": output.fault}
        for name in ("failure_probability", "time_to_failure", "time_to_failure_low", "time_to_failure_high"):
            value = getattr(output, name)
            if value is not None:
                evidence[name] = round(value, 3)
        evidence["unit"] = output.remaining_unit
    for name in ("health_index", "anomaly", "velocity_mm_s", "hours"):
        value = getattr(output, name)
        if value is not None:
            evidence[name] = round(value, 3)
    if belief is not None and belief.basis:
        evidence["basis"] = belief.basis
    if belief is not None and belief.troubles:
        evidence["troubles"] = list(belief.troubles)
    if output.simulated:
        evidence["simulated"] = True
    return Condition(code, output.machine, PRIORITIES[code], TITLES[code], evidence)


def _found(belief: Belief, before: Set[Code], limits: Limits) -> set[Code]:
    found: set[Code] = set()
    probability = belief.failure_probability
    limit = (
        limits.failure_probability_over if Code.MAINTENANCE_REQUIRED in before else limits.failure_probability
    )
    if probability is None:
        found |= before & {Code.MAINTENANCE_REQUIRED}
    elif probability > limit:
        found.add(Code.MAINTENANCE_REQUIRED)
    if belief.seen is not None and belief.seen.zone == "D":
        found.add(Code.VIBRATION_ZONE_D)
    limit = limits.anomaly_over if Code.MACHINE_UNUSUAL in before else limits.anomaly
    if belief.anomaly is not None and belief.anomaly > limit:
        found.add(Code.MACHINE_UNUSUAL)
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
