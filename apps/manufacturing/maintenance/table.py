"""Tables of failures: one row per moment with a label, columns named in a TOML file."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeai_core.errors import ConfigError, InputError

Array = NDArray[np.float64]

MAX_ROWS = 2_000_000
MAX_COLUMNS = 512
ROUNDS = 200
"""Trees of the classifier."""

MAX_PAIRED = 12
"""Of more numeric columns no products are made."""

BLOCK_ROWS = 100
"""Rows that follow one another belong together where no column says what does: a table is a history."""


class TableColumns(BaseModel):
    """What the columns of a labelled table mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(default="Machine_failure", description="1 or true: it failed")
    features: tuple[str, ...] = Field(default=(), description="none: every column that is named nowhere else")
    ignore: tuple[str, ...] = Field(
        default=("UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"),
        description="numbers of rows, and what gives the answer away",
    )
    group: str = Field(default="", description="rows that belong together; none: blocks of rows")
    miss_cost: float = Field(default=10.0, gt=0, description="of a failure that was not foretold")
    false_alarm_cost: float = Field(default=1.0, gt=0, description="of a visit for nothing")


@dataclass(frozen=True)
class Table:
    """``values`` (n, k), nan where missing; ``failed`` (n,); ``groups`` (n,) that stay on one side of a split."""

    name: str
    names: tuple[str, ...]
    values: Array
    failed: NDArray[np.bool_]
    groups: tuple[str, ...]
    columns: TableColumns


def read_columns(path: Path | None) -> TableColumns:
    """Read the file that names the columns; without one the columns are those of the AI4I 2020 table."""
    if path is None:
        return TableColumns()
    try:
        return TableColumns.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        what = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise ConfigError(f"{path}: cannot be read as columns of a table: {what}") from error


def read_table(path: Path, columns: TableColumns) -> Table:
    """Read a CSV file. Raises InputError that names the column or line that is wrong."""
    names, rows = _rows(path)
    label = _label_of(path, names, columns.label)
    wanted = columns.features or tuple(
        name for name in names if name not in (*columns.ignore, label, columns.group)
    )
    missing = [name for name in (*wanted, *filter(None, [columns.group])) if name not in names]
    if missing or not wanted:
        raise InputError(f"{path}: has no column {', '.join(missing) or 'left to learn from'}")
    failed = np.array([_failed(path, n + 2, row[names.index(label)]) for n, row in enumerate(rows)])
    if failed.all() or not failed.any():
        raise InputError(
            f"{path}: column {label} has {'only' if failed.any() else 'no'} failures: nothing to learn"
        )
    values = [_column(name, [row[names.index(name)].strip() for row in rows]) for name in wanted]
    table = np.column_stack([column for _, made in values for column in made])
    made_names = tuple(name for made, _ in values for name in made)
    if columns.group:
        place = names.index(columns.group)
        groups = tuple(row[place] for row in rows)
    else:
        groups = tuple(f"rows {n // BLOCK_ROWS}" for n in range(len(rows)))
    return Table(path.stem, made_names, table, failed, groups, columns)


def with_pairs(values: Array) -> Array:
    """Add products and differences of every two columns (power is torque times speed, load is wear times torque)."""
    count = values.shape[1]
    if count > MAX_PAIRED:
        return values
    pairs = [(i, j) for i in range(count) for j in range(i)]
    return np.column_stack(
        [
            values,
            *[values[:, i] * values[:, j] for i, j in pairs],
            *[values[:, i] - values[:, j] for i, j in pairs],
        ]
    )


def fit_classifier(features: NDArray[np.float32], failed: NDArray[np.bool_], seed: int) -> Any:
    """Fit boosted trees on values with their pairs."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.06,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        l2_regularization=1.0,
        random_state=seed,
    )
    return model.fit(features, failed)


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            if not 2 <= len(names) <= MAX_COLUMNS or len(set(names)) < len(names):
                raise InputError(f"{path}: its first line must name 2 to {MAX_COLUMNS} different columns")
            rows = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(names):
                    raise InputError(f"{path}: line {reader.line_num} has {len(row)} cells, not {len(names)}")
                rows.append(row)
                if len(rows) > MAX_ROWS:
                    raise InputError(f"{path}: has more than {MAX_ROWS} rows")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV: {error}") from error
    if not rows:
        raise InputError(f"{path}: has no rows")
    return names, rows


def _label_of(path: Path, names: Sequence[str], label: str) -> str:
    """Copies of one table name a column with blanks or with underscores."""
    for name in names:
        if name.replace("_", " ").lower() == label.replace("_", " ").lower():
            return name
    raise InputError(
        f"{path}: has no column {label} (it has {', '.join(list(names)[:20])}); name it in --columns"
    )


def _failed(path: Path, line: int, cell: str) -> bool:
    word = cell.strip().lower()
    if word in ("1", "1.0", "true", "yes"):
        return True
    if word in ("0", "0.0", "false", "no"):
        return False
    raise InputError(f"{path}: line {line}: the label is {cell[:40]!r}, not 0 or 1")


def _column(name: str, cells: list[str]) -> tuple[list[str], list[Array]]:
    """A column of numbers, or one column per word where there are few of them."""
    numbers = np.array([_number(cell) for cell in cells])
    if np.isfinite(numbers).any():
        return [name], [numbers]
    words = sorted(set(filter(None, cells)))[:20]
    return [f"{name} {word}" for word in words], [
        np.array([float(cell == word) for cell in cells]) for word in words
    ]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
