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
    crossed = covariance @ h.swapaxes(-1, -2)
    gain = crossed @ inverse(symmetric(h @ crossed + r) if s is None else s)
    keep = np.eye(mean.shape[-1]) - gain @ h
    joseph = keep @ covariance @ keep.swapaxes(-1, -2) + gain @ r @ gain.swapaxes(-1, -2)
    return mean + (gain @ innovation[..., None])[..., 0], symmetric(joseph)


def symmetric(matrix: Floats) -> Floats:
    """Return the symmetric part (..., d, d): what rounding made uneven is evened out."""
    half: Floats = 0.5 * (matrix + matrix.swapaxes(-1, -2))
    return half


def inverse(matrix: Floats) -> Floats:
    """Return the inverses (..., m, m) of symmetric positive matrices."""
    m = matrix.shape[-1]
    if m == 1:
        return 1.0 / matrix
    if m == 2:  # written out it takes a tenth of the time
        inverted = np.empty_like(matrix)
        det = matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] ** 2
        inverted[..., 0, 0], inverted[..., 1, 1] = matrix[..., 1, 1] / det, matrix[..., 0, 0] / det
        inverted[..., 0, 1] = inverted[..., 1, 0] = -matrix[..., 0, 1] / det
        return inverted
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def log_det(matrix: Floats) -> Floats:
    """Return the logarithms of the determinants (...,) of symmetric positive matrices."""
    if matrix.shape[-1] == 2:
        flat: Floats = np.log(matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] ** 2)
        return flat
    return np.asarray(np.linalg.slogdet(matrix)[1], dtype=np.float64)


def squared_distance(innovation: Floats, inverse: Floats) -> Floats:
    """Return the squared Mahalanobis distance (...,) of innovations (..., m)."""
    distance: Floats = ((innovation[..., None, :] @ inverse)[..., 0, :] * innovation).sum(axis=-1)
    return distance
