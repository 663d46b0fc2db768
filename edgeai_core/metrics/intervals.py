"""Intervals of confidence: Wilson's for a share, Garwood's for a count, the bootstrap over groups for all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from edgeai_core.errors import InputError

G = TypeVar("G")

_RESAMPLES_AT_ONCE = 256
"""Rows of group counts held in memory at a time."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share of ``successes`` in ``n`` independent trials.

    With no trial nothing is known, and the interval is (0, 1).
    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), without continuity
    correction. It takes trials as independent: for windows of few patients use a grouped bootstrap.

    Raises InputError for counts that cannot be.
    """
    if not 0 <= successes <= n:
        raise InputError(f"cannot give an interval for {successes} successes in {n} trials")
    _check_confidence(confidence)
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # costs tens of megabytes: only where a figure is made

    interval = binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def poisson(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of what a count's mean may be (Garwood, Biometrika 28:437-442, 1936)."""
    from scipy.stats import chi2  # here: most who measure never count, and it takes a fifth of a second

    _check_confidence(confidence)
    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2


def grouped_bootstrap(
    groups: Sequence[G],
    statistic: Callable[[Sequence[G]], float],
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of ``statistic`` over resampled groups.

    ``groups`` has one entry for each group (a patient, a part's lot, a drive) that holds whatever the
    statistic needs; groups are drawn whole, with replacement, so what is alike within a group stays together.
    Resamples in which the statistic is not a number (no positive in them, say) are left out.
    With fewer than two groups, or with more than half of the resamples undefined, the interval is (nan, nan):
    it cannot be told from these data.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; groups as in
    A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    _check_bootstrap(n_resamples, confidence)
    if len(groups) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = np.array(
        [
            statistic([groups[i] for i in rng.integers(len(groups), size=len(groups))])
            for _ in range(n_resamples)
        ],
        dtype=float,
    )
    return _percentiles(values, confidence)


def ratio_bootstrap(
    numerators: ArrayLike,
    denominators: ArrayLike,
    n_resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the grouped bootstrap interval of ``sum(numerators) / sum(denominators)``.

    Both are of shape (groups,): a sensitivity by patient has true positives over positives. It is
    ``grouped_bootstrap`` for the most common statistic, some hundred times as fast.
    """
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if top.ndim != 1 or top.shape != bottom.shape:
        raise InputError(
            f"a ratio needs one numerator and one denominator a group: {top.shape}, {bottom.shape}"
        )
    _check_bootstrap(n_resamples, confidence)
    groups = len(top)
    if groups < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = np.empty(n_resamples)
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        stop = min(start + _RESAMPLES_AT_ONCE, n_resamples)
        counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=stop - start)
        with np.errstate(divide="ignore", invalid="ignore"):
            values[start:stop] = (counts @ top) / (counts @ bottom)
    return _percentiles(values, confidence)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values):
        return float("nan"), float("nan")
    tail = 50 * (1 - confidence)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def _check_bootstrap(n_resamples: int, confidence: float) -> None:
    if n_resamples < 1:
        raise InputError(f"a bootstrap needs at least one resample, not {n_resamples}")
    _check_confidence(confidence)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"a confidence lies between 0 and 1, not {confidence}")
