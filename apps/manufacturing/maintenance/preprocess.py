"""Chunks -> stretches that can be judged: whole, of one rate, and with what is wrong with each channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.recording import MachineChunk

STRETCH_S = 1.0
"""Vibration that comes without end is judged second by second."""

SHORTEST_S = 0.1
"""A burst that is shorter says nothing of a shaft that turns a few times in it."""

CLIPPED_SHARE = 0.005
"""A channel of which so many samples lie at its own largest or smallest value has left its sensor's range."""

MISSING_SHARE = 0.02


@dataclass(frozen=True)
class Stretch:
    """Vibration (n, channels) in m/s^2 that follows on without gaps, channels that cannot be used as zeros.

    ``usable`` (channels,); ``troubles`` says in words what is wrong. ``time_s`` is at its end, since the analysis
    began; ``slow`` the mean of what was measured in it. Without vibration ``vibration`` has no rows.
    """

    vibration: NDArray[np.float64]
    rate_hz: float
    usable: NDArray[np.bool_]
    troubles: tuple[str, ...]
    slow: Mapping[str, float]
    time_s: float
    recording: str
    simulated: bool
    begins: bool
    """Nothing before it counts: another recording, other channels, or the first."""
    burst: bool = False


class Preprocessor:
    """Joins chunks to stretches of a second; a burst is a stretch, however long it is.

    A gap, another recording, other channels or another rate throw away the stretch that was begun.
    """

    def __init__(self) -> None:
        self._parts: list[MachineChunk] = []
        self._next: tuple[object, ...] = ()
        self._kind: tuple[object, ...] = ()
        self._time_s = 0.0
        self._begins = True

    def push(self, chunk: MachineChunk, *, lost: bool = False) -> Iterator[Stretch]:
        """Take the next chunk and give the stretches that are complete now; ``lost``: a gap lies before it."""
        kind = (chunk.recording, chunk.rate_hz, chunk.channels)
        if kind != self._kind:
            self._parts, self._begins, self._kind = [], True, kind
        if lost or self._next != (*kind, chunk.first_index):
            self._parts = []
        self._next = (*kind, chunk.first_index + len(chunk.vibration))
        if not chunk.rate_hz:
            self._time_s += STRETCH_S
            yield self._stretch([chunk], np.empty((0, 0)))
            return
        if chunk.burst:
            self._time_s += STRETCH_S
            yield self._stretch([chunk], chunk.vibration.astype(np.float64))
            return
        self._parts.append(chunk)
        size = round(STRETCH_S * chunk.rate_hz)
        if sum(len(part.vibration) for part in self._parts) < size:
            return
        joined = np.concatenate([part.vibration for part in self._parts]).astype(np.float64)
        parts, self._parts = self._parts, []
        whole = len(joined) // size
        for number in range(whole):
            self._time_s += STRETCH_S
            yield self._stretch(parts, joined[number * size : (number + 1) * size])
        rest = joined[whole * size :]
        if len(rest):
            kept = rest.astype(np.float32)
            self._parts = [_replaced(chunk, kept)]

    def _stretch(self, parts: list[MachineChunk], vibration: NDArray[np.float64]) -> Stretch:
        last = parts[-1]
        begins, self._begins = self._begins, False
        clean, usable, troubles = _checked(vibration, last)
        slow = {name: _mean([part.slow.get(name, np.nan) for part in parts]) for name in last.slow}
        return Stretch(
            clean,
            last.rate_hz,
            usable,
            troubles,
            slow,
            self._time_s,
            last.recording,
            last.simulated,
            begins,
            last.burst,
        )


def _checked(
    vibration: NDArray[np.float64], chunk: MachineChunk
) -> tuple[NDArray[np.float64], NDArray[np.bool_], tuple[str, ...]]:
    channels = vibration.shape[1]
    usable, troubles = np.ones(channels, dtype=np.bool_), []
    clean = vibration.copy()
    for channel in range(channels):
        samples = clean[:, channel]
        trouble = _trouble(samples, chunk.rate_hz)
        if trouble:
            usable[channel] = False
            troubles.append(f"{chunk.channels[channel]}: {trouble}")
            samples[:] = 0.0
            continue
        missing = ~np.isfinite(samples)
        if missing.any():
            places = np.arange(len(samples))
            samples[missing] = np.interp(places[missing], places[~missing], samples[~missing])
        samples -= samples.mean()
    return clean, usable, tuple(troubles)


def _trouble(samples: NDArray[np.float64], rate_hz: float) -> str:
    if len(samples) < SHORTEST_S * rate_hz:
        return f"only {len(samples) / rate_hz:.3f} s; {SHORTEST_S:g} s are needed"
    finite = np.isfinite(samples)
    if 1 - finite.mean() > MISSING_SHARE:
        return f"{1 - finite.mean():.0%} of the samples are missing"
    known = samples[finite]
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-9 * max(1.0, abs(high), abs(low)):
        return "constant: is the sensor connected?"
    at_limit = max(float((known == high).mean()), float((known == low).mean()))
    levels = len(np.unique(known[: 1 << 12]))
    if at_limit > CLIPPED_SHARE and levels > 64:
        return f"clipped: {at_limit:.1%} of the samples lie at the limit of the range"
    return ""


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _replaced(chunk: MachineChunk, vibration: NDArray[np.float32]) -> MachineChunk:
    return MachineChunk(
        vibration,
        chunk.rate_hz,
        chunk.channels,
        chunk.slow,
        chunk.first_index,
        chunk.recording,
        chunk.burst,
        chunk.simulated,
    )
