"""The camera's detector: a picture becomes boxes of road users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind
from apps.automotive.perception.detections import CameraDetections
from edgeai_core.errors import ModelError
from edgeai_core.runners.runner import Runner
from edgeai_core.vision.boxes import Detections, overlap, suppress
from edgeai_core.vision.heads import HEADS
from edgeai_core.vision.letterbox import letterbox

KINDS: Mapping[str, ObjectKind] = {
    "car": ObjectKind.CAR,
    "truck": ObjectKind.TRUCK,
    "bus": ObjectKind.TRUCK,
    "pedestrian": ObjectKind.PEDESTRIAN,
    "person": ObjectKind.PEDESTRIAN,
    "cyclist": ObjectKind.CYCLIST,
    "bicycle": ObjectKind.CYCLIST,
    "motorcycle": ObjectKind.CYCLIST,
}
"""What the classes of detectors are on a road; COCO's names among them. All others are left out."""


class CameraDetector:
    """Runs a model whose card says how to read it.

    The card's one input is (1, 3, rows, columns) float32: blue, green, red from 0 to 255, letterboxed. Its
    parameters are ``head`` (one of ``edgeai_core.vision.heads.HEADS``), ``score`` and ``iou``: the least score
    of a detection, and the overlap above which two of a class are one. Raises ModelError for a card that says
    something else.
    """

    def __init__(self, runner: Runner) -> None:
        card = runner.card
        head = card.parameters.get("head")
        if head not in HEADS or len(card.inputs) != 1 or len(card.outputs) != 1:
            raise ModelError(
                f"model {card.name} {card.version}: parameters.head is {head!r}, with {len(card.inputs)} inputs; "
                f"a camera's detector has one input, one output and a head among {', '.join(HEADS)}"
            )
        shape = card.inputs[0].shape
        if len(shape) != 4 or shape[:2] != (1, 3) or not all(isinstance(size, int) for size in shape):
            raise ModelError(
                f"model {card.name} {card.version}: its input is {card.inputs[0]}; it must be [1, 3, rows, columns]"
            )
        self._runner, self._head = runner, HEADS[str(head)]
        self._input, self._output = card.inputs[0].name, card.outputs[0].name
        self._height, self._width = int(shape[2]), int(shape[3])
        self._score, self._iou = card.number("score"), card.number("iou")
        self._centred = bool(card.parameters.get("centred", False))
        self._kinds = np.array([KINDS.get(name, ObjectKind.UNKNOWN) for name in card.classes], dtype=np.int8)

    def detect(self, pixels: NDArray[np.uint8]) -> CameraDetections:
        """Return the road users in a picture (rows, columns, 3), in its own pixels, the best first."""
        boxed, fit = letterbox(pixels, self._width, self._height, centred=self._centred)
        tensor = np.ascontiguousarray(boxed.transpose(2, 0, 1)[None], dtype=np.float32)
        raw = self._runner.run({self._input: tensor})[self._output]
        found = self._head(raw, self._width, self._height, self._score)
        if found.label.size and int(found.label.max()) >= len(self._kinds):
            raise ModelError(
                f"the head gives class {int(found.label.max())}; the card has {len(self._kinds)}"
            )
        kinds = self._kinds[found.label].astype(np.int64)
        users = kinds != ObjectKind.UNKNOWN
        merged = Detections(fit.to_picture(found.box_px[users]), found.score[users], kinds[users])
        merged = _riders(suppress(_whole(merged), self._iou))
        return CameraDetections(merged.box_px, merged.label.astype(np.int8), merged.score)


def _whole(found: Detections) -> Detections:
    """Leave out what has no size once it is cut at the picture's edge."""
    return found[np.flatnonzero((found.box_px[:, 2:] - found.box_px[:, :2] > 1.0).all(axis=1))]


def _riders(found: Detections) -> Detections:
    """A person on a bicycle is one cyclist: join the two boxes where a detector tells them apart."""
    people = np.flatnonzero(found.label == ObjectKind.PEDESTRIAN)
    bikes = np.flatnonzero(found.label == ObjectKind.CYCLIST)
    if not people.size or not bikes.size:
        return found
    boxes, keep = found.box_px.copy(), np.ones(len(found), dtype=bool)
    for bike in bikes:
        box = found.box_px[bike]
        middle = (found.box_px[people, 0] + found.box_px[people, 2]) / 2
        above = (middle > box[0]) & (middle < box[2]) & (found.box_px[people, 1] < box[1] + 2)
        on = above & (overlap(found.box_px[people], box[None])[:, 0] > 0.15) & keep[people]
        if on.any():
            rider = people[on][0]
            keep[rider] = False
            boxes[bike, :2] = np.minimum(box[:2], found.box_px[rider, :2])
            boxes[bike, 2:] = np.maximum(box[2:], found.box_px[rider, 2:])
    return Detections(boxes, found.score, found.label)[keep]
