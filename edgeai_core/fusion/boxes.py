"""Overlap of boxes: upright boxes in space that turn about the vertical, and boxes in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeai_core.errors import InputError

Floats = NDArray[np.float64]

_SHRINK = 1.0 - 1e-9
"""One box of a pair is taken as a billionth smaller, so that edges that lie on each other count once."""

_CORNERS = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
"""Corners of a unit rectangle, counter-clockwise."""

_NEXT = [1, 2, 3, 0]


def upright(centre: ArrayLike, size: ArrayLike, yaw: ArrayLike) -> Floats:
    """Return boxes (n, 7) from centres (n, 3), sizes (n, 3) along the box's own axes and yaws (n,) in radians.

    A box is x, y, z of its middle, its extent along its own x, y and z, and its yaw from x towards y. Any frame will
    do whose third axis is the vertical. Raises InputError for other shapes.
    """
    c, s, y = (np.asarray(each, dtype=np.float64) for each in (centre, size, yaw))
    if c.ndim != 2 or c.shape[1] != 3 or s.shape != c.shape or y.shape != c.shape[:1]:
        raise InputError(
            f"boxes need centres (n, 3), sizes (n, 3) and yaws (n,), not {c.shape}, {s.shape}, {y.shape}"
        )
    boxes: Floats = np.column_stack([c, s, y])
    return boxes


def overlap_3d(a: Floats, b: Floats) -> Floats:
    """Return the intersection over union (n,) of boxes ``a`` (n, 7) and ``b`` (n, 7), pair by pair."""
    area = intersection_area(a[:, [0, 1, 3, 4, 6]], b[:, [0, 1, 3, 4, 6]])
    top = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    shared = area * np.maximum(top - bottom, 0.0)
    union = np.prod(a[:, 3:6], axis=1) + np.prod(b[:, 3:6], axis=1) - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
    return overlap


def candidate_pairs(a: Floats, b: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of those pairs of boxes (n, 7) and (m, 7) that can overlap: circles around them meet."""
    distance2 = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
    reach = np.hypot(a[:, 3], a[:, 4])[:, None] / 2 + np.hypot(b[:, 3], b[:, 4])[None, :] / 2
    rows, columns = np.nonzero(distance2 < reach**2)
    return rows, columns


def intersection_area(a: Floats, b: Floats) -> Floats:
    """Return the shared area (n,) of rectangles ``a`` and ``b`` (n, 5): x, y, length, width, yaw.

    The border of what two convex shapes share is made of the parts of each one's edges that lie within the other;
    by Green's theorem its area is half the sum of the cross products along those parts. An edge is cut to a rectangle
    as in Y.-D. Liang and B. A. Barsky, ACM Transactions on Graphics 3 (1984).
    """
    offset = b[:, :2] - a[:, :2]
    a_corners = _corners(a[:, 2:4], a[:, 4])
    b_corners = _corners(b[:, 2:4] * _SHRINK, b[:, 4]) + offset[:, None]
    along_a = _shared_border(a_corners, offset, b[:, 2:4] * _SHRINK, b[:, 4])
    along_b = _shared_border(b_corners, np.zeros_like(offset), a[:, 2:4], a[:, 4])
    return np.maximum((along_a + along_b) / 2, 0.0)


def _corners(size: Floats, yaw: Floats) -> Floats:
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y = size[:, :1] * _CORNERS[:, 0], size[:, 1:] * _CORNERS[:, 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)


def _shared_border(corners: Floats, centre: Floats, size: Floats, yaw: Floats) -> Floats:
    """Return the sum of cross products along those parts of the corners' edges that lie in a rectangle."""
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y = (corners - centre[:, None]).transpose(2, 0, 1)
    start = np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1)
    edge = start[:, _NEXT] - start
    half = size[:, None] / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-half - start) / edge, (half - start) / edge
    enter, leave = np.fmin(one, two), np.fmax(one, two)
    # an edge parallel to a side is wholly between the two sides, or not at all
    parallel = edge == 0
    within = np.abs(start) <= half
    enter = np.where(parallel, np.where(within, -np.inf, np.inf), enter)
    leave = np.where(parallel, np.where(within, np.inf, -np.inf), leave)
    first = np.maximum(enter.max(axis=2), 0.0)
    last = np.minimum(leave.min(axis=2), 1.0)
    part = np.maximum(last - first, 0.0)
    # cross(p + first e, p + last e) = (last - first) cross(p, e), in the frame the corners came in
    e = corners[:, _NEXT] - corners
    cross = corners[..., 0] * e[..., 1] - corners[..., 1] * e[..., 0]
    total: Floats = (part * cross).sum(axis=1)
    return total


def covered_2d(a: Floats, b: Floats) -> Floats:
    """Return which share (n, m) of each picture box of ``a`` (n, 4) lies in each of ``b`` (m, 4)."""
    area = _area_2d(a)[:, None]
    shared = _shared_2d(a, b)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def _shared_2d(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    extent = np.maximum(high - low, 0.0)
    shared: Floats = extent[..., 0] * extent[..., 1]
    return shared


def _area_2d(box: Floats) -> Floats:
    area: Floats = np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=1)
    return area
