"""Multi-target tracking: ours beside a filterpy filter per object and Stone Soup, on the same simulated scans.

    python -m benchmarks.fusion [--objects 50] [--side-m 200] [--frames 60] [--seeds 3] [--no-stonesoup] [--json]
    python -m benchmarks.fusion --side-m 20 --no-stonesoup          a crowd
    python -m benchmarks.fusion --objects 200 --side-m 400 --no-stonesoup

Three sensors at 10 Hz, one after the other, see each object with probability 0.9 and a deviation of 0.3 m, and 10
false points each. The trackers take turns frame by frame on one core (set OMP_NUM_THREADS=1), so that what else the
machine does falls on all alike; times are of the processor. Position errors are of confirmed tracks (Stone Soup's:
of initiated ones) within 2 m of the truth; an identity switch is a truth whose track is another than before.
Intervals are over recordings. The first second is left out. Peers run where they are installed (dependency group
`bench`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edgeai_core.fusion.gating import chi_square_gate
from edgeai_core.fusion.imm import ModelSet
from edgeai_core.fusion.motion import ConstantVelocity
from edgeai_core.fusion.observation import Position
from edgeai_core.fusion.tracker import Lifecycle, Scan, Sensor, Tracker
from edgeai_core.metrics.intervals import grouped_bootstrap

Floats = NDArray[np.float64]
Estimate = tuple[Sequence[int], Floats]
"""Ids and positions (n, 2) of confirmed tracks."""
Step = Callable[[float, Floats], Estimate]

NOISE_M, SEEN, CLUTTER, SENSORS, FRAME_S = 0.3, 0.9, 10, 3, 0.1
WANDER_PSD = 0.5
NEAR_M = 2.0
SETTLED_S = 1.0


@dataclass
class Score:
    """What a tracker made of one recording."""

    frame_ms: list[float] = field(default_factory=list)
    squared_m2: list[float] = field(default_factory=list)
    switches: int = 0
    false: int = 0
    missed: int = 0
    frames: int = 0
    objects: int = 0
    known: dict[int, int] = field(default_factory=dict)

    def add(self, truth: Floats, estimate: Estimate, at_s: float) -> None:
        """Match tracks with truth as well as can be, and count."""
        ids, position = estimate
        distance = np.hypot(*(truth[:, None] - np.asarray(position).reshape(-1, 2)[None]).transpose(2, 0, 1))
        rows, columns = linear_sum_assignment(np.where(distance < NEAR_M, distance, 1e3))
        right = distance[rows, columns] < NEAR_M
        pairs = list(zip(rows[right].tolist(), columns[right].tolist(), strict=True))
        if at_s >= SETTLED_S:
            self.frames += 1
            self.objects += len(truth)
            self.missed += len(truth) - len(pairs)
            self.false += len(ids) - len(pairs)
            self.squared_m2 += [float(distance[i, j]) ** 2 for i, j in pairs]
            self.switches += sum(self.known.get(i, ids[j]) != ids[j] for i, j in pairs)
        self.known.update({i: ids[j] for i, j in pairs})


def scans(objects: int, side_m: float, frames: int, seed: int) -> list[tuple[float, Floats, Floats]]:
    """Return (time, truth (objects, 2), points (m, 2)) of every scan: objects wander and turn back at the border."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, side_m, (objects, 2))
    pace = 1.5 if side_m < 50 else 8.0
    velocity = rng.normal(0, pace / np.sqrt(2), (objects, 2))
    result, dt_s = [], FRAME_S / SENSORS
    for k in range(frames * SENSORS):
        velocity += rng.normal(0, np.sqrt(WANDER_PSD * dt_s), (objects, 2))
        place = place + velocity * dt_s
        velocity = np.where(
            (place < 0) & (velocity < 0) | (place > side_m) & (velocity > 0), -velocity, velocity
        )
        seen = place[rng.random(objects) < SEEN]
        points = np.concatenate(
            [seen + rng.normal(0, NOISE_M, seen.shape), rng.uniform(0, side_m, (CLUTTER, 2))]
        )
        result.append((k * dt_s, place, rng.permutation(points)))
    return result


def ours(objects: int, side_m: float) -> Step:
    """Our tracker with the declared rates of the scene."""
    view = Position(
        (0, 1), (NOISE_M, NOISE_M), (0.0,) * 4, (0.0, 0.0, 6.0, 6.0) if side_m >= 50 else (0.0, 0.0, 1.5, 1.5)
    )
    area = side_m**2
    sensor = Sensor("points", view, SEEN, CLUTTER / area, 0.1 / area)
    tracker = Tracker(ModelSet((ConstantVelocity(2, WANDER_PSD),)), 4, Lifecycle(600.0, 0.99, 0.001, 1.0))
    table = tracker.empty(0.0)

    def step(at_s: float, points: Floats) -> Estimate:
        nonlocal table
        table, _ = tracker.update(tracker.predict(table, at_s), Scan(at_s, sensor, points))
        sure = table.confirmed
        return table.id[sure].tolist(), table.belief.mean[sure, 0, :2]

    return step


class _FilterpyTrack:
    def __init__(self, kalman: Any, at_s: float, number: int) -> None:
        self.kalman, self.at_s, self.number, self.hits, self.misses = kalman, at_s, number, 1, 0


def filterpy(objects: int, side_m: float) -> Step:
    """A Kalman filter object per track: gate, Hungarian on squared distance; 4 hits confirm, 6 misses end."""
    package: Any = importlib.import_module("filterpy.kalman")
    tracks: list[_FilterpyTrack] = []
    number, gate = 0, chi_square_gate(2, 0.999)
    model = ConstantVelocity(2, WANDER_PSD)
    speed = 6.0 if side_m >= 50 else 1.5

    def step(at_s: float, points: Floats) -> Estimate:
        nonlocal number
        for track in tracks:
            _, track.kalman.F, track.kalman.Q = model.predict(np.zeros((1, 4)), at_s - track.at_s)
            track.kalman.predict()
            track.at_s = at_s
        free = set(range(len(points)))
        if tracks:
            cost = np.full((len(tracks), len(points)), 1e6)
            for k, track in enumerate(tracks):
                inverse = np.linalg.inv(track.kalman.H @ track.kalman.P @ track.kalman.H.T + track.kalman.R)
                off = points - track.kalman.x[:2, 0]
                distance = np.einsum("md,de,me->m", off, inverse, off)
                cost[k] = np.where(distance < gate, distance, 1e6)
            hit = set()
            for i, j in zip(*linear_sum_assignment(cost), strict=True):
                if cost[i, j] < 1e6:
                    tracks[i].kalman.update(points[j][:, None])
                    tracks[i].hits, tracks[i].misses = tracks[i].hits + 1, 0
                    free.discard(j)
                    hit.add(i)
            for k, track in enumerate(tracks):
                track.misses += k not in hit
        tracks[:] = [track for track in tracks if track.misses < (6 if track.hits >= 4 else 2)]
        for row in sorted(free):
            kalman = package.KalmanFilter(4, 2)
            kalman.H = np.eye(2, 4)
            kalman.R *= NOISE_M**2
            kalman.x = np.r_[points[row], 0.0, 0.0][:, None]
            kalman.P = np.diag([NOISE_M**2, NOISE_M**2, speed**2, speed**2])
            number += 1
            tracks.append(_FilterpyTrack(kalman, at_s, number))
        sure = [track for track in tracks if track.hits >= 4]
        return [track.number for track in sure], np.array([track.kalman.x[:2, 0] for track in sure]).reshape(
            -1, 2
        )

    return step


def stonesoup(objects: int, side_m: float) -> Step:
    """Stone Soup's global nearest neighbour with its multi-measurement initiator."""
    load = importlib.import_module

    def part(module: str, name: str) -> Any:
        return getattr(load(f"stonesoup.{module}"), name)

    cv = part("models.transition.linear", "ConstantVelocity")
    transition = part("models.transition.linear", "CombinedLinearGaussianTransitionModel")(
        [cv(WANDER_PSD), cv(WANDER_PSD)]
    )
    seen = part("models.measurement.linear", "LinearGaussian")(4, (0, 2), np.diag([NOISE_M**2, NOISE_M**2]))
    predictor = part("predictor.kalman", "KalmanPredictor")(transition)
    updater = part("updater.kalman", "KalmanUpdater")(seen)
    measure = part("measures", "Mahalanobis")()
    hypothesiser = part("hypothesiser.distance", "DistanceHypothesiser")(
        predictor, updater, measure, missed_distance=float(np.sqrt(chi_square_gate(2, 0.999)))
    )
    associator = part("dataassociator.neighbour", "GNNWith2DAssignment")(hypothesiser)
    deleter = part("deleter.time", "UpdateTimeStepsDeleter")(6)
    start = datetime(2026, 1, 1)
    speed = 6.0 if side_m >= 50 else 1.5
    prior = part("types.state", "GaussianState")(
        np.zeros((4, 1)), np.diag([0.0, speed**2, 0.0, speed**2]), timestamp=start
    )
    initiator = part("initiator.simple", "MultiMeasurementInitiator")(
        prior,
        part("deleter.time", "UpdateTimeStepsDeleter")(2),
        associator,
        updater,
        min_points=4,
        measurement_model=seen,
    )
    detection = part("types.detection", "Detection")
    tracks: set[Any] = set()
    numbers: dict[str, int] = {}

    def step(at_s: float, points: Floats) -> Estimate:
        nonlocal tracks
        now = start + timedelta(seconds=at_s)
        found = {detection(point[:, None], timestamp=now, measurement_model=seen) for point in points}
        used = set()
        for track, hypothesis in associator.associate(tracks, found, now).items():
            if hypothesis:
                track.append(updater.update(hypothesis))
                used.add(hypothesis.measurement)
            else:
                track.append(hypothesis.prediction)
        tracks -= deleter.delete_tracks(tracks)
        tracks |= initiator.initiate(found - used, now)
        ids = [numbers.setdefault(track.id, len(numbers)) for track in tracks]
        return ids, np.array([track.state_vector[[0, 2], 0] for track in tracks], dtype=np.float64).reshape(
            -1, 2
        )

    return step


TRACKERS: dict[str, Callable[[int, float], Step]] = {
    "edgeai": ours,
    "filterpy": filterpy,
    "stonesoup": stonesoup,
}


def measure(
    names: Sequence[str], objects: int, side_m: float, frames: int, seeds: int
) -> dict[str, list[Score]]:
    """Run every tracker on every recording, turn by turn."""
    scores: dict[str, list[Score]] = {name: [] for name in names}
    for seed in range(seeds):
        steps = {name: TRACKERS[name](objects, side_m) for name in names}
        here = {name: Score() for name in names}
        recording = scans(objects, side_m, frames, seed)
        for first in range(0, len(recording), SENSORS):
            for name in names:
                started = time.process_time()
                for at_s, _, points in recording[first : first + SENSORS]:
                    estimate = steps[name](at_s, points)
                here[name].frame_ms.append((time.process_time() - started) * 1e3)
                here[name].add(recording[first + SENSORS - 1][1], estimate, recording[first][0])
        for name in names:
            scores[name].append(here[name])
        print(f"recording {seed + 1} of {seeds}", file=sys.stderr)
    return scores


def figures(scores: Sequence[Score]) -> dict[str, Any]:
    """The figures of one tracker, with 95 % intervals of the error over recordings."""

    def rmse(some: Sequence[Score]) -> float:
        squares = np.concatenate([each.squared_m2 for each in some])
        return float(np.sqrt(squares.mean())) if squares.size else float("nan")

    low, high = grouped_bootstrap(scores, rmse, 500)
    frames = sum(each.frames for each in scores)
    times = np.concatenate([each.frame_ms[10:] for each in scores])
    return {
        "frame_ms_median": float(np.median(times)),
        "frame_ms_p95": float(np.percentile(times, 95)),
        "rmse_m": rmse(scores),
        "rmse_low_m": low,
        "rmse_high_m": high,
        "switches": sum(each.switches for each in scores),
        "false_per_frame": sum(each.false for each in scores) / frames,
        "missed_share": sum(each.missed for each in scores) / sum(each.objects for each in scores),
        "frames": frames,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--side-m", type=float, default=200.0)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-stonesoup", action="store_true", help="it takes a second a frame")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    names = ["edgeai"]
    for name in ("filterpy", "stonesoup"):
        if name == "stonesoup" and options.no_stonesoup:
            continue
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed and left out", file=sys.stderr)
        else:
            names.append(name)
    scores = measure(names, options.objects, options.side_m, options.frames, options.seeds)
    table = {name: figures(each) for name, each in scores.items()}
    if options.json:
        print(
            json.dumps(
                {"task": "fusion", "objects": options.objects, "side_m": options.side_m, "trackers": table},
                indent=1,
            )
        )
        return 0
    print(
        f"{options.objects} objects on {options.side_m:g} m x {options.side_m:g} m, {table['edgeai']['frames']} frames"
    )
    print(
        f"{'tracker':<10}{'ms/frame':>10}{'p95':>8}{'times':>8}{'RMSE m':>9}{'95 % interval':>16}"
        f"{'switches':>10}{'false/frame':>13}{'missed %':>10}"
    )
    for name, row in table.items():
        times = row["frame_ms_median"] / table["edgeai"]["frame_ms_median"]
        interval = f"{row['rmse_low_m']:.3f} to {row['rmse_high_m']:.3f}"
        print(
            f"{name:<10}{row['frame_ms_median']:>10.2f}{row['frame_ms_p95']:>8.2f}{times:>8.1f}{row['rmse_m']:>9.3f}{interval:>16}"
            f"{row['switches']:>10}{row['false_per_frame']:>13.2f}{100 * row['missed_share']:>10.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
