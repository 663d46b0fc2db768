"""Where a sign is going: its slope over the last 15 minutes and the last hour, which outliers do not move."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.vitals.signs import Sign

SHORT_S = 15 * 60.0
LONG_S = 3600.0

_SHORT_EVERY_S = 15.0
_LONG_EVERY_S = 60.0
_LEAST_SHARE = 2 / 3


class Trend:
    """One sign's past hour."""

    def __init__(self) -> None:
        self._short = _Window(SHORT_S, _SHORT_EVERY_S)
        self._long = _Window(LONG_S, _LONG_EVERY_S)

    def take(self, time_s: float, value: float) -> None:
        """Take a believed value; times do not go back."""
        self._short.take(time_s, value)
        self._long.take(time_s, value)

    @property
    def short_per_h(self) -> float | None:
        """The slope over 15 minutes in units an hour; None while less than two thirds of it are known."""
        return self._short.slope_per_h

    @property
    def long_per_h(self) -> float | None:
        """The slope over an hour in units an hour; None while less than two thirds of it are known."""
        return self._long.slope_per_h


class Trends:
    """The trends of all signs."""

    def __init__(self) -> None:
        self._trends: dict[Sign, Trend] = {}

    def take(self, time_s: float, sign: Sign, value: float) -> None:
        """Take a believed value."""
        self._trends.setdefault(sign, Trend()).take(time_s, value)

    def per_h(self, sign: Sign) -> tuple[float | None, float | None]:
        """Return a sign's slopes over 15 minutes and over an hour, in units an hour."""
        trend = self._trends.get(sign)
        return (None, None) if trend is None else (trend.short_per_h, trend.long_per_h)


def theil_sen(times_s: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the median slope a second over all pairs, both (n,), n at least 2, times rising.

    Up to 29 % of outliers do not move it. Source: P. K. Sen, "Estimates of the regression coefficient based on
    Kendall's tau", J. Am. Stat. Assoc. 63:1379-1389, 1968.
    """
    later, earlier = np.triu_indices(len(times_s), 1)[::-1]
    return float(np.median((values[later] - values[earlier]) / (times_s[later] - times_s[earlier])))


class _Window:
    """Means over short stretches, of the last so many seconds; the slope is computed once a stretch."""

    def __init__(self, length_s: float, every_s: float) -> None:
        self._length_s = length_s
        self._every_s = every_s
        self._points: deque[tuple[float, float]] = deque(maxlen=round(length_s / every_s))
        self._sum, self._count, self._slot = 0.0, 0, -1
        self.slope_per_h: float | None = None

    def take(self, time_s: float, value: float) -> None:
        slot = int(time_s // self._every_s)
        if slot != self._slot:
            self._close()
            self._slot = slot
        self._sum += value
        self._count += 1

    def _close(self) -> None:
        if self._count:
            self._points.append(((self._slot + 0.5) * self._every_s, self._sum / self._count))
        self._sum, self._count = 0.0, 0
        while self._points and self._points[-1][0] - self._points[0][0] > self._length_s:
            self._points.popleft()
        known_s = self._points[-1][0] - self._points[0][0] if self._points else 0.0
        if len(self._points) < 3 or known_s < _LEAST_SHARE * self._length_s:
            self.slope_per_h = None
            return
        times_s, values = np.array(self._points).T
        self.slope_per_h = 3600.0 * theil_sen(times_s, values)
