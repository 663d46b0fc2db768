"""How well boxes in pictures are found: average precision by class, with intervals over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats, ObjectKind
from apps.automotive.perception.detections import CameraDetections
from apps.automotive.perception.pictures import Pictures
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.vision.boxes import Detections, average_precision, match, overlap

IOU = 0.5
REDRAWN = 200
"""The interval is that of so many redrawn sets of pictures."""


@dataclass(frozen=True)
class _Judged:
    """The detections of one kind in one picture: ``score``, ``right``, and how many true boxes there were."""

    score: Floats
    right: NDArray[np.bool_]
    truths: int


def detection_figures(
    found: Sequence[CameraDetections], pictures: Pictures, kinds: Sequence[ObjectKind], seed: int = 0
) -> dict[str, Figure]:
    """Return ``ap50`` (mean over kinds) and ``ap50_<kind>``: found boxes, in input pixels, against the true ones.

    A detection on what nobody has to find (too small, hidden, an unknown thing) counts neither way.
    """
    judged = {kind: [_judge(each, pictures, at, kind) for at, each in enumerate(found)] for kind in kinds}
    rng = np.random.default_rng(seed)
    everything = np.arange(len(found))
    draws = [everything] + [rng.integers(0, len(found), len(found)) for _ in range(REDRAWN)]
    table = np.array([[_precision(judged[kind], draw) for kind in kinds] for draw in draws])
    counts = [sum(each.truths for each in judged[kind]) for kind in kinds]
    figures = {"ap50": _figure(np.nanmean(table, axis=1), sum(counts))}
    for column, kind in enumerate(kinds):
        figures[f"ap50_{kind.name.lower()}"] = _figure(table[:, column], counts[column])
    return figures


def _judge(found: CameraDetections, pictures: Pictures, at: int, kind: ObjectKind) -> _Judged:
    rows = pictures.boxes[(pictures.boxes[:, 0] == at) & (pictures.boxes[:, 1] == kind)]
    own = found.kind == kind
    mine = Detections(found.box_px[own], found.score[own], np.zeros(int(own.sum()), dtype=np.int64))
    matched = match(mine, rows[:, 2:], np.zeros(len(rows), dtype=np.int64), IOU)
    ignored = pictures.ignored[pictures.ignored[:, 0] == at][:, 2:]
    excused = (overlap(mine.box_px, ignored) > IOU).any(axis=1) if len(ignored) else np.zeros(len(mine), bool)
    counted = (matched >= 0) | ~excused
    return _Judged(mine.score[counted], matched[counted] >= 0, len(rows))


def _precision(judged: Sequence[_Judged], draw: np.ndarray) -> float:
    parts = [judged[at] for at in draw]
    score, right = np.concatenate([p.score for p in parts]), np.concatenate([p.right for p in parts])
    return average_precision(score, right, sum(p.truths for p in parts))


def _figure(values: Floats, n: int) -> Figure:
    value, drawn = values[0], values[1:]
    if not np.isfinite(value):
        return Figure(None, None, None, n, "1")
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Figure(float(value), float(low), float(high), n, "1")
