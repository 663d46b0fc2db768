"""Other road users: what they mean to do, and how they move along the road.

Following: the intelligent driver model (Treiber, Hennecke and Helbing, Physical Review E 62:1805, 2000). Lane
changes: MOBIL (Kesting, Treiber and Helbing, Transportation Research Record 1999:86-94, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from apps.automotive.messages import Floats, ObjectKind
from apps.automotive.simulation.road import RoadMap

IDM_ACCELERATION_MPS2 = 1.4
IDM_BRAKING_MPS2 = 2.0
IDM_STANDSTILL_M = 2.0
IDM_EXPONENT = 4
STRONGEST_BRAKING_MPS2 = 8.0
MOBIL_POLITENESS = 0.3
MOBIL_THRESHOLD_MPS2 = 0.3
MOBIL_SAFE_BRAKING_MPS2 = 3.0
MOBIL_EVERY_S = 1.0

SIZES_M = {
    ObjectKind.UNKNOWN: (0.3, 0.3, 2.5),
    ObjectKind.CAR: (4.5, 1.8, 1.5),
    ObjectKind.TRUCK: (12.0, 2.5, 3.6),
    ObjectKind.PEDESTRIAN: (0.5, 0.6, 1.75),
    ObjectKind.CYCLIST: (1.8, 0.6, 1.75),
}
"""Length, width and height. What is unknown is a post at the roadside."""


class Behaviour(StrEnum):
    """What a road user does."""

    DRIVE = "drive"  # follows its lane by the IDM, and may change it
    STEADY = "steady"  # keeps its velocity, whoever comes: oncoming traffic, someone on a pavement
    STAND = "stand"
    CROSS = "cross"  # stands at the roadside, then goes straight across


@dataclass(frozen=True)
class Event:
    """Something a road user does once: when the time has come, or the ego's front is near enough.

    ``gap_m``, or ``gap_s`` (gap over the ego's speed), counts from the ego's front to the nearer end. A brake event
    decelerates by ``value`` (m/s^2) for ``duration_s``; a lane change goes to ``value`` (d in m) within it; a
    crossing starts.
    """

    kind: str  # "brake", "lane", "cross"
    value: float = 0.0
    duration_s: float = 3.0
    at_s: float = np.inf
    gap_m: float = -np.inf
    gap_s: float = -np.inf


@dataclass(frozen=True)
class Actor:
    """One road user at the start; ``heading_rad`` is against the road's direction, 0 along it."""

    kind: ObjectKind
    s_m: float
    d_m: float
    speed_mps: float = 0.0
    behaviour: Behaviour = Behaviour.DRIVE
    desired_mps: float = 0.0
    headway_s: float = 1.2
    changes_lanes: bool = False
    heading_rad: float = 0.0
    event: Event | None = None
    size_m: tuple[float, float, float] | None = None


class Traffic:
    """All road users on one road, as arrays; ``step`` moves them on."""

    def __init__(self, road: RoadMap, actors: Sequence[Actor]) -> None:
        self.road = road
        self.actors = tuple(actors)
        sizes = np.array([a.size_m or SIZES_M[a.kind] for a in actors], np.float64).reshape(-1, 3)
        self.length_m, self.width_m, self.height_m = sizes[:, 0], sizes[:, 1], sizes[:, 2]
        self.kind = np.array([a.kind for a in actors], np.int8)
        self.s_m = np.array([a.s_m for a in actors], np.float64)
        self.d_m = np.array([a.d_m for a in actors], np.float64)
        self.heading_rad = np.array([a.heading_rad for a in actors], np.float64)
        self.speed_mps = np.array([a.speed_mps for a in actors], np.float64)
        self.lateral_mps = np.zeros(len(actors))
        self.acceleration_mps2 = np.zeros(len(actors))
        self.turn_radps = np.zeros(len(actors))
        """The yaw rate of changing lanes, on top of the road's own bend."""
        self._moves = np.array([a.behaviour in (Behaviour.DRIVE, Behaviour.STEADY) for a in actors], bool)
        self._drives = np.array([a.behaviour is Behaviour.DRIVE for a in actors], bool)
        self._desired = np.array([max(a.desired_mps, 0.1) for a in actors], np.float64)
        self._headway = np.array([a.headway_s for a in actors], np.float64)
        self._waiting = [i for i, actor in enumerate(actors) if actor.event is not None]
        self._changers = [i for i, actor in enumerate(actors) if actor.changes_lanes]
        self._lane_from = self.d_m.copy()
        self._lane_to = self.d_m.copy()
        self._lane_began_s = np.full(len(actors), -np.inf)
        self._lane_takes_s = np.full(len(actors), 4.0)
        self._brakes_until_s = np.full(len(actors), -np.inf)
        self._braking = np.zeros(len(actors))
        self.time_s = 0.0

    def step(self, dt_s: float, ego: tuple[float, float, float, float, float]) -> None:
        """Move everyone on; ``ego`` is its middle's s and d, its speed, length and width."""
        self.time_s += dt_s
        self._fire(ego)
        s, d, v, length, width = self._with(ego)
        acceleration = self._idm(s, d, v, length, width)[1:]
        acceleration = np.where(self._drives, acceleration, 0.0)
        braking = (self.time_s < self._brakes_until_s) & self._moves
        acceleration = np.where(braking, -self._braking, acceleration)
        self._consider_lanes(ego)
        before = self.speed_mps
        self.speed_mps = np.maximum(before + acceleration * dt_s, 0.0)
        self.acceleration_mps2 = (self.speed_mps - before) / dt_s
        along = (before + self.speed_mps) / 2 * dt_s
        curvature = self.road.path.curvature(self.s_m)
        stretch = 1.0 - np.clip(curvature * self.d_m, -0.5, 0.5)
        self.s_m = self.s_m + along * np.cos(self.heading_rad) / stretch
        self.d_m = self.d_m + along * np.sin(self.heading_rad)
        self._move_sideways(dt_s)

    def _with(self, ego: tuple[float, float, float, float, float]) -> tuple[Floats, ...]:
        """Return s, d, velocity along the road, length and width with the ego in front of the arrays."""
        mine = (self.s_m, self.d_m, self.speed_mps * np.cos(self.heading_rad), self.length_m, self.width_m)
        return tuple(np.concatenate([[own], others]) for own, others in zip(ego, mine, strict=True))

    def _idm(self, s: Floats, d: Floats, v: Floats, length: Floats, width: Floats) -> Floats:
        """Return the IDM's acceleration behind whoever is ahead and overlaps sideways; of the ego's too, unused.

        Who is beside the road, or comes the other way beyond its edge, is in nobody's way.
        """
        half = self.road.lane_width_m / 2
        on_road = (d > -half - width / 2) & (d < (2 * self.road.lanes - 1) * half + width / 2)
        on_road[0] = True
        some = np.flatnonzero(on_road)
        desired = np.concatenate([[v[0] + 0.1], self._desired])
        headway = np.concatenate([[1.2], self._headway])
        result = np.zeros(len(s))
        s, d, v, length, width = s[some], d[some], v[some], length[some], width[some]
        gap = s[None, :] - s[:, None] - (length[None, :] + length[:, None]) / 2
        beside = np.abs(d[None, :] - d[:, None]) < (width[None, :] + width[:, None]) / 2 + 0.3
        gap = np.where((s[None, :] > s[:, None]) & beside, np.maximum(gap, 0.1), np.inf)
        lead = np.argmin(gap, axis=1)
        gap, lead_v = gap[np.arange(len(s)), lead], v[lead]
        result[some] = idm(v, desired[some], gap, v - lead_v, headway[some])
        return result

    def _fire(self, ego: tuple[float, float, float, float, float]) -> None:
        for i in tuple(self._waiting):
            actor, event = self.actors[i], self.actors[i].event
            if event is None:
                continue
            gap = self.s_m[i] - self.length_m[i] / 2 - ego[0] - ego[3] / 2
            near = 0.0 <= gap <= event.gap_m or (ego[2] > 0.5 and 0.0 <= gap <= event.gap_s * ego[2])
            if not (near or self.time_s >= event.at_s):
                continue
            self._waiting.remove(i)
            if event.kind == "brake":
                self._brakes_until_s[i], self._braking[i] = self.time_s + event.duration_s, event.value
            elif event.kind == "lane":
                self._start_lane(i, event.value, event.duration_s)
            else:
                self._moves[i] = True
                self.speed_mps[i] = actor.desired_mps

    def _start_lane(self, i: int, d_m: float, takes_s: float) -> None:
        self._lane_from[i], self._lane_to[i] = self.d_m[i], d_m
        self._lane_began_s[i], self._lane_takes_s[i] = self.time_s, takes_s

    def _move_sideways(self, dt_s: float) -> None:
        share = np.clip((self.time_s - self._lane_began_s) / self._lane_takes_s, 0.0, 1.0)
        changing = (share < 1.0) & self._drives
        before = self.d_m
        smooth = share**3 * (10 - 15 * share + 6 * share**2)
        on_the_way = self._lane_from + (self._lane_to - self._lane_from) * smooth
        just_done = self._drives & (share >= 1.0) & np.isfinite(self._lane_began_s)
        self.d_m = np.where(changing, on_the_way, np.where(just_done, self._lane_to, self.d_m))
        moving = self._drives & (self.speed_mps > 0.1)
        drift = self.lateral_mps / np.maximum(self.speed_mps, 1.0)
        self.lateral_mps = np.where(moving, (self.d_m - before) / dt_s, 0.0)
        self.turn_radps = (self.lateral_mps / np.maximum(self.speed_mps, 1.0) - drift) / dt_s
        self._lane_began_s = np.where(just_done, -np.inf, self._lane_began_s)

    def _consider_lanes(self, ego: tuple[float, float, float, float, float]) -> None:
        """Let drivers weigh a lane change, each once a second, one after the other."""
        phase = self.time_s % MOBIL_EVERY_S
        width = self.road.lane_width_m
        for i in self._changers:
            due = (i * 0.37) % MOBIL_EVERY_S
            if not due <= phase < due + 0.051 or self.time_s < self._brakes_until_s[i]:
                continue
            if np.isfinite(self._lane_began_s[i]) or self.speed_mps[i] < 3.0:
                continue
            lane = self.road.lane_at(float(self.d_m[i]))
            for other in (lane + 1, lane - 1):
                if 0 <= other < self.road.lanes and self._worth_it(i, other * width, ego):
                    self._start_lane(i, other * width, 4.0)
                    break

    def _worth_it(self, i: int, d_m: float, ego: tuple[float, float, float, float, float]) -> bool:
        s, d, v, length, width = self._with(ego)
        to = np.concatenate([[np.inf], self._lane_to])
        me = i + 1
        taken = (np.abs(d - d_m) < 2.0) | (np.abs(to - d_m) < 2.0)
        taken[me] = False
        if (taken & (np.abs(s - s[me]) < (length + length[me]) / 2 + 3.0)).any():
            return False
        before = self._idm(s, d, v, length, width)
        moved = d.copy()
        moved[me] = d_m
        after = self._idm(s, moved, v, length, width)
        behind = np.where(taken & (s < s[me]), s, -np.inf)
        follower = int(np.argmax(behind))
        cost = 0.0
        if np.isfinite(behind[follower]):
            if after[follower] < -MOBIL_SAFE_BRAKING_MPS2:
                return False
            cost = float(before[follower] - after[follower])
        gain = float(after[me] - before[me]) - MOBIL_POLITENESS * max(cost, 0.0)
        return gain > MOBIL_THRESHOLD_MPS2


def idm(
    speed_mps: Floats, desired_mps: Floats, gap_m: Floats, approach_mps: Floats, headway_s: Floats
) -> Floats:
    """Return the acceleration of the intelligent driver model, bounded by what tyres give; arrays of one shape."""
    dynamic = speed_mps * approach_mps / (2 * np.sqrt(IDM_ACCELERATION_MPS2 * IDM_BRAKING_MPS2))
    wanted = IDM_STANDSTILL_M + np.maximum(speed_mps * headway_s + dynamic, 0.0)
    free = 1.0 - (np.maximum(speed_mps, 0.0) / desired_mps) ** IDM_EXPONENT
    acceleration = IDM_ACCELERATION_MPS2 * (np.maximum(free, -3.0) - (wanted / gap_m) ** 2)
    return np.asarray(np.clip(acceleration, -STRONGEST_BRAKING_MPS2, IDM_ACCELERATION_MPS2))
