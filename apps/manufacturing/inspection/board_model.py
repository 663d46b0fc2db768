"""The taught half of the golden template: which candidates are defects, of which kind, and how large their boxes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.boards import FEATURES, Candidates, find_candidates
from apps.manufacturing.inspection.forest import fit_forest, forest_node
from apps.manufacturing.inspection.graph import Graph, tensor
from apps.manufacturing.inspection.pairs import KINDS, Pair
from apps.manufacturing.inspection.preprocess import grey
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.runners.runner import Runner
from edgeai_core.sensors.picture import read_picture

Floats = NDArray[np.float32]

MATCH_IOU = 0.33
"""A detection counts from this overlap with a box of its kind on: DeepPCB's own benchmark."""

_ROUGH_MARGINS = np.array([-12, -12, 9, 9], np.float32)
_OVERLAP = 0.3
_THRESHOLDS = np.arange(0.2, 0.81, 0.05)


@dataclass(frozen=True)
class Detections:
    """Defects of one board: ``boxes`` (n, 4), ``types`` (n,) from 1 up, ``scores`` (n,) 0 to 1, ``areas_px`` (n,)."""

    boxes: Floats
    types: NDArray[np.int64]
    scores: Floats
    areas_px: Floats

    def above(self, threshold: float) -> Detections:
        """Return those that score ``threshold`` or more."""
        keep = self.scores >= threshold
        return Detections(self.boxes[keep], self.types[keep], self.scores[keep], self.areas_px[keep])


@dataclass(frozen=True)
class Compared:
    """A pair with its candidates, and how long finding them took."""

    pair: Pair
    candidates: Candidates
    seconds: float


@dataclass(frozen=True)
class BoardModel:
    """A fitted forest, the margins (types, 4) of labelled boxes around differences, and the threshold of the score."""

    forest: Any
    margins: Floats
    threshold: float

    def shares(self, features: Floats) -> Floats:
        """Return (n, 1 + types) as the forest has learnt it: no defect first."""
        if not len(features):
            return np.zeros((0, 1 + len(KINDS)), np.float32)
        return np.asarray(self.forest.predict_proba(features), np.float32)

    def detect(self, candidates: Candidates) -> Detections:
        """Return all detections, whatever their score."""
        return detections(candidates, self.shares(candidates.features), self.margins)


def detections(candidates: Candidates, shares: Floats, margins: Floats) -> Detections:
    """Return the candidates as detections, the best of those that overlap."""
    types = shares[:, 1:].argmax(axis=1) + 1 if len(shares) else np.zeros(0, np.int64)
    scores = 1.0 - shares[:, 0] if len(shares) else np.zeros(0, np.float32)
    boxes = candidates.boxes + (margins[types - 1] if len(types) else np.zeros((0, 4), np.float32))
    kept: list[int] = []
    for place in np.argsort(-scores).tolist():
        if not kept or overlaps(boxes[place : place + 1], boxes[kept]).max() < _OVERLAP:
            kept.append(place)
    return Detections(boxes[kept], types[kept].astype(np.int64), scores[kept], candidates.areas_px[kept])


def run_forest(runner: Runner, features: Floats) -> Floats:
    """Return the shares by the exported model."""
    if not len(features):
        return np.zeros((0, 1 + len(KINDS)), np.float32)
    return runner.run({"features": features})["shares"]


def compare_all(
    pairs: Sequence[Pair], jpeg: Sequence[int], threads: int, progress: Progress, what: str
) -> list[list[Compared]]:
    """Compare every pair once for each JPEG quality of ``jpeg`` (0: as it is); one list for each quality."""
    jobs = [(pair, quality) for quality in jpeg for pair in pairs]
    found: list[Compared] = []
    if threads == 1 or len(jobs) < 8:
        for done, job in enumerate(jobs):
            progress(what, done, len(jobs))
            found.append(_compare(job))
    else:
        with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
            for done, each in enumerate(pool.map(_compare, jobs, chunksize=8)):
                progress(what, done, len(jobs))
                found.append(each)
    progress(what, len(jobs), len(jobs))
    return [found[start : start + len(pairs)] for start in range(0, len(jobs), len(pairs))]


def fit(compared: Sequence[Compared], seed: int, threads: int, threshold: float = 0.5) -> BoardModel:
    """Fit forest and margins. Raises InputError where there are no defects, or nothing else, among the candidates."""
    features = np.concatenate([each.candidates.features for each in compared])
    labels, offsets = (np.concatenate(each) for each in zip(*map(_label, compared), strict=True))
    missing = [kind for number, kind in enumerate(KINDS, start=1) if not (labels == number).any()]
    if len(missing) == len(KINDS) or not (labels == 0).any():
        raise InputError("the pairs show no labelled defect that differs from its template, or nothing else")
    margins = np.array(
        [
            np.median(offsets[labels == number], axis=0) if (labels == number).any() else _ROUGH_MARGINS
            for number in range(1, len(KINDS) + 1)
        ],
        np.float32,
    )
    # A kind that is not there still has its column, so that numbers stay those of the box files.
    extra = [KINDS.index(kind) + 1 for kind in missing]
    features = np.vstack([features, *[np.full((1, len(FEATURES)), -1.0, np.float32)] * len(extra)])
    forest = fit_forest(features, np.concatenate([labels, extra]).astype(np.int64), seed, threads)
    return BoardModel(forest, margins, threshold)


def cross_fit(
    versions: Sequence[Sequence[Compared]], folds: int, seed: int, threads: int, progress: Progress
) -> tuple[list[Detections], float]:
    """Detect on every pair (of ``versions[0]``) with a forest that saw none of its group; and the best threshold.

    Raises InputError for pairs of one group.
    """
    compared = versions[0]
    groups = [each.pair.group for each in compared]
    parts = grouped_folds(groups, [0] * len(groups), min(folds, len(set(groups))), seed)
    out: dict[int, Detections] = {}
    for number, part in enumerate(parts):
        progress("cross-validation", number, len(parts))
        model = fit([version[row] for version in versions for row in part.train], seed, threads)
        out.update({int(row): model.detect(compared[row].candidates) for row in part.test})
    progress("cross-validation", len(parts), len(parts))
    found = [out[row] for row in range(len(compared))]
    return found, best_threshold(found, [each.pair for each in compared])


def best_threshold(found: Sequence[Detections], pairs: Sequence[Pair]) -> float:
    """Return the threshold of the best F1."""
    scores = []
    for threshold in _THRESHOLDS:
        hit, called, there = np.sum(
            [counts(each.above(threshold), pair) for each, pair in zip(found, pairs, strict=True)], axis=0
        )
        scores.append(2 * hit / max(1, called + there))
    return float(_THRESHOLDS[int(np.argmax(scores))])


def counts(found: Detections, pair: Pair) -> tuple[int, int, int]:
    """Return (right detections, detections, labelled boxes): right is an overlap of MATCH_IOU with a free box of its kind."""
    return int(matches(found, pair).sum()), len(found.boxes), len(pair.boxes)


def matches(found: Detections, pair: Pair) -> NDArray[np.bool_]:
    """Say of each detection, from the best score down, whether it takes a labelled box of its kind."""
    right = np.zeros(len(found.boxes), bool)
    if not len(found.boxes) or not len(pair.boxes):
        return right
    overlap = overlaps(found.boxes, pair.boxes) * (found.types[:, None] == pair.types)
    for place in np.argsort(-found.scores).tolist():
        best = int(overlap[place].argmax())
        if overlap[place, best] > MATCH_IOU:
            right[place] = True
            overlap[:, best] = 0.0
    return right


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of boxes, (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (first, second)]
    return np.asarray(inter / np.maximum(areas[0][:, None] + areas[1][None] - inter, 1e-9), np.float32)


def board_graph(model: BoardModel) -> Any:
    """Return the forest as an ONNX model: ``features`` (n, len(FEATURES)) -> ``shares`` (n, 1 + types)."""
    graph = Graph()
    graph.nodes += forest_node(model.forest, "features", "shares")
    return graph.model(
        [tensor("features", "float32", ["n", len(FEATURES)])],
        [tensor("shares", "float32", ["n", 1 + len(KINDS)])],
        "board",
    )


def parameters(model: BoardModel) -> Mapping[str, Any]:
    """Return what the card keeps beside the forest."""
    return {"margins": [float(each) for each in model.margins.ravel()], "threshold": model.threshold}


def _compare(job: tuple[Pair, int]) -> Compared:
    import time

    import cv2

    cv2.setNumThreads(1)
    pair, quality = job
    template, board = (grey(read_picture(path)) for path in (pair.template, pair.board))
    if quality:
        template, board = compressed(template, quality), compressed(board, quality)
    started = time.process_time()
    try:
        candidates = find_candidates(template, board)
    except InputError as error:
        raise InputError(f"{pair.board}: {error}") from error
    return Compared(pair, candidates, time.process_time() - started)


def compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return what JPEG of this quality leaves of a picture."""
    import cv2

    ok, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise InputError("a picture could not be compressed")
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)


def _label(each: Compared) -> tuple[NDArray[np.int64], Floats]:
    """Return the type of each candidate (0: no defect) and where its labelled box lies against its own."""
    boxes, pair = each.candidates.boxes, each.pair
    if not len(boxes) or not len(pair.boxes):
        return np.zeros(len(boxes), np.int64), np.zeros((len(boxes), 4), np.float32)
    overlap = overlaps(boxes + _ROUGH_MARGINS, pair.boxes)
    best = overlap.argmax(axis=1)
    labels = np.where(overlap.max(axis=1) > MATCH_IOU, pair.types[best], 0)
    return labels.astype(np.int64), pair.boxes[best] - boxes


def folder_name(folders: Sequence[Path]) -> str:
    """Return what data in some folders are called."""
    return ", ".join(dict.fromkeys(folder.resolve().name for folder in folders))
