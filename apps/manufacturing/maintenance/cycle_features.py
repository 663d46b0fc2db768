"""What is looked at in an engine's history: levels, slopes and changes of its sensors, apart from how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Array = NDArray[np.float64]

LEVELS = (5, 10, 30)
"""Means over so many latest cycles."""

SLOPES = (30, 80)
"""Slopes over so many, told as the change over them."""

FIRST = 20
"""The first cycles say how this engine is as new."""

MAX_CONDITIONS = 12
CAP = 125.0
"""Remaining life is taught up to so many cycles: before, nothing shows (F. Heimes, PHM 2008)."""


@dataclass(frozen=True)
class Scaling:
    """How sensors become comparable: ``centres`` (conditions, settings) of how the engine is run, ``means`` and
    ``spreads`` (conditions, sensors) in each, ``sensors`` the columns that vary, ``direction`` (sensors,) of wear."""

    centres: Array
    setting_spreads: Array
    means: Array
    spreads: Array
    sensors: tuple[int, ...]
    direction: Array

    def scale(self, settings: Array, sensors: Array) -> Array:
        """Give the chosen sensors in spreads about the mean of the nearest condition, and along wear: (n, m + 1)."""
        near = nearest_condition(settings / self.setting_spreads, self.centres)
        scaled = (sensors[:, self.sensors] - self.means[near]) / self.spreads[near]
        return np.column_stack([scaled, scaled @ self.direction])


def fit_scaling(settings: Sequence[Array], sensors: Sequence[Array], remaining: Sequence[Array]) -> Scaling:
    """Fit on whole engines: a list of arrays, one each. Conditions are found by clustering the settings."""
    from sklearn.linear_model import Ridge

    setting, sensor = np.concatenate(settings), np.concatenate(sensors)
    if not (np.isfinite(setting).all() and np.isfinite(sensor).all()):
        raise InputError("a setting or sensor of a training table is no number")
    setting_spreads = np.maximum(setting.std(axis=0), 1e-2)
    centres = _conditions(setting / setting_spreads)
    near = nearest_condition(setting / setting_spreads, centres)
    means = np.array([sensor[near == n].mean(axis=0) for n in range(len(centres))])
    spreads = np.array([sensor[near == n].std(axis=0) for n in range(len(centres))])
    overall = np.maximum(np.abs(sensor).max(axis=0), 1e-9)
    varies = (spreads > 1e-7 * overall).all(axis=0) & _moves(sensor, near, spreads)
    chosen = tuple(int(n) for n in np.flatnonzero(varies))
    if not chosen:
        raise InputError("no sensor of the training table changes: nothing can be learnt from it")
    scaled = (sensor[:, chosen] - means[:, chosen][near]) / spreads[:, chosen][near]
    target = np.minimum(np.concatenate(remaining), CAP)
    direction = np.asarray(Ridge(10.0).fit(scaled, target).coef_) / 50
    return Scaling(centres, setting_spreads, means[:, chosen], spreads[:, chosen], chosen, direction)


def nearest_condition(settings: Array, centres: Array) -> NDArray[np.int64]:
    """Give the number of the nearest centre of each row (n,)."""
    distances = ((settings[:, None, :] - centres[None]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def all_features(scaled: Array, cycles: Array) -> NDArray[np.float32]:
    """Give the features (n, k) at every cycle of one engine: what is known then, and nothing later."""
    count = len(scaled)
    place = np.arange(count)
    sums = np.vstack([np.zeros(scaled.shape[1]), np.cumsum(scaled, axis=0)])
    moments = np.vstack([np.zeros(scaled.shape[1]), np.cumsum(scaled * place[:, None], axis=0)])
    parts = []
    first = np.minimum(place + 1, FIRST)
    as_new = sums[first] / first[:, None]
    for length in LEVELS:
        parts.append(_window(sums, moments, place, length)[0])
    for length in SLOPES:
        level, slope = _window(sums, moments, place, length)
        parts += [slope * length] if length in LEVELS else [level, slope * length]
    parts.append(_window(sums, moments, place, 10)[0] - as_new)
    parts.append(sums[place + 1] / (place + 1)[:, None])
    parts.append(cycles[:, None])
    return np.concatenate(parts, axis=1).astype(np.float32)


def feature_count(sensors: int) -> int:
    """Return how many features so many sensors give."""
    groups = len(LEVELS) + sum(1 if length in LEVELS else 2 for length in SLOPES) + 2
    return groups * (sensors + 1) + 1


def _window(sums: Array, moments: Array, place: NDArray[np.int64], length: int) -> tuple[Array, Array]:
    """Mean and slope a cycle over the latest ``length`` cycles, or as many as there are."""
    start = np.maximum(0, place - length + 1)
    count = (place + 1 - start)[:, None]
    mean = (sums[place + 1] - sums[start]) / count
    moment = (moments[place + 1] - moments[start]) / count
    middle = ((place + start) / 2)[:, None]
    return mean, (moment - mean * middle) / np.maximum((count**2 - 1) / 12, 1.0)


def _conditions(settings: Array) -> Array:
    """Clusters of the settings: as few as leave hardly any spread within them."""
    from sklearn.cluster import KMeans

    total = float(((settings - settings.mean(axis=0)) ** 2).sum())
    rows = settings[:: max(1, len(settings) // 5000)]
    for count in (1, 2, 3, 4, 5, 6, 8, 10, MAX_CONDITIONS):
        if count >= len(np.unique(rows, axis=0)):
            break
        found = KMeans(count, n_init=10, random_state=0).fit(rows)
        near = nearest_condition(settings, found.cluster_centers_)
        sizes = np.bincount(near, minlength=count)
        within = float(((settings - found.cluster_centers_[near]) ** 2).sum())
        if count > 1 and within < 0.01 * total and sizes.min() > 0.01 * len(settings):
            return np.asarray(found.cluster_centers_, dtype=np.float64)
    return np.asarray(settings.mean(axis=0, keepdims=True), dtype=np.float64)


def _moves(sensor: Array, near: NDArray[np.int64], spreads: Array) -> NDArray[np.bool_]:
    """A sensor of a few fixed steps in every condition is a switch or a constant, not a measurement."""
    few = np.array([len(np.unique(np.round(sensor[near == 0, n], 6))) for n in range(sensor.shape[1])])
    return np.asarray((few > 2) & (spreads[0] > 0), dtype=np.bool_)
