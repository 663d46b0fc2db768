"""Causal filters that keep their state from chunk to chunk: any way of cutting a signal gives the same output."""

from __future__ import annotations

import math
import sys
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos

from edgeai_core.errors import InputError

Array = NDArray[np.float64]


class Hold:
    """Puts a channel's last number in the place of samples that are not numbers; zero before the first one."""

    def __init__(self, channels: int) -> None:
        self._last = np.zeros(channels)

    def push(self, samples: NDArray[np.floating]) -> Array:
        """Take samples (n, channels); give them without NaN and infinity."""
        values = np.asarray(samples, dtype=np.float64)
        good = np.isfinite(values)
        if not good.all():
            rows = np.where(good, np.arange(len(values))[:, None], -1)
            rows = np.maximum.accumulate(rows, axis=0)
            held = np.take_along_axis(values, np.maximum(rows, 0), axis=0)
            values = np.where(rows >= 0, held, self._last)
        if len(values):
            self._last = values[-1].copy()
        return values


class Bridge:
    """Like Hold, and after a gap goes on from the level before it, so that a gap makes no edge.

    What is larger than ``largest``, up or down, is no number either. The offset that bridging takes stays on.
    Where a channel begins without numbers it is zero until the first one, and goes on from zero.
    """

    def __init__(self, channels: int, largest: float = math.inf) -> None:
        self._largest = min(largest, sys.float_info.max)
        self._offsets = np.zeros(channels)
        self._levels = np.zeros(channels)
        self._broken = np.zeros(channels, bool)  # the channel's last sample was not a number

    def push(self, samples: NDArray[np.floating]) -> Array:
        """Take samples (n, channels); give them without NaN and infinity."""
        values = np.asarray(samples, dtype=np.float64)
        if not len(values):
            return values
        good = np.abs(values) <= self._largest
        if good.all() and not self._broken.any():
            out = values + self._offsets if self._offsets.any() else values
        else:
            out = np.empty_like(values)
            for channel in range(values.shape[1]):
                self._channel(channel, values[:, channel], good[:, channel], out[:, channel])
        self._levels = out[-1].copy()
        return out

    def _channel(self, channel: int, values: Array, good: NDArray[np.bool_], out: Array) -> None:
        level = self._levels[channel]
        edges = [0, *(np.flatnonzero(good[1:] != good[:-1]) + 1).tolist(), len(values)]
        for start, end in pairwise(edges):
            if good[start]:
                if self._broken[channel]:
                    self._offsets[channel] = level - values[start]
                out[start:end] = values[start:end] + self._offsets[channel]
                level = out[end - 1]
            else:
                out[start:end] = level
            self._broken[channel] = not good[start]


class CausalFilter:
    """Second-order sections over one or more channels, starting as if the first sample had always been there.

    A constant signal therefore gives no transient. Samples that are not numbers are held at the channel's last
    number, so they never reach the state.
    """

    def __init__(self, sections: Array, channels: int = 1) -> None:
        """Take ``sections`` (m, 6) as scipy designs them, or several designs stacked, for ``channels``."""
        self._sections = np.ascontiguousarray(sections, dtype=np.float64)
        if self._sections.ndim != 2 or self._sections.shape[1] != 6 or channels < 1:
            raise InputError(
                f"a filter needs sections (m, 6) and a channel; got {self._sections.shape} and {channels}"
            )
        self._channels = channels
        self._hold = Hold(channels)
        self._state: Array | None = None

    def push(self, samples: NDArray[np.floating]) -> Array:
        """Take the next samples (n, channels); give as many, filtered."""
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise InputError(f"this filter takes (n, {self._channels}) samples; got {samples.shape}")
        values = self._hold.push(samples)
        if not len(values):
            return values
        if self._state is None:
            self._state = sosfilt_zi(self._sections)[:, :, None] * values[0]
        filtered, self._state = sosfilt(self._sections, values, axis=0, zi=self._state)
        return np.asarray(filtered)

    def reset(self) -> None:
        """Forget everything: the next sample is the first."""
        self._state = None
        self._hold = Hold(self._channels)


def high_pass(cutoff_hz: float, rate_hz: float, order: int = 2) -> Array:
    """Sections of a Butterworth high-pass: -3 dB at ``cutoff_hz``."""
    _check([cutoff_hz], rate_hz)
    return np.asarray(butter(order, cutoff_hz, btype="highpass", fs=rate_hz, output="sos"))


def low_pass(cutoff_hz: float, rate_hz: float, order: int = 2) -> Array:
    """Sections of a Butterworth low-pass: -3 dB at ``cutoff_hz``."""
    _check([cutoff_hz], rate_hz)
    return np.asarray(butter(order, cutoff_hz, btype="lowpass", fs=rate_hz, output="sos"))


def band_pass(low_hz: float, high_hz: float, rate_hz: float, order: int = 2) -> Array:
    """Sections of a Butterworth band-pass: -3 dB at both edges; ``order`` on each side."""
    _check([low_hz, high_hz], rate_hz)
    return np.asarray(butter(order, [low_hz, high_hz], btype="bandpass", fs=rate_hz, output="sos"))


def notch(centre_hz: float, rate_hz: float, width_hz: float = 2.0) -> Array:
    """One section that takes out ``centre_hz``; ``width_hz`` between its -3 dB points."""
    _check([centre_hz], rate_hz)
    return np.asarray(tf2sos(*iirnotch(centre_hz, centre_hz / width_hz, fs=rate_hz)))


def _check(edges_hz: list[float], rate_hz: float) -> None:
    rising = all(low < high for low, high in zip([0.0, *edges_hz], [*edges_hz, rate_hz / 2], strict=True))
    if not (rising and math.isfinite(rate_hz)):
        edges = " and ".join(f"{edge:g}" for edge in edges_hz)
        raise InputError(
            f"filter edge {edges} Hz: must rise and lie between 0 and half the rate of {rate_hz:g} Hz"
        )
