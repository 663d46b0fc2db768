"""Pictures for people: a study as it was judged, and the map of what speaks for the finding laid over it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.preprocess import Box, Grey

LONGEST_SIDE = 640
MAX_BYTES = 180_000
"""A live topic carries at most 200 kB."""

_QUALITIES = (85, 70, 50, 30, 15)


def picture_of(grey: Grey) -> bytes:
    """Return a study's picture as JPEG, its longest side at most 640 pixels."""
    return _jpeg(_shown(grey))


def map_over(grey: Grey, box: Box, relief: NDArray[np.float32], strength: float) -> bytes:
    """Return the picture with a map over the part of it that the network saw, as JPEG.

    ``relief`` (7, 7) from 0 to 1; ``strength`` from 0 to 1 is how much colour its highest place gets: the
    probability of the finding, so that a map of next to nothing does not look like one of something.
    """
    small = _shown(grey)
    scale_x, scale_y = small.shape[1] / grey.shape[1], small.shape[0] / grey.shape[0]
    left, top = round(box.left * scale_x), round(box.top * scale_y)
    right = min(max(round((box.left + box.width) * scale_x), left + 1), small.shape[1])
    bottom = min(max(round((box.top + box.height) * scale_y), top + 1), small.shape[0])
    heat = cv2.resize(relief, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC)
    heat = np.clip(heat, 0.0, 1.0)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO).astype(np.float32)
    shown = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR).astype(np.float32)
    share = (0.6 * strength * np.clip(heat * 1.5, 0.0, 1.0))[:, :, None]
    part = shown[top:bottom, left:right]
    shown[top:bottom, left:right] = part * (1 - share) + colours * share
    cv2.rectangle(shown, (left, top), (right - 1, bottom - 1), (120.0, 120.0, 120.0), 1)
    return _jpeg(np.asarray(np.clip(shown, 0, 255), dtype=np.uint8))


def _shown(grey: Grey) -> Grey:
    share = LONGEST_SIDE / max(grey.shape)
    if share >= 1:
        return grey
    size = (max(round(grey.shape[1] * share), 1), max(round(grey.shape[0] * share), 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    coded = b""
    for quality in _QUALITIES:
        coded = bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
        if len(coded) <= MAX_BYTES:
            break
    return coded
