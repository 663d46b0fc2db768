"""Power of a signal in bands of frequency, and the velocity of what shakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import periodogram

from edgeai_core.errors import InputError


def band_powers(
    samples: NDArray[np.floating], rate_hz: float, bands_hz: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Give the mean square (bands, channels) that samples (n, channels), less their mean, hold in each band.

    From one Hann-windowed periodogram; a band takes its lower edge and not its upper one, so bands that touch
    share nothing. The unit is that of the samples, squared.
    """
    if samples.ndim != 2 or len(samples) < 2:
        raise InputError(f"a spectrum needs at least two samples (n, channels); got {samples.shape}")
    frequencies, density = periodogram(samples, rate_hz, window="hann", detrend="constant", axis=0)
    step = frequencies[1] - frequencies[0]
    chosen = [density[(frequencies >= low) & (frequencies < high)].sum(axis=0) for low, high in bands_hz]
    return np.asarray(np.stack(chosen) * step, dtype=np.float64)


def velocity_spectrum(
    acceleration: NDArray[np.floating], rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give frequencies (m,) in Hz and the velocity's mean square in each of their bins (m, channels).

    ``acceleration`` (n, channels), less its mean, is integrated in the spectrum, by 1 / (2 pi f): no drift comes in.
    In m/s^2 it gives (m/s)^2. The bin at 0 Hz holds nothing.
    """
    if acceleration.ndim != 2 or len(acceleration) < 2:
        raise InputError(f"a spectrum needs at least two samples (n, channels); got {acceleration.shape}")
    frequencies, density = periodogram(acceleration, rate_hz, window="hann", detrend="constant", axis=0)
    step = frequencies[1] - frequencies[0]
    factor = np.zeros_like(frequencies)
    factor[1:] = step / (2 * np.pi * frequencies[1:]) ** 2
    return np.asarray(frequencies), np.asarray(density * factor[:, None], dtype=np.float64)
