"""A grey picture of any size -> the square of 224 pixels that the networks see, without what only tells its source."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
"""(height, width), 0 black to 255 white, as a person reads it."""

SIDE = 224

_FRAME_STEP = 6
"""Grey levels by which a line may vary and still be a frame."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the part of a picture inside the box."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Prepared:
    """What a network sees, (224, 224) float32 from 0 to 1, and which part of the picture it is."""

    square: NDArray[np.float32]
    box: Box


def prepare(picture: Grey, modality: str) -> Prepared:
    """Cut away frames, even the grey levels out, and bring what is left to a square.

    Films and slices are squeezed to a square whatever their shape was, so that shape tells nothing of the source.
    Of MR slices only the head is kept, brought to one size, and everything outside it is black: margins, captions
    and background are where collections differ most.
    """
    box = _inside_frame(picture)
    inside = np.asarray(box.of(picture), dtype=np.uint8)
    if modality == "mri":
        mask = head_mask(inside)
        head = _bounds(mask, margin=0.02)
        cut = np.where(head.of(mask), head.of(inside), 0)
        box = Box(box.left + head.left, box.top + head.top, head.width, head.height)
        levels = np.asarray(cut[np.asarray(head.of(mask), dtype=bool)])
        low, high = 0.0, float(np.percentile(levels, 99.5)) if levels.size else 255.0
    else:
        cut = inside
        low, high = (float(each) for each in np.percentile(inside, (1.0, 99.0)))
    square = cv2.resize(np.asarray(cut, dtype=np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    evened = np.clip((square - low) / max(high - low, 1.0), 0.0, 1.0)
    return Prepared(np.asarray(evened, dtype=np.float32), box)


def head_mask(picture: Grey) -> NDArray[np.bool_]:
    """Return where the head is: the largest bright thing, filled; everywhere where nothing stands out."""
    smooth = cv2.GaussianBlur(picture, (0, 0), max(min(picture.shape) / 100.0, 0.8))
    limit, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    corners = float(np.median(np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])))
    above = (smooth > max(corners + 0.35 * (limit - corners), corners + 6.0)).astype(np.uint8)
    reach = max(round(min(picture.shape) / 40), 1)
    joined = cv2.morphologyEx(above, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return np.ones(picture.shape, dtype=bool)
    largest = max(outlines, key=cv2.contourArea)
    if cv2.contourArea(largest) < 0.08 * picture.size:
        return np.ones(picture.shape, dtype=bool)
    mask = np.zeros(picture.shape, dtype=np.uint8)
    cv2.drawContours(mask, [cv2.convexHull(largest)], -1, 1, cv2.FILLED)
    return mask.astype(bool)


def _inside_frame(picture: Grey) -> Box:
    """Return the picture without outer lines of one grey level, up to a quarter from each side."""
    flat_rows = np.ptp(picture, axis=1) <= _FRAME_STEP
    flat_columns = np.ptp(picture, axis=0) <= _FRAME_STEP
    top, bottom = _run(flat_rows), _run(flat_rows[::-1])
    left, right = _run(flat_columns), _run(flat_columns[::-1])
    height, width = picture.shape
    return Box(left, top, width - left - right, height - top - bottom)


def _run(flat: NDArray[np.bool_]) -> int:
    """How many lines at the beginning are flat, at most a quarter of all."""
    varied = np.flatnonzero(~flat)
    return min(int(varied[0]), len(flat) // 4) if len(varied) else 0


def _bounds(mask: NDArray[np.bool_], margin: float) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Box(0, 0, mask.shape[1], mask.shape[0])
    more = round(margin * max(len(rows), len(columns)))
    top, left = max(int(rows[0]) - more, 0), max(int(columns[0]) - more, 0)
    bottom, right = (
        min(int(rows[-1]) + 1 + more, mask.shape[0]),
        min(int(columns[-1]) + 1 + more, mask.shape[1]),
    )
    return Box(left, top, right - left, bottom - top)
