"""Whether a picture can be used: light, contrast, sharpness, and what is burnt out or black."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PictureQuality:
    """Measured on a reduced grey picture, so that size and noise weigh little.

    ``brightness`` and ``contrast`` are mean and standard deviation, 0 to 1. ``dark`` and ``bright`` are the shares
    of pixels below 3 % and above 97 %. ``sharpness`` is the variance of the Laplacian (Pech-Pacheco et al., 2000)
    of the reduced picture over its variance: what is out of focus or covered has little of both.
    """

    brightness: float
    contrast: float
    dark: float
    bright: float
    sharpness: float


REDUCED_PX = 160
"""The longer side of the reduced picture."""


def picture_quality(pixels: NDArray[np.uint8]) -> PictureQuality:
    """Return the quality of a picture (rows, columns) or (rows, columns, 3), uint8."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    scale = REDUCED_PX / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    level = np.asarray(grey, dtype=np.float32) / 255.0
    spread = float(level.std())
    edges = cv2.Laplacian(level, cv2.CV_32F)
    return PictureQuality(
        brightness=float(level.mean()),
        contrast=spread,
        dark=float((level < 0.03).mean()),
        bright=float((level > 0.97).mean()),
        sharpness=float(edges.var()) / max(spread**2, 1e-6),
    )
