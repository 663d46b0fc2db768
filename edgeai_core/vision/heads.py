"""What the heads of single-stage detectors mean: raw output tensors become boxes, scores and classes.

Three layouts cover most detectors that are exported to ONNX without their suppression. Boxes are in pixels of the
network's input, left, top, right, bottom, before suppression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import ModelError
from edgeai_core.vision.boxes import Detections, Floats

Raw = NDArray[np.float32]

LARGEST_LOG_SIZE = 10.0
"""exp() of more would be a box of 20,000 strides: a broken output, not an object."""


def yolox(
    raw: Raw, width_px: int, height_px: int, score: float, strides: Sequence[int] = (8, 16, 32)
) -> Detections:
    """Decode YOLOX (Ge et al., 2021), exported without its decoding: (1, cells, 5 + classes).

    A row is x, y, log width, log height relative to its cell, objectness and class probabilities; cells run row
    by row, stride by stride. Score = objectness * class. Raises ModelError for another number of cells.
    """
    rows = _rows(raw, 6, "YOLOX")
    cells, sizes = _cells(width_px, height_px, strides)
    if len(rows) != len(cells):
        raise ModelError(
            f"a YOLOX head of {len(rows)} cells, where an input of {width_px} by {height_px} has {len(cells)}"
        )
    with np.errstate(invalid="ignore"):
        scores = rows[:, 4:5] * rows[:, 5:]
    keep, best = _worth(scores, score)
    middle = (rows[keep, :2] + cells[keep]) * sizes[keep, None]
    size = np.exp(np.minimum(rows[keep, 2:4], LARGEST_LOG_SIZE)) * sizes[keep, None]
    return _detections(middle, size, scores[keep, best], best)


def yolov5(raw: Raw, width_px: int, height_px: int, score: float) -> Detections:
    """Decode YOLOv5 as exported (also v7): (1, boxes, 5 + classes), x, y, width, height in pixels, decoded already.

    Score = objectness * class.
    """
    rows = _rows(raw, 6, "YOLOv5")
    with np.errstate(invalid="ignore"):
        scores = rows[:, 4:5] * rows[:, 5:]
    keep, best = _worth(scores, score)
    return _detections(rows[keep, :2], rows[keep, 2:4], scores[keep, best], best)


def yolov8(raw: Raw, width_px: int, height_px: int, score: float) -> Detections:
    """Decode YOLOv8 as exported (also v9 and 11): (1, 4 + classes, cells), x, y, width, height in pixels, scores."""
    if raw.ndim != 3:
        raise ModelError(f"a YOLOv8 head of shape {raw.shape}; it must be (1, 4 + classes, cells)")
    rows = _rows(raw.transpose(0, 2, 1), 5, "YOLOv8")
    scores = rows[:, 4:]
    keep, best = _worth(scores, score)
    return _detections(rows[keep, :2], rows[keep, 2:4], scores[keep, best], best)


Head = Callable[[Raw, int, int, float], Detections]

HEADS: Mapping[str, Head] = {"yolox": yolox, "yolov5": yolov5, "yolov8": yolov8}
"""Decoders by the name that a card's parameter ``head`` gives."""


def _rows(raw: Raw, least: int, head: str) -> Raw:
    if raw.ndim != 3 or raw.shape[0] != 1 or raw.shape[2] < least:
        raise ModelError(
            f"a {head} head of shape {raw.shape}; it must hold one picture and {least} values a box or more"
        )
    return np.asarray(raw[0])


def _cells(width_px: int, height_px: int, strides: Sequence[int]) -> tuple[Raw, Raw]:
    """Return column and row of each cell (n, 2), and its stride (n,)."""
    places, sizes = [], []
    for stride in strides:
        y, x = np.mgrid[: height_px // stride, : width_px // stride]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1))
        sizes.append(np.full(x.size, stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _worth(scores: Raw, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which rows have a class of at least that score, and which class is their best; NaN is worth nothing."""
    best = scores.argmax(axis=1)
    keep = np.flatnonzero(np.take_along_axis(scores, best[:, None], axis=1)[:, 0] >= least)
    return keep, best[keep]


def _detections(middle: Raw, size: Raw, score: Raw, label: NDArray[np.int64]) -> Detections:
    with np.errstate(invalid="ignore", over="ignore"):
        box: Floats = np.concatenate([middle - size / 2, middle + size / 2], axis=1).astype(np.float64)
    whole = np.isfinite(box).all(axis=1) & np.isfinite(score)
    return Detections(box[whole], score[whole].astype(np.float64), label[whole].astype(np.int64))
