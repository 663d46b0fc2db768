"""Whether a filter believes the truth about itself: squared errors against their covariance, with bounds.

Y. Bar-Shalom, X. R. Li and T. Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), section 5.4.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.fusion import kalman

Floats = NDArray[np.float64]

_LEAST_MET = 5
"""A track met more seldom within the window says nothing about the sensor."""


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


@dataclass(frozen=True)
class _Look:
    time_s: float
    expected: float
    shared: int
    stray: int
    nis: tuple[tuple[int, float], ...]  # by track


class SensorHealth:
    """Tells from a sensor's own innovations whether the tracks, which others make too, contradict it.

    Over the last ``window_s`` two things are looked at. Of the tracks that it should have seen, how many were found
    near a measurement: a sensor that is shifted, frozen or stamped wrongly misses its own gates. With ``stray`` above 0
    it must also have measured something else instead, at least this share of what it missed beyond the ``false``
    measurements that a scan has anyway: a sensor that merely sees little does not. And whether the innovations are
    larger than their covariance allows (a noisy or slightly shifted one): those of more than half of the tracks, each
    by its median, where so many ``tracks`` were met often enough: that one track swerves, or is a body that the model
    does not know, is no fault of the sensor's.
    """

    def __init__(
        self,
        dimension: int,
        window_s: float = 1.0,
        least: float = 8.0,
        found: float = 0.35,
        excess: float = 3.0,
        tracks: int = 2,
        stray: float = 0.0,
        false: float = 0.0,
    ) -> None:
        self.dimension, self.window_s, self.least = dimension, window_s, least
        self.found, self.excess, self.tracks, self.stray, self.false = found, excess, tracks, stray, false
        self._looks: deque[_Look] = deque(maxlen=4096)
        self._contradicted = False

    def record(
        self, time_s: float, expected: float, nis: Floats, track: NDArray[np.int64], shared: int, stray: int
    ) -> None:
        """Take a scan: how many tracks it should have seen, the squared innovations and ids of those that it did.

        ``shared`` counts the tracks in its view that others see too, ``stray`` what it measured far from all of them.
        """
        good = np.isfinite(nis)
        by_track = tuple(zip(track[good].tolist(), nis[good].tolist(), strict=True))
        self._looks.append(_Look(time_s, expected, shared, stray, by_track))
        while self._looks[0].time_s < time_s - self.window_s:
            self._looks.popleft()
        self._contradicted = self._judge()

    @property
    def known(self) -> bool:
        """Whether it should have seen enough of late to be judged; one who is under suspicion is judged by less."""
        tracks = 1 if self._contradicted else self.tracks
        in_view = sum(look.shared for look in self._looks)
        return self._expected >= self.least and in_view >= (tracks - 0.5) * len(self._looks)

    def contradicted(self) -> bool:
        """Return whether what it measured cannot be, at far beyond chance; False where too little was seen to tell."""
        return self._contradicted

    @property
    def _expected(self) -> float:
        return sum(look.expected for look in self._looks)

    def _judge(self) -> bool:
        if not self.known:
            return False
        found = sum(len(look.nis) for look in self._looks)
        stray = sum(look.stray - self.false for look in self._looks)
        if found < self.found * self._expected and stray >= self.stray * (self._expected - found):
            return True
        by_track: dict[int, list[float]] = {}
        for look in self._looks:
            for track, value in look.nis:
                by_track.setdefault(track, []).append(value)
        typical = sorted(median(values) for values in by_track.values() if len(values) >= _LEAST_MET)
        if found < self.least or len(typical) < (1 if self._contradicted else self.tracks):
            return False
        # the median of chi-square by Wilson and Hilferty, PNAS 17:684-688 (1931)
        usual = self.dimension * (1 - 2 / (9 * self.dimension)) ** 3
        return typical[(len(typical) - 1) // 2] > self.excess * usual


class Corroboration:
    """Tells whether a sensor sees what the others agree on: one that is wrong from its first scan on hardly ever does.

    Such a sensor need not miss its own gates, for it keeps tracks of its own. Which of two sensors that contradict each
    other is wrong, it cannot tell. ``own``: tracks of its own, on average, that it must have too; for a sensor that is
    blind to some things that the others see. ``tracks``: so many it must have missed again and again, for one may be
    too far or too small for it.
    """

    def __init__(
        self, own: float = 0.0, window_s: float = 3.0, least_scans: int = 15, tracks: int = 2
    ) -> None:
        self.own, self.window_s, self.least_scans, self.tracks = own, window_s, least_scans, tracks
        self._scans: deque[tuple[float, int, tuple[int, ...], int]] = deque(maxlen=4096)

    def record(self, time_s: float, together: int, missed: NDArray[np.int64], alone: int) -> None:
        """Take a scan: of what the others agree on it saw ``together``, not the tracks with ids ``missed`` (n,).

        ``alone`` it has tracks of its own.
        """
        self._scans.append((time_s, together, tuple(missed.tolist()), alone))
        while self._scans[0][0] < time_s - self.window_s:
            self._scans.popleft()

    def contradicted(self) -> bool:
        """Return whether it saw less than a tenth of what the others agreed on, and that was something all the time."""
        scans = len(self._scans)
        together, alone = sum(scan[1] for scan in self._scans), sum(scan[3] for scan in self._scans)
        missed = Counter(track for scan in self._scans for track in scan[2])
        again = sum(times >= _LEAST_MET for times in missed.values())
        much = scans >= self.least_scans and missed.total() >= scans and alone >= self.own * scans
        return much and again >= self.tracks and together < 0.1 * (together + missed.total())
