"""Atrial fibrillation: the ventricles are reached at random, and no P wave comes before a beat as before the last.

Measures of irregularity over the last intervals between beats that are not ventricular, joined by a logistic
regression: the normalised root mean square of successive differences, the Shannon entropy of the intervals' histogram
and the turning points (S. Dash et al., "Automatic real time detection of atrial fibrillation", Ann. Biomed. Eng.
37:1701-1709, 2009); the coefficient of sample entropy (D.E. Lake and J.R. Moorman, "Accurate estimation of entropy in
very short physiological time series", Am. J. Physiol. Heart Circ. Physiol. 300:H319-H325, 2011); how intervals follow
their neighbours, which parts it from the arrhythmia of breathing; and how alike the P waves are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.beat_class import Labelled
from edgeai_core.errors import ModelError
from edgeai_core.runners.card import ModelCard

INTERVALS = 60
"""So many intervals are looked at: about a minute."""

LEAST_INTERVALS = 30
"""With fewer nothing is said."""

LONGEST_RR_S = 2.5
"""A longer interval is a pause or a beat that was missed: it is left out."""

FEATURES = (
    "rmssd",
    "median_step",
    "entropy",
    "turning_points",
    "cosen",
    "autocorrelation",
    "curvature",
    "near_median",
    "small_step",
    "p_alike",
    "p_steady",
    "supraventricular",
)

Doubles = NDArray[np.float64]

_TOLERANCE_S = 0.03  # intervals this near are the same (sample entropy)
_LARGEST_STEPS = 0.1  # this share of the largest steps is left out of the root mean square, as ectopic
_BINS, _FIRST, _BIN = 16, 0.4, 0.1  # of the histogram, as shares of the median interval
_FARTHEST = 4.0


@dataclass(frozen=True)
class AtrialReading:
    """A logistic regression over standardised ``FEATURES``; its numbers come from the beat network's card."""

    mean: Sequence[float]
    scale: Sequence[float]
    weights: Sequence[float]
    bias: float

    @classmethod
    def of(cls, card: ModelCard) -> AtrialReading | None:
        """Take the reading from a card; None where it has none, ModelError where it is damaged."""
        if "atrial_bias" not in card.parameters:
            return None
        mean, scale, weights = (_numbers(card, f"atrial_{name}") for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, card.number("atrial_bias"))

    def parameters(self) -> dict[str, list[float] | float]:
        """The card's parameters for ``of``."""
        return {
            "atrial_mean": [float(each) for each in self.mean],
            "atrial_scale": [float(each) for each in self.scale],
            "atrial_weights": [float(each) for each in self.weights],
            "atrial_bias": float(self.bias),
        }

    def probability(self, features: Doubles) -> float:
        """The probability of atrial fibrillation by ``FEATURES``."""
        standard = np.clip((features - np.array(self.mean)) / np.array(self.scale), -_FARTHEST, _FARTHEST)
        return float(1.0 / (1.0 + math.exp(-float(standard @ np.array(self.weights)) - self.bias)))


class AtrialTracker:
    """Takes classified beats in order; a beat's interval counts where neither end of it is ventricular."""

    def __init__(self, reading: AtrialReading | None) -> None:
        """Without a ``reading`` nothing is ever said."""
        self._reading = reading
        self._intervals: deque[tuple[float, float, bool]] = deque(maxlen=INTERVALS)
        self._last: tuple[float, bool] | None = None
        self.probability: float | None = None
        """That of atrial fibrillation now; None before enough intervals."""

    def push(self, beats: Labelled) -> None:
        """Take beats in order."""
        before = len(self._intervals), self._last
        for (time_s, kind, _), alike in zip(beats, beats.p_alike.tolist(), strict=True):
            counted = kind != "V"
            if self._last is not None and counted and self._last[1]:
                interval_s = time_s - self._last[0]
                if interval_s <= LONGEST_RR_S:
                    self._intervals.append((interval_s, alike, kind == "S"))
            self._last = (time_s, counted)
        if self._reading is None or (len(self._intervals), self._last) == before:
            return
        if (features := self.features()) is not None:
            self.probability = self._reading.probability(features)

    def lost(self) -> None:
        """The signal was lost: nothing is known."""
        self._intervals.clear()
        self._last = None
        self.probability = None

    def features(self) -> Doubles | None:
        """``FEATURES`` of the intervals remembered; None where they are too few."""
        if len(self._intervals) < LEAST_INTERVALS:
            return None
        rr_s, alike, early = np.array(self._intervals).T
        return irregularity(rr_s, alike, early)


def irregularity(rr_s: Doubles, p_alike: Doubles, supraventricular: Doubles) -> Doubles:
    """``FEATURES`` of intervals (n,) in s, with how alike each beat's P waves are, and which beats are called early."""
    median = float(np.median(rr_s))
    relative = rr_s / median
    steps = np.abs(np.diff(relative))
    ordered = np.sort(steps)
    small = ordered[: max(3, int(len(ordered) * (1 - _LARGEST_STEPS)))]
    bins = np.clip(((relative - _FIRST) / _BIN).astype(int), 0, _BINS - 1)
    shares = np.bincount(bins, minlength=_BINS) / len(rr_s)
    shares = shares[shares > 0]
    inner, before, after = rr_s[1:-1], rr_s[:-2], rr_s[2:]
    turns = ((inner > before) & (inner > after)) | ((inner < before) & (inner < after))
    return np.array(
        [
            math.sqrt(float((small**2).mean())),
            float(ordered[len(ordered) // 2]),
            -float((shares * np.log(shares)).sum()) / math.log(_BINS),
            float(turns.mean()),
            _cosen(rr_s),
            _autocorrelation(relative),
            float(np.abs(np.diff(relative, 2)).mean()) / (float(steps.mean()) + 1e-3),
            float((np.abs(relative - 1) < 0.05).mean()),
            float(ordered[len(ordered) // 4]),
            float(p_alike.mean()),
            float((p_alike > 0.7).mean()),
            float(supraventricular.mean()),
        ]
    )


def _numbers(card: ModelCard, name: str) -> list[float]:
    values = card.parameters.get(name)
    if not isinstance(values, list) or len(values) != len(FEATURES):
        raise ModelError(
            f"model {card.name} {card.version}: its card has no {name} of {len(FEATURES)} numbers"
        )
    return [float(value) for value in values]


def _cosen(rr_s: Doubles) -> float:
    """The coefficient of sample entropy, with templates of one interval (Lake and Moorman 2011, equation 6)."""
    close = np.abs(rr_s[:, None] - rr_s[None, :]) <= _TOLERANCE_S
    np.fill_diagonal(close, False)
    short = int(close[:-1, :-1].sum())
    long = int((close[:-1, :-1] & close[1:, 1:]).sum())
    entropy = -math.log(max(long, 1) / short) if short else 3.0
    return entropy + math.log(2 * _TOLERANCE_S) - math.log(float(rr_s.mean()))


def _autocorrelation(relative: Doubles) -> float:
    """The correlation of neighbours, outliers drawn in: near nought in fibrillation, high where breathing leads."""
    ordered = np.sort(relative)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    centred = np.clip(relative, low, high)
    centred = centred - centred.mean()
    return float((centred[1:] * centred[:-1]).sum() / max(float((centred**2).sum()), 1e-9))
