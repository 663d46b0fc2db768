"""Scenarios -> figures: each one driven to its end, each collision judged by a search that knew the futures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import ObjectKind
from apps.automotive.planning.driving import Drive, drive, lawful
from apps.automotive.planning.options import PlanningOptions
from apps.automotive.planning.search import avoidable
from apps.automotive.simulation.scenarios import random_scenario
from edgeai_core.app import Progress
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import wilson

TASK = "automotive.planning"


@dataclass(frozen=True)
class Outcome:
    """What is kept of a drive: its verdict (``none``, ``avoidable``, ``unavoidable``, ``hit from behind``)."""

    drive: Drive
    verdict: str


def evaluate(options: PlanningOptions, progress: Progress) -> Evaluation:
    """Drive the scenarios and return the figures; rows are families, and every collision by its seed."""
    outcomes = list(_drives(options, progress))
    if options.picture is not None:
        from apps.automotive.planning.pictures import draw_drives

        draw_drives([each.drive for each in outcomes], options.picture)
    data = DataRef("seeded scenarios of the simulated road", "Apache-2.0", {"scenarios": len(outcomes)})
    return Evaluation(
        TASK, ModelRef("sampling planner in the Frenet frame", "1"), (data,), _figures(outcomes, options),
        (*_families(outcomes), *_collisions(outcomes)),
    )  # fmt: skip


def judge(seed: int, noise: bool) -> Outcome:
    """Drive one scenario and judge its collision."""
    done = drive(seed, noise=noise)
    if done.collision is None:
        return Outcome(done, "none")
    if lawful(done):
        return Outcome(done, "hit from behind")
    road = random_scenario(seed).road
    start = (float(done.trail[0, 1]), float(done.trail[0, 2]), float(done.trail[0, 3]))
    could = avoidable(start, done.others, road.lane_width_m, road.lanes, VehicleConfig())
    return Outcome(done, "avoidable" if could else "unavoidable")


def _drives(options: PlanningOptions, progress: Progress) -> Iterator[Outcome]:
    seeds = range(options.first, options.first + options.scenarios)
    label = "driving scenarios"
    if options.threads == 1:
        for i, seed in enumerate(seeds):
            progress(label, i, len(seeds))
            yield judge(seed, options.noise)
    else:
        with ProcessPoolExecutor(options.threads, mp_context=get_context("spawn")) as pool:
            for i, outcome in enumerate(pool.map(judge, seeds, [options.noise] * len(seeds), chunksize=4)):
                progress(label, i, len(seeds))
                yield outcome
    progress(label, len(seeds), len(seeds))


def _figures(outcomes: Sequence[Outcome], options: PlanningOptions) -> dict[str, Figure]:
    n = len(outcomes)
    wall = np.concatenate([each.drive.cycle_s for each in outcomes]) * 1e3
    cpu = np.concatenate([each.drive.cpu_s for each in outcomes]) * 1e3
    candidates = np.concatenate([each.drive.candidates for each in outcomes])
    counts = {name: sum(each.verdict == name for each in outcomes) for name in
              ("avoidable", "unavoidable", "hit from behind")}  # fmt: skip
    what = "perfect tracks" if not options.noise else "tracks with noise (0.2 m, 0.25 m/s), 0.1 s old"
    shared = "wall clock of a machine that is shared" if options.threads > 1 else "wall clock, one process"
    return {
        "avoidable_collisions": _count(counts["avoidable"], n, f"of {n} scenarios; {what}; no brake helps"),
        "unavoidable_collisions": _count(counts["unavoidable"], n, "the search finds no way either"),
        "hit_from_behind": _count(
            counts["hit from behind"], n, "while driving on or braking lawfully; apart"
        ),
        "cycle_p99_ms": _quantile(wall, 0.99, shared),
        "cycle_median_ms": _quantile(wall, 0.5, shared),
        "cycle_cpu_p99_ms": _quantile(cpu, 0.99, "processor time of the planning thread"),
        "candidates_per_second": Figure.of(
            candidates.sum() / cpu.sum() * 1e3, None, len(cpu), "1/s", "over processor time, whole cycles"
        ),
        "candidates_per_cycle": _quantile(candidates, 0.0, "the fewest of any cycle", "candidates"),
        "progress": _mean([each.drive.progress for each in outcomes], "mean speed over the limit"),
        "hardest_braking_mps2": _mean(
            [each.drive.hardest_mps2 for each in outcomes], "mean over scenarios", "m/s^2"
        ),
        "jerk_rms_mps3": _mean([each.drive.jerk_mps3 for each in outcomes], "mean over scenarios", "m/s^3"),
    }


def _count(count: int, n: int, note: str) -> Figure:
    low, high = wilson(count, n)
    return Figure.of(count, (low * n, high * n), n, "collisions", note)


def _quantile(values: np.ndarray, share: float, note: str, unit: str = "ms") -> Figure:
    """Return a quantile with the distribution-free interval of its rank."""
    ordered, n = np.sort(values), len(values)
    spread = 1.96 * np.sqrt(n * share * (1 - share))
    low, high = int(max(n * share - spread, 0)), int(min(n * share + spread, n - 1))
    return Figure.of(float(np.quantile(ordered, share)), (ordered[low], ordered[high]), n, unit, note)


def _mean(values: Sequence[float], note: str, unit: str = "1") -> Figure:
    array = np.array(values)
    half = 1.96 * array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else float("nan")
    mean = float(array.mean())
    return Figure.of(mean, (mean - half, mean + half), len(array), unit, note)


def _families(outcomes: Sequence[Outcome]) -> Iterator[dict[str, object]]:
    for family in sorted({each.drive.family for each in outcomes}):
        own = [each for each in outcomes if each.drive.family == family]
        yield {
            "family": family,
            "scenarios": len(own),
            "avoidable": sum(each.verdict == "avoidable" for each in own),
            "unavoidable": sum(each.verdict == "unavoidable" for each in own),
            "hit_from_behind": sum(each.verdict == "hit from behind" for each in own),
            "progress": float(np.mean([each.drive.progress for each in own])),
            "hardest_mps2": float(np.mean([each.drive.hardest_mps2 for each in own])),
        }


def _collisions(outcomes: Sequence[Outcome]) -> Iterator[dict[str, object]]:
    for each in outcomes:
        hit = each.drive.collision
        if hit is not None:
            yield {
                "family": each.drive.family,
                "seed": each.drive.seed,
                "verdict": each.verdict,
                "with": ObjectKind(hit.kind).name.lower(),
                "at_s": hit.time_s,
                "speed_mps": hit.speed_mps,
                "closing_mps": hit.closing_mps,
            }
