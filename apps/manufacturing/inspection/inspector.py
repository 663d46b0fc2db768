"""A taught model at work: picture -> quality, heat map and defects. One for parts, one for boards with a template."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.board_model import Detections, detections, run_forest
from apps.manufacturing.inspection.boards import Candidates, find_candidates
from apps.manufacturing.inspection.decide import Defect
from apps.manufacturing.inspection.pairs import KINDS
from apps.manufacturing.inspection.preprocess import Pixels, grey, prepare
from apps.manufacturing.inspection.texture import texture
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.runner import Runner
from edgeai_core.sensors.picture import read_picture

MODEL_FILE = "model.onnx"
TEMPLATE_FILE = "template.png"

PASS_QUALITY = 0.95
"""Defects are looked for in what does not pass by this quality."""

_LOGIT_AT_PASS = math.log(PASS_QUALITY / (1 - PASS_QUALITY))
_MAX_DEFECTS = 20


@dataclass(frozen=True)
class Inspected:
    """Of one picture: ``quality`` 0 to 1; ``score``, the higher the worse; ``heat`` (rows, columns), 1 is odd."""

    quality: float
    score: float
    heat: NDArray[np.float32]
    defects: tuple[Defect, ...]


class Inspector(Protocol):
    """Judges pictures of one kind of part."""

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        ...

    def inspect(self, pixels: Pixels) -> Inspected:
        """Judge one picture. Raises InputError for one that cannot be judged."""
        ...


def open_inspector(folder: Path, *, threads: int = 1) -> Inspector:
    """Open a taught model: a folder with MODEL_FILE and its card. Raises ModelError."""
    model = folder / MODEL_FILE if folder.is_dir() else folder
    runner = open_runner(model, threads=threads)
    kind = runner.card.parameters.get("kind")
    if kind == "parts":
        return PartInspector(runner)
    if kind == "boards":
        template = model.with_name(TEMPLATE_FILE)
        return BoardInspector(runner, grey(read_picture(template)) if template.is_file() else None)
    raise ModelError(f"{model}: its card does not say that it inspects parts or boards (parameters.kind)")


class PartInspector:
    """Judges parts by one model that holds backbone, heads and calibration."""

    def __init__(self, runner: Runner) -> None:
        self.card = runner.card
        self._runner = runner
        self._size = int(runner.card.number("size"))

    def inspect(self, pixels: Pixels) -> Inspected:
        """Judge one picture of any size."""
        outputs = self._runner.run(inputs_of(pixels, self._size))
        quality, score, heat = float(outputs["quality"][0]), float(outputs["score"][0]), outputs["heat"][0]
        if not math.isfinite(quality):
            raise InputError("the model gives no quality for this picture")
        if quality > PASS_QUALITY:
            return Inspected(quality, score, heat, ())
        kind = self.card.classes[1 + int(outputs["kinds"][0].argmax())] if "kinds" in outputs else "defect"
        return Inspected(quality, score, heat, boxes_of(heat, pixels.shape[:2], 1.0 - quality, kind))


class BoardInspector:
    """Judges boards against a template by taught kinds of differences."""

    def __init__(self, runner: Runner, template: Pixels | None) -> None:
        self.card = runner.card
        self._runner, self._template = runner, template
        margins = runner.card.parameters.get("margins")
        if not isinstance(margins, list) or len(margins) != 4 * len(KINDS):
            raise ModelError(
                f"model {self.card.name}: its card has no margins of {len(KINDS)} kinds of defects"
            )
        self._margins = np.array(margins, np.float32).reshape(len(KINDS), 4)
        self._threshold = self.card.number("threshold")

    def inspect(self, pixels: Pixels) -> Inspected:
        """Judge one board against the template that the model was taught with."""
        if self._template is None:
            raise InputError("this model has no template: teach one with --template FILE, or judge --pairs")
        return self.compare(self._template, pixels)

    def detect(self, candidates: Candidates) -> Detections:
        """Name the places that differ, whatever their score."""
        return detections(candidates, run_forest(self._runner, candidates.features), self._margins)

    def compare(self, template: Pixels, pixels: Pixels) -> Inspected:
        """Judge one board against any template."""
        board = grey(pixels)
        candidates = find_candidates(template, board)
        found = self.detect(candidates)
        worst = float(found.scores.max(initial=0.0))
        called = found.above(self._threshold)
        heat = np.zeros((board.shape[0] // 8, board.shape[1] // 8), np.float32)
        for box, score in zip(found.boxes, found.scores, strict=True):
            x1, y1, x2, y2 = (box / 8).astype(int).clip(0)
            heat[y1 : y2 + 1, x1 : x2 + 1] = np.maximum(
                heat[y1 : y2 + 1, x1 : x2 + 1], score / self._threshold
            )
        height, width = board.shape
        defects = tuple(
            Defect(KINDS[kind - 1], _inside(box, width, height), int(area), round(float(score), 4))
            for box, kind, score, area in zip(
                called.boxes, called.types, called.scores, called.areas_px, strict=True
            )
        )
        logit = _LOGIT_AT_PASS + 2 * (_logit(self._threshold) - _logit(worst)) + 1e-9
        return Inspected(1 / (1 + math.exp(-logit)), worst, heat, defects[:_MAX_DEFECTS])


def inputs_of(pixels: Pixels, size: int) -> dict[str, NDArray[np.generic]]:
    """Return what a model of parts takes of one picture."""
    return {"picture": prepare(pixels, size)[None], "texture": texture(pixels)[None]}


def boxes_of(
    heat: NDArray[np.float32], shape: tuple[int, int], score: float, kind: str
) -> tuple[Defect, ...]:
    """Return the odd places of a heat map as defects, in pixels of a picture of ``shape``; the oddest at least."""
    peak = float(heat.max())
    hot = (heat >= min(1.0, 0.8 * peak)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    fy, fx = shape[0] / heat.shape[0], shape[1] / heat.shape[1]
    found = []
    for number in range(1, count):
        x, y, w, h, cells = stats[number]
        strength = float(heat[labels == number].max()) / max(peak, 1e-6)
        box = _inside(np.array([x * fx, y * fy, (x + w) * fx, (y + h) * fy]), shape[1], shape[0])
        found.append(Defect(kind, box, int(cells * fx * fy), round(score * strength, 4)))
    return tuple(sorted(found, key=lambda each: -each.score)[:_MAX_DEFECTS])


def _inside(box: NDArray[np.floating], width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(float(each)) for each in box)
    return max(0, x1), max(0, y1), min(width, x2), min(height, y2)


def _logit(share: float) -> float:
    clipped = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(clipped / (1 - clipped))
