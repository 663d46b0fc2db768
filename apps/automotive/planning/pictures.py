"""Drives as a picture: for each family its first drive from above, along the straightened road, and its speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apps.automotive.planning.driving import Drive
from edgeai_core.errors import InputError

_WIDTH, _BAND, _LEFT = 1200, 150, 120
_INK, _EGO, _OTHER, _HIT = (40, 40, 40), (200, 120, 30), (150, 150, 150), (60, 60, 220)


def draw_drives(drives: Sequence[Drive], path: Path) -> None:
    """Write the picture as .png. Raises InputError where it cannot be written."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: a picture is written as .png")
    shown = list({drive.family: drive for drive in reversed(drives)}.values())[::-1]
    canvas = np.full((_BAND * len(shown) + 30, _WIDTH, 3), 255, np.uint8)
    for number, drive in enumerate(shown):
        _draw(canvas[30 + number * _BAND : 30 + (number + 1) * _BAND], drive)
    words = "ego (blue) and others (grey) once a second along the road; below, the speed over the limit"
    _text(canvas, words, 10, 20)
    try:
        path.write_bytes(cv2.imencode(".png", canvas)[1].tobytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _draw(band: np.ndarray, drive: Drive) -> None:
    s = drive.trail[:, 1]
    scale = (_WIDTH - _LEFT - 20) / max(float(np.ptp(s)) + 60.0, 60.0)
    start = float(s[0]) - 10.0

    def place(along: float, aside: float) -> tuple[int, int]:
        return round(_LEFT + (along - start) * scale), round(70 - aside * 7.0)

    def box(along: float, aside: float, length: float, width: float, colour: tuple[int, int, int]) -> None:
        cv2.rectangle(
            band,
            place(along - length / 2, aside + width / 2),
            place(along + length / 2, aside - width / 2),
            colour,
            1,
        )

    for tick in range(0, len(drive.trail), 10):
        box(float(s[tick]) + 1.35, float(drive.trail[tick, 2]), 4.6, 1.9, _EGO)
        for other in drive.others[tick]:
            if start - 20.0 < other[0] < start + (_WIDTH - _LEFT) / scale:
                along, aside, length, width = other.tolist()
                box(along, aside, length, width, _OTHER)
    points = [
        (
            round(_LEFT + (float(row[1]) - start) * scale),
            round(140 - 45.0 * min(float(row[3]) / drive.limit_mps, 1.2)),
        )
        for row in drive.trail
    ]
    cv2.polylines(
        band, [np.array(points, np.int32)], False, _HIT if drive.collision else _EGO, 1, cv2.LINE_AA
    )
    _text(band, f"{drive.family} {drive.seed}", 6, 70)


def _text(canvas: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
