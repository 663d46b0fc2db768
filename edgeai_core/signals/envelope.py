"""Envelope spectra: impacts that repeat, found under whatever else a machine does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft, next_fast_len, rfft, rfftfreq

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
    spectrum = np.asarray(fft(np.asarray(samples, dtype=np.float64) - np.mean(samples)))
    size = np.abs(spectrum)
    largest = float(size.max())
    if largest <= 1e-12 * (1.0 + float(np.abs(samples).max())) * len(samples):
        return np.zeros(len(samples), dtype=np.complex128)
    flat = np.divide(spectrum, size, out=np.zeros_like(spectrum), where=size > _SILENCE * largest)
    half = (len(samples) + 1) // 2
    flat[0] = 0
    flat[1:half] *= 2
    flat[half:] = 0
    return np.asarray(ifft(flat))


def envelope_spectrum(
    samples: NDArray[np.floating], rate_hz: float, *, padding: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give frequencies (m,) in Hz and the power (m,) of the squared envelope of samples (n,), pre-whitened.

    The power is in units of the envelope's own variance, so that it does not depend on how loud the signal is;
    ``padding`` says how many times finer than 1/duration the frequencies lie. Source of the squared envelope:
    R. Randall and J. Antoni, Mechanical Systems and Signal Processing 25 (2011), section 4.
    """
    envelope = np.abs(prewhiten(samples)) ** 2
    envelope -= envelope.mean()
    length = next_fast_len(padding * len(envelope), real=True)
    power = np.abs(np.asarray(rfft(envelope * np.hanning(len(envelope)), length))) ** 2
    energy = float(np.sum(envelope**2))
    frequencies = np.asarray(rfftfreq(length, 1.0 / rate_hz))
    return frequencies, power / energy if energy > 0 else np.zeros_like(power)


def _check(samples: NDArray[np.floating]) -> None:
    if samples.ndim != 1 or len(samples) < 16 or not np.isfinite(samples).all():
        raise InputError(f"an envelope needs at least 16 numbers in a row; got {samples.shape}")
