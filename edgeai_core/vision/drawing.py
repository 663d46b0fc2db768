"""Pictures for people: boxes with labels, and JPEG for the page."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeai_core.errors import InputError

Colour = tuple[int, int, int]
"""Blue, green, red."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_boxes(
    pixels: NDArray[np.uint8], box_px: ArrayLike, labels: Sequence[str], colours: Sequence[Colour]
) -> NDArray[np.uint8]:
    """Return a copy of a picture with boxes (n, 4: left, top, right, bottom), each with its label and colour."""
    out = np.array(pixels, copy=True)
    height = out.shape[0]
    size = max(0.35, height / 1000)
    thick = max(1, round(height / 360))
    boxes = np.asarray(box_px, dtype=np.float64).reshape(-1, 4)
    for (left, top, right, bottom), label, colour in zip(boxes, labels, colours, strict=True):
        a, b = (round(left), round(top)), (round(right), round(bottom))
        cv2.rectangle(out, a, b, colour, thick, cv2.LINE_AA)
        if label:
            (wide, high), below = cv2.getTextSize(label, _FONT, size, 1)
            base = a[1] - below if a[1] > high + 2 * below else a[1] + high + below
            cv2.rectangle(out, (a[0], base - high - below), (a[0] + wide + 4, base + below), colour, -1)
            ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
            cv2.putText(out, label, (a[0] + 2, base), _FONT, size, ink, 1, cv2.LINE_AA)
    return out


def jpeg(pixels: NDArray[np.uint8], quality: int = 75) -> bytes:
    """Return a picture as a JPEG file. Raises InputError where it is no picture."""
    try:
        done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise InputError(f"a picture of shape {pixels.shape}, {pixels.dtype} makes no JPEG") from error
    if not done:
        raise InputError(f"a picture of shape {pixels.shape}, {pixels.dtype} makes no JPEG")
    return bytes(data)
