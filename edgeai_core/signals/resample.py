"""Resampling of a stream by a ratio of whole numbers, causal, the same whatever the size of the chunks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, upfirdn

from edgeai_core.errors import InputError
from edgeai_core.signals.filters import Hold

MAX_FACTOR = 10_000
"""The largest whole number in a ratio of rates; a ratio is rounded to one within 2 millionths
(0.2 s a day), and refused where there is none."""

_KAISER_BETA = 5.0  # side lobes of the filter about 50 dB down


class StreamResampler:
    """Brings (n, channels) chunks from one rate to another with a linear-phase polyphase filter.

    Output sample m stands for the input at time ``m / rate_out_hz``: the filter's delay is made up for by
    waiting, so a time at one rate is the same time at the other. Before its first sample the signal is taken
    to have been constant. Samples that are not numbers are held at the channel's last number.
    """

    def __init__(self, rate_in_hz: float, rate_out_hz: float, channels: int = 1, half_width: int = 8) -> None:
        """``half_width`` is half the filter's length in samples of the lower rate: longer is sharper, and later."""
        if channels < 1 or half_width < 1:
            raise InputError(f"resampling needs a channel and a filter; got {channels} and {half_width}")
        ratio = _ratio(rate_in_hz, rate_out_hz)
        self._up, self._down = ratio.numerator, ratio.denominator
        self._channels = channels
        # A multiple of `down`, and buffers that begin at multiples of it, put every output on upfirdn's own raster.
        self._half = (
            0 if ratio == 1 else -(-half_width * max(self._up, self._down) // self._down) * self._down
        )
        self._taps = _taps(self._half, self._up, self._down)
        self._hold = Hold(channels)
        self._buffer = np.empty((0, channels))
        self._first = 0  # number of the buffer's first sample since the beginning
        self._made = 0  # output samples given so far
        self.delay_s = self._half / (self._up * rate_in_hz)
        """How much later than its own time a sample comes out, in seconds of input."""

    def push(self, samples: NDArray[np.floating]) -> NDArray[np.float64]:
        """Take samples (n, channels); give those (m, channels) of the new rate that are complete now."""
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise InputError(f"this resampler takes (n, {self._channels}) samples; got {samples.shape}")
        values = self._hold.push(samples)
        if not len(values) or not self._half:
            return values
        if not len(self._buffer):
            before = -(-self._half // (self._up * self._down)) * self._down
            self._first, self._buffer = -before, np.repeat(values[:1], before, axis=0)
        self._buffer = np.concatenate([self._buffer, values])
        after = self._first + len(self._buffer)
        end = (
            after * self._up - 1 - self._half
        ) // self._down + 1  # outputs whose whole filter lies before `after`
        if end <= self._made:
            return np.empty((0, self._channels))
        skipped = self._made + (self._half - self._first * self._up) // self._down
        resampled = upfirdn(self._taps, self._buffer, self._up, self._down, axis=0)
        out = np.asarray(resampled[skipped : skipped + end - self._made])
        self._made = end
        needed = (end * self._down - self._half) // self._up - self._first
        unused = max(0, needed) // self._down * self._down
        self._first, self._buffer = self._first + unused, self._buffer[unused:].copy()
        return out


def _ratio(rate_in_hz: float, rate_out_hz: float) -> Fraction:
    for rate in (rate_in_hz, rate_out_hz):
        if not (math.isfinite(rate) and rate > 0):
            raise InputError(f"a sampling rate of {rate:g} Hz: must be above 0")
    exact = Fraction(str(rate_out_hz)) / Fraction(str(rate_in_hz))
    ratio = exact
    if max(exact.numerator, exact.denominator) > MAX_FACTOR:
        ratio = exact.limit_denominator(MAX_FACTOR // math.ceil(max(Fraction(1), exact)))
    if not ratio or abs(ratio / exact - 1) > Fraction(2, 1_000_000):
        raise InputError(
            f"{rate_in_hz:g} Hz to {rate_out_hz:g} Hz is no ratio of whole numbers up to {MAX_FACTOR}; round the rates"
        )
    return ratio


def _taps(half: int, up: int, down: int) -> NDArray[np.float64]:
    if not half:
        return np.ones(1)
    taps = np.asarray(firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", _KAISER_BETA)))
    for phase in range(up):
        taps[phase::up] /= taps[
            phase::up
        ].sum()  # each output weighs its inputs to 1: a constant stays constant
    return taps
