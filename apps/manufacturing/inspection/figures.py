"""Figures of inspection: shares of parts with their intervals, and boxes matched on boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.board_model import Detections, counts, matches
from apps.manufacturing.inspection.pairs import KINDS, Pair
from edgeai_core.metrics.curves import area_interval, roc_auc
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap, wilson

_MIN_SCORE = 0.05


def part_figures(
    labels: NDArray[np.int64],
    scores: NDArray[np.floating],
    groups: Sequence[str],
    threshold: float | NDArray[np.floating],
) -> dict[str, Figure]:
    """Return ``auc``, ``detection_rate`` and ``false_reject_rate`` at the threshold, and two ``detection_at_...``.

    Pictures that several judges scored have a ``threshold`` each, that of their judge.
    ``detection_at_...`` is the share of bad pictures above the score that so many of these good ones exceed; with n
    good pictures, a share under 1 / n is that of the worst good one.
    """
    good, bad = scores[labels == 0], scores[labels == 1]
    rejected = scores >= threshold
    figures = {
        "detection_rate": Figure.share(int(rejected[labels == 1].sum()), len(bad)),
        "false_reject_rate": Figure.share(int(rejected[labels == 0].sum()), len(good)),
    }
    if not len(good) or not len(bad):
        return {"auc": Figure(None, None, None, len(scores), note="needs good and bad pictures"), **figures}
    interval = area_interval(labels, scores, list(groups), n_resamples=300)
    figures = {
        "auc": Figure.of(roc_auc(labels, scores), interval, len(scores), note="interval by part"),
        **figures,
    }
    for name, share in (("detection_at_0p1pct", 0.001), ("detection_at_1pct", 0.01)):
        limit = np.sort(good)[len(good) - 1 - int(share * len(good))]
        note = "" if share * len(good) >= 1 else f"with {len(good)} good pictures: above the worst of them"
        figures[name] = Figure.share(int((bad > limit).sum()), len(bad), note)
    return figures


def smallest_claim(false_rejects: int, good: int) -> float:
    """Return the smallest false-reject rate that the count supports: the upper end of Wilson's 95 % interval."""
    return wilson(false_rejects, good)[1]


def board_figures(found: Sequence[Detections], pairs: Sequence[Pair], threshold: float) -> dict[str, Figure]:
    """Return ``box_f1`` at the threshold (interval by board), ``box_map`` and the F1 of every kind."""
    table = np.array([counts(each.above(threshold), pair) for each, pair in zip(found, pairs, strict=True)])

    def f1(rows: Sequence[NDArray[np.int64]]) -> float:
        hit, called, there = np.sum(rows, axis=0)
        return float(2 * hit / (called + there)) if called + there else float("nan")

    boxes = int(table[:, 2].sum())
    low_high = grouped_bootstrap(list(table), f1, 500) if len(table) > 1 else None
    figures = {
        "box_f1": Figure.of(
            f1(list(table)), low_high, boxes, note="IoU above 0.33 with the right kind; by board"
        ),
        "box_precision": Figure.share(int(table[:, 0].sum()), int(table[:, 1].sum())),
        "box_recall": Figure.share(int(table[:, 0].sum()), boxes),
    }
    areas = [_average_precision(found, pairs, kind) for kind in range(1, len(KINDS) + 1)]
    known = [area for area in areas if area is not None]
    figures["box_map"] = Figure.of(
        float(np.mean(known)) if known else None, None, boxes, note="mean over kinds"
    )
    return figures


def board_rows(
    found: Sequence[Detections], pairs: Sequence[Pair], threshold: float
) -> list[Mapping[str, object]]:
    """Return a row for each group of boards."""
    rows: list[Mapping[str, object]] = []
    for group in sorted({pair.group for pair in pairs}):
        inside = [place for place, pair in enumerate(pairs) if pair.group == group]
        hit, called, there = np.sum([counts(found[p].above(threshold), pairs[p]) for p in inside], axis=0)
        rows.append(
            {"group": group, "boards": len(inside), "boxes": int(there), "found": int(hit),
             "false": int(called - hit), "box_f1": 2 * hit / max(1, called + there)}
        )  # fmt: skip
    return rows


def _average_precision(found: Sequence[Detections], pairs: Sequence[Pair], kind: int) -> float | None:
    """Area under the precision-recall steps of one kind; precision made monotone, as PASCAL VOC 2010 does."""
    scores, right, there = [], [], 0
    for each, pair in zip(found, pairs, strict=True):
        shown = each.above(_MIN_SCORE)
        own = shown.types == kind
        scores.append(shown.scores[own])
        right.append(matches(shown, pair)[own])
        there += int((pair.types == kind).sum())
    if not there:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.concatenate(right)[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * precision) / there)
