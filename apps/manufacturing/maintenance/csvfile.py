"""Measurements in CSV: columns by the names that the configuration gives them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from apps.manufacturing.maintenance.columns import Columns
from apps.manufacturing.maintenance.recording import GRAVITY_MPS2, Block, Recording
from edgeai_core.errors import InputError

MAX_COLUMNS = 512
_BLOCK_S = 0.1


def open_csv(path: Path, columns: Columns) -> Recording:
    """Open a CSV file with a line of names; it is read as it is played.

    An empty cell, or one that is no number, is a missing value. Raises InputError for a file without the columns
    asked for, and, with its line, for a row of another length.
    """
    file = _open(path)
    try:
        rows = csv.reader(_limited(path, file))
        names = next(rows, [])
        if not 1 <= len(names) <= MAX_COLUMNS:
            raise InputError(
                f"{path}: begins with {len(names)} names of columns; 1 to {MAX_COLUMNS} are read"
            )
        names = [name.strip() for name in names]
        wanted = {quantity: name for quantity, name in columns.slow.items() if name in names}
        missing = [name for name in (*columns.vibration, *columns.others) if name not in names]
        if missing or not (wanted or columns.vibration):
            what = (
                f"has no column {', '.join(missing)}" if missing else "has none of the columns that are named"
            )
            has = ", ".join(names[:20])
            raise InputError(
                f"{path}: {what} (it has {has}); name them in [manufacturing.maintenance.columns]"
            )
    except (InputError, csv.Error, UnicodeDecodeError) as error:
        file.close()
        raise error if isinstance(error, InputError) else InputError(f"{path}: no CSV: {error}") from error
    scale = GRAVITY_MPS2 if columns.unit == "g" else 1.0
    places = [names.index(name) for name in columns.vibration]
    slow = {quantity: names.index(name) for quantity, name in wanted.items()}
    size = max(1, round(columns.rate_hz * _BLOCK_S)) if places else 1

    def blocks() -> Iterator[Block]:
        line = 1
        while taken := list(islice(rows, size)):
            table = np.array([_numbers(path, line + n + 1, row, len(names)) for n, row in enumerate(taken)])
            line += len(taken)
            last = {quantity: float(table[-1, place]) for quantity, place in slow.items()}
            vibration = (table[:, places] * scale).astype(np.float32)
            yield Block(vibration, last, None if places else 1.0)

    return Recording(
        path.stem, columns.rate_hz if places else 0.0, columns.vibration, blocks(), close=file.close
    )


def _open(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _limited(path: Path, file: TextIO) -> Iterator[str]:
    while line := file.readline(1 << 16):
        if len(line) == 1 << 16:
            raise InputError(f"{path}: has a line of more than 65536 characters; this is no table")
        yield line


def _numbers(path: Path, line: int, row: list[str], width: int) -> list[float]:
    if len(row) != width:
        raise InputError(f"{path}: line {line} has {len(row)} cells; the first line names {width}")
    found = []
    for cell in row:
        text = cell.strip()
        try:
            found.append(float(text) if text else math.nan)
        except ValueError:
            found.append(math.nan)
    return found
