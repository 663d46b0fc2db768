"""A simulated 77 GHz radar: range, azimuth and range rate of what reflects, with clutter, ghosts and its limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats, ObjectKind, RadarScan
from apps.automotive.simulation.scene import Scene

RCS_DBSM = {
    ObjectKind.UNKNOWN: 0.0,
    ObjectKind.CAR: 10.0,
    ObjectKind.TRUCK: 20.0,
    ObjectKind.PEDESTRIAN: -8.0,
    ObjectKind.CYCLIST: -2.0,
}
"""Usual radar cross-sections of road users at 77 GHz; single looks scatter around them."""

LOOKS = {
    ObjectKind.UNKNOWN: 2,
    ObjectKind.CAR: 4,
    ObjectKind.TRUCK: 6,
    ObjectKind.PEDESTRIAN: 2,
    ObjectKind.CYCLIST: 2,
}
"""How many places of it reflect at once."""

_RCS_OF = np.array([RCS_DBSM[kind] for kind in sorted(ObjectKind)])
_LOOKS_OF = np.array([LOOKS[kind] for kind in sorted(ObjectKind)])


@dataclass(frozen=True)
class RadarModel:
    """A mid-range front radar: ``position_m`` (x, y) in the vehicle frame, its axis ahead.

    ``zero_db_m`` is where 0 dBsm has the signal-to-noise ratio that half of all looks detect; by the radar
    equation the ratio falls with the fourth power of the range. ``*_noise`` are standard deviations of a
    detection at that ratio (better ones are more exact), ``*_resolution``: nearer than that in all three,
    two reflections are one detection. ``clutter``: false detections a scan, and stray returns off the
    road's edges; ``ghost``: the chance that a strong detection has an echo by a second bounce.
    """

    position_m: tuple[float, float] = (3.7, 0.0)
    field_of_view_rad: float = 1.05
    max_range_m: float = 150.0
    zero_db_m: float = 70.0
    range_noise_m: float = 0.25
    azimuth_noise_rad: float = 0.012
    range_rate_noise_mps: float = 0.12
    range_resolution_m: float = 0.5
    azimuth_resolution_rad: float = 0.06
    range_rate_resolution_mps: float = 0.25
    clutter: float = 2.0
    edge_clutter: float = 6.0
    ghost: float = 0.02


@dataclass(frozen=True)
class _Looks:
    """Reflections before they are detected: places in the vehicle frame, range rates, cross-sections."""

    xy_m: Floats
    range_rate_mps: Floats
    rcs_dbsm: Floats


class Radar:
    """Scans scenes."""

    def __init__(self, rng: np.random.Generator, model: RadarModel | None = None) -> None:
        self.model = model or RadarModel()
        self._rng = rng

    def scan(self, scene: Scene) -> RadarScan:
        """Return the detections of one scan; their arrays are read-only."""
        looks = _joined(self._objects(scene), self._edges(scene))
        away = looks.xy_m - self.model.position_m
        range_m, azimuth = np.hypot(away[:, 0], away[:, 1]), np.arctan2(away[:, 1], away[:, 0])
        rate, rcs = looks.range_rate_mps, looks.rcs_dbsm
        seen = (range_m > 0.5) & (range_m < self.model.max_range_m)
        seen &= np.abs(azimuth) < self.model.field_of_view_rad
        # decibels over the ratio at which half of the looks are detected; the pattern loses 12 dB at the edge
        snr = rcs - 40 * np.log10(np.maximum(range_m, 0.5) / self.model.zero_db_m)
        snr -= 12 * (azimuth / self.model.field_of_view_rad) ** 2
        seen &= self._rng.random(len(rcs)) < 1 / (1 + np.exp(-snr / 2.5))
        table = np.stack([range_m, azimuth, rate, rcs, snr], axis=1)[seen]
        table = self._resolved(table)
        table = np.concatenate([table, self._ghosts(table)])
        sharp = np.clip(10 ** (-table[:, 4] / 40), 0.35, 2.0)
        spread = 1 + (table[:, 1] / self.model.field_of_view_rad) ** 2
        noise = self._rng.standard_normal((3, len(table)))
        table[:, 0] += self.model.range_noise_m * sharp * noise[0]
        table[:, 1] += self.model.azimuth_noise_rad * sharp * spread * noise[1]
        table[:, 2] += self.model.range_rate_noise_mps * sharp * noise[2]
        table = np.concatenate([table, self._clutter()])
        table = table[(table[:, 0] > 0.3) & (table[:, 0] < self.model.max_range_m)]
        columns = [np.ascontiguousarray(table[:, column]) for column in range(4)]
        for column in columns:
            column.flags.writeable = False
        return RadarScan(*columns)

    def _objects(self, scene: Scene) -> _Looks:
        """Return reflections off the sides that face the radar, a few for each object."""
        count = len(scene.object_id)
        if not count:
            return _nothing()
        middle, velocity = scene.object_positions_m(), scene.object_velocities_mps()
        heading = scene.object_yaw_rad - scene.yaw_rad
        half = np.stack([scene.object_length_m, scene.object_width_m], axis=1) / 2
        many = _LOOKS_OF[scene.object_kind]
        owner = np.repeat(np.arange(count), many)
        along = np.stack([np.cos(heading), np.sin(heading)], axis=1)[owner]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        away = np.asarray(self.model.position_m) - middle[owner]
        facing = np.stack([(away * along).sum(axis=1), (away * across).sum(axis=1)], axis=1)
        side = np.where(facing >= 0, 1.0, -1.0)
        # a face reflects in proportion to the angle that it shows, at a random place; mostly near its middle
        shown = np.abs(facing) * half[owner][:, ::-1]
        front = self._rng.random(len(owner)) * shown.sum(axis=1) < shown[:, 0]
        place = np.clip(self._rng.normal(0, 0.4, (len(owner), 2)), -1, 1)
        local = np.where(np.stack([front, ~front], axis=1), side, place) * half[owner]
        offset = local[:, :1] * along + local[:, 1:] * across
        xy = middle[owner] + offset
        turning = scene.object_yaw_rate_radps[owner][:, None] * np.stack(
            [-offset[:, 1], offset[:, 0]], axis=1
        )
        rcs = _RCS_OF[scene.object_kind][owner]
        rcs = rcs - 10 * np.log10(many[owner]) + self._rng.normal(0, 4.0, len(owner))
        rcs -= 15.0 * _hidden(middle, half, np.asarray(self.model.position_m))[owner]
        return _Looks(xy, self._range_rate(scene, xy, velocity[owner] + turning), rcs)

    def _edges(self, scene: Scene) -> _Looks:
        """Return stray reflections off rails, kerbs and posts at the road's edges."""
        border = np.concatenate([scene.road.borders_m[0], scene.road.borders_m[-1]])
        number = self._rng.poisson(self.model.edge_clutter)
        dx, dy = border[:, 0] - scene.x_m, border[:, 1] - scene.y_m
        cos, sin = np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)
        xy = np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=1)
        xy = xy[(xy[:, 0] > 5) & (xy[:, 0] < 90)]
        if not len(xy) or not number:
            return _nothing()
        xy = xy[self._rng.integers(0, len(xy), number)] + self._rng.normal(0, 0.5, (number, 2))
        rcs = self._rng.normal(-2, 5, number)
        return _Looks(xy, self._range_rate(scene, xy, np.zeros((number, 2))), rcs)

    def _range_rate(self, scene: Scene, xy_m: Floats, velocity_mps: Floats) -> Floats:
        """Return how fast the range changes, with the ego's motion at the radar's place."""
        x, y = self.model.position_m
        own = np.array([scene.speed_mps - scene.yaw_rate_radps * y, scene.yaw_rate_radps * x])
        away = xy_m - self.model.position_m
        sight = away / np.maximum(np.hypot(away[:, 0], away[:, 1])[:, None], 1e-6)
        return np.asarray(((velocity_mps - own) * sight).sum(axis=1))

    def _resolved(self, table: Floats) -> Floats:
        """Join what the radar cannot tell apart; the strongest stands for all."""
        table = table[np.argsort(-table[:, 3])]
        limits = np.array(
            [
                self.model.range_resolution_m,
                self.model.azimuth_resolution_rad,
                self.model.range_rate_resolution_mps,
            ]
        )
        near = np.asarray((np.abs(table[:, None, :3] - table[None, :, :3]) < limits).all(axis=2))
        alive = np.ones(len(table), dtype=bool)
        for at in range(len(table)):
            if alive[at]:
                alive[at + 1 :] &= ~near[at, at + 1 :]
        return table[alive]

    def _ghosts(self, table: Floats) -> Floats:
        """Return echoes over the ego and back: at twice the range and range rate, 15 dB weaker."""
        ghosts = table[(table[:, 4] > 15) & (self._rng.random(len(table)) < self.model.ghost)].copy()
        ghosts[:, [0, 2]] *= 2
        ghosts[:, 3:] -= 15
        return ghosts

    def _clutter(self) -> Floats:
        """Return false detections, anywhere and with any range rate."""
        number = self._rng.poisson(self.model.clutter)
        view, reach = self.model.field_of_view_rad, self.model.max_range_m
        return np.stack(
            [
                self._rng.uniform(1, reach, number),
                self._rng.uniform(-view, view, number),
                self._rng.uniform(-35, 15, number),
                self._rng.normal(-8, 4, number),
                np.zeros(number),
            ],
            axis=1,
        )


def _hidden(middle_m: Floats, half_m: Floats, sensor_m: Floats) -> NDArray[np.bool_]:
    """Which objects lie behind a nearer one, seen from the sensor."""
    away = middle_m - sensor_m
    distance, bearing = np.hypot(away[:, 0], away[:, 1]), np.arctan2(away[:, 1], away[:, 0])
    width = np.arctan2(half_m.min(axis=1), np.maximum(distance, 0.5))
    apart = np.abs((bearing[:, None] - bearing[None] + np.pi) % (2 * np.pi) - np.pi)
    before = distance[None] < distance[:, None] - half_m.max(axis=1)[None]
    return np.asarray((before & (apart < width[None])).any(axis=1))


def _nothing() -> _Looks:
    return _Looks(np.zeros((0, 2)), np.zeros(0), np.zeros(0))


def _joined(a: _Looks, b: _Looks) -> _Looks:
    return _Looks(
        np.concatenate([a.xy_m, b.xy_m]),
        np.concatenate([a.range_rate_mps, b.range_rate_mps]),
        np.concatenate([a.rcs_dbsm, b.rcs_dbsm]),
    )
