"""Accuracy of tracking: CLEAR MOT at one confidence, and its averages over recall.

CLEAR MOT: K. Bernardin and R. Stiefelhagen, EURASIP Journal on Image and Video Processing (2008). Averages over
recall (sAMOTA, AMOTA, AMOTP): X. Weng et al., "3D Multi-Object Tracking: A Baseline and New Evaluation Metrics",
IROS 2020, equations 4 to 7. A track's confidence is the mean over its boxes, and it is kept or dropped as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RECALL_POINTS = 40

_FAR = 1e9


@dataclass(frozen=True)
class Scene:
    """What was there and what was tracked in one recording, row by row.

    Truth: ``truth_frame``, ``truth_id`` and ``truth_ignored`` (t,); an ignored row is neither found nor missed.
    Tracks: ``track_frame``, ``track_id``, ``score`` and ``track_ignored`` (k,); an ignored row is not false where
    nothing matches it. ``pair_truth``, ``pair_track`` and ``similarity`` (p,) name the rows of one frame that are
    near enough to be one thing, and how near, from 0 to 1.
    """

    truth_frame: Ints
    truth_id: Ints
    truth_ignored: Bools
    track_frame: Ints
    track_id: Ints
    score: Floats
    track_ignored: Bools
    pair_truth: Ints
    pair_track: Ints
    similarity: Floats

    @cached_property
    def _prepared(self) -> _Prepared:
        return _Prepared(self)


@dataclass(frozen=True)
class ClearMot:
    """Counts at one confidence. ``found`` counts ignored rows too, ``truth`` does not."""

    truth: int
    found: int
    missed: int
    false: int
    switches: int
    similarity: float
    """Sum over what was found."""

    @property
    def mota(self) -> float:
        """One minus misses, false rows and switches over the truth."""
        return self.scaled_mota(1.0) if self.truth else float("nan")

    def scaled_mota(self, recall: float) -> float:
        """MOTA against what could be had at this recall."""
        errors = self.missed + self.false + self.switches - (1 - recall) * self.truth
        return 1 - errors / (recall * self.truth) if self.truth else float("nan")

    @property
    def motp(self) -> float:
        """Mean similarity of what was found."""
        return self.similarity / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the truth that was found."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 0.0


@dataclass(frozen=True)
class Averages:
    """Means over recall, and the counts at the confidence with the best MOTA."""

    samota: float
    amota: float
    amotp: float
    best: ClearMot
    threshold: float
    curve: tuple[tuple[float, float, ClearMot], ...]
    """Threshold, recall aimed at and counts."""


def clear_mot(scenes: Sequence[Scene], threshold: float = -np.inf) -> ClearMot:
    """Count over all recordings with the tracks whose mean score reaches ``threshold``."""
    return _total([scene._prepared.counts(threshold) for scene in scenes])


def averages(scenes: Sequence[Scene], points: int = RECALL_POINTS) -> Averages:
    """Sweep the confidence over ``points`` recalls; a recall that is never reached counts 0."""
    whole = clear_mot(scenes)
    curve = [
        (threshold, recall, clear_mot(scenes, threshold))
        for threshold, recall in recall_thresholds(scenes, points)
    ]
    best = max(curve, key=lambda each: each[2].mota, default=(-np.inf, 0.0, whole))
    return Averages(
        sum(min(1.0, max(0.0, each.scaled_mota(recall))) for _, recall, each in curve) / points,
        sum(each.mota for _, _, each in curve) / points,
        sum(each.motp for _, _, each in curve) / points,
        best[2],
        best[0],
        tuple(curve),
    )


def recall_thresholds(scenes: Sequence[Scene], points: int = RECALL_POINTS) -> list[tuple[float, float]]:
    """Return the confidences at which recall passes each of ``points`` equal steps, and those recalls, nought left out.

    Recall is counted against what all tracks together leave found or missed, ignored rows that were found included.
    """
    whole = clear_mot(scenes)
    truth = whole.found + whole.missed
    scores = [scene._prepared.found_scores for scene in scenes]
    result: list[tuple[float, float]] = []
    recall = 0.0
    ordered = np.sort(np.concatenate(scores))[::-1] if scores else np.zeros(0)
    for i, score in enumerate(ordered.tolist()):
        last = i == len(ordered) - 1
        left = (i + 1) / truth
        right = left if last else (i + 2) / truth
        if right - recall < recall - left and not last:
            continue
        result.append((score, recall))
        recall += 1 / points
    return result[1:]


class _Prepared:
    """One recording with what does not change over thresholds, and the counts found so far."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        _, self.track = np.unique(scene.track_id, return_inverse=True)
        total = np.bincount(self.track, weights=scene.score)
        self.mean = total / np.maximum(np.bincount(self.track), 1)
        self.ranked = np.sort(self.mean)
        self.order = np.lexsort((scene.truth_frame, scene.truth_id))
        ids = scene.truth_id[self.order]
        self.same = ids[1:] == ids[:-1]
        self.first = np.r_[True, ~self.same][: len(ids)]
        self.known: dict[int, ClearMot] = {}

    def counts(self, threshold: float) -> ClearMot:
        """Count with the tracks whose mean score reaches the threshold; which those are depends on its rank alone."""
        rank = int(np.searchsorted(self.ranked, threshold))
        if rank not in self.known:
            self.known[rank] = self._count(threshold)
        return self.known[rank]

    @cached_property
    def found_scores(self) -> Floats:
        """Mean scores of the tracks behind each row that is found when all tracks are kept."""
        pairs = self._pairs(np.ones(len(self.track), np.bool_))
        scores: Floats = self.mean[self.track[self.scene.pair_track[pairs]]]
        return scores

    def _pairs(self, kept: Bools) -> NDArray[np.intp]:
        use = np.nonzero(kept[self.scene.pair_track])[0]
        return use[_assign(self.scene, use)]

    def _count(self, threshold: float) -> ClearMot:
        scene = self.scene
        kept = self.mean[self.track] >= threshold
        use = self._pairs(kept)
        match = np.full(len(scene.truth_id), -1, np.int64)
        match[scene.pair_truth[use]] = scene.track_id[scene.pair_track[use]]
        free = kept.copy()
        free[scene.pair_track[use]] = False
        return ClearMot(
            int(np.count_nonzero(~scene.truth_ignored)),
            len(use),
            int(np.count_nonzero((match < 0) & ~scene.truth_ignored)),
            int(np.count_nonzero(free & ~scene.track_ignored)),
            _switches(self, match),
            float(scene.similarity[use].sum()),
        )


def _total(counts: Sequence[ClearMot]) -> ClearMot:
    columns = zip(*[(c.truth, c.found, c.missed, c.false, c.switches) for c in counts], strict=True)
    truth, found, missed, false, switches = (sum(column) for column in columns) if counts else (0,) * 5
    return ClearMot(truth, found, missed, false, switches, sum(c.similarity for c in counts))


def _assign(scene: Scene, use: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return which of the pairs ``use`` hold: as many as can, and among those the most similar."""
    truth, track = scene.pair_truth[use], scene.pair_track[use]
    alone = (np.bincount(truth)[truth] == 1) & (np.bincount(track)[track] == 1) if use.size else use > 0
    chosen = list(np.nonzero(alone)[0])
    unsure = np.nonzero(~alone)[0]
    frames = scene.truth_frame[truth[unsure]]
    for frame in np.unique(frames):
        rows = unsure[frames == frame]
        chosen += list(rows[_solve(truth[rows], track[rows], scene.similarity[use[rows]])])
    return np.array(sorted(chosen), np.intp)


def _solve(truth: Ints, track: Ints, similarity: Floats) -> NDArray[np.intp]:
    from scipy.optimize import linear_sum_assignment

    rows, row = np.unique(truth, return_inverse=True)
    columns, column = np.unique(track, return_inverse=True)
    cost = np.full((len(rows), len(columns)), _FAR)
    cost[row, column] = 1 - similarity
    where = np.full(cost.shape, -1, np.intp)
    where[row, column] = np.arange(len(truth))
    pairs = where[linear_sum_assignment(cost)]
    return pairs[pairs >= 0]


def _switches(each: _Prepared, match: Ints) -> int:
    """Count rows whose track is another than in the row before, both matched; an ignored row forgets its track."""
    now, ignored = match[each.order], each.scene.truth_ignored[each.order]
    before_counts = ~ignored[:-1] | each.first[:-1]
    changed = (now[1:] != now[:-1]) & (now[1:] >= 0) & (now[:-1] >= 0)
    return int(np.count_nonzero(changed & each.same & ~ignored[1:] & before_counts))
