"""Who covers which pixel of a rendered picture, and the boxes that follow: the truth a detector is taught with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats
from apps.automotive.simulation.polygons import SHIFT
from apps.automotive.simulation.scene import Scene


@dataclass(frozen=True)
class Labels:
    """What is to be seen in a picture: ``box_px`` (n, 4) left, top, right, bottom, inside the picture.

    ``visible`` (n,) is the share of the object's silhouette that nothing hides and the picture holds.
    """

    object_id: NDArray[np.int64]
    kind: NDArray[np.int8]
    box_px: Floats
    visible: Floats


class Silhouettes:
    """Who covers which pixel: objects write their index over what is behind them."""

    def __init__(self, height_px: int, width_px: int) -> None:
        self._margin = 2 * width_px
        self._cover = np.full((height_px, width_px), -1, dtype=np.int16)
        self._found: dict[int, tuple[int, float, Floats]] = {}

    def polygons(self, polygons: list[NDArray[np.int32]], index: int) -> None:
        """Cover what polygons (n, 2), in fixed point, cover; ``index`` is the object's, below nought nobody's."""
        for polygon in polygons:
            cv2.fillConvexPoly(self._cover, polygon, index, cv2.LINE_8, SHIFT)
        self._note(np.concatenate(polygons) / (1 << SHIFT), index)

    def strokes(
        self,
        strokes: list[tuple[tuple[int, ...], tuple[int, ...], int, list[float]]],
        index: int,
    ) -> None:
        """Cover what strokes cover: ends in fixed point, width, colour."""
        ends = []
        for a, b, width, _ in strokes:
            cv2.line(self._cover, a, b, index, width, cv2.LINE_8, SHIFT)
            for end in (a, b):
                at = np.array(end) / (1 << SHIFT)
                ends += [at - width / 2, at + width / 2]
        self._note(np.array(ends), index)

    def _note(self, points_px: Floats, index: int) -> None:
        if index < 0:
            return
        low, high = points_px.min(axis=0), points_px.max(axis=0)
        covered = float(np.count_nonzero(self._cover == index))
        self._found[index] = (index, covered, np.concatenate([low, high]))

    def labels(self, scene: Scene) -> Labels:
        """Return one box for each object of which something is inside the picture."""
        height, width = self._cover.shape
        rows = []
        left_over = np.bincount(
            (self._cover.ravel() + 1).astype(np.int64), minlength=len(scene.object_id) + 1
        )
        for index, covered, box in self._found.values():
            inside = np.clip(box, 0, [width - 1, height - 1, width - 1, height - 1])
            size, whole = inside[2:] - inside[:2], np.maximum(box[2:] - box[:2], 1e-6)
            if covered < 1 or size.min() < 1:
                continue
            share = float(left_over[index + 1]) / covered * float(np.prod(size) / np.prod(whole))
            rows.append((index, share, inside))
        indices = np.array([row[0] for row in rows], dtype=np.int64)
        return Labels(
            scene.object_id[indices],
            scene.object_kind[indices],
            np.array([row[2] for row in rows]).reshape(-1, 4),
            np.array([row[1] for row in rows]),
        )
