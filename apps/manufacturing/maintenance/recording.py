"""What a machine's sensors gave, whatever it was stored in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Vibration = NDArray[np.float32]
"""Acceleration in m/s^2, shape (n, channels); NaN: the sensor gave no value."""

GRAVITY_MPS2 = 9.80665
"""Standard acceleration of gravity, for sensors that state g."""

MIN_RATE_HZ, MAX_RATE_HZ = 2_000.0, 200_000.0
"""Sampling rates of vibration that can be judged: from velocity up to 1 kHz, to shocks."""

MAX_CHANNELS = 16
MAX_SLOW = 64

NOTHING: Mapping[str, float] = MappingProxyType({})


def _nothing_to_close() -> None:
    """A recording that holds no file."""


@dataclass(frozen=True)
class Block:
    """A stretch of a recording: ``vibration`` (n, channels) in m/s^2, and what is measured once in it.

    ``slow`` names its quantities with their units: ``rpm``, ``temperature_c``, ``pressure_bar``, ``current_a``,
    ``hours`` (the counter of running hours), or a column's own name. NaN: no value.
    ``duration_s``: how long it takes to play, where it is not its number of samples that says so.
    """

    vibration: Vibration
    slow: Mapping[str, float] = field(default_factory=dict)
    duration_s: float | None = None


@dataclass(frozen=True)
class Recording:
    """What a recording says of itself, and its blocks, read as they are asked for.

    ``rate_hz`` is that of the vibration, 0 where there is none. ``bursts``: each block is a short measurement of
    its own, as wireless sensors and inspection rounds give, and nothing follows on from the one before.
    Raises InputError for a rate or a number of channels that makes no sense.
    """

    name: str
    rate_hz: float
    channels: tuple[str, ...]
    blocks: Iterator[Block]
    bursts: bool = False
    simulated: bool = False
    close: Callable[[], None] = _nothing_to_close

    def __post_init__(self) -> None:
        if not self.channels and self.rate_hz == 0:
            return
        if not (math.isfinite(self.rate_hz) and MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ):
            raise InputError(
                f"{self.name}: vibration sampled at {self.rate_hz:g} Hz; from {MIN_RATE_HZ:g} to"
                f" {MAX_RATE_HZ:g} Hz can be judged. Is the rate given in Hz?"
            )
        if not 1 <= len(self.channels) <= MAX_CHANNELS:
            raise InputError(
                f"{self.name}: {len(self.channels)} channels of vibration; from 1 to {MAX_CHANNELS} can be read"
            )


@dataclass(frozen=True)
class MachineChunk:
    """What comes at once: ``vibration`` (n, channels) float32 in m/s^2, read-only, and the slow quantities.

    ``first_index`` counts samples from the start of ``recording``: where it does not follow on from the chunk
    before, or the recording is another, what came before says nothing about what comes now.
    """

    vibration: Vibration
    rate_hz: float
    channels: tuple[str, ...]
    slow: Mapping[str, float]
    first_index: int = 0
    recording: str = ""
    burst: bool = False
    simulated: bool = False
