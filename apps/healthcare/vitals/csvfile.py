"""Vital signs as CSV: values now and then, waveforms at their rate, or both.

A file is UTF-8 text: lines with ``#`` are remarks (``# simulated: yes`` says that no real patient is in it), then a
line of names, then rows. The first column is ``time_s``; times never go back. The others are any of ``COLUMNS`` and
``WAVES``. An empty cell was not measured then. With a waveform among the columns the rows come at its rate.

    time_s,heart_rate_bpm,spo2_percent,respiration_per_min,systolic_mmhg,diastolic_mmhg,temperature_celsius,consciousness
    0,72,97,15,121,70,36.8,A
    60,74,97,16,,,,
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from statistics import median

import numpy as np

from apps.healthcare.vitals.analysis import Wave
from apps.healthcare.vitals.signs import ACVPU, Measurement, Origin, Sign
from edgeai_core.errors import InputError

COLUMNS: dict[str, tuple[Sign, Origin]] = {
    "heart_rate_bpm": (Sign.HEART_RATE, Origin.MONITOR),
    "spo2_percent": (Sign.SPO2, Origin.MONITOR),
    "respiration_per_min": (Sign.RESPIRATION, Origin.MONITOR),
    "systolic_mmhg": (Sign.SYSTOLIC, Origin.MONITOR),
    "diastolic_mmhg": (Sign.DIASTOLIC, Origin.MONITOR),
    "mean_pressure_mmhg": (Sign.MEAN_PRESSURE, Origin.MONITOR),
    "cuff_systolic_mmhg": (Sign.SYSTOLIC, Origin.CUFF),
    "cuff_diastolic_mmhg": (Sign.DIASTOLIC, Origin.CUFF),
    "cuff_mean_pressure_mmhg": (Sign.MEAN_PRESSURE, Origin.CUFF),
    "temperature_celsius": (Sign.TEMPERATURE, Origin.CHARTED),
    "consciousness": (Sign.CONSCIOUSNESS, Origin.CHARTED),
    "oxygen_l_per_min": (Sign.OXYGEN, Origin.CHARTED),
}
WAVES = {"ppg": "ppg", "abp_mmhg": "abp", "impedance": "impedance", "ecg_mv": "ecg"}

MAX_LINE_CHARACTERS = 4096
STEP_S = 0.5
_RATE_ROWS = 256

Chunk = tuple[float, tuple[Measurement, ...], tuple[Wave, ...], bool]


@dataclass
class _Gathered:
    """What has been read of the present half second."""

    values: dict[str, float] = field(default_factory=dict)
    waves: dict[str, list[float]] = field(default_factory=dict)


def open_csv(path: Path) -> Iterator[Chunk]:
    """Yield (end in s, values, waveforms, simulated) half second by half second; the first row is at 0.

    Raises InputError, with file and line, for what does not follow the format.
    """
    lines = _lines(path)
    names, simulated = _head(path, lines)
    rows = _rows(path, lines, names)
    first = list(islice(rows, _RATE_ROWS))
    if not first:
        raise InputError(f"{path}: holds no row")
    has_wave = any(name in WAVES for name in names)
    rate_hz = _rate_hz(path, [row[0] for row in first]) if has_wave else 0.0
    start_s = first[0][0]
    slot, gathered = 0, _Gathered()
    for time_s, cells in chain(first, rows):
        while (at := int((time_s - start_s) / STEP_S + 1e-6)) > slot:
            if gathered.values or gathered.waves:
                yield _chunk(slot, gathered, rate_hz, simulated)
                gathered = _Gathered()
            slot = at
        for name, value in zip(names[1:], cells, strict=True):
            if name in WAVES:
                gathered.waves.setdefault(WAVES[name], []).append(value)
            elif not math.isnan(value):
                gathered.values[name] = value
    yield _chunk(slot, gathered, rate_hz, simulated)


def write_csv(
    path: Path, rows: Sequence[Mapping[str, float]], rate_hz: float, *, simulated: bool = False
) -> None:
    """Write rows at an even rate, each column by its name; what a row lacks, or is NaN, was not measured then."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["# simulated: yes"] if simulated else []
    lines.append(",".join(["time_s", *names]))
    for number, row in enumerate(rows):
        cells = (row.get(name, math.nan) for name in names)
        lines.append(
            ",".join([f"{number / rate_hz:g}", *("" if math.isnan(cell) else f"{cell:g}" for cell in cells)])
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _chunk(slot: int, gathered: _Gathered, rate_hz: float, simulated: bool) -> Chunk:
    measurements = tuple(
        Measurement(COLUMNS[name][0], value, COLUMNS[name][1]) for name, value in gathered.values.items()
    )
    waves = tuple(Wave(name, np.array(samples), rate_hz) for name, samples in gathered.waves.items())
    return (slot + 1) * STEP_S, measurements, waves, simulated


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS + 1):
                number += 1
                if len(line) > MAX_LINE_CHARACTERS:
                    raise InputError(f"{path}:{number}: longer than {MAX_LINE_CHARACTERS} characters")
                if text := line.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); not a CSV file") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _head(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[list[str], bool]:
    simulated = False
    for number, text in lines:
        if text.startswith("#"):
            key, _, value = text.lstrip("# ").partition(":")
            simulated |= key.strip().lower() == "simulated" and value.strip().lower() == "yes"
            continue
        names = [cell.strip() for cell in text.split(",")]
        unknown = [name for name in names[1:] if name not in COLUMNS and name not in WAVES]
        if names[0] != "time_s" or len(names) < 2 or unknown or len(set(names)) < len(names):
            wrong = f"unknown: {', '.join(unknown)[:100]}; " if unknown else ""
            raise InputError(
                f"{path}:{number}: expected time_s and then columns, each once ({wrong}"
                f"known: {', '.join([*COLUMNS, *WAVES])})"
            )
        return names, simulated
    raise InputError(f"{path}: empty; a line with the names of the columns is missing")


def _rows(
    path: Path, lines: Iterator[tuple[int, str]], names: list[str]
) -> Iterator[tuple[float, list[float]]]:
    before_s = -math.inf
    for number, text in lines:
        if text.startswith("#"):
            continue
        cells = text.split(",")
        if len(cells) != len(names):
            raise InputError(f"{path}:{number}: {len(cells)} cells where the head names {len(names)}")
        values = [_number(path, number, name, cell.strip()) for name, cell in zip(names, cells, strict=True)]
        time_s = values.pop(0)
        if not math.isfinite(time_s) or time_s < before_s:
            raise InputError(
                f"{path}:{number}: time_s is {cells[0].strip()!r}; it must be there and never go back"
            )
        if time_s - before_s > 86_400 and before_s > -math.inf:
            raise InputError(f"{path}:{number}: more than a day is missing before this row")
        before_s = time_s
        yield time_s, values


def _number(path: Path, line: int, name: str, text: str) -> float:
    if not text:
        return math.nan
    if name == "consciousness":
        if len(text) != 1 or text.upper() not in ACVPU:
            raise InputError(f"{path}:{line}: consciousness is {text[:40]!r}; it is one of A, C, V, P, U")
        return float(ACVPU.index(text.upper()))
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {name} is {text[:40]!r}, which is not a number") from None


def _rate_hz(path: Path, times_s: list[float]) -> float:
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]
    step_s = median(steps_s) if steps_s else 0.0
    if not 1e-4 < step_s <= 0.1:
        raise InputError(f"{path}: waveforms come at 10 Hz or more; its rows are {step_s:g} s apart")
    return float(f"{1 / step_s:.5g}")
