"""A path: a polyline with arc length, and the coordinates along and beside it (the Frenet frame)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apps.automotive.messages import Floats
from edgeai_core.errors import InputError


class Path:
    """A smooth line through points, resampled evenly; beyond its ends it goes straight on.

    ``s_m`` counts along it from the first point, ``d_m`` to its left.
    """

    def __init__(self, x_m: ArrayLike, y_m: ArrayLike, step_m: float = 1.0) -> None:
        """Take at least two points that are apart. Raises InputError for fewer, and for values that are not finite."""
        x, y = np.asarray(x_m, np.float64), np.asarray(y_m, np.float64)
        if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InputError("a path needs as many finite x as y")
        away = np.hypot(np.diff(x), np.diff(y))
        keep = np.concatenate([[True], away > 1e-6]) if x.size else np.zeros(0, bool)
        x, y = x[keep], y[keep]
        if x.size < 2:
            raise InputError("a path needs two points that are apart")
        s = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        count = max(int(np.ceil(s[-1] / step_m)), 1) + 1
        self.length_m = float(s[-1])
        self.step_m = self.length_m / (count - 1)
        even = np.linspace(0.0, self.length_m, count)
        self._x, self._y = np.interp(even, s, x), np.interp(even, s, y)
        segment = np.unwrap(np.arctan2(np.diff(self._y), np.diff(self._x)))
        self._yaw = np.concatenate([segment[:1], (segment[1:] + segment[:-1]) / 2, segment[-1:]])
        curvature = np.gradient(self._yaw, self.step_m) if count > 2 else np.zeros(count)
        self._curvature = curvature

    def curvature(self, s_m: ArrayLike) -> Floats:
        """Return the curvature in 1/m, positive to the left; that of the end beyond it."""
        return self._at(np.asarray(s_m, np.float64), self._curvature)[0]

    def yaw(self, s_m: ArrayLike) -> Floats:
        """Return the heading in radians."""
        return self._at(np.asarray(s_m, np.float64), self._yaw)[0]

    def to_ground(self, s_m: ArrayLike, d_m: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return x, y and the path's heading at points along and beside the path; shapes are broadcast."""
        s, d = np.asarray(s_m, np.float64), np.asarray(d_m, np.float64)
        x, y, yaw = self._at(s, self._x, self._y, self._yaw)
        cos, sin = np.cos(yaw), np.sin(yaw)
        over = s - np.minimum(np.maximum(s, 0.0), self.length_m)
        return x + over * cos - d * sin, y + over * sin + d * cos, yaw + 0.0 * d

    def to_frenet(self, x_m: ArrayLike, y_m: ArrayLike) -> tuple[Floats, Floats]:
        """Return s and d of points by the nearest point of the path; (n,) arrays."""
        x, y = np.atleast_1d(np.asarray(x_m, np.float64)), np.atleast_1d(np.asarray(y_m, np.float64))
        nearest = _nearest(self._x, self._y, x, y)
        yaw = self._yaw[nearest]
        dx, dy = x - self._x[nearest], y - self._y[nearest]
        s = nearest * self.step_m + dx * np.cos(yaw) + dy * np.sin(yaw)
        # Once more with the heading there: the first guess is off by the curvature over one step.
        px, py, yaw = self.to_ground(s, 0.0)
        cos, sin = np.cos(yaw), np.sin(yaw)
        s = s + (x - px) * cos + (y - py) * sin
        return s, (y - py) * cos - (x - px) * sin

    def beside(self, d_m: float) -> tuple[Floats, Floats]:
        """Return x and y of the line that runs ``d_m`` to the left."""
        return self._x - d_m * np.sin(self._yaw), self._y + d_m * np.cos(self._yaw)

    def _at(self, s: Floats, *columns: Floats) -> list[Floats]:
        """Return what ``columns``, one value each step of the path, are at places along it; linear in between."""
        at = np.minimum(np.maximum(s / self.step_m, 0.0), len(self._x) - 1.000001)
        low = at.astype(np.int64)
        share = at - low
        rest, high = 1.0 - share, low + 1
        return [np.asarray(column[low] * rest + column[high] * share) for column in columns]


def _nearest(xs: Floats, ys: Floats, x: Floats, y: Floats) -> NDArray[np.intp]:
    return np.asarray(np.argmin((x[:, None] - xs) ** 2 + (y[:, None] - ys) ** 2, axis=1))


def wrap(angle_rad: ArrayLike) -> Floats:
    """Return angles brought into -pi to pi."""
    return np.asarray((np.asarray(angle_rad, np.float64) + np.pi) % (2 * np.pi) - np.pi)


def boxes_overlap(
    a: tuple[float, float, float, float, float],
    x_m: Floats,
    y_m: Floats,
    yaw_rad: Floats,
    length_m: Floats,
    width_m: Floats,
) -> NDArray[np.bool_]:
    """Return which boxes overlap box ``a`` (middle x, y, yaw, length, width) by the separating axes.

    Gottschalk, Lin and Manocha, "OBBTree", SIGGRAPH 1996, in two dimensions.
    """
    ax, ay, ayaw, alength, awidth = a
    dx, dy = x_m - ax, y_m - ay
    cos, sin = np.abs(np.cos(yaw_rad - ayaw)), np.abs(np.sin(yaw_rad - ayaw))
    along_a = np.abs(dx * np.cos(ayaw) + dy * np.sin(ayaw))
    across_a = np.abs(dy * np.cos(ayaw) - dx * np.sin(ayaw))
    along_b = np.abs(dx * np.cos(yaw_rad) + dy * np.sin(yaw_rad))
    across_b = np.abs(dy * np.cos(yaw_rad) - dx * np.sin(yaw_rad))
    return np.asarray(
        (along_a * 2 < alength + length_m * cos + width_m * sin)
        & (across_a * 2 < awidth + length_m * sin + width_m * cos)
        & (along_b * 2 < length_m + alength * cos + awidth * sin)
        & (across_b * 2 < width_m + alength * sin + awidth * cos)
    )
