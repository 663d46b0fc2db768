"""Tracks and the state of the sensors -> decision: the only place that knows perception's alert words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from apps.automotive.messages import Tracks
from apps.automotive.perception.health import Trouble
from edgeai_core.decision import Condition, Decision, Priority, Rule

DEGRADATIONS = ("the camera's detector looks at every second picture", "it looks at every fourth picture")


class Code(StrEnum):
    """What perception alerts to."""

    SENSOR_LOST = "SENSOR_LOST"
    SENSOR_FROZEN = "SENSOR_FROZEN"
    SENSOR_LATE = "SENSOR_LATE"
    CAMERA_BLIND = "CAMERA_BLIND"
    SENSOR_CONTRADICTED = "SENSOR_CONTRADICTED"
    PERCEPTION_DEGRADED = "PERCEPTION_DEGRADED"
    PERCEPTION_BLIND = "PERCEPTION_BLIND"


RULES: Mapping[str, Rule] = {
    Code.SENSOR_LOST: Rule(raise_after_s=0.2, clear_after_s=1.0),
    Code.SENSOR_FROZEN: Rule(clear_after_s=1.0),
    Code.SENSOR_LATE: Rule(raise_after_s=0.3, clear_after_s=1.0),
    Code.CAMERA_BLIND: Rule(raise_after_s=0.5, clear_after_s=1.0),
    Code.SENSOR_CONTRADICTED: Rule(raise_after_s=1.0, clear_after_s=3.0),
    Code.PERCEPTION_DEGRADED: Rule(clear_after_s=1.0),
    Code.PERCEPTION_BLIND: Rule(raise_after_s=0.2, clear_after_s=1.0),
}

_TROUBLES = {
    Trouble.LOST: (Code.SENSOR_LOST, "gives nothing"),
    Trouble.FROZEN: (Code.SENSOR_FROZEN, "repeats the same data"),
    Trouble.LATE: (Code.SENSOR_LATE, "delivers old data"),
    Trouble.BLIND: (Code.CAMERA_BLIND, "sees nothing: dark, covered or burnt out"),
}
EXTERNAL = ("camera", "lidar", "radar")
"""The sensors that see what is around; without any of them nothing is known."""


def decide(
    tracks: Tracks,
    troubles: Mapping[str, tuple[Trouble, ...]],
    contradicted: tuple[str, ...],
    level: int,
    vehicle: str,
    live: Mapping[str, object] | None = None,
) -> Decision[Tracks]:
    """Return the tracks with what holds now: each sensor's troubles, contradiction, degradation, blindness.

    ``contradicted`` names sensors whose measurements do not fit the others'.
    """
    conditions = [
        Condition(
            code,
            f"{vehicle}/{sensor}",
            Priority.HIGH if code is Code.SENSOR_LOST else Priority.MEDIUM,
            f"{sensor} {words}",
            {"sensor": sensor},
        )
        for sensor, found in troubles.items()
        for code, words in (_TROUBLES[each] for each in found)
    ]
    conditions += [
        Condition(
            Code.SENSOR_CONTRADICTED,
            f"{vehicle}/{sensor}",
            Priority.MEDIUM,
            f"{sensor} measures what the other sensors do not",
            {"sensor": sensor},
        )
        for sensor in contradicted
    ]
    if level:
        words = DEGRADATIONS[min(level, len(DEGRADATIONS)) - 1]
        conditions.append(
            Condition(
                Code.PERCEPTION_DEGRADED, vehicle, Priority.LOW, f"overloaded: {words}", {"level": level}
            )
        )
    watched = [sensor for sensor in EXTERNAL if sensor in troubles]
    if watched and all(unusable(troubles[sensor]) for sensor in watched):
        conditions.append(
            Condition(Code.PERCEPTION_BLIND, vehicle, Priority.HIGH, "no sensor sees what is around", {})
        )
    return Decision(tracks, tuple(conditions), live or {})


def unusable(troubles: tuple[Trouble, ...]) -> bool:
    """Return whether what a sensor says must not be used: it is silent, frozen or blind."""
    return any(each in (Trouble.LOST, Trouble.FROZEN, Trouble.BLIND) for each in troubles)
