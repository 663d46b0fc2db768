"""What a camera's pictures usually are, and how far one is off: light, sharpness, place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.vision.registration import find_shift

THUMBNAIL_PX = 32
"""The side of the picture by which a camera's place is known."""

_SIDE_PX = 256


@dataclass(frozen=True)
class ImageQuality:
    """``brightness`` 0 to 1; ``sharpness`` the spread of the Laplacian over that of the picture; a thumbnail."""

    brightness: float
    sharpness: float
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class Usual:
    """What a camera's pictures usually are: the medians of some good ones."""

    brightness: float
    sharpness: float
    thumbnail: NDArray[np.float32]


def measure(pixels: NDArray[np.uint8]) -> ImageQuality:
    """Measure a picture, (height, width) grey or (height, width, 3), whatever its size."""
    if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 8:
        raise InputError(f"a picture has 8 pixels or more a side, not the shape {pixels.shape}")
    small = cv2.resize(pixels, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    spread = float(grey.std())
    edges = cv2.Laplacian(cv2.GaussianBlur(grey, (3, 3), 0), cv2.CV_32F)
    sharpness = float(edges.std()) / spread if spread > 1.0 else 0.0
    thumbnail = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return ImageQuality(float(grey.mean()) / 255, sharpness, thumbnail.astype(np.float32))


def usual(measured: list[ImageQuality]) -> Usual:
    """Return the medians of some pictures. Raises InputError without one."""
    if not measured:
        raise InputError("what is usual needs at least one picture")
    return Usual(
        float(np.median([each.brightness for each in measured])),
        float(np.median([each.sharpness for each in measured])),
        np.median([each.thumbnail for each in measured], axis=0).astype(np.float32),
    )


def moved_share(thumbnails: list[NDArray[np.float32]], reference: NDArray[np.float32]) -> float:
    """Return how far the median of some thumbnails lies from the reference, as a share of the picture's side.

    One part may lie askew; that all of several lie so means the camera has moved.
    """
    median = np.median(thumbnails, axis=0).astype(np.float32)
    size = 4 * THUMBNAIL_PX
    first, second = (
        cv2.resize(_evened(each), (size, size), interpolation=cv2.INTER_LINEAR) for each in (reference, median)
    )
    dx, dy = find_shift(first, second, size // 4)
    return float(np.hypot(dx, dy)) / size


def _evened(thumbnail: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the light's part in it."""
    return np.asarray((thumbnail - thumbnail.mean()) / max(float(thumbnail.std()), 1.0), np.float32)
