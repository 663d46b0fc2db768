"""What the car itself alerts to: commands that do not come, evidence that is old at the wheels, a collision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeai_core.decision import Condition, Priority


class Code(StrEnum):
    """The conditions of this loop."""

    COLLISION = "COLLISION"
    COMMAND_TOO_OLD = "COMMAND_TOO_OLD"
    EVIDENCE_TOO_OLD = "EVIDENCE_TOO_OLD"


STANDS_MPS = 0.05
OLDEST_EVIDENCE_S = 0.3
"""What a brake command at the wheels may stand on; older, and the car has moved on by metres."""


@dataclass(frozen=True)
class Drive:
    """The simulation's output: how the drive goes. ``evidence_age_s`` is measured at the wheels; NaN: no command.

    After a collision everything stands, and ``speed_mps`` is that of the contact.
    """

    time_s: float
    scenario: str
    seed: int
    speed_mps: float = 0.0
    acceleration_mps2: float = 0.0
    evidence_age_s: float = float("nan")
    watchdog: str = ""
    collisions: int = 0
    simulated: bool = True


def conditions(drive: Drive, vehicle: str, hit: str) -> tuple[Condition, ...]:
    """Return what holds; ``hit`` says what was hit in this scenario, or is empty."""
    found = []
    if hit:
        evidence = {"hit": hit, "speed_mps": round(drive.speed_mps, 2)}
        title = (
            "The simulated car hit something"
            if drive.speed_mps > STANDS_MPS
            else "Something ran into the standing car"
        )
        found.append(Condition(Code.COLLISION, vehicle, Priority.HIGH, title, evidence))
    if drive.watchdog:
        found.append(
            Condition(
                Code.COMMAND_TOO_OLD,
                vehicle,
                Priority.HIGH,
                "The watchdog brakes",
                {"reason": drive.watchdog},
            )
        )
    if drive.evidence_age_s > OLDEST_EVIDENCE_S:
        age = {"age_s": round(drive.evidence_age_s, 3), "limit_s": OLDEST_EVIDENCE_S}
        found.append(
            Condition(
                Code.EVIDENCE_TOO_OLD, vehicle, Priority.MEDIUM, "The brake stands on old evidence", age
            )
        )
    return tuple(found)
