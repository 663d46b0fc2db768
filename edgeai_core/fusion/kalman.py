"""Kalman filtering of many tracks at once.

Every function works on stacks: a mean (..., d) and a covariance (..., d, d), where ``...`` is any number of tracks and
modes. A matrix may be one for all (d, d) or one for each (..., d, d). Notation: F motion, Q its noise, H observation,
R its noise, S the innovation's covariance. R. E. Kalman, Journal of Basic Engineering 82 (1960); for functions that
are not linear, F and H are their Jacobians at the mean (extended Kalman filter).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def predict_covariance(covariance: Floats, f: Floats, q: Floats) -> Floats:
    """Return F P F' + Q (..., d, d)."""
    return symmetric(f @ covariance @ f.swapaxes(-1, -2) + q)


def innovation_covariance(covariance: Floats, h: Floats, r: Floats) -> Floats:
    """Return S = H P H' + R (..., m, m)."""
    return symmetric(h @ covariance @ h.swapaxes(-1, -2) + r)


def update(
    mean: Floats, covariance: Floats, innovation: Floats, h: Floats, r: Floats, s: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return mean and covariance after measurements with the given innovations (..., m).

    The covariance is updated in Joseph's form, (I - K H) P (I - K H)' + K R K', a sum of two matrices that are
    positive by their making: it stays positive whatever the rounding (R. S. Bucy and P. D. Joseph, Filtering for
    Stochastic Processes, 1968).
    """
    inverse, _ = inverse_and_log_det(innovation_covariance(covariance, h, r) if s is None else s)
    gain = covariance @ h.swapaxes(-1, -2) @ inverse
    keep = np.eye(mean.shape[-1]) - gain @ h
    joseph = keep @ covariance @ keep.swapaxes(-1, -2) + gain @ r @ gain.swapaxes(-1, -2)
    return mean + (gain @ innovation[..., None])[..., 0], symmetric(joseph)


def symmetric(matrix: Floats) -> Floats:
    """Return the symmetric part (..., d, d): what rounding made uneven is evened out."""
    half: Floats = 0.5 * (matrix + matrix.swapaxes(-1, -2))
    return half


def inverse_and_log_det(matrix: Floats) -> tuple[Floats, Floats]:
    """Return the inverses (..., m, m) and the logarithms of the determinants (...,) of symmetric positive matrices."""
    m = matrix.shape[-1]
    if m == 1:
        return 1.0 / matrix, np.log(matrix[..., 0, 0])
    if m == 2:
        a, b, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
        det = a * d - b * b
        inverse = np.empty_like(matrix)
        inverse[..., 0, 0], inverse[..., 1, 1] = d / det, a / det
        inverse[..., 0, 1] = inverse[..., 1, 0] = -b / det
        return inverse, np.log(det)
    factor = np.linalg.cholesky(matrix)
    log_det = 2 * np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)
    inverted: Floats = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return symmetric(inverted), log_det


def squared_distance(innovation: Floats, inverse: Floats) -> Floats:
    """Return the squared Mahalanobis distance (...,) of innovations (..., m)."""
    distance: Floats = ((innovation[..., None, :] @ inverse)[..., 0, :] * innovation).sum(axis=-1)
    return distance
