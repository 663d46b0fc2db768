"""Envelope spectra: impacts that repeat, found under whatever else a machine does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import ifft, irfft, next_fast_len, rfft, rfftfreq

from edgeai_core.errors import InputError

_SILENCE = 1e-9
"""A bin that holds less than this share of the largest is left empty: whitened it would be rounding noise."""


def prewhiten(samples: NDArray[np.floating]) -> NDArray[np.complex128]:
    """Give the analytic signal (n,) of samples (n,) whose spectrum has been made flat.

    Every line and resonance weighs the same afterwards, so that what is left is when things happen, not how
    loudly. A constant signal gives zeros. Source: cepstral pre-whitening, P. Borghesani et al., Mechanical Systems
    and Signal Processing 36 (2013): the inverse transform of X / |X|.
    """
    _check(samples)
    spectrum = np.asarray(rfft(np.asarray(samples, dtype=np.float64) - np.mean(samples)))
    size = np.abs(spectrum)
    largest = float(size.max())
    if largest <= 1e-12 * (1.0 + float(np.abs(samples).max())) * len(samples):
        return np.zeros(len(samples), dtype=np.complex128)
    flat = np.zeros(len(samples), dtype=np.complex128)
    half = (len(samples) + 1) // 2  # what lies above is the mirror of what lies below
    np.divide(2 * spectrum[:half], size[:half], out=flat[:half], where=size[:half] > _SILENCE * largest)
    flat[0] = 0
    return np.asarray(ifft(flat))


def envelope_spectrum(
    samples: NDArray[np.floating], rate_hz: float, *, up_to_hz: float | None = None, padding: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give frequencies (m,) in Hz and the power (m,) of the squared envelope of samples (n,), pre-whitened.

    The power is in units of the envelope's own variance, so that it does not depend on how loud the signal is;
    ``padding`` says how many times finer than 1/duration the frequencies lie. ``up_to_hz``: nothing above it is
    looked at, which costs less. Source of the squared envelope:
    R. Randall and J. Antoni, Mechanical Systems and Signal Processing 25 (2011), section 4.
    """
    envelope = np.abs(prewhiten(samples)) ** 2
    envelope -= envelope.mean()
    energy = float(np.sum(envelope**2))
    if up_to_hz is not None and up_to_hz < rate_hz / 4:
        envelope, rate_hz, energy = _slowed(envelope, rate_hz, up_to_hz, energy)
    length = next_fast_len(padding * len(envelope), real=True)
    power = np.abs(np.asarray(rfft(envelope * np.hanning(len(envelope)), length))) ** 2
    frequencies = np.asarray(rfftfreq(length, 1.0 / rate_hz))
    return frequencies, power / energy if energy > 0 else np.zeros_like(power)


def _slowed(
    envelope: NDArray[np.float64], rate_hz: float, up_to_hz: float, energy: float
) -> tuple[NDArray[np.float64], float, float]:
    """Give the envelope up to a frequency, at the rate that it needs, and its whole energy on that scale."""
    kept = next_fast_len(math.ceil(1.1 * up_to_hz * len(envelope) / rate_hz) + 8, real=True)
    share = 2 * kept / len(envelope)
    spectrum = np.asarray(rfft(envelope))[: kept + 1]
    spectrum[-1] = 0
    return np.asarray(irfft(spectrum, 2 * kept)) * share, rate_hz * share, energy * share**2


def _check(samples: NDArray[np.floating]) -> None:
    if samples.ndim != 1 or len(samples) < 16 or not np.isfinite(samples).all():
        raise InputError(f"an envelope needs at least 16 numbers in a row; got {samples.shape}")
