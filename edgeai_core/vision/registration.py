"""Registration: where each place of a reference lies in a picture, to a fraction of a pixel."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Grey = NDArray[np.float32]
"""A picture, shape (height, width), float32."""

SCALES = (8, 4)
"""Displacement is sought on pictures made smaller by these, from coarse to fine."""

_STEPS = 3
_WINDOW_PX = 96
"""Displacement is taken as even over about so many pixels of the full picture: more than any defect is wide."""

_PRIOR = 0.05
"""What a shift to the end of the search costs, as a share of the worst misfit: noise alone must not choose one."""

_STIFFNESS = 0.2
"""Share of the picture's mean structure below which a window does not move by itself (Tikhonov's regularisation)."""

_PULL = 0.2
"""How strongly, against that, displacement is drawn back to the common shift."""


def find_shift(reference: Grey, image: Grey, max_px: int) -> tuple[float, float]:
    """Return (dx, dy), whole pixels, by which ``image`` is shifted against ``reference``, both of one shape.

    The middle of the reference is looked for within ``max_px``, by least squares. Where shifts fit alike, as along
    parallel lines or in a repeated pattern, the smallest is taken.
    """
    _check(reference, image)
    reach = max(1, min(max_px, min(reference.shape) // 4))
    middle = np.ascontiguousarray(reference[reach:-reach, reach:-reach])
    misfit = cv2.matchTemplate(np.ascontiguousarray(image), middle, cv2.TM_SQDIFF)
    away = np.arange(-reach, reach + 1) ** 2
    misfit = misfit / max(float(misfit.max()), 1e-6) + _PRIOR * (away[:, None] + away) / reach**2
    dy, dx = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    return float(dx) - reach, float(dy) - reach


def find_displacement(reference: Grey, image: Grey, max_px: float = 16.0) -> NDArray[np.float32]:
    """Return the field (height, width, 2) of (dx, dy): what lies at p in ``reference`` lies at p + field in ``image``.

    A shift first, then smooth displacements by Lucas and Kanade (IJCAI 1981) in large windows, which do not follow
    a defect; along an edge, where displacement cannot be seen, there is none beyond the shift. Values 0 to 1.
    """
    _check(reference, image)
    height, width = reference.shape
    field = shift = np.zeros((2, 2, 2), np.float32)
    for number, scale in enumerate(SCALES):
        size = (max(16, width // scale), max(16, height // scale))
        small = [_smaller(each, size) for each in (reference, image)]
        if number == 0:
            dx, dy = find_shift(small[0], small[1], int(max_px / scale))
            field = shift = np.full((2, 2, 2), (dx * scale, dy * scale), np.float32)
        field = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)
        for _ in range(_STEPS):
            off = (field - shift[:1, :1]) / scale
            field = field + scale * _step(small[0], small[1], field / scale, off, _WINDOW_PX // scale)
        field = np.clip(field, -max_px, max_px)
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def align(reference: Grey, field: NDArray[np.float32]) -> Grey:
    """Return ``reference`` as it would lie in the picture that ``field`` was found for."""
    places = _places(*reference.shape) - field
    return np.asarray(cv2.remap(reference, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=8)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """The coordinates (x, y) of every pixel, shape (height, width, 2)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.dstack([columns, rows])
    places.flags.writeable = False
    return places


def _step(
    reference: Grey, image: Grey, field: NDArray[np.float32], off: NDArray[np.float32], window: int
) -> NDArray[np.float32]:
    """One Gauss-Newton step of the displacement, in pixels of these pictures; ``off`` is how far it is from the shift."""
    moved = align(reference, field)
    gx = cv2.Sobel(moved, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(moved, cv2.CV_32F, 0, 1, scale=0.125)
    difference = moved - image

    def mean(each: Grey) -> Grey:
        wide = cv2.blur(each, (window | 1, window | 1), borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.blur(wide, (window // 2 | 1, window // 2 | 1), borderType=cv2.BORDER_REFLECT))

    xx, yy, xy = mean(gx * gx), mean(gy * gy), mean(gx * gy)
    stiff = _STIFFNESS * float((xx + yy).mean()) + 1e-6
    ex = mean(gx * difference) - _PULL * stiff * off[..., 0]
    ey = mean(gy * difference) - _PULL * stiff * off[..., 1]
    xx, yy = xx + stiff, yy + stiff
    determinant = xx * yy - xy * xy
    step = np.dstack([(yy * ex - xy * ey) / determinant, (xx * ey - xy * ex) / determinant])
    return np.asarray(np.clip(step, -1.0, 1.0), np.float32)


def _smaller(image: Grey, size: tuple[int, int]) -> Grey:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _check(reference: Grey, image: Grey) -> None:
    if reference.ndim != 2 or reference.shape != image.shape or min(reference.shape) < 32:
        raise InputError(
            f"a picture is registered on one of its own size, of 32 pixels or more: {image.shape}, {reference.shape}"
        )
