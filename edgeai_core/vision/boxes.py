"""Boxes in pictures: overlap, suppression of doubles, and how well found boxes match the true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """``box_px`` (n, 4) left, top, right, bottom; ``score`` (n,) 0 to 1; ``label`` (n,) index of the class."""

    box_px: Floats
    score: Floats
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        return Detections(self.box_px[chosen], self.score[chosen], self.label[chosen])


def overlap(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the intersection over union of boxes (n, 4) and (m, 4), as (n, m); 0 where both are empty."""
    first = np.asarray(a, dtype=np.float64).reshape(-1, 4)[:, None]
    second = np.asarray(b, dtype=np.float64).reshape(-1, 4)[None]
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(box[..., 2:] - box[..., :2], 0, None).prod(axis=-1) for box in (first, second)]
    union = areas[0] + areas[1] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def suppress(found: Detections, iou: float, *, per_class: bool = True, limit: int = 300) -> Detections:
    """Return the detections that no better one of their class overlaps by more than ``iou``, the best first.

    Greedy, over the best ``4 * limit`` (more than any scene holds; an input of noise must not stop the clock),
    and at most ``limit`` come back.
    """
    order = np.argsort(-found.score, kind="stable")[: 4 * limit]
    found = found[order]
    doubles = overlap(found.box_px, found.box_px) > iou
    if per_class:
        doubles &= found.label[:, None] == found.label[None]
    alive = np.ones(len(found), dtype=bool)
    for at in range(len(found)):
        if alive[at]:
            alive[at + 1 :] &= ~doubles[at, at + 1 :]
    return found[np.flatnonzero(alive)[:limit]]


def match(found: Detections, true_px: Floats, true_label: NDArray[np.int64], iou: float) -> NDArray[np.int64]:
    """Return for each detection the true box it finds, or -1; the best score chooses first, each is found once."""
    ious = overlap(found.box_px, true_px)
    ious[found.label[:, None] != true_label[None]] = 0.0
    out = np.full(len(found), -1, dtype=np.int64)
    free = np.ones(len(true_px), dtype=bool)
    for at in np.argsort(-found.score, kind="stable"):
        candidates = np.where(free, ious[at], 0.0)
        if candidates.size and candidates.max() >= iou:
            out[at] = int(candidates.argmax())
            free[out[at]] = False
    return out


def average_precision(score: Floats, right: NDArray[np.bool_], truths: int) -> float:
    """Return the area under precision over recall, precision made to fall only (PASCAL VOC 2010 on, COCO).

    ``right`` (n,) says of each detection of one class whether it found a true box of which there are ``truths``.
    NaN where there is nothing to find.
    """
    if truths == 0:
        return float("nan")
    hits = right[np.argsort(-score, kind="stable")]
    recall = np.cumsum(hits) / truths
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * falling))
