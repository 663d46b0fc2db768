"""Boards with their templates and labelled boxes, as folders of files: the layout of DeepPCB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.sensors.picture import SUFFIXES

KINDS = ("open", "short", "mouse bite", "spur", "spurious copper", "pin hole")
"""Types 1 to 6 of DeepPCB (S. Tang et al., Online PCB Defect Detector On A New PCB Defect Dataset, 2019)."""

MAX_BOXES = 1000


@dataclass(frozen=True)
class Pair:
    """A board with its template. ``boxes`` (n, 4) as x1 y1 x2 y2, ``types`` (n,) from 1 up; ``group`` is its folder."""

    name: str
    group: str
    template: Path
    board: Path
    boxes: NDArray[np.float32]
    types: NDArray[np.int64]


def read_pairs(folders: list[Path], split: Path | None = None) -> list[Pair]:
    """Return the pairs below some folders: ``<id>_test.*`` with ``<id>_temp.*`` beside it, boxes in ``<id>.txt``.

    The box file lies beside them or in ``<folder>_not``. ``split`` is a list that names, in each line, a board to
    take by its first word (``group/00041/00041000.jpg``): its stem counts. Raises InputError where there is none, or
    one of the files is missing or makes no sense.
    """
    wanted = None if split is None else _names(split)
    pairs = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
        for board in sorted(folder.rglob("*_test.*")):
            name = board.stem.removesuffix("_test")
            if board.suffix.lower() in SUFFIXES and (wanted is None or name in wanted):
                pairs.append(_pair(board, name))
    if not pairs:
        listed = f" that {split} names" if split else ""
        raise InputError(f"{', '.join(map(str, folders))}: no pair <id>_test and <id>_temp{listed}")
    return pairs


def _pair(board: Path, name: str) -> Pair:
    templates = [path for path in board.parent.glob(f"{name}_temp.*") if path.suffix.lower() in SUFFIXES]
    if not templates:
        raise InputError(f"{board}: its template {name}_temp is not beside it")
    places = (board.parent / f"{name}.txt", board.parent.with_name(board.parent.name + "_not") / f"{name}.txt")
    labels = next((path for path in places if path.is_file()), None)
    if labels is None:
        raise InputError(f"{board}: no box file {places[0]} or {places[1]}")
    boxes, types = _boxes(labels)
    return Pair(name, board.parent.name, templates[0], board, boxes, types)


def _boxes(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines()[: MAX_BOXES + 1], start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            x1, y1, x2, y2, kind = (int(word) for word in words)
        except ValueError as error:
            raise InputError(f"{path}:{number}: a box is x1 y1 x2 y2 type, not {line[:60]!r}") from error
        if not (0 <= x1 < x2 and 0 <= y1 < y2 and 1 <= kind <= len(KINDS)):
            raise InputError(f"{path}:{number}: {line[:60]!r} is no box of a type from 1 to {len(KINDS)}")
        rows.append((x1, y1, x2, y2, kind))
    table = np.array(rows, np.int64).reshape(-1, 5)
    return table[:, :4].astype(np.float32), table[:, 4]


def _names(split: Path) -> frozenset[str]:
    try:
        lines = split.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise InputError(f"{split}: {error.strerror}") from error
    return frozenset(Path(line.split()[0]).stem.removesuffix("_test") for line in lines if line.split())
