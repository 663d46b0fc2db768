"""Golden template: a board against its template becomes places that differ, each with what tells its kind.

The template is laid onto the board place by place, both are made black and white at the board's own level, and what
differs by two pixels or more is a candidate. What a defect does to the copper around it names it: an open cuts a
track in two, a mouse bite only narrows it, a pin hole touches no edge; a short, a spur and spurious copper are the
same three with black and white exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.vision.registration import align, find_displacement

Picture = NDArray[np.uint8]
"""Grey, shape (height, width)."""

MARGIN_PX = 8
"""A defect's box keeps so many pixels around it before the taught margins: labels are drawn generously."""

FEATURES = (
    "brighter", "area", "width", "height", "fill", "elongation", "thickness", "depth", "depth_mean", "near_edge",
    "arcs_2", "share_2", "arcs_5", "share_5", "arcs_9", "share_9", "template_arcs_3", "template_share_3",
    "template_arcs_7", "template_share_7", "partner", "unrest", "parts", "contrast", "at_border", "regions",
    "changed_regions",
)  # fmt: skip
"""Of each candidate, in this order; lengths in pixels."""

_REACH = 14
_JOIN = 9
_FAR_PX = 30.0
_MIN_AREA_PX = 10
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""What does not hold a cross of this size is an edge that lies a little off: half of all places, and of 3,848 labelled
defects four."""

_SMALL = 1 << 22
"""Pixels up to which joined places are fewer than 65,536: numbers of two bytes are twice as fast."""

_RINGS = {
    radius: cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    for radius in (2, 3, 5, 7, 9)
}

_MAX_DIFFERENCE = 0.3
_MAX_CANDIDATES = 400
"""So many places that differ are not defects but another board, or one that lies too far off."""


@dataclass(frozen=True)
class Candidates:
    """Places that differ: ``boxes`` (n, 4) as x1 y1 x2 y2 in pixels, ``features`` (n, len(FEATURES)) float32."""

    boxes: NDArray[np.float32]
    features: NDArray[np.float32]
    areas_px: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)


def find_candidates(template: Picture, board: Picture) -> Candidates:
    """Compare a board with its template, both grey and of one shape.

    Raises InputError for another shape, and for a board that has too little in common with the template.
    """
    if template.shape != board.shape or board.ndim != 2:
        raise InputError(f"a board of {board.shape} cannot be compared with a template of {template.shape}")
    level_t, level_b = _level(template), _level(board)
    field = find_displacement(_unit(template), _unit(board))
    laid = align(template, field)
    smooth = np.asarray(cv2.blur(board, (2, 2)), np.uint8) if _rings(board) else board
    wanted, found = laid > level_t, smooth > level_b
    rows, boxes, areas = [], [], []
    differs = (wanted ^ found).astype(np.uint8)
    if differs.mean() > _MAX_DIFFERENCE:
        raise InputError(
            f"{differs.mean():.0%} of the board differ from its template: another board, or one that lies too far off"
        )
    unrest = np.asarray(cv2.blur(differs.astype(np.float32), (65, 65)), np.float32)
    for brighter in (True, False):
        raw = (found & ~wanted if brighter else wanted & ~found).astype(np.uint8)
        opposite = (wanted & ~found if brighter else found & ~wanted).astype(np.uint8)
        for place in _places(raw):
            rows.append(_describe(place, brighter, raw, opposite, wanted, found, unrest, laid, board))
            boxes.append(place.box)
            areas.append(place.area)
            if len(boxes) > _MAX_CANDIDATES:
                raise InputError(
                    f"the board differs from its template in more than {_MAX_CANDIDATES} places: another board, or"
                    " one that lies too far off"
                )
    if not boxes:
        none = np.zeros((0, len(FEATURES)), np.float32)
        return Candidates(np.zeros((0, 4), np.float32), none, np.zeros(0, np.float32))
    return Candidates(np.array(boxes, np.float32), np.array(rows, np.float32), np.array(areas, np.float32))


@dataclass(frozen=True)
class _Place:
    """One connected place: its tight box and its pixels, in a window that reaches a little farther."""

    box: tuple[int, int, int, int]
    area: int
    window: tuple[slice, slice]
    mask: NDArray[np.uint8]
    parts: int


def _places(raw: NDArray[np.uint8]) -> list[_Place]:
    """Join what lies near each other, and leave out single pixels and lines of one pixel."""
    opened = cv2.morphologyEx(raw, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    joined = cv2.dilate(opened, np.ones((_JOIN, _JOIN), np.uint8))
    kind = cv2.CV_16U if raw.size <= _SMALL else cv2.CV_32S
    labels, stats = cv2.connectedComponentsWithStats(joined, connectivity=8, ltype=kind)[1:3]
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    thick = cv2.erode(closed, _CROSS) > 0
    height, width = raw.shape
    half = _JOIN // 2
    places = []
    for number in np.unique(labels[thick]).tolist():
        x, y, w, h, _ = stats[number]
        inner = (slice(y, y + h), slice(x, x + w))
        own = opened[inner] & (labels[inner] == number)
        area = int(own.sum())
        if area < _MIN_AREA_PX:
            continue
        x1, y1 = x + (half if x > 0 else 0), y + (half if y > 0 else 0)
        x2 = x + w - (half if x + w < width else 0)
        y2 = y + h - (half if y + h < height else 0)
        top, left = max(0, y - _REACH), max(0, x - _REACH)
        window = (slice(top, min(height, y + h + _REACH)), slice(left, min(width, x + w + _REACH)))
        mask = np.zeros((window[0].stop - top, window[1].stop - left), np.uint8)
        mask[y - top : y - top + h, x - left : x - left + w] = own
        parts = cv2.connectedComponents(mask, connectivity=8)[0] - 1
        places.append(_Place((int(x1), int(y1), int(x2), int(y2)), area, window, mask, parts))
    return places


def _describe(
    place: _Place,
    brighter: bool,
    raw: NDArray[np.uint8],
    opposite: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
    found: NDArray[np.bool_],
    unrest: NDArray[np.float32],
    laid: Picture,
    board: Picture,
) -> list[float]:
    """Return the FEATURES of one place. ``same`` is where the board, or template, has the defect's own colour."""
    window = place.window
    solid = _mask(cv2.morphologyEx(place.mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)))
    same_wanted = (wanted[window] == brighter).astype(np.uint8)
    same_found = (found[window] == brighter).astype(np.uint8)
    other_wanted = 1 - same_wanted
    # How deep each pixel lies in the template's other colour: a misplaced edge stays shallow.
    depth = np.minimum(cv2.distanceTransform(other_wanted, cv2.DIST_L2, 3)[solid > 0], _FAR_PX)
    thickness = float(cv2.distanceTransform(np.pad(solid, 1), cv2.DIST_L2, 3).max())
    rows, columns = np.nonzero(solid)
    spread = np.cov(np.stack([rows, columns])) if len(rows) > 2 else np.eye(2)
    small, large = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1e-3))
    x1, y1, x2, y2 = place.box
    w, h = x2 - x1, y2 - y1
    rings: list[float] = []
    for radius in (2, 5, 9):
        rings += _ring(solid, same_found, radius)
    for radius in (3, 7):
        rings += _ring(solid, same_wanted, radius)
    around = _mask(cv2.dilate(solid, np.ones((7, 7), np.uint8)))
    near = int((_mask(cv2.dilate(solid, np.ones((21, 21), np.uint8))) & opposite[window]).sum())
    regions, changed = _regions(same_wanted, same_found, around)
    contrast = np.abs(board[window].astype(np.int16) - laid[window])[place.mask > 0].mean() / 255.0
    height, width = raw.shape
    border = min(x1, y1, width - x2, height - y2)
    return [
        float(brighter), float(place.area), float(w), float(h), place.area / max(1, w * h), float(large / small),
        thickness, float(depth.max(initial=0.0)), float(depth.mean()) if depth.size else 0.0,
        float((depth <= 2.0).mean()) if depth.size else 1.0, *rings, near / place.area,
        float(unrest[(y1 + y2) // 2, (x1 + x2) // 2]), float(place.parts), float(contrast),
        float(min(border, 20)), float(regions), float(changed),
    ]  # fmt: skip


def _ring(solid: NDArray[np.uint8], same: NDArray[np.uint8], radius: int) -> list[float]:
    """How many arcs of a ring around the place have the defect's own colour, and which share of it."""
    outer = _mask(cv2.dilate(solid, _RINGS[radius]))
    inner = _mask(cv2.erode(outer, np.ones((3, 3), np.uint8), borderValue=1))
    ring = outer & (1 - inner)
    arc = ring & same
    sizes = np.bincount(cv2.connectedComponents(arc, connectivity=8)[1].ravel())
    arcs = int((sizes[1:] >= 2).sum())
    return [float(arcs), float(arc.sum() / max(1, ring.sum()))]


def _regions(
    wanted: NDArray[np.uint8], found: NDArray[np.uint8], around: NDArray[np.uint8]
) -> tuple[int, int]:
    """How many regions of the defect's colour touch the place in the template, and how many fewer are left."""
    labels = cv2.connectedComponents(wanted, connectivity=4)[1]
    touching = np.unique(labels[(around > 0) & (wanted > 0)])
    after = cv2.connectedComponents(found, connectivity=4)[1]
    left = len(np.unique(after[(around > 0) & (found > 0)]))
    return len(touching), len(touching) - left


def _mask(pixels: Any) -> NDArray[np.uint8]:
    return np.asarray(pixels, np.uint8)


def _level(picture: Picture) -> float:
    """Otsu's level between dark and bright (IEEE Trans. SMC 9, 1979). Raises InputError where all is one grey."""
    if float(picture.max()) - float(picture.min()) < 32:
        raise InputError("a picture of one grey: there is no board to see")
    level, _ = cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(level)


def _rings(picture: Picture) -> bool:
    """Whether greys lie between black and white, as JPEG leaves them."""
    part = picture[::4, ::4]
    return bool(((part > 16) & (part < 239)).mean() > 0.02)


def _unit(picture: Picture) -> NDArray[np.float32]:
    return np.asarray(picture, np.float32) / np.float32(255.0)
