"""A picture of any shape becomes the input of a detector, and boxes find their way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """How a picture of ``width_px`` by ``height_px`` lies in an input: input = picture * ``scale`` + offset."""

    scale: float
    left_px: int
    top_px: int
    width_px: int
    height_px: int

    def to_input(self, box_px: Floats) -> Floats:
        """Take boxes (n, 4: left, top, right, bottom) from the picture to the input."""
        offset = [self.left_px, self.top_px, self.left_px, self.top_px]
        return np.asarray(np.asarray(box_px, dtype=np.float64) * self.scale + offset)

    def to_picture(self, box_px: Floats) -> Floats:
        """Take boxes (n, 4) from the input to the picture, and cut them at its edges."""
        offset = [self.left_px, self.top_px, self.left_px, self.top_px]
        boxes = (np.asarray(box_px, dtype=np.float64) - offset) / self.scale
        edge = [self.width_px, self.height_px, self.width_px, self.height_px]
        return np.asarray(np.clip(boxes, 0.0, edge))


def letterbox(
    pixels: NDArray[np.uint8], width_px: int, height_px: int, *, fill: int = 114, centred: bool = False
) -> tuple[NDArray[np.uint8], Fit]:
    """Scale a picture (rows, columns, 3) into (height_px, width_px, 3), its shape kept, the rest filled.

    It lies at the top left, as YOLOX wants it, or ``centred``, as YOLOv5 and YOLOv8 do. Raises InputError for
    what is no picture of three channels.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise InputError(
            f"a picture of shape {pixels.shape}, {pixels.dtype}; it must be (rows, columns, 3) of uint8"
        )
    rows, columns = pixels.shape[:2]
    scale = min(width_px / columns, height_px / rows)
    size = (max(1, min(width_px, round(columns * scale))), max(1, min(height_px, round(rows * scale))))
    left, top = ((width_px - size[0]) // 2, (height_px - size[1]) // 2) if centred else (0, 0)
    scaled = pixels if size == (columns, rows) else cv2.resize(pixels, size)
    out = np.full((height_px, width_px, 3), fill, dtype=np.uint8)
    out[top : top + size[1], left : left + size[0]] = scaled
    return out, Fit(scale, left, top, columns, rows)
