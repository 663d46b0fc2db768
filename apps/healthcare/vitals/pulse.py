"""Pulses in a waveform (photoplethysmogram, arterial pressure): when they come, how fast, how far they can be trusted.

The slope sum function of W. Zong et al., "An open-source algorithm to detect onset of arterial blood pressure
pulses", Computers in Cardiology 30:259-262, 2003: the rises within an eighth of a second are added up, so that the
steep upstroke of a pulse stands out whatever the baseline does. Causal: a pulse is known at its crest.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.signals.filters import CausalFilter, Hold, low_pass

_LOWPASS_HZ = 10.0
_SLOPE_S = 0.128
_REFRACTORY_S = 0.25
_THRESHOLD = 0.45
_FORGET_S = 3.0
_LONGEST_S = 60.0
_RECENT = 6
_LEARN_S = 2.0
GONE_S = 3.0
"""Without a pulse for so long there is no rate."""


@dataclass(frozen=True)
class Beat:
    """One pulse: when its crest was, and the wave's highest and lowest value since the pulse before."""

    time_s: float
    high: float
    low: float

    @property
    def amplitude(self) -> float:
        """From foot to crest, in the wave's unit."""
        return self.high - self.low


@dataclass(frozen=True)
class Pulse:
    """What a waveform says of the pulse now.

    ``quality`` (0 to 1) falls with irregular intervals, changing heights and missing samples. ``strength``: the height
    of the last pulses over that of the last minute; None while that is not known. ``recent_s``: how long ago each of
    the last pulses was, the newest first. ``high`` and ``low`` are medians of the last pulses: of an arterial line,
    systolic and diastolic pressure.
    """

    rate_bpm: float | None
    quality: float
    strength: float | None = None
    recent_s: tuple[float, ...] = ()
    high: float | None = None
    low: float | None = None
    mean: float | None = None


class PulseDetector:
    """Finds the pulses of one waveform, chunk by chunk; where the chunks are cut changes nothing."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        fast = rate_hz > 2.5 * _LOWPASS_HZ
        self._smooth = CausalFilter(low_pass(_LOWPASS_HZ, rate_hz)) if fast else Hold(1)
        self._width = max(1, round(_SLOPE_S * rate_hz))
        self._rises: deque[float] = deque([0.0] * self._width, maxlen=self._width)
        self._sum = 0.0
        self._before: float | None = None
        self._taken = 0
        self._typical = 0.0
        self._above = False
        self._peak = 0.0
        self._last_s = -np.inf
        self._high, self._low = -np.inf, np.inf

    @property
    def now_s(self) -> float:
        """The time of the last sample, since the first."""
        return self._taken / self.rate_hz

    def push(self, samples: NDArray[np.floating]) -> list[Beat]:
        """Take samples (n,) and return the pulses whose crest they hold; missing ones (NaN) hold the last value."""
        smooth = self._smooth.push(samples[:, None])[:, 0]
        return [beat for value in smooth.tolist() if (beat := self._step(value)) is not None]

    def _step(self, value: float) -> Beat | None:
        self._taken += 1
        now_s = self._taken / self.rate_hz
        rise = 0.0 if self._before is None else max(0.0, value - self._before)
        falls = self._before is not None and value < self._before
        self._before = value
        self._sum += rise - self._rises[0]
        self._rises.append(rise)
        self._high, self._low = max(self._high, value), min(self._low, value)
        if now_s < _LEARN_S:
            self._typical = max(self._typical, self._sum)
            return None
        if now_s - max(self._last_s, _LEARN_S) > _FORGET_S:  # nothing found: look for less
            self._typical *= 0.5 ** (1.0 / self.rate_hz)
        threshold = _THRESHOLD * self._typical
        if not self._above:
            if self._sum > threshold > 0 and now_s - self._last_s > _REFRACTORY_S:
                self._above, self._peak = True, self._sum
            return None
        self._peak = max(self._peak, self._sum)
        if not falls or self._sum > 0.98 * self._peak:
            return None
        self._above = False
        self._typical += 0.15 * (min(self._peak, 2.0 * self._typical) - self._typical)
        self._last_s = now_s
        beat = Beat(now_s, self._high, self._low)
        self._high, self._low = value, value
        return beat


class PulseWatch:
    """Pulses over time become a rate with its quality."""

    def __init__(self, rate_hz: float) -> None:
        self._detector = PulseDetector(rate_hz)
        self._beats: deque[Beat] = deque()
        self._means: deque[tuple[float, float]] = deque()
        self._missing: deque[tuple[float, float]] = deque()

    @property
    def rate_hz(self) -> float:
        """The waveform's sampling rate."""
        return self._detector.rate_hz

    def push(self, samples: NDArray[np.floating]) -> None:
        """Take samples of the waveform (n,)."""
        if not len(samples):
            return
        self._beats.extend(self._detector.push(samples))
        now_s = self._detector.now_s
        known = samples[np.isfinite(samples)]
        self._missing.append((now_s, 1.0 - len(known) / len(samples)))
        if len(known):
            self._means.append((now_s, float(known.mean())))
        for queue, length_s in ((self._missing, 4.0), (self._means, 8.0)):
            while queue and queue[0][0] < now_s - length_s:
                queue.popleft()
        while self._beats and self._beats[0].time_s < now_s - _LONGEST_S:
            self._beats.popleft()

    def pulse(self) -> Pulse:
        """Return what the waveform says now."""
        now_s = self._detector.now_s
        beats = list(self._beats)[-_RECENT - 1 :]
        recent_s = tuple(round(now_s - beat.time_s, 3) for beat in reversed(beats))
        if len(beats) < 4 or recent_s[0] > GONE_S:
            return Pulse(None, 0.0, recent_s=recent_s)
        times_s = np.array([beat.time_s for beat in beats])
        intervals_s = np.diff(times_s)
        heights = np.array([beat.amplitude for beat in beats[1:]])
        rate_bpm = 60.0 / float(np.median(intervals_s))
        missing = max(share for _, share in self._missing) if self._missing else 0.0
        quality = (
            _falling(_spread(intervals_s), 0.08, 0.35)
            * _falling(_spread(heights), 0.15, 0.60)
            * _falling(recent_s[0] / float(np.median(intervals_s)), 1.6, 2.5)
            * (1.0 - missing)
        )
        older = [beat.amplitude for beat in self._beats][: -_RECENT - 1]
        strength = (
            float(np.median(heights) / np.median(older))
            if len(older) >= 10 and np.median(older) > 0
            else None
        )
        return Pulse(
            rate_bpm,
            float(quality),
            strength,
            recent_s,
            float(np.median([beat.high for beat in beats[1:]])),
            float(np.median([beat.low for beat in beats[1:]])),
            float(np.mean([mean for _, mean in self._means])) if self._means else None,
        )


def _spread(values: NDArray[np.float64]) -> float:
    """Return the median distance from the median, over the median, scaled to a standard deviation."""
    middle = float(np.median(values))
    return 1.4826 * float(np.median(np.abs(values - middle))) / middle if middle > 0 else np.inf


def _falling(value: float, whole: float, nothing: float) -> float:
    """Return 1 up to ``whole``, 0 from ``nothing`` on, a line between."""
    return float(np.clip((nothing - value) / (nothing - whole), 0.0, 1.0))
