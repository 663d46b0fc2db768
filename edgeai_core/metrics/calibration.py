"""Calibration: make a model's probabilities mean what they say, and measure how far they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgeai_core.errors import InputError
from edgeai_core.metrics.intervals import wilson

_TEMPERATURES = (0.01, 100.0)
"""Between these a temperature is sought. Logits that want a value outside are wrong, not uncalibrated."""


@dataclass(frozen=True)
class Platt:
    """A logistic curve from score to probability: ``1 / (1 + exp(-(slope * score + intercept)))``."""

    slope: float
    intercept: float

    def probability(self, scores: ArrayLike) -> np.ndarray:
        """Return the probabilities of scores of any shape."""
        return _logistic(self.slope * np.asarray(scores, dtype=float) + self.intercept)


@dataclass(frozen=True)
class ReliabilityBin:
    """Of ``n`` predictions from ``low`` to ``high``, the mean stated probability and the share that came true.

    ``share_low`` and ``share_high`` bound the share at 95 % (Wilson).
    """

    low: float
    high: float
    n: int
    probability: float
    share: float
    share_low: float
    share_high: float


def softmax(logits: ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities of shape (n, classes) from logits of the same shape, divided by ``temperature``."""
    if not temperature > 0:
        raise InputError(f"a temperature is above 0, not {temperature}")
    return np.asarray(np.exp(_log_softmax(np.asarray(logits, dtype=float) / temperature)))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature that makes ``softmax(logits, temperature)`` likeliest.

    ``logits`` is (n, classes), ``labels`` (n,) the true class numbers. It changes no decision, for the order of
    the classes stays. Fit it on other groups than those it is judged on.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    values, truth = np.asarray(logits, dtype=float), np.asarray(labels)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(values):
        raise InputError(
            f"a temperature needs logits (n, classes) and labels (n,): {values.shape}, {truth.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError("a temperature needs finite logits")
    if not np.isin(truth, np.arange(values.shape[1])).all():
        raise InputError(f"labels must be class numbers from 0 to {values.shape[1] - 1}")
    from scipy.optimize import minimize_scalar

    chosen = np.arange(len(values)), truth.astype(int)

    def loss(log_temperature: float) -> float:
        return -float(_log_softmax(values / np.exp(log_temperature))[chosen].mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def fit_platt(scores: ArrayLike, labels: ArrayLike) -> Platt:
    """Return the logistic curve that makes the labels (0 or 1) likeliest given scores, both of shape (n,).

    The targets are drawn in from 0 and 1 as by one more sample of each class, so that the fit stays finite
    where the classes do not overlap.

    Source: J. Platt, Probabilistic Outputs for Support Vector Machines, 1999, with the loss in the form of
    H.-T. Lin, C.-J. Lin and R. Weng, Machine Learning 68 (2007), which does not overflow.
    """
    score, truth = np.asarray(scores, dtype=float), np.asarray(labels)
    _check_binary(score, truth)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise InputError("a logistic curve needs samples of both classes")
    if not np.isfinite(score).all():
        raise InputError("a logistic curve needs finite scores")
    from scipy.optimize import minimize

    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = float(score.mean()), float(score.std()) or 1.0
    unit = (score - centre) / spread  # one step size for both parameters, whatever the scores' scale

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logit = parameters[0] * unit + parameters[1]
        error = _logistic(logit) - target
        value = np.logaddexp(0, logit) - target * logit
        return float(value.mean()), np.array([(error * unit).mean(), error.mean()])

    start = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    slope, intercept = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x
    return Platt(float(slope / spread), float(intercept - slope * centre / spread))


def reliability(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> list[ReliabilityBin]:
    """Return the reliability table: equal-width bins of stated probability, without the empty ones.

    Both are of shape (n,); ``outcomes`` are 0 or 1. For several classes give the probability of the class
    that was called, and whether it was right.
    """
    stated, came = np.asarray(probabilities, dtype=float), np.asarray(outcomes)
    _check_binary(stated, came)
    if bins < 1:
        raise InputError(f"a reliability table needs at least one bin, not {bins}")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise InputError("probabilities lie between 0 and 1")
    place = np.minimum((stated * bins).astype(int), bins - 1)
    table = []
    for number in np.unique(place):
        inside = place == number
        n, true = int(inside.sum()), int(came[inside].sum())
        share_low, share_high = wilson(true, n)
        table.append(
            ReliabilityBin(
                number / bins,
                (number + 1) / bins,
                n,
                float(stated[inside].mean()),
                true / n,
                share_low,
                share_high,
            )
        )
    return table


def expected_calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance between stated probability and share that came true, weighted by count.

    nan without samples. Source: M. Naeini, G. Cooper and M. Hauskrecht, AAAI 2015.
    """
    table = reliability(probabilities, outcomes, bins)
    n = sum(row.n for row in table)
    return sum(row.n * abs(row.probability - row.share) for row in table) / n if n else float("nan")


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _logistic(logit: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -logit)))


def _check_binary(values: np.ndarray, outcomes: np.ndarray) -> None:
    if values.ndim != 1 or values.shape != outcomes.shape:
        raise InputError(f"values and outcomes must be rows of one length: {values.shape}, {outcomes.shape}")
    if not np.isin(outcomes, (0, 1)).all():
        raise InputError("outcomes must be 0 or 1")
