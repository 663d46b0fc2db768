"""Raw pictures -> the array a model takes: one size, three channels, levels evened."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

MIN_SIDE_PX = 16


def grey(pixels: Pixels) -> Pixels:
    """Return (height, width) of a grey or blue-green-red picture."""
    return pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def prepare(pixels: Pixels, size: int) -> Pixels:
    """Return (size, size, 3), red, green, blue, the greys stretched between their 1st and 99th percentile.

    The picture is squeezed to a square: where a part lies counts for less than that all of it is seen.
    """
    small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB if small.ndim == 2 else cv2.COLOR_BGR2RGB)
    low, high = np.percentile(colours[::2, ::2], (1, 99))
    table = (np.arange(256) - low) / max(high - low, 8.0) * 220 + 18
    return np.asarray(cv2.LUT(colours, np.clip(np.round(table), 0, 255).astype(np.uint8)), np.uint8)
