"""What rhythm the latest seconds show: windows of the signal -> calibrated probabilities, or "cannot tell"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, OTHER, VF, VT
from edgeai_core.errors import InputError, ModelError
from edgeai_core.metrics.calibration import Platt
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.runner import Runner
from edgeai_core.signals.filters import CausalFilter, high_pass, low_pass

RATE_HZ = 125.0
"""The rate at which the network sees the signal."""

LONG_S, SHORT_S = 4.0, 2.0
LONG, SHORT = round(LONG_S * RATE_HZ), round(SHORT_S * RATE_HZ)
"""The two windows, in seconds and in samples; the short one is the end of the long one."""

WINDOWS = {"4s": LONG, "2s": SHORT}
"""The windows by the names that cards and figures use."""

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

    ``cannot_tell``: no lead is usable, or it shows noise and is not called VF/VT; the probabilities then say
    little.
    """

    probabilities: Mapping[str, float]
    cannot_tell: bool

    @property
    def vfvt(self) -> float:
        """The probability of VF, flutter or VT."""
        return self.probabilities[VT] + self.probabilities[VF]


@dataclass(frozen=True)
class RhythmBelief:
    """Both windows, their leads joined.

    ``leads_vfvt``: the probability of VF, flutter or VT by each lead alone, (leads, 2) for the long and the
    short window; NaN where a lead is not usable. ``*_positive``: whether the window is called VF/VT, at the
    thresholds of the model's card.
    """

    long: WindowBelief
    short: WindowBelief
    leads_vfvt: NDArray[np.float64]
    long_positive: bool
    short_positive: bool


@dataclass(frozen=True)
class Reading:
    """How the logits of one window length are read; fitted on patients that the network had not seen.

    ``slope`` and ``intercept`` (Platt) make a probability of the log-odds of VF/VT; from ``threshold`` on a
    window is called VF/VT. One that is not, and shows noise with more than ``noise_limit``, cannot be told.
    """

    slope: float
    intercept: float
    threshold: float
    noise_limit: float = 0.5

    @classmethod
    def of(cls, card: ModelCard, window: str) -> Reading:
        """Take the reading of a window (``4s`` or ``2s``) from a card; raises ModelError where it has none."""
        return cls(*(card.number(f"{field.name}_{window}") for field in fields(cls)))

    def parameters(self, window: str) -> dict[str, float]:
        """The card's parameters for ``of``."""
        return {f"{name}_{window}": value for name, value in asdict(self).items()}

    def probabilities(self, logits: NDArray[np.floating], flat: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Logits (windows, classes) and whether a window is flat -> calibrated probabilities, same shape."""
        raw = softmax(logits)
        vfvt = vfvt_of(raw)
        called = Platt(self.slope, self.intercept).probability(log_odds(logits))
        share = np.where(_VFVT, (called / vfvt)[:, None], ((1 - called) / (1 - vfvt))[:, None])
        return np.where(flat[:, None], _FLAT, raw * share)

    def positive(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether windows are called VF, flutter or VT, (windows,)."""
        return vfvt_of(probabilities) >= self.threshold

    def cannot_tell(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether windows are too noisy to say, (windows,)."""
        noisy = probabilities[:, CLASSES.index(NOISE)] > self.noise_limit
        return noisy & ~self.positive(probabilities)


class RhythmTrace:
    """The latest 4 s of every lead as the network sees them: 0.5 to 35 Hz, 125 Hz, causal, with state.

    The same samples give the same trace whatever the size of the chunks. A missing sample (NaN) holds the
    value before it. Points between samples are interpolated linearly: after the low-pass little is left that
    could alias, and nothing has to wait.
    """

    def __init__(self, rate_hz: float, leads: int) -> None:
        if not 60.0 <= rate_hz <= 10_000.0 or leads < 1:
            raise InputError(
                f"cannot make a trace of {leads} leads at {rate_hz:g} Hz; 60 Hz or more is needed"
            )
        self.rate_hz, self.leads = rate_hz, leads
        high_hz = min(BAND_HZ[1], 0.4 * rate_hz)
        sections = [high_pass(BAND_HZ[0], rate_hz), low_pass(high_hz, rate_hz, order=4)]
        self._filter = CausalFilter(np.vstack(sections), leads)
        self._last = np.zeros(leads)
        self._taken = 0
        self._made = 0
        self._window = np.zeros((leads, LONG), dtype=np.float32)

    @property
    def full(self) -> bool:
        """Whether 4 s have come."""
        return self._made >= LONG

    @property
    def window(self) -> NDArray[np.float32]:
        """The window, (leads, 500) mV, oldest sample first. Zeros stand for what has not come yet."""
        return self._window

    def push(self, samples_mv: NDArray[np.floating]) -> NDArray[np.float32]:
        """Take samples, (n, leads) mV, in order; return what they add to the trace, (m, leads)."""
        filtered = self._filter.push(samples_mv)
        if not len(filtered):
            return np.empty((0, self.leads), dtype=np.float32)
        first = self._taken  # the number of filtered[0]; self._last is the sample before it
        self._taken += len(filtered)
        stop = int((self._taken - 1) * RATE_HZ // self.rate_hz) + 1
        at = np.arange(self._made, stop) * (self.rate_hz / RATE_HZ) - (first - 1)
        row = np.clip(at.astype(np.intp), 0, len(filtered) - 1)
        line = np.vstack([self._last, filtered])
        share = np.clip(at - row, 0.0, 1.0)[:, None]
        made: NDArray[np.float32] = ((1 - share) * line[row] + share * line[row + 1]).astype(np.float32)
        self._last = filtered[-1]
        self._made = max(stop, self._made)
        if len(made):
            self._window = np.concatenate([self._window, made.T], axis=1)[:, -LONG:]
        return made


class RhythmClassifier:
    """Runs the network and reads its outputs by the card."""

    def __init__(self, runner: Runner) -> None:
        card = runner.card
        if card.classes != CLASSES:
            raise ModelError(
                f"model {card.name} {card.version}: its classes are {list(card.classes)}, not {list(CLASSES)}"
            )
        self.runner = runner
        self.readings = {window: Reading.of(card, window) for window in WINDOWS}

    def classify(
        self, window_mv: NDArray[np.float32], usable: NDArray[np.bool_] | None = None
    ) -> RhythmBelief:
        """Judge the latest 4 s, (leads, 500) mV from a ``RhythmTrace``, by the usable leads, (leads,) bool."""
        window = np.asarray(window_mv, dtype=np.float32)
        if window.ndim != 2 or window.shape[1] != LONG or not len(window):
            raise InputError(f"expected a window of shape (leads, {LONG}), not {window.shape}")
        use = np.ones(len(window), dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
        leads_vfvt = np.full((len(window), 2), np.nan)
        if not use.any():
            return RhythmBelief(_NOTHING, _NOTHING, leads_vfvt, long_positive=False, short_positive=False)
        seen = np.ascontiguousarray(window[use][None])
        logits = self.runner.run({"ecg": seen})
        beliefs: list[WindowBelief] = []
        positives: list[bool] = []
        for i, (name, samples) in enumerate(WINDOWS.items()):
            reading = self.readings[name]
            both = np.concatenate([logits[f"logits_{name}"], logits[f"lead_logits_{name}"][0]])
            flat = np.zeros(len(both), dtype=bool)
            flat[0] = is_flat(seen[:, :, -samples:])[0]
            shares = reading.probabilities(both, flat)
            leads_vfvt[use, i] = vfvt_of(shares[1:])
            joint = shares[:1]
            beliefs.append(
                WindowBelief(
                    dict(zip(CLASSES, joint[0].tolist(), strict=True)), bool(reading.cannot_tell(joint)[0])
                )
            )
            positives.append(bool(reading.positive(joint)[0]))
        return RhythmBelief(beliefs[0], beliefs[1], leads_vfvt, positives[0], positives[1])


def is_flat(windows_mv: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether no lead of windows (windows, leads, samples) shows activity above ``MIN_RANGE_MV``, (windows,)."""
    last = windows_mv.shape[-1] - 1
    low, high = round(0.05 * last), round(0.95 * last)
    ordered = np.partition(windows_mv, (low, high), axis=-1)
    return np.asarray((ordered[..., high] - ordered[..., low] < MIN_RANGE_MV).all(axis=-1))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities over the last axis, none of them exactly 0 or 1."""
    raised = np.exp(np.clip(logits - logits.max(axis=-1, keepdims=True), -30.0, 0.0), dtype=np.float64)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def vfvt_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of VF, flutter or VT from those of ``CLASSES``, (windows, classes) -> (windows,)."""
    return np.asarray(probabilities[:, _VFVT].sum(axis=1))


def log_odds(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The log-odds of VF, flutter or VT from logits (windows, classes), (windows,)."""
    vfvt = vfvt_of(softmax(logits))
    return np.asarray(np.log(vfvt / (1 - vfvt)))


_VFVT = np.array([rhythm in (VF, VT) for rhythm in CLASSES])
_FLAT = np.array([float(rhythm == ASYSTOLE) for rhythm in CLASSES])
_NOTHING = WindowBelief({rhythm: float(rhythm == NOISE) for rhythm in CLASSES}, cannot_tell=True)
