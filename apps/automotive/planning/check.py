"""Which pairs of profiles can be driven, and which meet an obstacle: exact over all pairs, by sparse contacts.

Whether two boxes overlap along the road depends on the speed profile alone; so only those few moments are looked at
sideways, for all lateral profiles at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Floats
from apps.automotive.planning.candidates import STEP_S, Sides, Singles
from apps.automotive.planning.predict import Futures

GRIP_MPS2 = 8.5
"""What tyres give in any direction on dry asphalt."""
EVASIVE_LATERAL_MPS2 = 5.0
LARGEST_SLOPE = 0.7


@dataclass(frozen=True)
class Motion:
    """How pairs move, (sides, speeds, times): place beside the route, its slope, curvature, lateral acceleration."""

    d_m: Singles
    slope: Singles
    curvature_1pm: Singles
    lateral_mps2: Singles


def motion(sides: Sides, s_m: Floats, speed_mps: Floats, road_1pm: Floats) -> Motion:
    """Return the motion of all pairs; ``road_1pm`` is the route's curvature at ``s_m`` (both speeds, times)."""
    d, slope, bend = sides.at(s_m)
    road = road_1pm.astype(np.float32)[None]
    stretch = slope * slope
    stretch += np.float32(1.0)
    curvature = bend / (stretch * np.sqrt(stretch))
    if road.any():
        curvature += road / (np.float32(1.0) - np.clip(road * d, np.float32(-0.5), np.float32(0.5)))
    squared = (speed_mps * speed_mps).astype(np.float32)[None]
    return Motion(d, slope, curvature, curvature * squared)


def drivable(
    moves: Motion, acceleration_mps2: Floats, speed_mps: Floats, lateral_mps2: float, vehicle: VehicleConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pairs are comfortable and which can be driven at all, (sides, speeds).

    Comfortable: lateral acceleration within ``lateral_mps2``. At all: within the steering, the grip, the drive.
    The first half second of steering is what it is, and is not held against anyone.
    """
    along = ((acceleration_mps2 < vehicle.acceleration_mps2 + 0.05) & (speed_mps > -0.05)).all(axis=1)
    tightest = np.tan(vehicle.steering_limit_rad) / vehicle.wheelbase_m
    later = slice(2, None)
    moving = (speed_mps > 0.3)[None, :, later]
    turn = np.abs(moves.curvature_1pm[:, :, later]).max(axis=2, where=moving, initial=0.0)
    slope = np.abs(moves.slope[:, :, later]).max(axis=2)
    side = np.abs(moves.lateral_mps2[:, :, later])
    strongest = side.max(axis=2)
    side *= side
    side += (acceleration_mps2[None, :, later] ** 2).astype(np.float32)
    within = (turn < tightest) & (slope < LARGEST_SLOPE) & (side.max(axis=2) < GRIP_MPS2**2 + 1.0)
    possible = along & within & (strongest < EVASIVE_LATERAL_MPS2)
    return possible & (strongest < lateral_mps2), possible


@dataclass(frozen=True)
class Contacts:
    """Moments at which a speed profile is level with an obstacle, sorted by profile: indices and a weight each."""

    profile: NDArray[np.intp]
    time: NDArray[np.intp]
    obstacle: NDArray[np.intp]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what (sides, profiles, times) says at the contacts, (sides, contacts)."""
        return values[:, self.profile, self.time]

    def take(self, which: NDArray[np.bool_]) -> Contacts:
        """Return some of them."""
        return Contacts(self.profile[which], self.time[which], self.obstacle[which])

    def reduce(self, values: NDArray[Any], profiles: int, how: np.ufunc) -> NDArray[Any]:
        """Reduce (sides, contacts) to (sides, profiles) by a ufunc; where there is no contact: zero."""
        result = np.zeros((values.shape[0], profiles), values.dtype)
        if self.profile.size:
            starts = np.flatnonzero(np.r_[True, np.diff(self.profile) > 0])
            result[:, self.profile[starts]] = how.reduceat(values, starts, axis=1)
        return result


def level(
    s_m: Floats, speed_mps: Floats, futures: Futures, vehicle: VehicleConfig, *, ahead_m: Floats | float = 0.0
) -> Contacts:
    """Return when profiles ``s_m`` (speeds, times) are level with obstacles; ``ahead_m`` stretches the ego forward.

    Between two times an obstacle must not slip through: boxes grow by what is driven in half a step.
    """
    half = vehicle.length_m / 2 + np.abs(speed_mps) * STEP_S / 2
    stretch = np.broadcast_to(np.asarray(ahead_m, np.float64), s_m.shape)
    middle = (s_m + vehicle.middle_m + stretch / 2)[:, :, None]
    reach = (half + stretch / 2)[:, :, None] + futures.half_s_m[None]
    return Contacts(*np.nonzero(np.abs(middle - futures.s_m[None]) < reach))


def beside(
    contacts: Contacts, d_m: Singles, slope: Singles, futures: Futures, vehicle: VehicleConfig
) -> NDArray[np.bool_]:
    """Return at which contacts the boxes overlap sideways too, (sides, contacts); the ego's grows as it turns.

    ``d_m`` and ``slope`` are the ego's at the contacts.
    """
    t, o = contacts.time, contacts.obstacle
    half = np.float32(vehicle.width_m / 2) + np.abs(slope) * np.float32(vehicle.length_m / 2)
    middle = d_m + slope * np.float32(vehicle.middle_m)
    away = np.abs(middle - futures.d_m[t, o].astype(np.float32))
    return np.asarray(away < half + futures.half_d_m[t, o].astype(np.float32))
