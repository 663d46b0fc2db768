"""Observation models: what a sensor should see of a track, with Jacobian and noise, and a track from what it saw."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Observation(Protocol):
    """A sensor's view of states (n, d) as measurements (m, k).

    Of the k numbers the first ``gated`` decide what belongs together; the others are learned from once it does.
    """

    @property
    def gated(self) -> int:
        """How many of the measured numbers take part in gating and association."""
        ...

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what should be measured (n, k), its Jacobian (n, k, d) or (k, d), and noise (n, k, k) or (k, k)."""
        ...

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        """Return measured less predicted, shapes broadcast, angles taken the short way round."""
        ...

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        """Return states (m, d) and covariances (m, d, d) of tracks that begin with these measurements."""
        ...


def wrap(angle: Floats) -> Floats:
    """Return angles in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def wrap_half(angle: Floats) -> Floats:
    """Return directions in [-pi/2, pi/2): those known only up to half a turn."""
    return np.mod(angle + np.pi / 2, np.pi) - np.pi / 2
