"""Electrocardiograms as CSV: the format, its reader and its writer.

A file is UTF-8 text. Lines that begin with ``#`` are remarks; ``# rate_hz: 250`` among them, before the first
row, gives the sampling rate, and ``# simulated: yes`` says that no real heart made it. Then comes a line with
the names of the leads, and then a row for each sample, in millivolts, cells parted by commas. An empty cell or
``nan`` is a value that the device did not give.

    # rate_hz: 250
    II,V1
    0.012,-0.004
    0.015,

Where the first column is named ``time_s`` it holds the time of each sample, and the rate need not be said.
Times may jump forward (the samples between are missing) but never back.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.recording import MAX_LEADS, Recording, Samples
from edgeai_core.errors import InputError

MAX_LINE_CHARACTERS = 4096
MAX_REMARKS = 1000
MAX_GAP_S = 600.0
LARGEST_MV = 1000.0
"""Electrode offsets reach 300 mV; beyond this the column holds something else than millivolts."""

_BLOCK_ROWS = 4096
_RATE_ROWS = 256


def open_csv(path: Path) -> Recording:
    """Open a CSV electrocardiogram; rows are read as they are needed.

    Raises InputError, with file and line, for what does not follow the format: here for the head of the
    file, from ``blocks`` for its rows.
    """
    lines = _lines(path)
    try:
        head = _read_head(path, lines)
        rows = _rows(path, lines, head)
        first = list(islice(rows, _RATE_ROWS))
        if not first:
            raise InputError(f"{path}: holds no sample")
        rate_hz = _rate_hz(path, first, head.rate_hz)
        blocks = _blocks(path, chain(first, rows), rate_hz)
        return Recording(path.stem, rate_hz, head.lead_names, blocks, head.simulated, lines.close)
    except BaseException:
        lines.close()
        raise


def write_csv(
    path: Path,
    samples_mv: NDArray[np.floating],
    rate_hz: float,
    lead_names: Sequence[str],
    *,
    decimals: int = 3,
    simulated: bool = False,
) -> None:
    """Write samples (n, leads) in the format that ``open_csv`` reads; missing values become empty cells."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("# simulated: yes\n" if simulated else "")
        file.write(f"# rate_hz: {rate_hz:g}\n{','.join(lead_names)}\n")
        for row in samples_mv.tolist():
            file.write(",".join("" if math.isnan(cell) else f"{cell:.{decimals}f}" for cell in row) + "\n")


@dataclass(frozen=True)
class _Head:
    lead_names: tuple[str, ...]
    rate_hz: float | None
    timed: bool
    simulated: bool


@dataclass(frozen=True)
class _Row:
    line: int
    time_s: float | None
    cells: list[float]


def _lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """Give the lines that are not empty, with their numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS + 1):
                number += 1
                if len(line) > MAX_LINE_CHARACTERS:
                    raise InputError(
                        f"{path}:{number}: longer than {MAX_LINE_CHARACTERS} characters; not an ECG"
                    )
                if text := line.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); not a CSV file") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _read_head(path: Path, lines: Iterator[tuple[int, str]]) -> _Head:
    rate_hz: float | None = None
    simulated = False
    for remarks, (number, text) in enumerate(lines):
        if not text.startswith("#"):
            names = [cell.strip() for cell in text.split(",")]
            break
        if remarks == MAX_REMARKS:
            raise InputError(f"{path}:{number}: more than {MAX_REMARKS} remarks; not an ECG")
        key, _, value = text.lstrip("# ").partition(":")
        if key.strip().lower() == "simulated":
            simulated = value.strip().lower() == "yes"
        if key.strip().lower() == "rate_hz":
            rate_hz = _number(path, number, value.strip())
            if not 0 < rate_hz < math.inf:
                raise InputError(f"{path}:{number}: rate_hz is {value.strip()}; it must be a positive number")
    else:
        raise InputError(f"{path}: empty; a line with the names of the leads is missing")
    timed = names[0].lower() == "time_s"
    leads = names[1:] if timed else names
    if not timed and rate_hz is None:
        raise InputError(
            f"{path}:{number}: the rate is not said; begin with '# rate_hz: 250' or a column time_s"
        )
    if not 1 <= len(leads) <= MAX_LEADS or not all(leads):
        raise InputError(f"{path}:{number}: expected the names of 1 to {MAX_LEADS} leads, parted by commas")
    if any(_is_number(name) for name in leads):
        raise InputError(f"{path}:{number}: expected the names of the leads, found numbers")
    if len(set(leads)) < len(leads):
        raise InputError(f"{path}:{number}: two leads have one name")
    return _Head(tuple(leads), rate_hz, timed, simulated)


def _rows(path: Path, lines: Iterator[tuple[int, str]], head: _Head) -> Iterator[_Row]:
    expected = len(head.lead_names) + head.timed
    for number, text in lines:
        if text.startswith("#"):
            continue
        cells = text.split(",")
        if len(cells) != expected:
            raise InputError(f"{path}:{number}: {len(cells)} cells where the head names {expected}")
        values = [_number(path, number, cell.strip()) for cell in cells]
        time_s = values.pop(0) if head.timed else None
        if time_s is not None and not math.isfinite(time_s):
            raise InputError(f"{path}:{number}: a sample without a time")
        if any(abs(value) > LARGEST_MV for value in values):
            raise InputError(
                f"{path}:{number}: more than {LARGEST_MV:g} mV; are these microvolts or raw counts?"
            )
        yield _Row(number, time_s, values)


def _rate_hz(path: Path, rows: Sequence[_Row], said_hz: float | None) -> float:
    """Return the rate that was said, or that of the first rows without their gaps; both must agree."""
    times_s = [row.time_s for row in rows if row.time_s is not None]
    if said_hz is not None and len(times_s) < 2:
        return said_hz
    steps_s = np.diff(times_s)
    step_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    if step_s <= 0:
        raise InputError(f"{path}:{rows[0].line}: time_s does not rise; the rate cannot be told")
    mean_s = max(float(np.mean(steps_s[steps_s < 2 * step_s])), 1e-9)  # no ECG; its rate is refused later
    rate_hz = float(f"{1.0 / mean_s:.5g}")
    if said_hz is not None and abs(rate_hz / said_hz - 1) > 0.02:
        raise InputError(
            f"{path}:{rows[0].line}: time_s runs at {rate_hz:g} Hz, but rate_hz says {said_hz:g}"
        )
    return said_hz or rate_hz


def _blocks(path: Path, rows: Iterator[_Row], rate_hz: float) -> Iterator[Samples]:
    block: list[list[float]] = []
    time_s: float | None = None
    for row in rows:
        if missing := _missing(path, row, time_s, rate_hz):
            yield np.array(block, dtype=np.float32)
            yield np.full((missing, len(row.cells)), np.nan, dtype=np.float32)
            block = []
        time_s = row.time_s
        block.append(row.cells)
        if len(block) == _BLOCK_ROWS:
            yield np.array(block, dtype=np.float32)
            block = []
    if block:
        yield np.array(block, dtype=np.float32)


def _missing(path: Path, row: _Row, before_s: float | None, rate_hz: float) -> int:
    """Return how many samples are missing before a row; steps of up to two and a half samples are jitter."""
    if row.time_s is None or before_s is None:
        return 0
    step_s = row.time_s - before_s
    if step_s < 0:
        raise InputError(f"{path}:{row.line}: time_s goes back by {-step_s:g} s")
    if step_s > MAX_GAP_S:
        raise InputError(f"{path}:{row.line}: {step_s:.6g} s are missing before this row")
    return round(step_s * rate_hz) - 1 if step_s * rate_hz > 2.5 else 0


def _number(path: Path, line: int, text: str) -> float:
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {text[:40]!r} is not a number") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
