"""Reference annotations of WFDB records: rhythm and beat labels as intervals and times in seconds."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError, MissingExtraError

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Annotation codes that mark a QRS complex (WFDB Applications Guide, annotation codes)."""

VENTRICULAR_SYMBOLS = frozenset("VrE")
"""Beats that start in the ventricles: premature, R-on-T, escape."""

VF, VFL, VT, ASYSTOLE, NOISE, OTHER = "VF", "VFL", "VT", "ASYS", "NOISE", "OTHER"
"""The rhythms that this loop tells apart; every other label keeps its own spelling."""

MAX_HEADER_BYTES = 1 << 20
MAX_HEADER_LINE = 1000
MAX_SAMPLES = 1 << 40
"""Larger headers, longer lines and more samples than any record has are refused."""

VT_MIN_BEATS = 3
VT_MIN_RATE_BPM = 120.0
"""Three or more wide beats in a row at 120 a minute or more are VT; slower, it is accelerated
idioventricular rhythm and no cause for this alarm."""

REFERENCE_ANNOTATORS = ("atr", "ari", "ecg", "ann", "alh")
"""Suffixes of annotation files made or checked by people, most trusted first."""

DETECTOR_ANNOTATORS = ("qrsc", "qrs", "wqrs", "gqrs", "xqrs", "sqrs")
"""Suffixes of detectors' output: times of beats, but nothing about their kind."""

_FOLDED = {
    "VFIB": VF,
    "VFL": VFL,
    "VFLUT": VFL,
    "VF": VF,
    "VTACH": VT,
    "ASYST": ASYSTOLE,
    "NSR": "N",
    "PM": "P",
}
_LEADS = {
    "I", "II", "III", "AVR", "AVL", "AVF", "MLI", "MLII", "MLIII", "MCL1", "MCL", "MV2", "MV5",
    "V", "V1", "V2", "V3", "V4", "V5", "V6", "CM2", "CM4", "CM5", "CC5", "ML5", "D3", "D4", "VX", "VY", "VZ",
}  # fmt: skip
_VOLTAGE_TO_MV = {"MV": 1.0, "UV": 1e-3, "V": 1e3, "NV": 1e-6}


@dataclass(frozen=True)
class Interval:
    """A stretch of one rhythm, from ``start_s`` up to but not including ``end_s``."""

    start_s: float
    end_s: float
    rhythm: str

    @property
    def duration_s(self) -> float:
        """How long it lasts, in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Labels:
    """What people wrote about one record.

    ``rhythms`` do not overlap and are in order; ``rhythms_from`` says whether they are rhythm labels,
    were derived from the kinds of beats, or are not known. ``beat_s`` are the times of QRS complexes
    (empty where the annotator gives none), ``beat_symbols`` their codes, ``flutter`` the stretches in
    which no beats are marked because there are none to mark.
    """

    annotator: str | None
    rhythms: tuple[Interval, ...]
    rhythms_from: Literal["rhythm labels", "beat labels", "none"]
    beat_s: NDArray[np.float64]
    beat_symbols: tuple[str, ...]
    flutter: tuple[Interval, ...]


@dataclass(frozen=True)
class Header:
    """What a record says of itself; ``ecg_leads`` are the columns of its signal that are ECG."""

    path: Path
    rate_hz: float
    duration_s: float
    leads: tuple[str, ...]
    ecg_leads: tuple[int, ...]
    to_mv: tuple[float, ...]

    @property
    def name(self) -> str:
        """The record's own name, without its folder."""
        return self.path.name


def find_records(folders: Iterable[Path]) -> list[Path]:
    """Return the records (paths without suffix) under the folders, in order, each once.

    Segments of multi-segment records are left out: the record that joins them stands for them.
    Raises InputError where a folder does not exist or holds no record.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if folder.with_suffix(".hea").is_file():
            found[folder] = None
            continue
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; --data takes a folder of WFDB records (.hea files)")
        headers = sorted(folder.rglob("*.hea"))
        if not headers:
            raise InputError(f"{folder}: holds no WFDB record (no .hea file)")
        segments = set().union(*(_segments(header) for header in headers))
        whole = [header.with_suffix("") for header in headers if header.with_suffix("") not in segments]
        if not whole:
            raise InputError(f"{folder}: holds only segments of records, and no header that joins them")
        found.update(dict.fromkeys(whole))
    return list(found)


def read_header(record: Path) -> Header:
    """Read the header of a record; raises InputError where it is unreadable or has no samples or no ECG lead."""
    wfdb = _wfdb()
    try:
        header = _parsed(wfdb, record)
        samples = int(header.sig_len or 0)
        if hasattr(header, "seg_name"):  # a record of segments: one of its samples says what its signals are
            header = wfdb.rdrecord(str(record), sampto=1)
        names = tuple(str(name) for name in header.sig_name or ())
        units = tuple(str(unit) for unit in header.units or ("mV",) * len(names))
        rate_hz = float(header.fs)
    except InputError:
        raise
    except Exception as error:  # wfdb raises anything from ValueError to IndexError on a damaged header
        raise InputError(f"{record}.hea: not a readable WFDB header ({_one_line(error)})") from error
    columns = ecg_columns(names, units)
    if not columns:
        raise InputError(f"{record}.hea: no ECG lead among its signals ({', '.join(names) or 'none'})")
    if not 0 < samples <= MAX_SAMPLES or not 0 < rate_hz < math.inf:
        raise InputError(f"{record}.hea: says {samples} samples at {rate_hz:g} Hz; nothing can be read")
    factors = tuple(_VOLTAGE_TO_MV.get(units[column].upper(), 1.0) for column in columns)
    return Header(record, rate_hz, samples / rate_hz, names, columns, factors)


def ecg_columns(names: Sequence[str], units: Sequence[str]) -> tuple[int, ...]:
    """Return which signals are ECG leads.

    A known lead name or the letters ECG or EKG decide; where no name is known, every signal in
    a unit of voltage counts, for many records name their leads freely.
    """
    named = tuple(i for i, name in enumerate(names) if _is_lead(name))
    if named:
        return named
    return tuple(i for i, unit in enumerate(units) if unit.upper() in _VOLTAGE_TO_MV)


def read_signal(header: Header, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Read the ECG leads of a record in millivolts, (samples, leads); missing samples are NaN."""
    wfdb = _wfdb()
    try:
        record: Any = wfdb.rdrecord(
            str(header.path), sampfrom=start, sampto=stop, channels=list(header.ecg_leads), return_res=32
        )
        signal = np.asarray(record.p_signal, dtype=np.float32)
    except Exception as error:  # as above: a truncated file may raise anything
        raise InputError(f"{header.path}: its samples cannot be read ({_one_line(error)})") from error
    return signal * np.asarray(header.to_mv, dtype=np.float32)


def read_labels(header: Header) -> Labels:
    """Read the most trusted annotation file beside a record.

    Rhythm labels (``+`` with ``(VT`` and the like) are used where there are any; else the kinds of beats
    say where three or more ventricular beats run at 120 a minute or more; ``[`` to ``]`` is ventricular
    flutter or fibrillation in both. A record without annotations has empty labels.
    """
    annotator, annotation = _read_annotation(header)
    if annotation is None:
        return Labels(None, (), "none", np.empty(0), (), ())
    rate_hz = float(getattr(annotation, "fs", None) or header.rate_hz)
    times = np.asarray(annotation.sample, dtype=np.float64) / rate_hz
    symbols = [str(symbol) for symbol in annotation.symbol]
    notes = [str(note) for note in annotation.aux_note or [""] * len(symbols)]
    return labels_from(annotator, times, symbols, notes, header.duration_s)


def labels_from(
    annotator: str | None,
    times_s: NDArray[np.float64],
    symbols: Sequence[str],
    notes: Sequence[str],
    duration_s: float,
) -> Labels:
    """Turn annotations (times in seconds, codes, notes) into labels; see ``read_labels``."""
    flutter = _bracketed(times_s, symbols, duration_s)
    is_beat = np.array([symbol in BEAT_SYMBOLS for symbol in symbols], dtype=bool)
    beat_s = np.asarray(times_s, dtype=np.float64)[is_beat]
    beat_symbols = tuple(symbol for symbol, beat in zip(symbols, is_beat, strict=True) if beat)
    marks = [
        (float(t), fold(note))
        for t, symbol, note in zip(times_s, symbols, notes, strict=True)
        if symbol == "+" and note.strip("\0 ").startswith("(")
    ]
    source: Literal["rhythm labels", "beat labels", "none"]
    if marks:
        source, rhythms = "rhythm labels", _joined(marks, duration_s)
    elif annotator not in DETECTOR_ANNOTATORS and (beat_s.size or flutter):
        source, rhythms = (
            "beat labels",
            _overlay([Interval(0.0, duration_s, OTHER)], _runs(beat_s, beat_symbols)),
        )
    else:
        source, rhythms = "none", []
    if source != "none":
        rhythms = _overlay(rhythms, flutter, keep=(VF, VFL))
    return Labels(annotator, tuple(rhythms), source, beat_s, beat_symbols, flutter)


def fold(note: str) -> str:
    """Return the one spelling of a rhythm label: ``(VFIB`` and ``(VF`` are VF, ``(NSR`` is N, ``(PM`` is P."""
    text = note.strip("\0 \t\r\n").lstrip("(").rstrip(")").strip().upper()
    return _FOLDED.get(text, text)


def _read_annotation(header: Header) -> tuple[str | None, Any]:
    wfdb = _wfdb()
    reason: Exception | None = None
    for suffix in (*REFERENCE_ANNOTATORS, *DETECTOR_ANNOTATORS):
        file = header.path.with_name(f"{header.path.name}.{suffix}")
        if not file.is_file() or file.stat().st_size == 0:
            continue
        try:
            return suffix, wfdb.rdann(str(header.path), suffix)
        except Exception as error:  # a damaged file may raise anything; the next annotator may be whole
            reason = InputError(f"{file}: not a readable WFDB annotation file ({_one_line(error)})")
            reason.__cause__ = error
    if reason is not None:
        raise reason
    return None, None


def _bracketed(
    times_s: NDArray[np.float64], symbols: Sequence[str], duration_s: float
) -> tuple[Interval, ...]:
    found: list[Interval] = []
    start: float | None = None
    for t, symbol in zip(times_s, symbols, strict=True):
        if symbol == "[" and start is None:
            start = float(t)
        elif symbol == "]" and start is not None:
            found.append(Interval(start, float(t), VFL))
            start = None
    if start is not None:
        found.append(Interval(start, duration_s, VFL))
    return tuple(interval for interval in found if interval.duration_s > 0)


def _joined(marks: Sequence[tuple[float, str]], duration_s: float) -> list[Interval]:
    """Each label holds until the next; neighbours of one rhythm are one stretch."""
    ends = [*(t for t, _ in marks[1:]), duration_s]
    joined: list[Interval] = []
    for (start, rhythm), end in zip(marks, ends, strict=True):
        if end <= start:
            continue
        if joined and joined[-1].rhythm == rhythm:
            joined[-1] = Interval(joined[-1].start_s, end, rhythm)
        else:
            joined.append(Interval(start, end, rhythm))
    return joined


def _runs(beat_s: NDArray[np.float64], symbols: Sequence[str]) -> list[Interval]:
    """Runs of ventricular beats that are VT by the definition, from half a beat before to half a beat after."""
    runs: list[Interval] = []
    first: int | None = None
    for i in range(len(symbols) + 1):
        ventricular = i < len(symbols) and symbols[i] in VENTRICULAR_SYMBOLS
        if ventricular and first is None:
            first = i
        elif not ventricular and first is not None:
            count, span_s = i - first, float(beat_s[i - 1] - beat_s[first])
            if count >= VT_MIN_BEATS and span_s > 0 and 60 * (count - 1) / span_s >= VT_MIN_RATE_BPM:
                half_s = span_s / (count - 1) / 2
                runs.append(
                    Interval(max(float(beat_s[first]) - half_s, 0.0), float(beat_s[i - 1]) + half_s, VT)
                )
            first = None
    return runs


def _overlay(
    below: Sequence[Interval], above: Sequence[Interval], keep: tuple[str, ...] = ()
) -> list[Interval]:
    """Lay the stretches of ``above`` over those of ``below``, whose rhythms in ``keep`` stay on top."""
    edges = sorted({edge for i in (*below, *above) for edge in (i.start_s, i.end_s)})
    marks: list[Interval] = []
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        low, high = _at(below, middle), _at(above, middle)
        rhythm = low if high is None or low in keep else high
        if rhythm is None:
            continue
        if marks and marks[-1].rhythm == rhythm and marks[-1].end_s == start:
            marks[-1] = Interval(marks[-1].start_s, end, rhythm)
        else:
            marks.append(Interval(start, end, rhythm))
    return marks


def _at(intervals: Sequence[Interval], time_s: float) -> str | None:
    """The rhythm at one moment, of intervals in order that do not overlap."""
    i = bisect_right(intervals, time_s, key=lambda interval: interval.start_s) - 1
    return intervals[i].rhythm if i >= 0 and time_s < intervals[i].end_s else None


def _segments(header: Path) -> set[Path]:
    """The segments that a multi-segment header names: its record line is ``name/count ...``."""
    lines = _header_lines(header)
    if not lines or "/" not in lines[0][0]:
        return set()
    return {header.parent / line[0] for line in lines[1:]}


def _header_lines(header: Path) -> list[list[str]]:
    """The words of a header's lines that are no remarks. Raises InputError for what is no such text file."""
    try:
        if not header.is_file():  # a pipe would never end
            raise InputError(f"{header}: no file")
        with header.open("rb") as file:
            data = file.read(MAX_HEADER_BYTES + 1)
    except OSError as error:
        raise InputError(f"{header}: {error.strerror or error}") from error
    text = (line.strip() for line in data.decode("utf-8-sig", "replace").splitlines())
    lines = [line for line in text if line and not line.startswith("#")]
    if len(data) > MAX_HEADER_BYTES or any(len(line) > MAX_HEADER_LINE for line in lines):
        raise InputError(
            f"{header}: larger than {MAX_HEADER_BYTES} bytes, or than {MAX_HEADER_LINE} characters in a line;"
            " not a WFDB header"
        )
    return [line.split() for line in lines]


def _parsed(wfdb: Any, record: Path) -> Any:
    """Parse a header, and look at what wfdb takes on trust: the files it would open, the rate, the skew."""
    lines = _header_lines(record.with_name(f"{record.name}.hea"))
    if not lines:
        raise ValueError("it is empty")
    header: Any = wfdb.rdheader(str(record))
    if len(lines[0]) > 2 and not 0 < float(re.split(r"[/(]", lines[0][2])[0]) < math.inf:
        raise ValueError(f"its rate is {lines[0][2]}")
    for segment in set(getattr(header, "seg_name", None) or ()) - {"~"}:
        if hasattr(_parsed(wfdb, record.with_name(segment)), "seg_name"):
            raise ValueError(f"its segment {segment} has segments")
    for name in getattr(header, "file_name", None) or ():
        file = record.with_name(name)
        if name != "~" and file.exists() and not file.is_file():
            raise ValueError(f"{name} is no file")
    if any((skew or 0) > (header.sig_len or 0) for skew in getattr(header, "skew", None) or ()):
        raise ValueError("its signals are shifted by more than its length")
    return header


def _is_lead(name: str) -> bool:
    text = name.strip().upper().replace("LEAD", "").strip(" _-")
    return text in _LEADS or "ECG" in text or "EKG" in text


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError as error:
        raise MissingExtraError(
            "reading WFDB records needs the extra `wfdb`: pip install 'edgeai[wfdb]'"
        ) from error
    return wfdb
