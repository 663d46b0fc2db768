"""Tracks as a perception of known quality would give them: the truth with noise, delay and range. For evaluations.

They stand in where a loop is judged apart from perception: what it does with good and with wrong tracks is then known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import Odometry, Tracks
from apps.automotive.simulation.scene import Scene


@dataclass(frozen=True)
class Quality:
    """Standard deviations of position and velocity, how old tracks are, and how far they are seen."""

    position_m: float = 0.2
    velocity_mps: float = 0.25
    delay_s: float = 0.1
    range_m: float = 120.0
    correlated_s: float = 0.5
    """Errors of a tracker go on for a while: they change with this time constant."""


class BelievedTracks:
    """Tells tracks of scenes; call ``see`` in the order of time, with the ego's belief of its own pose."""

    def __init__(self, rng: np.random.Generator, quality: Quality | None = None) -> None:
        self._rng = rng
        self._quality = quality or Quality()
        self._error = np.zeros((0, 4))
        self._last_s: float | None = None
        self._waiting: deque[tuple[float, Tracks]] = deque()

    def see(self, scene: Scene, ego: Odometry, time_ns: int) -> Tracks | None:
        """Take in the scene of this moment and return the tracks that are out by now; None before the first."""
        self._waiting.append((scene.time_s, self._tracks(scene, ego, time_ns)))
        out = None
        while self._waiting and self._waiting[0][0] + self._quality.delay_s <= scene.time_s + 1e-9:
            out = self._waiting.popleft()[1]
        return out

    def _tracks(self, scene: Scene, ego: Odometry, time_ns: int) -> Tracks:
        quality = self._quality
        error = self._errors(len(scene.object_id), scene.time_s)
        position = np.stack([scene.object_x_m, scene.object_y_m], axis=1) + error[:, :2]
        yaw = scene.object_yaw_rad
        velocity = scene.object_speed_mps[:, None] * np.stack([np.cos(yaw), np.sin(yaw)], axis=1) + error[:, 2:]
        still = scene.object_speed_mps < 0.1
        velocity = np.where(still[:, None], 0.3 * error[:, 2:], velocity)
        seen = np.hypot(*(position - (scene.x_m, scene.y_m)).T) < quality.range_m
        size = np.stack([scene.object_length_m, scene.object_width_m, scene.object_height_m], axis=1)
        variances = np.diag([quality.position_m**2] * 2 + [quality.velocity_mps**2] * 2)
        count = int(seen.sum())
        return Tracks(
            time_ns, ego, scene.object_id[seen], scene.object_kind[seen], position[seen], velocity[seen], yaw[seen],
            scene.object_yaw_rate_radps[seen], size[seen], np.broadcast_to(variances, (count, 4, 4)),
            np.full(count, 0.98), np.ones(count, bool), np.full(count, 5.0),
        )  # fmt: skip

    def _errors(self, count: int, time_s: float) -> np.ndarray:
        quality = self._quality
        sigma = np.array([quality.position_m] * 2 + [quality.velocity_mps] * 2)
        fresh = self._rng.normal(0.0, 1.0, (count, 4)) * sigma
        if self._last_s is None or len(self._error) != count:
            self._error = fresh
        else:
            keep = float(np.exp(-(time_s - self._last_s) / quality.correlated_s))
            self._error = keep * self._error + np.sqrt(1.0 - keep**2) * fresh
        self._last_s = time_s
        return self._error
