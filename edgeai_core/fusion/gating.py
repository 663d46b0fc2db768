"""Gates: which measurements can be of which track at all."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Floats = NDArray[np.float64]


@lru_cache(maxsize=64)
def chi_square_gate(dimension: int, probability: float = 0.999) -> float:
    """Return the squared distance that a right measurement of this dimension keeps with this probability.

    Raises InputError for a probability outside (0, 1) or a dimension below 1.
    """
    if not 0 < probability < 1 or dimension < 1:
        raise InputError(f"no gate for dimension {dimension} and probability {probability}")
    from scipy.special import chdtri  # the upper tail's inverse; scipy.stats would cost a tenth of a second

    return float(chdtri(dimension, 1 - probability))


def squared_distances(innovations: Floats, inverse: Floats) -> Floats:
    """Return the squared Mahalanobis distances (n, m) of innovations (n, m, k) under inverses (n, k, k)."""
    k = innovations.shape[-1]
    if k == 2:  # most of the time goes here in a crowd: written out, it takes a third
        x, y = innovations[..., 0], innovations[..., 1]
        a, b, d = inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]
        flat: Floats = x * (a[:, None] * x + (2 * b)[:, None] * y) + d[:, None] * (y * y)
        return flat
    distance: Floats = ((innovations @ inverse) * innovations).sum(axis=-1)
    return distance
