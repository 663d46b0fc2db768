"""Cases of the tables: approaches as Euro NCAP's test protocols describe them, each as a scenario.

AEB Car-to-Car systems test protocol 4.3 (2024): CCRs (target stands, 10 to 80 km/h), CCRm (target at 20 km/h, 30 to
80 km/h), CCRb (both at 50 km/h, 12 and 40 m apart, target brakes by 2 and 6 m/s^2), at overlaps of -50 to 100 %.
AEB VRU protocol 4.5 (2024): CPNA-25 and -75 (adult from the near side, 5 km/h), CPFA-50 (from the far side, 8 km/h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import ObjectKind
from apps.automotive.simulation.road import Bend, RoadMap
from apps.automotive.simulation.traffic import Actor, Behaviour, Event
from apps.automotive.simulation.world import Scenario

FRONT_M, MIDDLE_M, WIDTH_M = 3.65, 1.35, 1.9
APPROACH_S = 5.0
OVERLAPS = (-0.5, -0.75, 1.0, 0.75, 0.5)
_START_M = 80.0


@dataclass(frozen=True)
class Case:
    """One row: which table, the ego's speed, and what else distinguishes it."""

    table: str
    speed_kmh: int
    detail: str
    scenario: Scenario


def cases(step_kmh: int) -> Iterator[Case]:
    """Return all cases, speeds ``step_kmh`` apart."""
    for speed in range(10, 81, step_kmh):
        for overlap in OVERLAPS:
            yield Case("CCRs", speed, f"overlap {overlap:+.0%}", _behind(speed, 0.0, overlap))
    for speed in range(30, 81, step_kmh):
        for overlap in OVERLAPS:
            yield Case("CCRm", speed, f"overlap {overlap:+.0%}", _behind(speed, 20.0, overlap))
    for gap in (12.0, 40.0):
        for braking in (2.0, 6.0):
            yield Case("CCRb", 50, f"{gap:.0f} m, {braking:.0f} m/s^2", _braking(gap, braking))
    for speed in range(10, 61, step_kmh):
        yield Case("CPNA-25", speed, "near side, 5 km/h", _crossing(speed, 5.0, 0.25, near=True))
        yield Case("CPNA-75", speed, "near side, 5 km/h", _crossing(speed, 5.0, 0.75, near=True))
        yield Case("CPFA-50", speed, "far side, 8 km/h", _crossing(speed, 8.0, 0.50, near=False))


def _road() -> RoadMap:
    return RoadMap([Bend(1000.0)], lanes=2)


def _behind(speed_kmh: float, target_kmh: float, overlap: float) -> Scenario:
    """Return an approach to a car that stands or drives; the overlap's sign says on which side."""
    speed, target = speed_kmh / 3.6, target_kmh / 3.6
    aside = (1.0 - abs(overlap)) * WIDTH_M * np.sign(overlap)
    away = max((speed - target) * APPROACH_S, 15.0)
    behaviour = Behaviour.STEADY if target else Behaviour.STAND
    lead = Actor(
        ObjectKind.CAR, _START_M + FRONT_M + away + 2.25, aside, target, behaviour, size_m=(4.5, 1.8, 1.5)
    )
    return Scenario("approach", _road(), (lead,), speed, _START_M, 0, APPROACH_S + 6.0)


def _braking(gap_m: float, braking_mps2: float) -> Scenario:
    speed = 50 / 3.6
    stop = Event("brake", braking_mps2, 30.0, at_s=2.0)
    lead = Actor(
        ObjectKind.CAR, _START_M + FRONT_M + gap_m + 2.25, 0.0, speed, Behaviour.STEADY, speed, event=stop
    )
    return Scenario("braking lead", _road(), (lead,), speed, _START_M, 0, 16.0)


def _crossing(speed_kmh: float, walk_kmh: float, share: float, *, near: bool) -> Scenario:
    """Return a crossing that, unbraked, hits the walker at ``share`` of the ego's width from the side he came from."""
    speed, walk = speed_kmh / 3.6, walk_kmh / 3.6
    away = speed * APPROACH_S
    start_d = -4.0 if near else 6.0
    hit_d = -WIDTH_M / 2 + share * WIDTH_M if near else WIDTH_M / 2 - share * WIDTH_M
    at_s = APPROACH_S - abs(hit_d - start_d) / walk
    walker = Actor(
        ObjectKind.PEDESTRIAN, _START_M + FRONT_M + away + 0.3, start_d, 0.0, Behaviour.CROSS, walk,
        heading_rad=np.pi / 2 if near else -np.pi / 2, event=Event("cross", at_s=max(at_s, 0.02)),
    )  # fmt: skip
    return Scenario("crossing", _road(), (walker,), speed, _START_M, 0, APPROACH_S + 6.0)
