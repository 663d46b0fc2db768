"""Preprocessing: raw ECG chunks to clean samples at one rate, with each lead's quality, as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.signals.filters import Bridge, CausalFilter, high_pass, notch
from edgeai_core.signals.resample import StreamResampler
from edgeai_core.signals.spectra import band_powers
from edgeai_core.signals.windows import SlidingWindow

WORKING_RATE_HZ = 250.0
"""The rate at which beats and rhythms are looked at: twice the 125 Hz below which QRS complexes lose their shape."""

QUALITY_WINDOW_S = 2.0
"""A lead's quality is that of so much signal before now,"""

QUALITY_HOP_S = 0.5
"""judged anew so often."""

MIN_RATE_HZ, MAX_RATE_HZ, MAX_LEADS = 90.0, 4000.0, 32
"""What is taken in."""

_BASELINE_HZ = 0.5  # slower is breathing and movement (AHA 2007: a cut-off of 0.5 Hz or less for monitoring)
_MAINS_HZ = (50.0, 60.0)
_LONGEST_FILTER_S = 0.04  # what resampling may delay the samples by
_LARGEST_MV = 1e4  # more is no voltage of an electrode, and counts as missing

_FLAT_MV = 0.005  # from peak to peak: a lead on a body moves more, if only by its noise
_STUCK_S = 1.0  # so long on one value exactly: the input is open, saturated or repeated
_HEART_BAND_HZ = (0.9, 30.0)
_WANDER_BAND_HZ = (0.0, 0.9)
_MUSCLE_BANDS_HZ = ((30.0, 48.0), (52.0, 58.0), (62.0, 100.0))  # less the mains, which are filtered out
_LEAST_POWER_MV2 = 0.1**2  # a heart band weaker than this is compared with noise as if it were this strong
_WANDER_RATIO = (0.4, 16.0)  # of wander to the heart band's power: no harm, no use
_MUSCLE_RATIO = (0.1, 2.0)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clean:
    """Samples (n, leads) at WORKING_RATE_HZ; sample i stands for the input at (first_index + i) / WORKING_RATE_HZ s.

    ``samples_mv``: without baseline wander and mains. ``raw_mv``: only resampled. Where the input was not a
    number, its last one is held, and both go on from there. ``quality`` (leads,): from 0, no use, to 1, clean;
    ``lead_off`` (leads,): missing, flat or saturated, so that nothing of a heart is in it. Both speak of the
    last QUALITY_WINDOW_S and are 1 and False until there is so much signal.
    """

    samples_mv: Array
    raw_mv: Array
    first_index: int
    quality: Array
    lead_off: NDArray[np.bool_]


class Preprocessor:
    """Cleans chunks of several leads; the samples do not depend on the size of the chunks.

    ``mains_hz`` is the frequency to take out; None takes out both 50 and 60 Hz, which costs a heart nothing.
    """

    def __init__(self, rate_hz: float, leads: int, mains_hz: float | None = None) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise InputError(
                f"sampling rate {rate_hz:g} Hz: an ECG is taken from {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"
            )
        if not 1 <= leads <= MAX_LEADS:
            raise InputError(f"{leads} leads: from 1 to {MAX_LEADS} can be taken")
        half_width = max(3, min(8, math.floor(_LONGEST_FILTER_S * min(rate_hz, WORKING_RATE_HZ))))
        self._resampler = StreamResampler(rate_hz, WORKING_RATE_HZ, leads, half_width)
        sections = [high_pass(_BASELINE_HZ, WORKING_RATE_HZ)]
        sections += [
            notch(mains, WORKING_RATE_HZ) for mains in (_MAINS_HZ if mains_hz is None else (mains_hz,))
        ]
        self._filter = CausalFilter(np.concatenate(sections), leads)
        self._bridge = Bridge(leads, _LARGEST_MV)
        self._rate_hz = rate_hz
        self._windows = SlidingWindow(
            round(QUALITY_WINDOW_S * rate_hz), round(QUALITY_HOP_S * rate_hz), leads
        )
        self._leads = leads
        self._made = 0
        self._quality = np.ones(leads)
        self._lead_off = np.zeros(leads, bool)

    @property
    def delay_s(self) -> float:
        """How long after its own time a clean sample comes, in seconds of input; the times themselves are right."""
        return self._resampler.delay_s

    def push(self, samples_mv: NDArray[np.floating]) -> Clean:
        """Take the next samples (n, leads) in mV, NaN where there is none; give the clean ones that are complete."""
        if samples_mv.ndim != 2 or samples_mv.shape[1] != self._leads:
            raise InputError(
                f"an ECG chunk of {self._leads} leads is (n, {self._leads}); got {samples_mv.shape}"
            )
        for window in self._windows.push(samples_mv):
            self._quality, self._lead_off = lead_quality(window.samples, self._rate_hz)
        raw_mv = self._resampler.push(self._bridge.push(samples_mv))
        first, self._made = self._made, self._made + len(raw_mv)
        return Clean(self._filter.push(raw_mv), raw_mv, first, self._quality, self._lead_off)


def lead_quality(window_mv: NDArray[np.floating], rate_hz: float) -> tuple[Array, NDArray[np.bool_]]:
    """Judge a raw window (n, leads): quality (leads,) from 0 to 1, and whether a lead is off (leads,).

    Noise is what lies above and below the band of hearts' power, compared with that band; a rhythm's shape
    plays no part, so fibrillation is no noise. In a flat line small noise is no fault: it may be asystole.
    """
    present = (np.abs(window_mv) <= _LARGEST_MV).mean(axis=0)
    values = Bridge(window_mv.shape[1], _LARGEST_MV).push(window_mv)
    off = (present < 0.5) | (np.ptp(values, axis=0) < _FLAT_MV) | _stuck(values, round(_STUCK_S * rate_hz))
    powers = band_powers(values, rate_hz, [_HEART_BAND_HZ, _WANDER_BAND_HZ, *_MUSCLE_BANDS_HZ])
    heart = np.maximum(powers[0], _LEAST_POWER_MV2)
    quality = (
        present
        * _ramp(powers[1] / heart, _WANDER_RATIO)
        * _ramp(powers[2:].sum(axis=0) / heart, _MUSCLE_RATIO)
    )
    return np.where(off, 0.0, quality), off


def _stuck(values: Array, length: int) -> NDArray[np.bool_]:
    """Whether a lead (n, leads) holds one value for ``length`` samples on end."""
    same = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values[1:] == values[:-1], axis=0)])
    return np.asarray((same[length - 1 :] - same[: len(same) - length + 1] == length - 1).any(axis=0))


def _ramp(ratio: Array, ends: tuple[float, float]) -> Array:
    """1 up to the first end, 0 from the second, even steps of the logarithm between."""
    low, high = np.log(ends)
    return np.asarray(np.clip((high - np.log(np.maximum(ratio, 1e-12))) / (high - low), 0, 1))
