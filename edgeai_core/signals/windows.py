"""Sliding windows over a signal that comes in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError


@dataclass(frozen=True)
class Window:
    """One window: ``samples`` (length, channels), read-only; ``start`` numbers its first sample since the beginning."""

    start: int
    samples: NDArray[np.float64]


class SlidingWindow:
    """Cuts a stream of (n, channels) chunks into windows of ``length`` samples, one every ``hop`` samples.

    Which windows come does not depend on how the stream is cut. No more than one window and one chunk are held.
    """

    def __init__(self, length: int, hop: int, channels: int = 1) -> None:
        if length < 1 or hop < 1 or channels < 1:
            raise InputError(
                f"a window needs a length, a hop and a channel; got {length}, {hop} and {channels}"
            )
        self._length, self._hop, self._channels = length, hop, channels
        self._held = np.empty((0, channels))
        self._start = 0  # number of the first sample of the next window
        self._skip = 0  # samples before it that are still to come, where windows lie apart

    def push(self, samples: NDArray[np.floating]) -> Iterator[Window]:
        """Take the next samples; the windows that are complete now are made as they are asked for."""
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise InputError(f"this window takes (n, {self._channels}) samples; got {samples.shape}")
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        held = np.concatenate([self._held, samples[skipped:]])
        count = max(0, (len(held) - self._length) // self._hop + 1)
        first, used = self._start, min(count * self._hop, len(held))
        self._start += count * self._hop
        self._skip += count * self._hop - used
        self._held = held[used:].copy()
        return (self._window(held, first, at * self._hop) for at in range(count))

    def _window(self, held: NDArray[np.float64], first: int, at: int) -> Window:
        samples = held[at : at + self._length].copy()
        samples.flags.writeable = False
        return Window(first + at, samples)
