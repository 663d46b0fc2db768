"""Pictures for people: small JPEGs that fit a live topic or a report."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG_QUALITY = 75
_RED = np.array([40.0, 40.0, 230.0], np.float32)


def thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """Return a picture of at most ``side`` pixels a side as a data URL of a JPEG."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    ok, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(packed.tobytes()).decode("ascii") if ok else ""


def heated(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the picture in colour, red where the heat map (of any size; 1 is the limit) is high."""
    colour: Any = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
    size = (colour.shape[1], colour.shape[0])
    share = cv2.resize(np.clip(heat - 0.5, 0, 1).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    mixed = colour * (1 - 0.6 * share[..., None]) + _RED * (0.6 * share[..., None])
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)
