"""ROC and precision-recall curves: their areas with intervals by group, and the threshold that meets a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgeai_core.errors import InputError
from edgeai_core.metrics.intervals import grouped_bootstrap


@dataclass(frozen=True)
class Curve:
    """One row for each distinct score, from the highest down; arrays of shape (points,).

    At each threshold everything that scores as much or more is called positive. ``precision`` is 1 where
    nothing is. The first threshold is infinite: nothing is called.
    """

    thresholds: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold gives on the data it was chosen on; call positive what scores ``threshold`` or more."""

    threshold: float
    sensitivity: float
    specificity: float


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve; ties count one half, as in the Mann-Whitney statistic.

    ``labels`` are 0 or 1 and ``scores`` finite, both of shape (n,). It is nan where one class is missing.
    """
    truth, score = _checked(labels, scores)
    if truth.all() or not truth.any():
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def pr_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision, the area under the precision-recall curve as steps.

    It is not interpolated, which would be too kind: J. Davis and M. Goadrich, ICML 2006. nan without positives.
    """
    truth, score = _checked(labels, scores)
    if not truth.any():
        return float("nan")
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, score))


def area_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Sequence[object],
    area: Callable[[ArrayLike, ArrayLike], float] = roc_auc,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap interval of an area over whole groups; ``groups`` names each sample's."""
    truth, score = _checked(labels, scores)
    if len(groups) != len(truth):
        raise InputError(f"{len(truth)} samples have {len(groups)} groups")
    places: dict[object, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)

    def resampled(chosen: Sequence[np.ndarray]) -> float:
        rows = np.concatenate(chosen)
        return area(truth[rows], score[rows])

    members = [np.array(rows) for rows in places.values()]
    return grouped_bootstrap(members, resampled, n_resamples, seed, confidence)


def curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Return the points of both curves. Raises InputError where one class is missing."""
    truth, score = _checked(labels, scores)
    if truth.all() or not truth.any():
        raise InputError("a curve needs samples of both classes")
    from sklearn.metrics import roc_curve

    false_rate, sensitivity, thresholds = roc_curve(truth, score, drop_intermediate=False)
    true_calls = sensitivity * truth.sum()
    calls = true_calls + false_rate * (~truth).sum()
    precision = np.divide(true_calls, calls, out=np.ones_like(calls), where=calls > 0)
    return Curve(thresholds, sensitivity, 1 - false_rate, precision)


def threshold_at(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> OperatingPoint:
    """Return the threshold that just reaches a wanted sensitivity, or a wanted specificity.

    For a sensitivity it is the highest threshold that has it, so that specificity is as good as can be, and the
    other way round. A threshold chosen on the data that are then judged flatters: choose it on other groups.
    Raises InputError unless exactly one share between 0 and 1 is wanted and both classes are there.
    """
    wanted = [share for share in (sensitivity, specificity) if share is not None]
    if len(wanted) != 1 or not 0 <= wanted[0] <= 1:
        raise InputError("a threshold wants either a sensitivity or a specificity, between 0 and 1")
    points = curve(labels, scores)
    if sensitivity is not None:
        place = int(np.argmax(points.sensitivity >= sensitivity - _ROUNDING))
    else:
        place = int(np.flatnonzero(points.specificity >= wanted[0] - _ROUNDING)[-1])
    threshold = float(points.thresholds[place])
    if np.isinf(threshold):
        threshold = float(np.nextafter(points.thresholds[1], np.inf))  # just above the highest score
    return OperatingPoint(threshold, float(points.sensitivity[place]), float(points.specificity[place]))


_ROUNDING = 1e-12


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, score = np.asarray(labels), np.asarray(scores, dtype=float)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise InputError(f"labels and scores must be rows of one length: {truth.shape}, {score.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels must be 0 or 1")
    if not np.isfinite(score).all():
        raise InputError(f"{int((~np.isfinite(score)).sum())} of {len(score)} scores are not finite")
    return truth.astype(bool), score
