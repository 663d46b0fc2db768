"""Evaluation of tracking on KITTI's layout: detections of a folder in, tracks and figures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from apps.automotive.perception.box_tracker import BoxTracker, BoxTrackerSettings, TrackedBoxes
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

_SCORE_STEP = 1 / 64
"""Confidences are multiples of it: the mean over a track is exact, however often an evaluator takes it."""

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
    starts = np.searchsorted(found.frame, np.arange(drive.frames + 1)).tolist()
    boxes = found.box if drive.poses is None else _moved(found.box, *_ground(drive.poses[found.frame]))
    steps = [
        tracker.step(frame * FRAME_S, boxes[first:last], found.score[first:last])
        for frame, (first, last) in enumerate(pairwise(starts))
    ]
    return _result(drive, steps, np.array(starts))


def _result(drive: Drive, steps: Sequence[TrackedBoxes], starts: NDArray[np.intp]) -> Result:
    if not steps:
        steps, starts = (
            [BoxTracker(None, FRAME_S).step(0.0, np.zeros((0, 7)), np.zeros(0))],
            np.zeros(2, np.intp),
        )
    frame = np.repeat(np.arange(len(steps)), [len(step.id) for step in steps])
    ids = np.concatenate([step.id for step in steps])
    box = np.concatenate([step.box for step in steps])
    source = np.concatenate([step.source for step in steps])
    confidence = np.concatenate([step.confidence for step in steps])
    if drive.poses is not None:
        turn, move = _ground(drive.poses[frame])
        back = turn.swapaxes(1, 2)
        box = _moved(box, back, -(back @ move[..., None])[..., 0])
    seen = source >= 0
    pixels, give = np.zeros((len(ids), 4)), seen.copy()
    pixels[seen] = drive.detections.image_px[starts[frame[seen]] + source[seen]]
    if drive.projection is not None and not seen.all():
        pixels[~seen], give[~seen] = picture_boxes(drive.projection, box[~seen])
    ids, box = ids[give], box[give]
    return Result(frame[give], ids, box, pixels[give], _track_means(ids, confidence[give]))


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


def _ground(poses: Floats) -> tuple[Floats, Floats]:
    """Return turns (n, 3, 3) and moves (n, 3) from the ego's axes to those of frame 0, of camera poses (n, 3, 4)."""
    return _AXES @ poses[:, :, :3] @ _AXES.T, poses[:, :, 3] @ _AXES.T


def _moved(box: Floats, turn: Floats, move: Floats) -> Floats:
    moved = box.copy()
    moved[:, :3] = (turn @ box[:, :3, None])[..., 0] + move
    moved[:, 6] += np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    return moved


def _track_means(ids: NDArray[np.int64], scores: Floats) -> Floats:
    _, which = np.unique(ids, return_inverse=True)
    means = np.bincount(which, weights=scores) / np.maximum(np.bincount(which), 1)
    rounded: Floats = np.round(means / _SCORE_STEP) * _SCORE_STEP
    return rounded[which]
