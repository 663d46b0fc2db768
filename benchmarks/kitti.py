"""Tracking on KITTI's layout: ours beside a filterpy filter per object with GIoU, the method of AB3DMOT.

    python -m benchmarks.kitti --kitti DIR [--ego-poses] [--repeats 2] [--json]

Both take turns sequence by sequence; times are of the processor, reading files does not count. Beside the figures stand
those that AB3DMOT's own evaluator prints for the same tracks: it averages a track's score anew at each threshold, and
where rounding lowers the mean by its last digit the track that set the threshold is dropped from its own point. For
the peer that costs 1.7 points of sAMOTA; our confidences are written so that their mean is exact, and lose nothing.
The peer (X. Weng et al., IROS 2020): constant velocity, Hungarian on GIoU above -0.2, three hits to confirm, two
misses to end. It runs where filterpy is installed (dependency group `bench`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from apps.automotive.perception.evaluate import scene, track
from apps.automotive.perception.kitti import Drive, Result, read_drives
from edgeai_core.errors import EdgeAIError
from edgeai_core.metrics.clearmot import RECALL_POINTS, Scene, averages, clear_mot, recall_thresholds

Floats = NDArray[np.float64]
Points = list[tuple[float, float]]


class _Track:
    """One filterpy filter: x, y, z, length, width, height, yaw, and the velocity."""

    def __init__(self, box: Floats, number: int, row: int) -> None:
        kalman: Any = importlib.import_module("filterpy.kalman").KalmanFilter(10, 7)
        kalman.F = np.eye(10)
        kalman.F[0, 7] = kalman.F[1, 8] = kalman.F[2, 9] = 1.0
        kalman.H = np.eye(7, 10)
        kalman.P[7:, 7:] *= 1000.0
        kalman.P *= 10.0
        kalman.Q[7:, 7:] *= 0.01
        kalman.x[:7, 0] = box
        self.kalman, self.number, self.row, self.hits, self.misses = kalman, number, row, 1, 0

    def predict(self) -> None:
        self.kalman.predict()
        self.misses += 1

    def update(self, box: Floats, row: int) -> None:
        self.hits, self.misses, self.row = self.hits + 1, 0, row
        off = _turned(box[6] - self.kalman.x[6, 0])
        if abs(off) > math.pi / 2:
            self.kalman.x[6, 0] += math.pi
            off = _turned(off + math.pi)
        self.kalman.update(np.r_[box[:6], self.kalman.x[6, 0] + off])
        self.kalman.x[6, 0] = _turned(self.kalman.x[6, 0])


def peer(drive: Drive) -> Result:
    """Track a sequence with one filter object per car."""
    found, tracks, number, rows = drive.detections, list[_Track](), 0, []
    starts = np.searchsorted(found.frame, np.arange(drive.frames + 1)).tolist()
    for frame in range(drive.frames):
        boxes = found.box[starts[frame] : starts[frame + 1]]
        for each in tracks:
            each.predict()
        free = set(range(len(boxes)))
        if tracks and len(boxes):
            there = [(each.kalman.x[:7, 0], _corners(each.kalman.x[:7, 0])) for each in tracks]
            seen = [(box, _corners(box)) for box in boxes]
            gain = np.array([[_giou(*a, *b) for b in there] for a in seen])
            for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if gain[i, j] >= -0.2:
                    tracks[j].update(boxes[i], starts[frame] + int(i))
                    free.discard(int(i))
        for row in sorted(free):
            number += 1
            tracks.append(_Track(boxes[row], number, starts[frame] + row))
        tracks = [each for each in tracks if each.misses < 2]
        for each in tracks:
            if each.hits >= 3 or frame < 3:
                rows.append((frame, each.number, each.row, *each.kalman.x[:7, 0]))
    table = np.array(rows).reshape(-1, 10)
    source = table[:, 2].astype(np.int64)
    frames, ids = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    return Result(frames, ids, table[:, 3:], found.image_px[source], found.score[source])


def _turned(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _corners(box: Floats) -> Points:
    x, y, length, width = box[0], box[1], box[3] / 2, box[4] / 2
    cos, sin = math.cos(box[6]), math.sin(box[6])
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return [
        (x + i * length * cos - j * width * sin, y + i * length * sin + j * width * cos) for i, j in signs
    ]


def _area(points: Points) -> float:
    return 0.5 * abs(
        sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1], strict=True))
    )


def _shared(subject: Points, window: Points) -> float:
    """Area of a convex shape within another: cut at one edge after the other (Sutherland and Hodgman, 1974)."""
    shape = subject
    for (ax, ay), (bx, by) in zip(window, window[1:] + window[:1], strict=True):
        side = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in shape]
        cut: Points = []
        for i, (x, y) in enumerate(shape):
            before, (px, py) = side[i - 1], shape[i - 1]
            if (side[i] >= 0) != (before >= 0):
                t = before / (before - side[i])
                cut.append((px + t * (x - px), py + t * (y - py)))
            if side[i] >= 0:
                cut.append((x, y))
        shape = cut
    return _area(shape) if len(shape) > 2 else 0.0


def _hull(points: Points) -> Points:
    """Convex hull: Andrew's monotone chain."""

    def chain(ordered: Points) -> Points:
        kept: Points = []
        for x, y in ordered:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-2:]
                if (bx - ax) * (y - ay) > (by - ay) * (x - ax):
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    ordered = sorted(points)
    return chain(ordered) + chain(ordered[::-1])


def _giou(a: Floats, a_corners: Points, b: Floats, b_corners: Points) -> float:
    tops, bottoms = (a[2] + a[5] / 2, b[2] + b[5] / 2), (a[2] - a[5] / 2, b[2] - b[5] / 2)
    shared = _shared(a_corners, b_corners) * max(0.0, min(tops) - max(bottoms))
    union = float(np.prod(a[3:6]) + np.prod(b[3:6])) - shared
    around = _area(_hull(a_corners + b_corners)) * (max(tops) - min(bottoms))
    return float(shared / union - (around - union) / around)


def as_published(scenes: Sequence[Scene]) -> dict[str, float]:
    """The averages as AB3DMOT's evaluator comes to them: means of means, in floating point, with six decimals."""
    current = [replace(each, score=_remeaned(each.track_id, np.round(each.score, 6))) for each in scenes]
    points = recall_thresholds(current)
    sums = {"samota": 0.0, "amota": 0.0, "amotp": 0.0}
    best = 0.0
    for threshold, recall in points:
        current = [replace(each, score=_remeaned(each.track_id, each.score)) for each in current]
        # every row of a track has its mean, so the sum of equal numbers decides, as it does there
        counts = clear_mot([_dropped(each, threshold) for each in current], -1.0)
        sums["samota"] += min(1.0, max(0.0, counts.scaled_mota(recall)))
        sums["amota"] += counts.mota
        sums["amotp"] += counts.motp
        best = max(best, counts.mota)
    return {name: value / RECALL_POINTS for name, value in sums.items()} | {"mota": best}


def _remeaned(ids: NDArray[np.int64], scores: Floats) -> Floats:
    means = {}
    for number in np.unique(ids).tolist():
        total = 0.0
        rows = scores[ids == number].tolist()
        for value in rows:
            total += value
        means[number] = total / len(rows)
    return np.array([means[number] for number in ids.tolist()])


def _dropped(each: Scene, threshold: float) -> Scene:
    return replace(each, score=np.where(each.score < threshold, -1e9, 0.0))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kitti", type=Path, required=True, help="folder with detections/ and label_02/")
    parser.add_argument("--ego-poses", action="store_true", help="ours with the poses of the camera")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        drives = read_drives(options.kitti, options.ego_poses)
    except EdgeAIError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    trackers: dict[str, Callable[[Drive], Result]] = {"edgeai": track}
    if importlib.util.find_spec("filterpy") is None:
        print("filterpy is not installed and left out", file=sys.stderr)
    else:
        trackers["filterpy"] = peer
    seconds = dict.fromkeys(trackers, 0.0)
    results: dict[str, list[Result]] = {}
    for _ in range(options.repeats):
        results = {name: [] for name in trackers}
        for drive in drives:
            for name, tracker in trackers.items():
                started = time.process_time()
                results[name].append(tracker(drive))
                seconds[name] += time.process_time() - started
    frames = options.repeats * sum(drive.frames for drive in drives)
    table: dict[str, dict[str, float]] = {}
    for name in trackers:
        scenes = [scene(d, r) for d, r in zip(drives, results[name], strict=True)]
        whole = averages(scenes)
        row = {"samota": whole.samota, "amota": whole.amota, "amotp": whole.amotp, "mota": whole.best.mota}
        row |= {"ids": float(whole.best.switches), "frames_per_second": frames / seconds[name]}
        table[name] = row | {f"{key}_published": value for key, value in as_published(scenes).items()}
    if options.json:
        print(json.dumps({"task": "kitti", "frames": frames, "trackers": table}, indent=1))
        return 0
    print(
        f"{'':<10}{'sAMOTA':>8}{'AMOTA':>8}{'AMOTP':>8}{'MOTA':>8}{'IDS':>5}{'frames/s':>10}"
        "   as AB3DMOT's evaluator counts"
    )
    for name, row in table.items():
        main_ = "".join(f"{100 * row[key]:>8.2f}" for key in ("samota", "amota", "amotp", "mota"))
        theirs = "".join(
            f"{100 * row[key + '_published']:>8.2f}" for key in ("samota", "amota", "amotp", "mota")
        )
        print(f"{name:<10}{main_}{row['ids']:>5.0f}{row['frames_per_second']:>10.0f}   {theirs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
