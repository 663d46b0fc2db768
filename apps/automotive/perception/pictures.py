"""Pictures with known boxes, rendered by the simulation: what the detector is taught and measured with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.optics import Look
from apps.automotive.simulation.variety import random_geometry, random_scene
from edgeai_core.app import Progress
from edgeai_core.vision.letterbox import letterbox

INPUT_PX = (320, 192)
"""Width and height of the detector's input."""

SCENES_PER_CAMERA = 4
SMALLEST_PX = 3.0
"""A box that is lower than so many pixels of the detector's input is nobody's to find."""

VISIBLE = 0.3
"""Less of an object than this share is nobody's to find either."""


@dataclass(frozen=True)
class Pictures:
    """``pixels`` (n, rows, columns, 3) uint8, letterboxed; ``boxes`` (m, 6): picture, kind, left, top, right, bottom.

    ``ignored`` (k, 6), alike, holds road users that are too small or too hidden to be asked for. Posts, boxes and
    other things are nobody: to call one a pedestrian is false.
    """

    pixels: NDArray[np.uint8]
    boxes: Floats
    ignored: Floats


def render_pictures(count: int, seed: int, progress: Progress, label: str = "rendering") -> Pictures:
    """Render ``count`` pictures of random scenes; the same seed gives the same pictures."""
    cv2.setNumThreads(1)
    width, height = INPUT_PX
    pixels = np.empty((count, height, width, 3), dtype=np.uint8)
    wanted, ignored = [], []
    camera: Camera | None = None
    for number in range(count):
        if camera is None or number % SCENES_PER_CAMERA == 0:
            rng = np.random.default_rng((seed, number))
            camera = Camera(rng, random_geometry(rng), Look.random(rng))
        image, labels = camera.render_labelled(random_scene(rng))
        pixels[number], fit = letterbox(image.pixels, width, height)
        boxes = fit.to_input(labels.box_px)
        rows = np.column_stack([np.full(len(boxes), number), labels.kind, boxes])
        tall = np.minimum(boxes[:, 3] - boxes[:, 1], 2 * (boxes[:, 2] - boxes[:, 0])) >= SMALLEST_PX
        asked = tall & (labels.visible >= VISIBLE) & (labels.kind > 0)
        wanted.append(rows[asked])
        ignored.append(rows[~asked & (labels.kind > 0)])
        progress(label, number + 1, count)
    return Pictures(pixels, np.concatenate(wanted), np.concatenate(ignored))
