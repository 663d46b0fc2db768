"""Labelled traces of whole records, and the windows cut from them: what training and evaluation judge by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from apps.healthcare.ecg.annotations import (
    ASYSTOLE,
    NOISE,
    OTHER,
    VF,
    VFL,
    VT,
    VT_MIN_BEATS,
    VT_MIN_RATE_BPM,
    Header,
    Interval,
    Labels,
    find_records,
    read_header,
    read_labels,
    read_signal,
)
from apps.healthcare.ecg.rhythm import CLASSES, LONG, RATE_HZ, RhythmTrace
from edgeai_core.app import Progress

SLOW_VT = "slow VT"
"""Labelled VT whose rate is below the definition's: counted apart."""

UNLABELLED = "unlabelled"

KINDS = (*CLASSES, SLOW_VT, UNLABELLED)
"""What a sample of a trace can be: the network's classes, and what is neither."""

POSITIVE_SHARE = 0.8
"""So much of a positive window is VF, flutter or VT; with some of it but less, a window is mixed."""

APART_SHARE = 0.2
"""With more noise, slow VT or unlabelled signal than this a window is judged apart."""

SAME_PERSON = {"202": "201"}
"""Records 201 and 202 of the MIT-BIH Arrhythmia Database are of one man (Moody and Mark 2001)."""

_BLOCK_S = 600.0


@dataclass(frozen=True)
class Record:
    """One record as the network sees it, with what people say it shows.

    ``trace``: (samples, leads) mV at 125 Hz. ``kinds``: (samples,) int8, numbers of ``KINDS``.
    ``slow``: the labelled stretches of VT below the definition's rate.
    """

    header: Header
    labels: Labels
    patient: str
    trace: NDArray[np.float32]
    kinds: NDArray[np.int8]
    slow: tuple[Interval, ...]

    @property
    def name(self) -> str:
        """The record's name."""
        return self.header.name

    @property
    def folder(self) -> str:
        """The name of the folder it lies in: the database."""
        return self.header.path.parent.name

    def shares(self, starts: NDArray[np.intp], samples: int) -> NDArray[np.float32]:
        """The share of each of ``KINDS`` in the windows that start there, (windows, kinds)."""
        return shares(self.kinds, starts, samples)


def load_records(folders: Iterable[Path], progress: Progress) -> list[Record]:
    """Read every record under the folders; those without any rhythm known have only unlabelled samples."""
    paths = find_records(folders)
    records = []
    for i, path in enumerate(paths):
        progress("reading records", i, len(paths))
        records.append(load_record(path))
    progress("reading records", len(paths), len(paths))
    return records


def load_record(path: Path) -> Record:
    """Read one record in blocks; raises InputError where it is damaged."""
    header = read_header(path)
    labels = read_labels(header)
    pipe = RhythmTrace(header.rate_hz, len(header.ecg_leads))
    count = round(header.duration_s * header.rate_hz)
    block = round(_BLOCK_S * header.rate_hz)
    trace = np.concatenate(
        [pipe.push(read_signal(header, start, min(start + block, count))) for start in range(0, count, block)]
    )
    slow = tuple(
        interval
        for interval in labels.rhythms
        if interval.rhythm == VT and is_slow(stretch_rate_bpm(interval, labels, trace))
    )
    patient = SAME_PERSON.get(header.name, header.name)
    return Record(header, labels, patient, trace, _kinds(labels.rhythms, slow, len(trace)), slow)


def by_bare_labels(record: Record) -> Record:
    """The same record with every labelled VT taken as VT, whatever its rate."""
    return replace(record, slow=(), kinds=_kinds(record.labels.rhythms, (), len(record.trace)))


def is_slow(rate_bpm: float | None) -> bool:
    """Whether a rate is known and below the definition's."""
    return rate_bpm is not None and rate_bpm < VT_MIN_RATE_BPM


def stretch_rate_bpm(interval: Interval, labels: Labels, trace: NDArray[np.float32]) -> float | None:
    """Measure the rate of a labelled stretch, by one rule for every record.

    Where the record has reference beats, it is that of the beats inside, if there are three or more; else
    the median over the stretch's 4 s windows (every 2 s) of the rate at the first peak of the leads' mean
    autocorrelation that reaches 85 % of the highest, between 60 and 400 a minute. None: it cannot be told.
    """
    if labels.beat_s.size:
        inside = labels.beat_s[
            (labels.beat_s >= interval.start_s - 0.2) & (labels.beat_s < interval.end_s - 0.05)
        ]
        if inside.size < VT_MIN_BEATS:
            return None
        return float(60 * (inside.size - 1) / (inside[-1] - inside[0]))
    first, last = round(interval.start_s * RATE_HZ), round(interval.end_s * RATE_HZ)
    starts = range(first, max(last - LONG, first) + 1, LONG // 2)
    rates = [rate for start in starts if (rate := _wave_rate_bpm(trace[start : min(start + LONG, last)]))]
    return float(np.median(rates)) if rates else None


def shares(kinds: NDArray[np.int8], starts: NDArray[np.intp], samples: int) -> NDArray[np.float32]:
    """The share of each of ``KINDS`` in the windows ``[start, start + samples)``, (windows, kinds)."""
    out = np.empty((len(starts), len(KINDS)), dtype=np.float32)
    for kind in range(len(KINDS)):
        counts = np.concatenate([[0], np.cumsum(kinds == kind, dtype=np.int64)])
        out[:, kind] = (counts[starts + samples] - counts[starts]) / samples
    return out


@dataclass(frozen=True)
class Truth:
    """What windows are, from their shares; arrays of bool, (windows,).

    ``positive``, ``negative`` and ``mixed`` exclude each other and the rest: ``noisy`` (no VF/VT, but more
    noise than the limit) and ``slow`` (no VF/VT, but slow VT) are counted apart; what is mostly unlabelled, or
    noise beside some VF/VT, is none of them.
    """

    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    mixed: NDArray[np.bool_]
    noisy: NDArray[np.bool_]
    slow: NDArray[np.bool_]


def truth_of(window_shares: NDArray[np.float32]) -> Truth:
    """Sort windows by their shares, (windows, kinds)."""
    at = {kind: window_shares[:, i] for i, kind in enumerate(KINDS)}
    vfvt = at[VF] + at[VT]
    known = at[UNLABELLED] <= APART_SHARE
    clean = known & (at[NOISE] <= APART_SHARE)
    any_slow = at[SLOW_VT] > 0
    positive = vfvt >= POSITIVE_SHARE
    return Truth(
        positive=positive,
        negative=clean & ~any_slow & (vfvt == 0),
        mixed=clean & (vfvt > 0) & ~positive,
        noisy=known & (at[NOISE] > APART_SHARE) & (vfvt == 0),
        slow=clean & any_slow & (vfvt == 0),
    )


def _kinds(rhythms: Sequence[Interval], slow: Sequence[Interval], samples: int) -> NDArray[np.int8]:
    kinds = np.full(samples, KINDS.index(UNLABELLED), dtype=np.int8)
    for interval in rhythms:
        kind = SLOW_VT if interval in slow else _CLASS_OF.get(interval.rhythm, OTHER)
        first, last = round(interval.start_s * RATE_HZ), round(interval.end_s * RATE_HZ)
        kinds[max(first, 0) : max(last, 0)] = KINDS.index(kind)
    return kinds


_CLASS_OF = {VF: VF, VFL: VF, VT: VT, ASYSTOLE: ASYSTOLE, NOISE: NOISE}


def _wave_rate_bpm(window: NDArray[np.float32]) -> float | None:
    n = len(window)
    shortest, longest = round(RATE_HZ * 60 / 400), round(RATE_HZ * 60 / 60)
    if n < 2 * shortest:
        return None
    centred = window - window.mean(axis=0)
    power = np.abs(np.fft.rfft(centred, 2 * n, axis=0)) ** 2
    raw = np.fft.irfft(power, axis=0)[:n]
    unbiased = raw / np.maximum(raw[:1], 1e-9) * (n / (n - np.arange(n)))[:, None]
    correlation = unbiased.mean(axis=1)[: min(longest, n - shortest) + 1]
    peaks, _ = find_peaks(correlation)
    peaks = peaks[peaks >= shortest]
    if not len(peaks):
        return None
    highest = correlation[peaks].max()
    first = peaks[correlation[peaks] >= highest - 0.15 * abs(highest)][0]
    return float(60 * RATE_HZ / first)
