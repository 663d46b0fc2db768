"""Candidates: the places of a lead that may be QRS complexes, found causally, each described by numbers.

A candidate is a local maximum of the envelope of the lead's slope. It is described by how the envelope runs
around it, for three widths of slope, and by how it compares with the candidates of the last seconds. Nothing
here depends on decisions made before, so no mistake can lock in: after ``MEMORY_S`` all is judged afresh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.signals.filters import Bridge

MIN_RATE_HZ, MAX_RATE_HZ = 90.0, 10_000.0
"""Sampling rates that can be judged: below, the sharp parts of a narrow QRS complex are not in the samples."""

LOOK_AHEAD_S = 0.29
"""A candidate is described at the latest when so much signal after its centre is there."""

MEMORY_S = 8.0
"""How far back the candidates lie that a new one is compared with."""

MARGIN_S = 0.25
"""How much of the lead is given with each candidate, on both sides."""

Floats = NDArray[np.float32]

_GRID_HZ = 125.0  # the rate aimed at inside: whole runs of samples are averaged
_BEFORE_S, _AFTER_S, _STEP_S = 0.50, 0.28, 0.02  # the stretch that describes a candidate
_CORE_S = 0.045  # each band's own maximum is sought so far from the centre
_APART_S = 0.080  # a candidate is the largest within so much on both sides
_FLOOR_MV = 1e-3  # smaller is no signal: recorders resolve 1 to 5 uV
_LEAST_MV = (
    4e-3  # mean difference over 30 ms: a complex of 0.15 mV, the least a monitor may count, has ten times it
)
_REMEMBERED = 32
_REFRACTORY_S = 0.2  # what is nearer may be part of the same complex, and is not compared with
_RANKS = (0, 2, 4, 6, 9, 13)  # of the earlier candidates, by size
_BLOCK_S = 120.0  # longer chunks are worked on in parts that fit the processor's cache
_LARGEST_MV = 1e4
_CONTOUR_LIMITS = (-4.0, 3.0)  # logarithms of ratios; beyond them more says nothing
_RANK_LIMITS = (-5.0, 3.0)  # where there are not so many earlier candidates, the lower one stands


@dataclass(frozen=True)
class Candidates:
    """Some candidates: ``centres_s`` since the stream began, ``features`` (k, FEATURE_COUNT), without unit.

    ``grid_mv`` is the lead at ``grid_hz``, its first sample at ``grid_start_s``; ``positions`` are the
    candidates' places in it, with at least MARGIN_S on both sides of each.
    """

    centres_s: NDArray[np.float64]
    features: Floats
    positions: NDArray[np.intp]
    grid_mv: Floats
    grid_hz: float
    grid_start_s: float


class CandidateFinder:
    """Finds candidates in one lead as its samples come; the same ones whatever the size of the chunks.

    Samples that are not numbers are bridged: after them the lead goes on from the level it had before, so that
    a gap makes no edge.
    """

    def __init__(self, rate_hz: float) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise InputError(
                f"sampling rate {rate_hz:g} Hz: beats can be found from {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"
            )
        self._run = max(1, round(rate_hz / _GRID_HZ))
        self._rate_hz = rate_hz
        self._grid_hz = rate_hz / self._run
        self._bands = tuple(_Band(slope_s, mean_s, self._grid_hz) for slope_s, mean_s in _BANDS_S)
        self._apart = round(_APART_S * self._grid_hz)
        self._behind = max(band.reach_behind for band in self._bands)
        self._ahead = max(band.reach_ahead for band in self._bands)
        self._bridge = Bridge(1, _LARGEST_MV)
        self._rest: NDArray[np.float64] = np.empty(0)
        self._grid: Floats = np.empty(0, np.float32)
        self._grid_start = 0  # number, since the stream began, of the grid's first sample
        self._earlier = np.full(
            _REMEMBERED, -(2**62)
        )  # numbers, since the stream began, of earlier candidates
        self._earlier_sizes: Floats = np.full((len(_BANDS_S), _REMEMBERED), -math.inf, np.float32)

    def push(self, samples_mv: NDArray[np.floating]) -> list[Candidates]:
        """Take the next samples (n,) in mV; give the candidates that can be described now, in order."""
        bridged = self._bridge.push(np.asarray(samples_mv, dtype=np.float64)[:, None])[:, 0]
        samples = np.concatenate([self._rest, bridged]) if len(self._rest) else bridged
        whole = len(samples) // self._run
        self._rest = samples[whole * self._run :].copy()
        grid = _mean_of_runs(samples[: whole * self._run], self._run)
        if not len(grid):
            return []
        if not len(self._grid):
            self._grid = np.full(self._behind, grid[0], np.float32)
            self._grid_start = -self._behind
        step, found = round(_BLOCK_S * self._grid_hz), []
        for at in range(0, len(grid), step):
            self._grid = np.concatenate([self._grid, grid[at : at + step]])
            if len(self._grid) > self._behind + self._ahead:
                found.append(self._describe(self._grid))
        return found

    def flush(self) -> list[Candidates]:
        """The stream has ended: give the last candidates, as if the lead stayed where it is."""
        return self.push(np.full((self._ahead + 1) * self._run, math.nan)) if len(self._grid) else []

    def _describe(self, grid: Floats) -> Candidates:
        first, end = self._behind, len(grid) - self._ahead
        logs = [band.log_envelope(grid) for band in self._bands]
        largest = _moving_maximum(logs[_MAIN][first - self._apart : end + self._apart], 2 * self._apart + 1)
        main = logs[_MAIN][first:end]
        positions = np.flatnonzero((main == largest) & (main > math.log(_LEAST_MV))) + first
        found = Candidates(
            centres_s=self._time_s(self._grid_start + positions),
            features=self._features(logs, positions, self._grid_start + positions),
            positions=positions,
            grid_mv=grid,
            grid_hz=self._grid_hz,
            grid_start_s=float(self._time_s(np.asarray(self._grid_start))),
        )
        self._grid = grid[end - self._behind :].copy()
        self._grid_start += end - self._behind
        return found

    def _time_s(self, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray((numbers * self._run + (self._run - 1) / 2) / self._rate_hz, dtype=np.float64)

    def _features(self, logs: list[Floats], positions: NDArray[np.intp], numbers: NDArray[np.intp]) -> Floats:
        count = len(positions)
        size = logs[_MAIN][positions]
        window = np.arange(count)[:, None] + np.arange(_REMEMBERED)
        all_numbers = np.concatenate([self._earlier, numbers])
        lags = numbers[:, None] - all_numbers.take(window)
        counted = (lags > _REFRACTORY_S * self._grid_hz) & (lags < MEMORY_S * self._grid_hz)
        uncounted = np.where(counted, np.float32(0), np.float32(-math.inf))
        self._earlier = all_numbers[count:].copy()
        columns = [size[:, None]]
        for at, (band, log) in enumerate(zip(self._bands, logs, strict=True)):
            contour = log.take(positions[:, None] + band.offsets)
            peak = contour[:, band.core].max(axis=1, initial=math.log(_FLOOR_MV))[:, None]
            sizes = np.concatenate([self._earlier_sizes[at], peak[:, 0]])
            self._earlier_sizes[at] = sizes[count:]
            ranked = sizes.take(window)
            ranked += uncounted
            ranked.sort(axis=1)
            ranks = np.stack([ranked[:, _REMEMBERED - 1 - rank] for rank in _RANKS], axis=1)
            contour -= peak
            ranks -= peak
            columns += [
                peak - size[:, None],
                np.clip(contour, *_CONTOUR_LIMITS, out=contour),
                np.clip(ranks, *_RANK_LIMITS, out=ranks),
            ]
        return np.concatenate(columns, axis=1)


class _Band:
    """One width of slope: its envelope, on the grid, and the places around a candidate where it is read."""

    def __init__(self, slope_s: float, mean_s: float, grid_hz: float) -> None:
        self._slope = max(1, round(slope_s * grid_hz))
        self._mean = max(1, round(mean_s * grid_hz)) | 1
        span = 2 * self._slope + self._mean - 2
        self._left, self._right = span - span // 2, span // 2
        offsets_s = _offsets_s(slope_s, mean_s)
        self.offsets = np.rint(offsets_s * grid_hz).astype(np.intp)
        self.core = np.abs(offsets_s) < _CORE_S
        self.reach_behind = int(-self.offsets[0]) + self._left + round(_APART_S * grid_hz)
        self.reach_ahead = int(self.offsets[-1]) + self._right

    def log_envelope(self, grid: Floats) -> Floats:
        """The logarithm of the envelope at every sample of the grid; at its ends, where it is unknown, the floor."""
        level = _moving_sum(grid, self._slope)
        slope = np.abs(level[self._slope :] - level[: -self._slope])
        envelope = _moving_sum(slope, self._mean) * np.float32(1 / (self._slope * self._mean))
        log = np.full(len(grid), math.log(_FLOOR_MV), np.float32)
        np.log(np.maximum(envelope, np.float32(_FLOOR_MV)), out=log[self._left : len(grid) - self._right])
        return log


def _offsets_s(slope_s: float, mean_s: float) -> NDArray[np.float64]:
    """Where the envelope of a band is read, from the candidate's centre: as far ahead as _AFTER_S of signal allows."""
    last = math.floor((_AFTER_S - slope_s - mean_s / 2) / _STEP_S + 1e-9)
    return np.asarray(np.arange(-round(_BEFORE_S / _STEP_S), last + 1) * _STEP_S, dtype=np.float64)


def _moving_sum(values: Floats, width: int) -> Floats:
    """Sums of ``width`` neighbours, by doubling: few passes, and the same bits for every chunking."""
    total, done, power, size = None, 0, values, 1
    while True:
        if width & size:
            total = power if total is None else total[: len(power) - done] + power[done:]
            done += size
        if done == width:
            assert total is not None
            return total
        power, size = power[:-size] + power[size:], size * 2


def _moving_maximum(values: Floats, width: int) -> Floats:
    """Maxima of ``width`` neighbours, by doubling."""
    size = 1
    while 2 * size <= width:
        values, size = np.maximum(values[:-size], values[size:]), size * 2
    rest = width - size
    return np.maximum(values[: len(values) - rest], values[rest:]) if rest else values


def _mean_of_runs(samples: NDArray[np.float64], run: int) -> Floats:
    total = samples[::run].copy()
    for at in range(1, run):
        total += samples[at::run]
    return (total / run).astype(np.float32)


_BANDS_S = ((0.010, 0.050), (0.030, 0.080), (0.080, 0.080))  # slope between means of .. s, averaged over .. s
_MAIN = 1  # the band whose maxima are the candidates

FEATURE_COUNT = 1 + sum(1 + len(_offsets_s(*band)) + len(_RANKS) for band in _BANDS_S)
"""How many numbers describe a candidate; the same at every sampling rate."""
