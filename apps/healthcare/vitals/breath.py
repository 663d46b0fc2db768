"""Breaths: from the chest's impedance, or from what breathing does to the heights of the ECG's complexes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.vitals.pulse import PulseDetector
from edgeai_core.signals.filters import CausalFilter, band_pass

LOW_HZ, HIGH_HZ = 0.08, 1.0
"""5 to 60 breaths a minute."""

WINDOW_S = 32.0
_LEARN_S = 8.0
_EDR_HZ = 4.0


@dataclass(frozen=True)
class Breathing:
    """The rate of breathing a minute, None where it cannot be told; ``quality`` from 0 to 1."""

    rate_per_min: float | None
    quality: float


class BreathCounter:
    """Counts breaths in a signal that rises and falls with the chest: causal, whatever the size of the chunks.

    A breath is a crossing of the middle upwards, after the signal has been well under it: by a quarter of its usual
    swing, so that the heart's own ripple on the signal counts for nothing.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._filter = CausalFilter(band_pass(LOW_HZ, min(HIGH_HZ, 0.4 * rate_hz), rate_hz))
        self._decay = float(np.exp(-1.0 / (rate_hz * WINDOW_S / 4)))
        self._taken = 0
        self._swing = 0.0
        self._armed = False
        self._breaths_s: deque[float] = deque()

    def push(self, samples: NDArray[np.floating]) -> None:
        """Take samples (n,) in any unit; missing ones (NaN) hold the last value."""
        for value in self._filter.push(samples[:, None])[:, 0].tolist():
            self._taken += 1
            now_s = self._taken / self.rate_hz
            self._swing = max(abs(value), self._swing * self._decay)
            if value < -0.25 * self._swing:
                self._armed = True
            elif value > 0.25 * self._swing and self._armed:
                self._armed = False
                if now_s > _LEARN_S:
                    self._breaths_s.append(now_s)
        now_s = self._taken / self.rate_hz
        while self._breaths_s and self._breaths_s[0] < now_s - WINDOW_S:
            self._breaths_s.popleft()

    def breathing(self) -> Breathing:
        """Return the rate over the last half minute."""
        now_s = self._taken / self.rate_hz
        times_s = np.array(self._breaths_s)
        if len(times_s) < 3:
            return Breathing(None, 0.0)
        intervals_s = np.diff(times_s)
        middle_s = float(np.median(intervals_s))
        if now_s - times_s[-1] > 3.0 * middle_s:  # no breath where one was due: not to be told from these
            return Breathing(None, 0.0)
        spread = 1.4826 * float(np.median(np.abs(intervals_s - middle_s))) / middle_s
        return Breathing(60.0 / middle_s, float(np.clip(1.0 - spread / 0.6, 0.0, 1.0)))


class EcgBreath:
    """Breaths in an ECG: the heart turns with the lungs, and the height of its complexes with it.

    Source: G. B. Moody et al., "Derivation of respiratory signals from multi-lead ECGs", Computers in Cardiology
    12:113-116, 1985, with the height of the complex in place of its area.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._detector = PulseDetector(rate_hz)
        self._counter = BreathCounter(_EDR_HZ)
        self._before: tuple[float, float] | None = None
        self._given = 0

    def push(self, samples_mv: NDArray[np.floating]) -> None:
        """Take samples (n,)."""
        for beat in self._detector.push(samples_mv):
            if self._before is not None:
                self._counter.push(self._between(beat.time_s, beat.amplitude))
            self._before = (beat.time_s, beat.amplitude)
            self._given = int(beat.time_s * _EDR_HZ)

    def breathing(self) -> Breathing:
        """Return the rate over the last half minute."""
        return self._counter.breathing()

    def _between(self, time_s: float, height: float) -> NDArray[np.float64]:
        """Return the heights between the last beat and this one, four a second, on the line between the two."""
        assert self._before is not None
        at_s = np.arange(self._given + 1, int(time_s * _EDR_HZ) + 1) / _EDR_HZ
        return np.interp(at_s, [self._before[0], time_s], [self._before[1], height])
