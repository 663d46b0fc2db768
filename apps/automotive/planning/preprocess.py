"""Messages become the situation: ego and tracks along and beside the route, with everything checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Floats, ObjectKind, Odometry, Route, Tracks
from apps.automotive.path import Path, wrap
from edgeai_core.errors import InputError

MOST_OBSTACLES = 32
"""The nearest ones that can matter within the horizon are looked at; a crowd of more has others behind it."""

BEHIND_M = 60.0
AHEAD_M = 220.0
BESIDE_M = 9.0
LARGEST_COVARIANCE_M2 = 400.0
SETTLED_S, SETTLED_MPS = 0.4, 2.0
"""A track younger than this whose speed is not known so well yet is no obstacle of a plan: it might be everywhere. The
brake, which looks at what sensors say themselves, does not wait for it."""
ALONG_MPS, WANDERS_MPS = 3.0, 1.0
"""Who drives along the road faster than this hardly moves across it: known before, one standard deviation. A radar
tells nothing of that speed, and a track far ahead has it from where single looks happened to lie."""
TOLD_APART = 2.0
"""What is no person and goes across the road slower than so many standard deviations is taken to stand."""
PLACED_M = 0.7
"""Who comes the other way is an obstacle once its place across the road is known so well, as for the brake: until then
it is in a lane of its own, most likely."""


@dataclass(frozen=True)
class Obstacles:
    """Tracks in the route's frame, arrays over obstacles; ``s_m`` counts from the ego's rear axle.

    Velocities along and beside the route; half extents of the box as seen from it; deviations of position and
    velocity (one standard deviation) along both.
    """

    id: NDArray[np.int64]
    kind: NDArray[np.int8]
    s_m: Floats
    d_m: Floats
    speed_mps: Floats
    lateral_mps: Floats
    half_length_m: Floats
    half_width_m: Floats
    sigma_s_m: Floats
    sigma_d_m: Floats
    sigma_speed_mps: Floats
    sigma_lateral_mps: Floats

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Obstacles:
        """Return some of them."""
        return Obstacles(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def walks(self) -> NDArray[np.bool_]:
        """Which are people, on foot or on a cycle: they may turn on the spot."""
        return np.asarray((self.kind == ObjectKind.PEDESTRIAN) | (self.kind == ObjectKind.CYCLIST))


@dataclass(frozen=True)
class Situation:
    """What a plan stands on. ``s_m``, ``d_m`` are the rear axle's; ``slope`` and ``bend_1pm`` d's derivatives by s."""

    path: Path
    route: Route
    odometry: Odometry
    s_m: float
    d_m: float
    slope: float
    bend_1pm: float
    speed_mps: float
    acceleration_mps2: float
    obstacles: Obstacles


def situation(
    path: Path,
    route: Route,
    odometry: Odometry,
    tracks: Tracks | None,
    vehicle: VehicleConfig,
    age_s: float = 0.0,
) -> Situation:
    """Return the situation; tracks older than the odometry by ``age_s`` are moved on.

    Raises InputError for an odometry that is not finite. A track that is not finite stays, as far as it can be
    told where it is, with the widest deviations; one without a place is left out.
    """
    values = (
        odometry.x_m, odometry.y_m, odometry.yaw_rad, odometry.speed_mps, odometry.yaw_rate_radps,
        odometry.acceleration_mps2, odometry.steering_rad,
    )  # fmt: skip
    if not np.isfinite(values).all():
        raise InputError("the odometry holds values that are not numbers")
    s, d = (float(value[0]) for value in path.to_frenet(odometry.x_m, odometry.y_m))
    heading = float(wrap(odometry.yaw_rad - path.yaw(s)))
    heading = float(np.clip(heading, -1.2, 1.2))
    curvature = float(path.curvature(s))
    stretch = 1.0 - curvature * d
    slope = np.tan(heading) * stretch
    own = np.tan(odometry.steering_rad) / vehicle.wheelbase_m
    bend = own / np.cos(heading) ** 3 - curvature / stretch
    return Situation(
        path, route, odometry, s, d, float(slope), float(bend), max(odometry.speed_mps, 0.0),
        float(np.clip(odometry.acceleration_mps2, -10.0, 5.0)),
        _obstacles(path, tracks, s, d, age_s) if tracks is not None else _none(),
    )  # fmt: skip


def _none() -> Obstacles:
    empty = np.zeros(0)
    return Obstacles(np.zeros(0, np.int64), np.zeros(0, np.int8), *(empty for _ in range(10)))


def _obstacles(path: Path, tracks: Tracks, s0: float, d0: float, age_s: float) -> Obstacles:
    position, velocity = np.asarray(tracks.position_m), np.asarray(tracks.velocity_mps)
    usable = np.isfinite(position).all(axis=1) & np.asarray(tracks.confirmed)
    spread = np.asarray(tracks.covariance)[:, [2, 3], [2, 3]].max(axis=1)
    usable &= ~((tracks.age_s < SETTLED_S) & (spread > SETTLED_MPS**2))  # what is not a number stays
    if not usable.any():
        return _none()
    position = position[usable]
    moving = np.nan_to_num(velocity[usable], nan=0.0, posinf=0.0, neginf=0.0)
    position = position + moving * age_s
    s, d = path.to_frenet(position[:, 0], position[:, 1])
    along = s - s0
    near = (along > -BEHIND_M) & (along < AHEAD_M) & (np.abs(d - d0) < BESIDE_M + 3.5)
    index = np.flatnonzero(near)
    if len(index) > MOST_OBSTACLES:
        weight = np.abs(along[index]) + 4.0 * np.abs(d[index] - d0) + 30.0 * (along[index] < -10.0)
        index = np.sort(index[np.argsort(weight, kind="stable")[:MOST_OBSTACLES]])
    which = np.flatnonzero(usable)[index]
    s, d, along, moving = s[index], d[index], along[index], moving[index]
    yaw = path.yaw(s)
    cos, sin = np.cos(yaw), np.sin(yaw)
    stretch = np.clip(1.0 - path.curvature(s) * d, 0.5, 1.5)
    known = np.nan_to_num(tracks.yaw_rad[which], nan=0.0)
    turn = known - yaw
    size = np.nan_to_num(tracks.size_m[which], nan=2.0)
    length, width = np.clip(size[:, 0], 0.3, 25.0), np.clip(size[:, 1], 0.3, 4.0)
    c, w = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    covariance = np.nan_to_num(tracks.covariance[which], nan=LARGEST_COVARIANCE_M2)
    to_route = np.zeros((len(which), 2, 2))
    to_route[:, 0, 0], to_route[:, 0, 1], to_route[:, 1, 0], to_route[:, 1, 1] = cos, sin, -sin, cos
    of_place = to_route @ covariance[:, :2, :2] @ to_route.transpose(0, 2, 1)
    of_speed = to_route @ covariance[:, 2:, 2:] @ to_route.transpose(0, 2, 1)
    deviations = [
        np.sqrt(np.clip(matrix[:, i, i], 0.0, LARGEST_COVARIANCE_M2))
        for matrix in (of_place, of_speed)
        for i in (0, 1)
    ]
    speed, lateral = cos * moving[:, 0] + sin * moving[:, 1], cos * moving[:, 1] - sin * moving[:, 0]
    kept = np.where(np.abs(speed) > ALONG_MPS, WANDERS_MPS**2 / (WANDERS_MPS**2 + deviations[3] ** 2), 1.0)
    kind = np.asarray(tracks.kind)[which]
    walks = (kind == ObjectKind.PEDESTRIAN) | (kind == ObjectKind.CYCLIST)
    kept[~walks & (np.abs(speed) < ALONG_MPS) & (np.abs(lateral) < TOLD_APART * deviations[3])] = 0.0
    deviations[3] = deviations[3] * np.sqrt(kept)
    found = Obstacles(
        np.asarray(tracks.id)[which], kind, along, d, speed / stretch, lateral * kept,
        (length * c + width * w) / 2, (length * w + width * c) / 2, *deviations,
    )  # fmt: skip
    return found.take(~((speed < -ALONG_MPS) & (found.sigma_d_m > PLACED_M)))
