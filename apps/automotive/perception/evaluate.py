"""Evaluation of tracking on KITTI's layout: detections of a folder in, tracks and figures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.automotive.perception.box_tracker import BoxTracker, BoxTrackerSettings
from apps.automotive.perception.kitti import Drive, Result, picture_boxes, read_drives, write_result
from apps.automotive.perception.options import EvaluateOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.fusion.boxes import candidate_pairs, covered_2d, overlap_3d
from edgeai_core.metrics.clearmot import Averages, Scene, averages
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import grouped_bootstrap

Floats = NDArray[np.float64]

TASK = "automotive.perception"

FRAME_S = 0.1

MIN_OVERLAP = 0.25
"""Three-dimensional intersection over union from which a box is right, as in the published 3-D evaluation for cars."""

MIN_HEIGHT_PX = 25.0
"""Boxes lower than that in the picture are not false when they match nothing."""

RESAMPLES = 400

_AVERAGED: dict[str, Callable[[Averages], float]] = {
    "samota": lambda a: a.samota,
    "amota": lambda a: a.amota,
    "amotp": lambda a: a.amotp,
    "mota": lambda a: a.best.mota,
}

_SCORE_STEP = 1 / 4096
"""Written confidences are multiples of it: their mean over a track is exact however often it is taken."""

_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""From the camera's axes (right, down, ahead) to ours (ahead, left, up)."""


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Track every sequence and judge where there is truth; without truth there is speed alone."""
    drives = read_drives(options.kitti, options.ego_poses)
    results, seconds = [], 0.0
    for i, drive in enumerate(drives):
        progress("tracking sequences", i, len(drives))
        started = time.perf_counter()
        results.append(track(drive))
        seconds += time.perf_counter() - started
        if options.results is not None:
            write_result(options.results / f"{drive.name}.txt", results[-1])
    progress("tracking sequences", len(drives), len(drives))
    frames = sum(drive.frames for drive in drives)
    judged = [(d, scene(d, r)) for d, r in zip(drives, results, strict=True) if d.labels is not None]
    figures, rows = _figures(judged)
    how = "poses of the ego" if options.ego_poses else "no ego motion"
    figures["frames_per_second"] = Figure.of(frames / seconds if seconds else None, None, frames, "1/s", how)
    counts = {
        "sequences": len(drives),
        "frames": frames,
        "detections": sum(len(d.detections.frame) for d in drives),
    }
    return Evaluation(
        TASK,
        ModelRef("box-tracker", "1.0.0"),
        (DataRef("KITTI tracking, detections of the folder", "CC BY-NC-SA 3.0", counts),),
        figures,
        rows,
    )


def track(drive: Drive, settings: BoxTrackerSettings | None = None) -> Result:
    """Return the tracks of a sequence. Each frame sees itself and what came before it.

    Boxes that coast are given while they are in the picture, which calibration tells; without it, not at all.
    The confidence of a box is its track's mean in the end, which is what the benchmark makes of it.
    """
    tracker, found = BoxTracker(settings, FRAME_S), drive.detections
    starts = np.searchsorted(found.frame, np.arange(drive.frames + 1))
    rows: list[Result] = []
    alpha_of: dict[int, float] = {}
    for frame in range(drive.frames):
        here = slice(starts[frame], starts[frame + 1])
        box = found.box[here]
        if drive.poses is not None:
            turn, move = _AXES @ drive.poses[frame, :, :3] @ _AXES.T, _AXES @ drive.poses[frame, :, 3]
            box = _moved(box, turn, move)
        tracks = tracker.step(frame * FRAME_S, box, found.score[here])
        box = tracks.box
        if drive.poses is not None:
            box = _moved(box, turn.T, -turn.T @ move)
        seen = tracks.source >= 0
        pixels, alpha = np.zeros((len(seen), 4)), np.zeros(len(seen))
        pixels[seen] = found.image_px[here][tracks.source[seen]]
        alpha[seen] = found.alpha[here][tracks.source[seen]]
        give = seen.copy()
        if not seen.all() and drive.projection is not None:
            pixels[~seen], give[~seen] = picture_boxes(drive.projection, box[~seen])
            alpha[~seen] = [alpha_of.get(i, 0.0) for i in tracks.id[~seen].tolist()]
        alpha_of = dict(zip(tracks.id.tolist(), alpha.tolist(), strict=True))
        at = np.full(np.count_nonzero(give), frame, np.int64)
        rows.append(
            Result(at, tracks.id[give], box[give], pixels[give], tracks.confidence[give], alpha[give])
        )
    return _result(rows)


def scene(drive: Drive, result: Result) -> Scene:
    """Lay tracks beside the truth, by the rules of the benchmark.

    Labels that are truncated, occluded (3) or vans count neither way. A track that matches nothing is not false where
    its picture box is at most 25 px high, or lies by more than half in an area without labels.
    """
    labels = drive.labels
    if labels is None:
        raise InputError(f"sequence {drive.name}: no label_02/{drive.name}.txt to judge against")
    ignored = np.abs(result.image_px[:, 3] - result.image_px[:, 1]) <= MIN_HEIGHT_PX
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]] = []
    for frame in np.unique(result.frame):
        tracks = np.nonzero(result.frame == frame)[0]
        areas = labels.dont_care_px[labels.dont_care_frame == frame]
        if len(areas):
            ignored[tracks] |= (covered_2d(result.image_px[tracks], areas) > 0.5).any(axis=1)
        truths = np.nonzero(labels.frame == frame)[0]
        rows, columns = candidate_pairs(labels.box[truths], result.box[tracks])
        if rows.size:
            similar = overlap_3d(labels.box[truths[rows]], result.box[tracks[columns]])
            near = similar >= MIN_OVERLAP
            pairs.append((truths[rows[near]], tracks[columns[near]], similar[near]))
    empty = np.zeros(0, np.int64)
    truth = np.concatenate([empty, *[each[0] for each in pairs]])
    track_ = np.concatenate([empty, *[each[1] for each in pairs]])
    similarity = np.concatenate([np.zeros(0), *[each[2] for each in pairs]])
    return Scene(
        labels.frame, labels.id, labels.ignored, result.frame, result.id, result.score, ignored,
        truth, track_, similarity,
    )  # fmt: skip


def _figures(
    judged: Sequence[tuple[Drive, Scene]],
) -> tuple[dict[str, Figure], tuple[Mapping[str, object], ...]]:
    scenes = [each for _, each in judged]
    truth = sum(int(np.count_nonzero(~each.truth_ignored)) for each in scenes)
    if not truth:
        note = "no labels in the folder"
        return {name: Figure(None, None, None, 0, note=note) for name in (*_AVERAGED, "ids")}, ()
    whole = averages(scenes)
    drawn: dict[tuple[int, ...], Averages] = {}

    def resampled(some: Sequence[Scene]) -> Averages:
        key = tuple(sorted(map(id, some)))
        if key not in drawn:
            drawn[key] = averages(some)
        return drawn[key]

    figures = {}
    for name, of in _AVERAGED.items():

        def statistic(some: Sequence[Scene], of: Callable[[Averages], float] = of) -> float:
            return of(resampled(some))

        interval = grouped_bootstrap(scenes, statistic, RESAMPLES)
        figures[name] = Figure.of(of(whole), interval, truth, note="interval over sequences")
    figures["ids"] = Figure.of(
        whole.best.switches, None, truth, "switches", "at the confidence with the best MOTA"
    )
    rows: list[Mapping[str, object]] = []
    for drive, each in judged:
        own = averages([each])
        row: dict[str, object] = {"sequence": drive.name, "frames": drive.frames}
        row |= {name: of(own) for name, of in _AVERAGED.items()}
        best = own.best
        rows.append(
            row | {"ids": best.switches, "missed": best.missed, "false": best.false, "truth": best.truth}
        )
    return figures, tuple(rows)


def _moved(box: Floats, turn: Floats, move: Floats) -> Floats:
    moved = box.copy()
    moved[:, :3] = box[:, :3] @ turn.T + move
    moved[:, 6] += np.arctan2(turn[1, 0], turn[0, 0])
    return moved


def _result(rows: Sequence[Result]) -> Result:
    if not rows:
        none = np.zeros(0)
        return Result(
            none.astype(np.int64), none.astype(np.int64), np.zeros((0, 7)), np.zeros((0, 4)), none, none
        )
    ids = np.concatenate([each.id for each in rows])
    scores = np.concatenate([each.score for each in rows])
    return Result(
        np.concatenate([each.frame for each in rows]),
        ids,
        np.concatenate([each.box for each in rows]),
        np.concatenate([each.image_px for each in rows]),
        _track_means(ids, scores),
        np.concatenate([each.alpha for each in rows]),
    )


def _track_means(ids: NDArray[np.int64], scores: Floats) -> Floats:
    _, which = np.unique(ids, return_inverse=True)
    means = np.bincount(which, weights=scores) / np.maximum(np.bincount(which), 1)
    rounded: Floats = np.round(means / _SCORE_STEP) * _SCORE_STEP
    return rounded[which]
