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
    innovations are larger than their covariance allows (a noisy or slightly shifted one).
    """

    def __init__(
        self,
        dimension: int,
        window_s: float = 1.0,
        least: float = 8.0,
        found: float = 0.35,
        excess: float = 2.0,
    ) -> None:
        self.dimension, self.window_s, self.least, self.found, self.excess = (
            dimension,
            window_s,
            least,
            found,
            excess,
        )
        self._scans: deque[tuple[float, float, int, float]] = deque(maxlen=4096)

    def record(self, time_s: float, expected: float, nis: Floats) -> None:
        """Take a scan: how many tracks it should have seen, and the squared innovations of those that it did."""
        known = nis[np.isfinite(nis)]
        self._scans.append((time_s, expected, len(known), float(known.sum())))
        while self._scans and self._scans[0][0] < time_s - self.window_s:
            self._scans.popleft()

    @property
    def known(self) -> bool:
        """Whether it should have seen enough of late to be judged."""
        return sum(scan[1] for scan in self._scans) >= self.least

    def contradicted(self) -> bool:
        """Return whether what it measured cannot be, at far beyond chance; False where too little was seen to tell."""
        expected = sum(scan[1] for scan in self._scans)
        found = sum(scan[2] for scan in self._scans)
        if expected >= self.least and found < self.found * expected:
            return True
        if found < self.least:
            return False
        mean = sum(scan[3] for scan in self._scans) / found
        return mean > max(self.excess * self.dimension, mean_bounds(self.dimension, found, 0.9999)[1])
