"""Interacting multiple models: one belief per way of moving, mixed by how well each foretells.

H. A. P. Blom and Y. Bar-Shalom, IEEE Transactions on Automatic Control 33 (1988). With one model it is a plain
(extended) Kalman filter and costs no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.fusion import kalman
from edgeai_core.fusion.motion import Motion
from edgeai_core.fusion.observation import Observation

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Belief:
    """What is believed of n tracks under k models.

    ``mean`` (n, k, d), ``covariance`` (n, k, d, d) and ``weight`` (n, k), which sums to 1 over the models.
    """

    mean: Floats
    covariance: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Belief:
        """Return the belief of some tracks."""
        return Belief(self.mean[rows], self.covariance[rows], self.weight[rows])

    def joined(self, other: Belief) -> Belief:
        """Return these tracks and then the other ones."""
        return Belief(
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.covariance, other.covariance]),
            np.concatenate([self.weight, other.weight]),
        )

    def moments(self) -> tuple[Floats, Floats]:
        """Return mean (n, d) and covariance (n, d, d) over the models."""
        if self.mean.shape[1] == 1:
            return self.mean[:, 0], self.covariance[:, 0]
        mean = np.einsum("nk,nkd->nd", self.weight, self.mean)
        return mean, _spread(self.weight, self.mean - mean[:, None], self.covariance)


@dataclass(frozen=True)
class ModelSet:
    """Ways of moving, and how often one gives way to another.

    ``rate_hz`` (k, k) holds, off the diagonal, the rate at which model i turns into model j.
    """

    motions: Sequence[Motion]
    rate_hz: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        k = len(self.motions)
        if k > 1 and (len(self.rate_hz) != k or any(len(row) != k for row in self.rate_hz)):
            raise InputError(f"{k} motion models need {k} rows of {k} rates, not {self.rate_hz}")

    def begin(self, mean: Floats, covariance: Floats) -> Belief:
        """Return the belief of new tracks (m, d), all models alike."""
        k = len(self.motions)
        return Belief(
            np.repeat(mean[:, None], k, axis=1),
            np.repeat(covariance[:, None], k, axis=1),
            np.full((len(mean), k), 1 / k),
        )

    def predict(self, belief: Belief, dt_s: float) -> Belief:
        """Return the belief after ``dt_s``: mixed, then moved by each model."""
        if not len(belief) or dt_s == 0:
            return belief
        if len(self.motions) > 1:
            belief = self._mixed(belief, dt_s)
        mean, covariance = np.empty_like(belief.mean), np.empty_like(belief.covariance)
        for k, motion in enumerate(self.motions):
            mean[:, k], f, q = motion.predict(belief.mean[:, k], dt_s)
            covariance[:, k] = kalman.predict_covariance(belief.covariance[:, k], f, q)
        return Belief(mean, covariance, belief.weight)

    def transition(self, dt_s: float) -> Floats:
        """Return the probabilities (k, k) that model i has become model j after ``dt_s``."""
        return _transition(self.rate_hz, dt_s)

    def _mixed(self, belief: Belief, dt_s: float) -> Belief:
        joint = belief.weight[:, :, None] * self.transition(dt_s)  # (n, from, to)
        weight = joint.sum(axis=1)
        into = joint / np.maximum(weight, 1e-300)[:, None, :]
        mean = np.einsum("nij,nid->njd", into, belief.mean)
        covariance = np.empty_like(belief.covariance)
        for j in range(len(self.motions)):
            covariance[:, j] = _spread(into[:, :, j], belief.mean - mean[:, j, None], belief.covariance)
        return Belief(mean, covariance, weight)


def update(belief: Belief, observation: Observation, measured: Floats) -> Belief:
    """Return the belief after one measurement (n, m) for each track."""
    n, k, d = belief.mean.shape
    if k == 1:
        predicted, h, r = observation.predict(belief.mean[:, 0])
        innovation = observation.innovation(measured, predicted)
        mean, covariance = kalman.update(belief.mean[:, 0], belief.covariance[:, 0], innovation, h, r)
        return Belief(mean[:, None], covariance[:, None], belief.weight)
    predicted, h, r = observation.predict(belief.mean.reshape(n * k, d))
    m = predicted.shape[1]
    innovation = observation.innovation(measured[:, None], predicted.reshape(n, k, m))
    h = np.broadcast_to(h, (n * k, m, d)).reshape(n, k, m, d)
    r = np.broadcast_to(r, (n * k, m, m)).reshape(n, k, m, m)
    s = kalman.innovation_covariance(belief.covariance, h, r)
    mean, covariance = kalman.update(belief.mean, belief.covariance, innovation, h, r, s)
    log = -0.5 * (kalman.squared_distance(innovation, kalman.inverse(s)) + kalman.log_det(s))
    weight = belief.weight * np.exp(log - log.max(axis=1, keepdims=True))
    weight = np.maximum(weight / weight.sum(axis=1, keepdims=True), 1e-6)
    return Belief(mean, covariance, weight / weight.sum(axis=1, keepdims=True))


@lru_cache(maxsize=256)
def _transition(rate_hz: tuple[tuple[float, ...], ...], dt_s: float) -> Floats:
    """A Markov chain in continuous time: the exponential of its generator."""
    from scipy.linalg import expm

    off = np.asarray(rate_hz, dtype=np.float64) * (1 - np.eye(len(rate_hz)))
    result: Floats = expm((off - np.diag(off.sum(axis=1))) * dt_s)
    return result


def _spread(weight: Floats, off: Floats, covariance: Floats) -> Floats:
    """Return the covariance (n, d, d) of mixtures with deviations ``off`` (n, k, d) from their mean."""
    within = np.einsum("nk,nkde->nde", weight, covariance)
    between = np.einsum("nk,nkd,nke->nde", weight, off, off)
    return kalman.symmetric(within + between)
