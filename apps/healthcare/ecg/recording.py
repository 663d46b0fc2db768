"""An opened electrocardiogram, whatever it was stored in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Samples = NDArray[np.float32]
"""Millivolts, shape (n, leads); NaN: the device gave no value."""

MIN_RATE_HZ, MAX_RATE_HZ = 100.0, 1000.0
"""Sampling rates that the analysis is made for."""

MAX_LEADS = 12
"""More columns than a standard electrocardiogram has are refused."""

MAX_LEAD_CHARACTERS = 64


def _nothing_to_close() -> None:
    """A recording that holds no file."""


@dataclass(frozen=True)
class Recording:
    """What a recording says of itself, and its samples in blocks of any size, read as they are asked for.

    ``close`` lets go of its file. Raises InputError for a rate or a number of leads that makes no sense.
    """

    name: str
    rate_hz: float
    lead_names: tuple[str, ...]
    blocks: Iterator[Samples]
    simulated: bool = False
    close: Callable[[], None] = _nothing_to_close

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_hz) and MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ):
            raise InputError(
                f"{self.name}: sampled at {self.rate_hz:g} Hz;"
                f" an ECG from {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz can be judged"
            )
        if not 1 <= len(self.lead_names) <= MAX_LEADS:
            raise InputError(f"{self.name}: {len(self.lead_names)} leads; from 1 to {MAX_LEADS} can be read")
        for lead in self.lead_names:
            if len(lead) > MAX_LEAD_CHARACTERS or not lead.isprintable():
                raise InputError(
                    f"{self.name}: {lead[:MAX_LEAD_CHARACTERS]!r} is no name of a lead:"
                    f" up to {MAX_LEAD_CHARACTERS} characters that can be shown"
                )
