"""What rhythm the latest seconds show: windows of the signal -> calibrated probabilities, or "cannot tell"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt, sosfilt_zi

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, OTHER, VF, VT
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.runner import Runner

RATE_HZ = 125.0
"""The rate at which the network sees the signal."""

LONG_S, SHORT_S = 4.0, 2.0
LONG, SHORT = round(LONG_S * RATE_HZ), round(SHORT_S * RATE_HZ)
"""The two windows, in seconds and in samples; the short one is the end of the long one."""

BAND_HZ = (0.5, 35.0)
"""Pass band: above the drift of the baseline, below mains; VF has its power between 2 and 9 Hz."""

MIN_RANGE_MV = 0.1
"""Less than this between the 5th and the 95th percentile is no electrical activity: fine VF is above
0.1 mV peak to peak by the common definitions (AHA statement on AED algorithms, Kerber et al. 1997)."""


CLASSES = (OTHER, VT, VF, ASYSTOLE, NOISE)
"""What a window can show, in the order of the network's outputs. VF stands for fibrillation and flutter."""


@dataclass(frozen=True)
class WindowBelief:
    """What one window shows: a probability for each of ``CLASSES``, calibrated; together they make 1.

    ``cannot_tell``: no lead is usable, or noise is likelier than the model's card allows; the probabilities
    then say little.
    """

    probabilities: Mapping[str, float]
    cannot_tell: bool

    @property
    def vfvt(self) -> float:
        """The probability of VF, flutter or VT."""
        return self.probabilities[VT] + self.probabilities[VF]


@dataclass(frozen=True)
class RhythmBelief:
    """Both windows, their leads joined. ``leads_vfvt``: (leads, 2) VF/VT of each lead alone, long and short;
    NaN where a lead is not usable. ``threshold_*``: from where on the card calls a window VF/VT."""

    long: WindowBelief
    short: WindowBelief
    leads_vfvt: NDArray[np.float32]
    threshold_long: float
    threshold_short: float

    @property
    def long_positive(self) -> bool:
        """Whether the 4 s window shows VF, flutter or VT."""
        return not self.long.cannot_tell and self.long.vfvt >= self.threshold_long

    @property
    def short_positive(self) -> bool:
        """Whether the 2 s window shows VF, flutter or VT."""
        return not self.short.cannot_tell and self.short.vfvt >= self.threshold_short


class RhythmTrace:
    """The latest 4 s of every lead as the network sees them: 0.5 to 35 Hz, 125 Hz, causal, with state.

    The same samples give the same trace whatever the size of the chunks. A missing sample (NaN) holds the
    value before it; ``missing`` says how much of the window that was.
    """

    def __init__(self, rate_hz: float, leads: int) -> None:
        if not 60.0 <= rate_hz <= 10_000.0 or leads < 1:
            raise InputError(f"cannot make a trace of {leads} leads at {rate_hz:g} Hz; 60 Hz or more is needed")
        self.rate_hz, self.leads = rate_hz, leads
        high = min(BAND_HZ[1], 0.4 * rate_hz)
        self._sos = np.vstack(
            [
                butter(2, BAND_HZ[0], "highpass", fs=rate_hz, output="sos"),
                butter(4, high, "lowpass", fs=rate_hz, output="sos"),
            ]
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything: what comes next does not follow on."""
        self._state: NDArray[np.float64] | None = None
        self._held = np.zeros(self.leads)
        self._last = np.zeros(self.leads)
        self._taken = 0
        self._made = 0
        self._window = np.zeros((self.leads, LONG), dtype=np.float32)
        self._gaps = np.zeros((self.leads, LONG), dtype=bool)

    @property
    def full(self) -> bool:
        """Whether 4 s have come."""
        return self._made >= LONG

    @property
    def window(self) -> NDArray[np.float32]:
        """The window, (leads, 500) mV, oldest sample first. Zeros stand for what has not come yet."""
        return self._window

    @property
    def missing(self) -> NDArray[np.float64]:
        """The share of each lead's window that was missing, (leads,)."""
        return self._gaps.mean(axis=1)

    def push(self, samples_mv: NDArray[np.floating]) -> NDArray[np.float32]:
        """Take samples, (n, leads) mV, in order; return what they add to the trace, (m, leads)."""
        samples = np.asarray(samples_mv, dtype=np.float64)
        if samples.ndim != 2 or samples.shape[1] != self.leads:
            raise InputError(f"expected samples of shape (n, {self.leads}), not {samples.shape}")
        if not len(samples):
            return np.empty((0, self.leads), dtype=np.float32)
        gaps = ~np.isfinite(samples)
        samples = self._hold(samples, gaps)
        if self._state is None:
            # The state of a line that always stood at the first sample: no step at the start.
            self._state = sosfilt_zi(self._sos)[:, :, None] * samples[0]
            self._last = np.zeros(self.leads)
        filtered, self._state = sosfilt(self._sos, samples, axis=0, zi=self._state)
        return self._resample(filtered, gaps)

    def _hold(self, samples: NDArray[np.float64], gaps: NDArray[np.bool_]) -> NDArray[np.float64]:
        if gaps.any():
            rows = np.where(gaps, -1, np.arange(len(samples))[:, None])
            latest = np.maximum.accumulate(rows, axis=0)
            known = np.take_along_axis(samples, np.maximum(latest, 0), axis=0)
            samples = np.where(latest >= 0, known, self._held)
        self._held = samples[-1]
        return samples

    def _resample(self, filtered: NDArray[np.float64], gaps: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Linear interpolation at multiples of 1/125 s: after the low-pass little is left that could alias."""
        first = self._taken  # the index of filtered[0]; self._last is the sample before it
        self._taken += len(filtered)
        stop = int((self._taken - 1) * RATE_HZ // self.rate_hz) + 1
        at = np.arange(self._made, stop) * (self.rate_hz / RATE_HZ) - (first - 1)
        row = np.clip(at.astype(np.intp), 0, len(filtered) - 1)
        line = np.vstack([self._last, filtered])
        share = np.clip(at - row, 0.0, 1.0)[:, None]
        made = ((1 - share) * line[row] + share * line[row + 1]).astype(np.float32)
        gap = gaps[np.clip(row, 0, len(gaps) - 1)]
        self._last = filtered[-1]
        self._made = max(stop, self._made)
        count = min(len(made), LONG)
        if count:
            self._window = np.concatenate([self._window[:, count:], made[len(made) - count :].T], axis=1)
            self._gaps = np.concatenate([self._gaps[:, count:], gap[len(made) - count :].T], axis=1)
        return made


class RhythmClassifier:
    """Runs the network and reads its outputs by the card: temperatures, thresholds, limits."""

    def __init__(self, runner: Runner) -> None:
        card = runner.card
        if card.classes != CLASSES:
            raise ModelError(
                f"model {card.name} {card.version}: classes {list(card.classes)} are not those of this program"
            )
        self._run = runner.run
        self.card = card
        self._temperature = (card.number("temperature_4s"), card.number("temperature_2s"))
        self._threshold = (card.number("threshold_4s"), card.number("threshold_2s"))
        self._noise_limit = (card.number("noise_limit_4s"), card.number("noise_limit_2s"))

    def classify(self, window_mv: NDArray[np.float32], usable: NDArray[np.bool_] | None = None) -> RhythmBelief:
        """Judge the latest 4 s, (leads, 500) mV from a ``RhythmTrace``, by the usable leads, (leads,) bool."""
        window = np.ascontiguousarray(window_mv, dtype=np.float32)
        if window.ndim != 2 or window.shape[1] != LONG or not len(window):
            raise InputError(f"expected a window of shape (leads, {LONG}), not {window.shape}")
        use = np.ones(len(window), dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
        use = use & np.isfinite(window).all(axis=1)
        leads_vfvt = np.full((len(window), 2), np.nan, dtype=np.float32)
        if not use.any():
            return RhythmBelief(_NOTHING, _NOTHING, leads_vfvt, *self._threshold)
        outputs = self._run({"ecg": window[use][None]})
        beliefs = []
        for i, (name, samples) in enumerate((("4s", LONG), ("2s", SHORT))):
            joint = softmax(outputs[f"logits_{name}"][0] / self._temperature[i])
            alone = softmax(outputs[f"lead_logits_{name}"][0] / self._temperature[i])
            leads_vfvt[use, i] = alone[:, 1] + alone[:, 2]
            beliefs.append(self._belief(joint, window[use][:, -samples:], self._noise_limit[i]))
        return RhythmBelief(beliefs[0], beliefs[1], leads_vfvt, *self._threshold)

    def _belief(self, p: NDArray[np.float32], window: NDArray[np.float32], noise_limit: float) -> WindowBelief:
        if is_flat(window):
            return _FLAT
        probabilities = {name: float(share) for name, share in zip(CLASSES, p, strict=True)}
        return WindowBelief(probabilities, cannot_tell=probabilities[NOISE] > noise_limit)


def is_flat(window_mv: NDArray[np.float32]) -> bool:
    """Whether no lead of a window, (leads, samples), shows activity above ``MIN_RANGE_MV``."""
    low, high = np.percentile(window_mv, [5, 95], axis=-1)
    return bool((high - low < MIN_RANGE_MV).all())


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)


_FLAT = WindowBelief({name: float(name == ASYSTOLE) for name in CLASSES}, cannot_tell=False)
_NOTHING = WindowBelief({name: float(name == NOISE) for name in CLASSES}, cannot_tell=True)
