"""Radar detections lose the ego's motion, are told moving from standing, and joined where they are one object's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import Floats, Odometry, RadarScan
from apps.automotive.perception.detections import RadarMount, RadarPoints

MOST = 512
"""No radar gives more detections in a scan; the strongest are kept, so that a broken one cannot stop the clock."""


@dataclass(frozen=True)
class RadarSettings:
    """What counts as moving, and what as one object.

    ``standing_mps``: a detection whose own range rate is below stands, with ``of_ego_speed`` of the ego's speed on
    top, for speed and angle are not exact. Two detections are one object's that are no further apart than
    ``apart_m`` and ``apart_mps`` in range rate.
    """

    standing_mps: float = 0.7
    of_ego_speed: float = 0.03
    apart_m: float = 2.2
    apart_mps: float = 1.0
    least_rcs_dbsm: float = -25.0


class RadarDetector:
    """Turns scans into points for fusion."""

    def __init__(self, mount: RadarMount | None = None, settings: RadarSettings | None = None) -> None:
        self.mount = mount or RadarMount()
        self.settings = settings or RadarSettings()

    def detect(self, scan: RadarScan, ego: Odometry) -> RadarPoints:
        """Return one point for each object, in the middle of its reflections. NaN detections are left out."""
        table = np.stack([scan.range_m, scan.azimuth_rad, scan.range_rate_mps, scan.rcs_dbsm], axis=1)
        sound = (
            np.isfinite(table).all(axis=1) & (table[:, 0] > 0) & (table[:, 3] > self.settings.least_rcs_dbsm)
        )
        table = table[sound]
        if len(table) > MOST:
            table = table[np.argsort(-table[:, 3], kind="stable")[:MOST]]
        range_m, azimuth, rcs = table[:, 0], table[:, 1], table[:, 3]
        own_mps = table[:, 2] + self._approach_mps(azimuth, ego)
        moving = np.abs(own_mps) > self.settings.standing_mps + self.settings.of_ego_speed * abs(
            ego.speed_mps
        )
        if not len(table):
            return RadarPoints(range_m, azimuth, own_mps, moving)
        group = self._groups(range_m, azimuth, own_mps)
        return _joined(range_m, azimuth, own_mps, moving, 10 ** (rcs / 10), group)

    def _approach_mps(self, azimuth_rad: Floats, ego: Odometry) -> Floats:
        """Return how fast the radar itself moves along each line of sight."""
        x, y = self.mount.position_m
        vx, vy = ego.speed_mps - ego.yaw_rate_radps * y, ego.yaw_rate_radps * x
        sight = azimuth_rad + self.mount.yaw_rad
        return np.asarray(vx * np.cos(sight) + vy * np.sin(sight))

    def _groups(self, range_m: Floats, azimuth_rad: Floats, own_mps: Floats) -> np.ndarray:
        place = np.stack([range_m * np.cos(azimuth_rad), range_m * np.sin(azimuth_rad)], axis=1)
        away = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
        near = (away < self.settings.apart_m) & (
            np.abs(own_mps[:, None] - own_mps[None]) < self.settings.apart_mps
        )
        return _connected(near)


def _connected(near: np.ndarray) -> np.ndarray:
    """Return the number of each one's group (n,): who is near (n, n) is of one group, and who is near them.

    Everybody takes the least number of those near, and what that one has taken, until nothing changes. scipy's
    ``connected_components`` spends longer on making a sparse matrix of so few.
    """
    group = np.arange(len(near))
    while True:
        least = np.where(near, group, len(near)).min(axis=1)
        least = least[least]
        if np.array_equal(least, group):
            return np.unique(group, return_inverse=True)[1]
        group = least


def _joined(
    range_m: Floats,
    azimuth_rad: Floats,
    own_mps: Floats,
    moving: np.ndarray,
    power: Floats,
    group: np.ndarray,
) -> RadarPoints:
    """Return a point a group: range, azimuth and range rate weighted by reflected power."""
    count = int(group.max()) + 1
    total = np.bincount(group, power, count)
    mean_m, mean_rad, mean_mps = (
        np.bincount(group, power * each, count) / total for each in (range_m, azimuth_rad, own_mps)
    )
    share = np.bincount(group, moving, count) / np.bincount(group, minlength=count)
    return RadarPoints(mean_m, mean_rad, mean_mps, share > 0.5)
