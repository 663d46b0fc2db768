"""The tables as a picture: a row per case, a column per speed, green where avoided, else how fast the contact was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apps.automotive.braking.cases import Case
from apps.automotive.braking.driving import Approach
from edgeai_core.errors import InputError

_CELL, _LEFT, _TOP = (64, 26), 250, 60
_INK, _GREEN, _RED, _AMBER = (40, 40, 40), (120, 190, 110), (80, 80, 220), (90, 190, 240)


def draw_tables(table: Sequence[Case], ends: Sequence[Approach], path: Path) -> None:
    """Write the picture as .png. Raises InputError where it cannot be written."""
    rows = list(dict.fromkeys((case.table, case.detail) for case in table))
    speeds = sorted({case.speed_kmh for case in table})
    width, height = _LEFT + _CELL[0] * len(speeds) + 20, _TOP + _CELL[1] * len(rows) + 20
    canvas = np.full((height, width, 3), 255, np.uint8)
    _text(canvas, "avoided (green), or km/h at contact; ego's speed in km/h", 10, 22)
    for column, speed in enumerate(speeds):
        _text(canvas, str(speed), _LEFT + column * _CELL[0] + 18, _TOP - 8)
    for line, (name, detail) in enumerate(rows):
        _text(canvas, f"{name}  {detail}", 10, _TOP + line * _CELL[1] + 18)
    for case, end in zip(table, ends, strict=True):
        x = _LEFT + speeds.index(case.speed_kmh) * _CELL[0]
        y = _TOP + rows.index((case.table, case.detail)) * _CELL[1]
        contact = end.contact_kmh
        colour = _GREEN if contact is None else _RED if contact > 20 else _AMBER
        cv2.rectangle(canvas, (x + 1, y + 1), (x + _CELL[0] - 2, y + _CELL[1] - 2), colour, -1)
        if contact is not None:
            _text(canvas, f"{contact:.0f}", x + 18, y + 18)
    write_png(canvas, path)


def write_png(canvas: np.ndarray, path: Path) -> None:
    """Write a picture. Raises InputError for a name that is no .png, and where it cannot be written."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: a picture is written as .png")
    try:
        path.write_bytes(cv2.imencode(".png", canvas)[1].tobytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _text(canvas: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
