"""How unusual a machine is for itself: learnt on its first healthy measurements, for machines without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.vibration import Indicators

MIN_LEARNT = 8
"""Fewer measurements tell no spread."""

SMALLEST_SPREAD = 0.05
"""In the units of the features (natural logarithms, or shares of the usual): nothing is steadier than this."""

SMOOTHING = 0.25
"""Weight of the newest measurement in what is compared: one odd second is not a change."""

WATCHED = ("temperature_c", "pressure_bar", "current_a")


class Baseline:
    """Learns a machine's usual features, then says how far it is from them.

    The first ``learn`` measurements count as healthy, so they must be: after a repair, ``reset``.
    """

    def __init__(self, learn: int = 20) -> None:
        self._learn = max(MIN_LEARNT, learn)
        self.reset()

    def reset(self) -> None:
        """Begin to learn anew."""
        self._rows: list[NDArray[np.float64]] = []
        self._centre: NDArray[np.float64] | None = None
        self._spread: NDArray[np.float64] | None = None
        self._smooth: NDArray[np.float64] | None = None

    @property
    def learnt(self) -> float:
        """The share of learning that is done: 1 when the baseline stands."""
        return 1.0 if self._centre is not None else len(self._rows) / self._learn

    @property
    def centre(self) -> NDArray[np.float64] | None:
        """The usual features, in the order of ``features``; None while learning."""
        return self._centre

    def push(self, row: NDArray[np.float64]) -> float | None:
        """Take one measurement's features (n,), nan where unknown; give the anomaly score, None while learning.

        The score is the root mean square of the distances from the usual, each in spreads of the healthy
        measurements: about 1 for a healthy machine. Its spreads are medians of absolute deviations, so a few odd
        measurements among the healthy do no harm.
        """
        if self._centre is None or self._spread is None:
            self._rows.append(row)
            if len(self._rows) < self._learn:
                return None
            table = np.array(self._rows)
            known = np.isfinite(table).any(axis=0)
            self._centre = np.where(known, _median(table), np.nan)
            spread = 1.4826 * _median(np.abs(table - self._centre))
            self._spread = np.maximum(np.where(known, spread, SMALLEST_SPREAD), SMALLEST_SPREAD)
            self._rows = []
            return None
        if self._smooth is None:
            self._smooth = self._centre.copy()
        new = np.where(np.isfinite(row), row, self._smooth)
        old = np.where(np.isfinite(self._smooth), self._smooth, new)
        self._smooth = (1 - SMOOTHING) * old + SMOOTHING * new
        distances = (self._smooth - self._centre) / self._spread
        known = np.isfinite(distances)
        return float(np.sqrt(np.mean(distances[known] ** 2))) if known.any() else None


def features(seen: Indicators | None, slow: Mapping[str, float]) -> NDArray[np.float64]:
    """Give what is compared (31,): logarithms of levels and bands, the slow quantities as shares; nan: unknown."""
    if seen is None:
        vibration = np.full(28, np.nan)
    else:
        levels = (seen.velocity_mm_s, seen.high_mps2, seen.crest, seen.kurtosis)
        vibration = np.concatenate(
            [[math.log(max(level, 1e-6)) for level in levels], seen.bands * math.log(10) / 2]
        )
    return np.concatenate([vibration, [_scaled(name, slow.get(name, math.nan)) for name in WATCHED]])


def _scaled(name: str, value: float) -> float:
    """Temperatures in steps of 20 K; what is positive by nature as a logarithm."""
    if name == "temperature_c":
        return value / 20
    return math.log(value) if value > 0 else math.nan


def _median(table: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(table).any(axis=0)
    out = np.zeros(table.shape[1])
    out[known] = np.nanmedian(table[:, known], axis=0)
    return out
