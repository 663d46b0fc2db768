"""Raw radar -> targets: what is seen again and again where its own range rate says it must be. No perception needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats, Odometry, RadarScan

MOUNT_M = 3.7
"""The radar sits this far ahead of the rear axle, in the middle."""
MOST_TARGETS = 96
BESIDE_M = 9.0
AHEAD_M = 130.0
GATE_M = (1.8, 1.2)
"""How far along and beside a detection may lie from where its target is expected; beside, more with distance."""
GATE_AZIMUTH_RAD = 0.03
GATE_MPS = 1.5
CONFIRMED_HITS = 4
CONFIRMED_AGE_S = 0.14
FORGET_S = 0.22
_GAIN, _GAIN_ACCELERATION = 0.45, 0.10


@dataclass
class Targets:
    """Arrays over targets in the vehicle frame: place, speed over ground along x, its change, and how often seen."""

    x_m: Floats = field(default_factory=lambda: np.zeros(0))
    y_m: Floats = field(default_factory=lambda: np.zeros(0))
    speed_mps: Floats = field(default_factory=lambda: np.zeros(0))
    acceleration_mps2: Floats = field(default_factory=lambda: np.zeros(0))
    hits: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    age_s: Floats = field(default_factory=lambda: np.zeros(0))
    unseen_s: Floats = field(default_factory=lambda: np.zeros(0))

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Targets:
        """Return some of them."""
        return Targets(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """Which have been seen often and long enough to be believed."""
        return (self.hits >= CONFIRMED_HITS) & (self.age_s >= CONFIRMED_AGE_S)


class RadarTargets:
    """Keeps targets over scans. ``frozen`` says that scans come without anything new in them."""

    def __init__(self) -> None:
        self.targets = Targets()
        self.time_ns: int | None = None
        self._last: RadarScan | None = None
        self._same = 0

    @property
    def frozen(self) -> bool:
        """Whether three scans in a row were the same to the last digit: noise forbids it."""
        return self._same >= 2

    def push(self, time_ns: int, scan: RadarScan, odometry: Odometry) -> None:
        """Take in one scan measured at ``time_ns``, with the ego's motion then. What is not finite is left out."""
        if self.time_ns is not None and time_ns <= self.time_ns:
            return
        same = self._last is not None and _same(self._last, scan)
        self._same = self._same + 1 if same else 0
        self._last = scan
        step_s = 0.0 if self.time_ns is None else (time_ns - self.time_ns) * 1e-9
        self.time_ns = time_ns
        if self.frozen:
            self.targets = Targets()
            return
        self._move(step_s, odometry)
        x, y, speed = detections(scan, odometry)
        taken = self._associate(x, y, speed, step_s)
        self._add(x[~taken], y[~taken], speed[~taken])

    def now(self, time_ns: int, odometry: Odometry) -> Targets:
        """Return the confirmed targets moved on to ``time_ns``."""
        targets = self.targets.take(self.targets.confirmed)
        if self.time_ns is None or not len(targets.x_m):
            return targets
        ahead_s = min(max((time_ns - self.time_ns) * 1e-9, 0.0), 0.3)
        moved = Targets(*(getattr(targets, name).copy() for name in Targets.__dataclass_fields__))
        _advance(moved, ahead_s, odometry)
        return moved

    def _move(self, step_s: float, odometry: Odometry) -> None:
        _advance(self.targets, step_s, odometry)
        self.targets.age_s = self.targets.age_s + step_s
        self.targets.unseen_s = self.targets.unseen_s + step_s
        self.targets = self.targets.take(self.targets.unseen_s <= FORGET_S)

    def _associate(self, x: Floats, y: Floats, speed: Floats, step_s: float) -> NDArray[np.bool_]:
        """Give each target its nearest detection inside the gates, nearest pairs first; return which were given."""
        targets = self.targets
        taken = np.zeros(len(x), bool)
        if not len(x) or not len(targets.x_m):
            return taken
        dx, dy = x - targets.x_m[:, None], y - targets.y_m[:, None]
        dv = speed - targets.speed_mps[:, None]
        wide = GATE_M[1] + GATE_AZIMUTH_RAD * np.abs(targets.x_m)[:, None]
        distance = (dx / GATE_M[0]) ** 2 + (dy / wide) ** 2 + (dv / GATE_MPS) ** 2
        distance = np.where((np.abs(dx) < GATE_M[0]) & (np.abs(dy) < wide) & (np.abs(dv) < GATE_MPS), distance, np.inf)
        rows, columns = np.nonzero(np.isfinite(distance))
        order = np.argsort(distance[rows, columns], kind="stable")
        used = np.zeros(len(targets.x_m), bool)
        for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if used[i] or taken[j]:
                continue
            used[i] = taken[j] = True
            targets.x_m[i] += _GAIN * dx[i, j]
            targets.y_m[i] += _GAIN * dy[i, j]
            targets.speed_mps[i] += _GAIN * dv[i, j]
            if step_s > 0.0:
                change = targets.acceleration_mps2[i] + _GAIN_ACCELERATION * dv[i, j] / step_s
                targets.acceleration_mps2[i] = min(max(change, -10.0), 5.0)
            targets.hits[i] += 1
            targets.unseen_s[i] = 0.0
        return taken

    def _add(self, x: Floats, y: Floats, speed: Floats) -> None:
        room = max(MOST_TARGETS - len(self.targets.x_m), 0)
        order = np.argsort(x, kind="stable")[:room]
        nothing = np.zeros(len(order))
        born = Targets(
            x[order], y[order], speed[order], nothing, np.ones(len(order), np.int64), nothing.copy(), nothing.copy()
        )
        self.targets = Targets(
            *(np.concatenate([getattr(self.targets, n), getattr(born, n)]) for n in Targets.__dataclass_fields__)
        )


def detections(scan: RadarScan, odometry: Odometry) -> tuple[Floats, Floats, Floats]:
    """Return x, y in the vehicle frame and the speed over ground along x of detections ahead that are finite.

    The range rate is compensated for the ego's: a thing that stands has minus the ego's speed seen along the ray.
    """
    finite = np.isfinite(scan.range_m) & np.isfinite(scan.azimuth_rad) & np.isfinite(scan.range_rate_mps)
    r, azimuth, rate = scan.range_m[finite], scan.azimuth_rad[finite], scan.range_rate_mps[finite]
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    x, y = MOUNT_M + r * cos, r * sin
    own = odometry.speed_mps * cos + odometry.yaw_rate_radps * MOUNT_M * sin
    speed = (rate + own) / np.maximum(cos, 0.5)
    near = (np.abs(y) < BESIDE_M) & (x < AHEAD_M) & (r > 0.3) & (cos > 0.5)
    return x[near], y[near], speed[near]


def _advance(targets: Targets, step_s: float, odometry: Odometry) -> None:
    turn = odometry.yaw_rate_radps * step_s
    x = targets.x_m + (targets.speed_mps - odometry.speed_mps) * step_s
    y = targets.y_m
    cos, sin = np.cos(turn), np.sin(turn)
    targets.x_m, targets.y_m = cos * x + sin * y, cos * y - sin * x
    speed = targets.speed_mps + targets.acceleration_mps2 * step_s
    targets.speed_mps = np.where(targets.speed_mps > 0.0, np.maximum(speed, 0.0), targets.speed_mps)


def _same(a: RadarScan, b: RadarScan) -> bool:
    return len(a.range_m) > 0 and np.array_equal(a.range_m, b.range_m) and np.array_equal(a.azimuth_rad, b.azimuth_rad)
