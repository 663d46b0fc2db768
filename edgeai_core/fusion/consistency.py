"""Whether a filter believes the truth about itself: squared errors against their covariance, with bounds.

Y. Bar-Shalom, X. R. Li and T. Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), section 5.4.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.fusion import kalman

Floats = NDArray[np.float64]


def nees(error: Floats, covariance: Floats) -> Floats:
    """Return the normalised squared errors (n,) of estimates with errors (n, d) and covariances (n, d, d).

    Their mean is d where the covariance is honest. With innovations and their covariances it is the NIS.
    """
    return kalman.squared_distance(error, kalman.inverse(covariance))


def mean_bounds(dimension: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return between which the mean of ``n`` independent values of chi-square with ``dimension`` degrees lies.

    Raises InputError for no value, or a confidence outside (0, 1).
    """
    if n < 1 or dimension < 1 or not 0 < confidence < 1:
        raise InputError(f"no bounds for {n} values of dimension {dimension} at confidence {confidence}")
    from scipy.special import chdtri

    tail = (1 - confidence) / 2
    degrees = n * dimension
    return float(chdtri(degrees, 1 - tail)) / n, float(chdtri(degrees, tail)) / n


class SensorHealth:
    """Tells from a sensor's own innovations whether the tracks, which others make too, contradict it.

    Over the last ``window_s`` two things are looked at: how many of the tracks that it should have seen were found
    near a measurement (a sensor that is shifted, frozen or stamped wrongly misses its own gates), and whether the
    innovations are larger than their covariance allows (a noisy or slightly shifted one). These count by their median,
    and only where two tracks were in view on average: that one track swerves is no fault of the sensor's.
    """

    def __init__(
        self,
        dimension: int,
        window_s: float = 1.0,
        least: float = 8.0,
        found: float = 0.35,
        excess: float = 2.0,
        tracks: float = 1.5,
    ) -> None:
        self.dimension, self.window_s, self.least = dimension, window_s, least
        self.found, self.excess, self.tracks = found, excess, tracks
        self._scans: deque[tuple[float, float, int, tuple[float, ...]]] = deque(maxlen=4096)

    def record(self, time_s: float, expected: float, nis: Floats, shared: int = 2) -> None:
        """Take a scan: how many tracks it should have seen, the squared innovations of those that it did.

        ``shared`` counts the tracks in its view that others see too.
        """
        self._scans.append((time_s, expected, shared, tuple(nis[np.isfinite(nis)].tolist())))
        while self._scans and self._scans[0][0] < time_s - self.window_s:
            self._scans.popleft()

    @property
    def known(self) -> bool:
        """Whether it should have seen enough of late to be judged."""
        expected = sum(scan[1] for scan in self._scans)
        return expected >= self.least and sum(scan[2] for scan in self._scans) >= self.tracks * len(
            self._scans
        )

    def contradicted(self) -> bool:
        """Return whether what it measured cannot be, at far beyond chance; False where too little was seen to tell."""
        if not self.known:
            return False
        nis = [value for scan in self._scans for value in scan[3]]
        if len(nis) < self.found * sum(scan[1] for scan in self._scans):
            return True
        if len(nis) < self.least or sum(scan[2] for scan in self._scans) < self.tracks * len(self._scans):
            return False
        # the median of chi-square by Wilson and Hilferty, PNAS 17:684-688 (1931)
        typical = self.dimension * (1 - 2 / (9 * self.dimension)) ** 3
        return float(np.median(nis)) > self.excess * typical


class Corroboration:
    """Tells whether a sensor sees what the others agree on: one that is wrong from its first scan on hardly ever does.

    Such a sensor need not miss its own gates, for it keeps tracks of its own. Which of two sensors that contradict each
    other is wrong, it cannot tell. ``own``: tracks of its own, on average, that it must have too; for a sensor that is
    blind to some things that the others see.
    """

    def __init__(self, own: float = 0.0, window_s: float = 3.0, least_scans: int = 15) -> None:
        self.own, self.window_s, self.least_scans = own, window_s, least_scans
        self._scans: deque[tuple[float, int, int, int]] = deque(maxlen=4096)

    def record(self, time_s: float, together: int, missed: int, alone: int) -> None:
        """Take a scan: of what the others agree on it saw ``together`` and not ``missed``; ``alone`` it has tracks."""
        self._scans.append((time_s, together, missed, alone))
        while self._scans and self._scans[0][0] < time_s - self.window_s:
            self._scans.popleft()

    def contradicted(self) -> bool:
        """Return whether it saw less than a tenth of what the others agreed on, and that was something all the time."""
        scans = len(self._scans)
        together, missed, alone = (sum(scan[k] for scan in self._scans) for k in (1, 2, 3))
        much = scans >= self.least_scans and missed >= scans and alone >= self.own * scans
        return much and together < 0.1 * (together + missed)
