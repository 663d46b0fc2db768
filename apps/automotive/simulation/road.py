"""The road: lanes along a line of straights and bends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import Route
from apps.automotive.path import Path
from apps.automotive.simulation.scene import Road

TRANSITION_M = 40.0
"""Curvature goes from one bend to the next over this length, as a clothoid does."""


@dataclass(frozen=True)
class Bend:
    """A stretch of one curvature in 1/m: 0 is straight, positive turns left."""

    length_m: float
    curvature_1pm: float = 0.0


class RoadMap:
    """A road with its lanes: lane 0 is the rightmost, and ``path`` its centre line."""

    def __init__(
        self, bends: Sequence[Bend], *, lanes: int, lane_width_m: float = 3.5, speed_limit_mps: float = 13.9
    ) -> None:
        self.path = _path(bends)
        self.lanes, self.lane_width_m, self.speed_limit_mps = lanes, lane_width_m, speed_limit_mps
        width = lane_width_m
        self.road = Road(
            tuple(np.stack(self.path.beside(lane * width), axis=1) for lane in range(lanes)),
            tuple(np.stack(self.path.beside((lane - 0.5) * width), axis=1) for lane in range(lanes + 1)),
            width,
            speed_limit_mps,
        )

    def route(self, lane: int, s_m: float, behind_m: float = 60.0, ahead_m: float = 400.0) -> Route:
        """Return the route along one lane, around a place on the road; it ends where the road does."""
        first, last = max(s_m - behind_m, 0.0), min(s_m + ahead_m, self.path.length_m)
        s = np.linspace(first, max(last, first + 10.0), max(int((last - first) / 2.0), 2))
        x, y, _ = self.path.to_ground(s, lane * self.lane_width_m)
        return Route(x, y, self.lane_width_m, self.lanes - 1 - lane, lane, self.speed_limit_mps)

    def lane_at(self, d_m: float) -> int:
        """Return the lane that a lateral place is in; the nearest one beside the road."""
        return int(np.clip(round(d_m / self.lane_width_m), 0, self.lanes - 1))


def _path(bends: Sequence[Bend]) -> Path:
    curvature = np.concatenate([np.full(max(round(b.length_m), 1), b.curvature_1pm) for b in bends])
    width = int(TRANSITION_M)
    padded = np.pad(curvature, (width // 2, width - 1 - width // 2), mode="edge")
    smooth = np.convolve(padded, np.ones(width) / width, mode="valid")
    yaw = np.concatenate([[0.0], np.cumsum(smooth)])
    middle = (yaw[1:] + yaw[:-1]) / 2
    x = np.concatenate([[0.0], np.cumsum(np.cos(middle))])
    y = np.concatenate([[0.0], np.cumsum(np.sin(middle))])
    return Path(x, y)
