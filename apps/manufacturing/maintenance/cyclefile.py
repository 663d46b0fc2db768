"""Run-to-failure tables in the layout of C-MAPSS: a row per unit and cycle, packed by xz or not."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.recording import Block, Recording
from edgeai_core.errors import InputError

SETTINGS, SENSORS = 3, 21
"""Columns after unit and cycle (A. Saxena et al., Damage propagation modeling, PHM 2008)."""

COLUMNS = 2 + SETTINGS + SENSORS
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Unit:
    """One engine's history: ``cycles`` (n,), ``settings`` (n, 3), ``sensors`` (n, 21), a row per cycle.

    ``remaining`` is how many cycles it had left after the last row; None where nobody says.
    """

    name: str
    cycles: NDArray[np.float64]
    settings: NDArray[np.float64]
    sensors: NDArray[np.float64]
    remaining: float | None = None


def find_file(folder: Path, stem: str) -> Path | None:
    """Return ``stem.txt`` or ``stem.txt.xz`` in a folder, or None."""
    return next((path for end in (".txt", ".txt.xz") if (path := folder / (stem + end)).is_file()), None)


def subsets_in(folder: Path) -> list[str]:
    """Return the names of the subsets that have a training table: ``FD001`` and so on."""
    names = {path.name.split(".")[0].removeprefix("train_") for path in folder.glob("train_*.txt*")}
    return sorted(name for name in names if find_file(folder, f"train_{name}"))


def read_train(folder: Path, subset: str) -> list[Unit]:
    """Return the engines of a training table, each run to its failure."""
    return [_failed(unit) for unit in read_units(_wanted(folder, f"train_{subset}"))]


def read_test(folder: Path, subset: str) -> list[Unit]:
    """Return the engines of a test table with the cycles each had left. Raises InputError where they do not fit."""
    units = read_units(_wanted(folder, f"test_{subset}"))
    path = _wanted(folder, f"RUL_{subset}")
    left = _table(path, 1)[:, 0]
    if len(left) != len(units):
        raise InputError(f"{path}: has {len(left)} lines for {len(units)} units; it needs one for each")
    if not (np.isfinite(left) & (left >= 0)).all():
        raise InputError(f"{path}: every line must be a number of cycles, 0 or more")
    return [
        Unit(unit.name, unit.cycles, unit.settings, unit.sensors, float(cycles))
        for unit, cycles in zip(units, left, strict=True)
    ]


def read_units(path: Path) -> list[Unit]:
    """Read a table: 26 columns of numbers. Raises InputError that says which line or unit is wrong."""
    table = _table(path, COLUMNS)
    if not np.isfinite(table[:, :2]).all():
        raise InputError(f"{path}: a unit or cycle is no number")
    changes = np.flatnonzero(np.diff(table[:, 0])) + 1
    units = []
    for rows in np.split(table, changes):
        name = f"{path.name.split('.')[0]} {rows[0, 0]:g}"
        if not (np.diff(rows[:, 1]) > 0).all():
            raise InputError(f"{path}: the cycles of unit {rows[0, 0]:g} do not rise")
        units.append(Unit(name, rows[:, 1], rows[:, 2 : 2 + SETTINGS], rows[:, 2 + SETTINGS :]))
    names = [unit.name for unit in units]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: rows of one unit do not stand together")
    return units


def is_cycle_file(path: Path) -> bool:
    """Tell whether a text file's first line has as many columns as a table of cycles."""
    try:
        return len(_text(path, 4096).split("\n", 1)[0].split()) == COLUMNS
    except InputError:
        return False


def open_cycles(path: Path) -> tuple[Callable[[], Recording], ...]:
    """Return an opener for each unit of a table; a cycle plays for a second."""
    return tuple((lambda unit=unit: _recording(unit)) for unit in read_units(path))


def _recording(unit: Unit) -> Recording:
    def blocks() -> Iterator[Block]:
        nothing = np.empty((0, 0), dtype=np.float32)
        for row, cycle in enumerate(unit.cycles):
            settings = {f"setting_{n + 1}": float(value) for n, value in enumerate(unit.settings[row])}
            sensors = {f"sensor_{n + 1}": float(value) for n, value in enumerate(unit.sensors[row])}
            yield Block(nothing, {"cycle": float(cycle), **settings, **sensors}, 1.0)

    return Recording(unit.name, 0.0, (), blocks())


def _failed(unit: Unit) -> Unit:
    return Unit(unit.name, unit.cycles, unit.settings, unit.sensors, 0.0)


def _wanted(folder: Path, stem: str) -> Path:
    found = find_file(folder, stem)
    if found is None:
        raise InputError(f"{folder}: holds no {stem}.txt or {stem}.txt.xz")
    return found


def _table(path: Path, columns: int) -> NDArray[np.float64]:
    text = _text(path, MAX_BYTES)
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != columns:
            raise InputError(f"{path}: line {number} has {len(cells)} columns, not {columns}")
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            raise InputError(f"{path}: line {number} holds something that is no number") from None
    if not rows:
        raise InputError(f"{path}: is empty")
    return np.array(rows)


def _text(path: Path, limit: int) -> str:
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            raw = file.read(limit + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(raw) > limit and limit == MAX_BYTES:
        raise InputError(f"{path}: is larger than {MAX_BYTES >> 20} MiB")
    return raw.decode("ascii", errors="replace")
