"""Spectra by order, in multiples of the shaft's speed, and how far a line stands out of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError


def order_spectrum(
    frequencies_hz: NDArray[np.float64],
    power: NDArray[np.float64],
    shaft_hz: float,
    orders: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the power (m,) at ``orders`` (m,), multiples of ``shaft_hz``; zero beyond the last frequency.

    Spectra of stretches run at different speeds can be added up by order, which by frequency they cannot.
    """
    if not (math.isfinite(shaft_hz) and shaft_hz > 0):
        raise InputError(f"a shaft that turns {shaft_hz:g} times a second has no orders; give its speed")
    return np.asarray(np.interp(orders * shaft_hz, frequencies_hz, power, right=0.0))


def prominence(
    spectrum: NDArray[np.float64],
    orders: NDArray[np.float64],
    lines: Sequence[float],
    *,
    tolerance: float = 0.012,
    around: float = 0.35,
) -> NDArray[np.float64]:
    """Give how far each line stands out: the natural logarithm of its power over the median beside it (lines,).

    ``orders`` rise evenly. A line is looked for within ``tolerance`` of itself, for rolling elements slip by one or
    two per cent; beside it is up to ``around`` orders further. nan where the spectrum does not reach, or is empty.
    """
    step = float(orders[1] - orders[0])
    found = np.full(len(lines), np.nan)
    for number, line in enumerate(lines):
        reach = max(tolerance * line, 2 * step)
        if line - reach < orders[0] or line + reach > orders[-1]:
            continue
        distance = np.abs(orders - line)
        peak = float(spectrum[distance <= reach].max())
        level = float(np.median(spectrum[(distance > 1.5 * reach) & (distance <= reach + around)]))
        if level > 0:
            found[number] = math.log(max(peak, 1e-300) / level)
    return found
