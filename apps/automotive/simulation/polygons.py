"""Polygons in pixels: cut at the near plane, and in the fixed point that OpenCV draws with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats

NEAR_M = 0.3
SHIFT = 4
"""OpenCV draws with so many binary places of a pixel."""

_LARGEST_PX = 4000.0  # far outside any picture, and inside what OpenCV's fixed point holds


def near_part(points: Floats) -> Floats:
    """Return what of a polygon (n, 3) of homogeneous pixels lies beyond the near plane: (m, 2) pixels, perhaps none."""
    depth = points[:, 2] - NEAR_M
    if (depth > 0).all():
        return np.asarray(points[:, :2] / points[:, 2:])
    if (depth <= 0).all():
        return np.zeros((0, 2))
    kept = []
    for at in range(len(points)):
        a, b, da, db = points[at - 1], points[at], depth[at - 1], depth[at]
        if (da > 0) != (db > 0):
            kept.append(a + (b - a) * da / (da - db))
        if db > 0:
            kept.append(b)
    cut = np.array(kept)
    return np.asarray(cut[:, :2] / np.maximum(cut[:, 2:], 1e-6))


def in_fixed_point(points_px: Floats) -> NDArray[np.int32]:
    """Return pixels in the fixed point that OpenCV draws with."""
    return np.rint(np.clip(points_px, -_LARGEST_PX, _LARGEST_PX) * (1 << SHIFT)).astype(np.int32)
