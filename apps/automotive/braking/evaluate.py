"""Cases and benign hours -> figures of the brake."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from apps.automotive.braking.cases import Case, cases
from apps.automotive.braking.driving import Approach, approach, benign
from apps.automotive.braking.options import BrakingOptions, TracksOf
from apps.automotive.simulation.scenarios import benign_scenario
from edgeai_core.app import Progress
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import poisson

TASK = "automotive.braking"
BENIGN_S = 120.0
UP_TO_KMH = 50

_NOTES: Mapping[TracksOf, str] = {
    "truth": "radar, lidar, and tracks that are the truth with noise",
    "perception": "radar, lidar, and the tracks of the real perception on rendered sensors",
    "none": "radar and lidar alone",
}

J = TypeVar("J")
R = TypeVar("R")


def evaluate(options: BrakingOptions, progress: Progress) -> Evaluation:
    """Drive the tables and the benign traffic. Rows are the cases, then every false brake."""
    table = list(cases(options.step_kmh))
    jobs = [(case, options.seed + number, options.tracks) for number, case in enumerate(table)]
    ends = list(_in_parallel(_approach, jobs, options.threads, "driving approaches", progress))
    drives = math.ceil(options.hours * 3600 / BENIGN_S)
    seeds = [(options.seed * 100_000 + number, options.tracks) for number in range(drives)]
    traffic = list(_in_parallel(_benign, seeds, options.threads, "driving in benign traffic", progress))
    hours = sum(seconds for seconds, _ in traffic) / 3600
    false = [row for _, rows in traffic for row in rows]
    if options.picture is not None:
        from apps.automotive.braking.pictures import draw_tables

        draw_tables(table, ends, options.picture)
    note = _NOTES[options.tracks]
    figures = _avoided(table, ends, note) | {"false_brakes_per_hour": _rate(len(false), hours, note)}
    data = (
        DataRef("approaches after Euro NCAP's protocols, simulated", "Apache-2.0", {"cases": len(table)}),
        DataRef("benign traffic, simulated", "Apache-2.0", {"drives": drives, "minutes": round(hours * 60)}),
    )
    rows = [_row(case, end) for case, end in zip(table, ends, strict=True)]
    return Evaluation(TASK, ModelRef("staged emergency brake", "1"), data, figures, (*rows, *false))


def _approach(job: tuple[Case, int, TracksOf]) -> Approach:
    case, seed, tracks = job
    return approach(case.scenario, seed, tracks=tracks)


def _benign(job: tuple[int, TracksOf]) -> tuple[float, list[dict[str, object]]]:
    seed, tracks = job
    return benign(benign_scenario(seed, BENIGN_S), seed, tracks=tracks)


def _in_parallel(
    work: Callable[[J], R], jobs: Sequence[J], threads: int, label: str, progress: Progress
) -> Iterator[R]:
    if threads == 1 or len(jobs) < 2:
        for i, job in enumerate(jobs):
            progress(label, i, len(jobs))
            yield work(job)
    else:
        with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
            for i, result in enumerate(pool.map(work, jobs)):
                progress(label, i, len(jobs))
                yield result
    progress(label, len(jobs), len(jobs))


def _avoided(table: Sequence[Case], ends: Sequence[Approach], note: str) -> dict[str, Figure]:
    def share(prefix: str, up_to_kmh: int) -> Figure:
        own = [
            end
            for case, end in zip(table, ends, strict=True)
            if case.table.startswith(prefix) and case.speed_kmh <= up_to_kmh
        ]
        return Figure.share(sum(end.contact_kmh is None for end in own), len(own), note)

    return {
        "avoided_up_to_50_kmh": share("CC", UP_TO_KMH),
        "avoided_car_to_car": share("CC", 1000),
        "avoided_pedestrian_up_to_50_kmh": share("CP", UP_TO_KMH),
        "avoided_pedestrian": share("CP", 1000),
    }


def _rate(count: int, hours: float, sensors: str) -> Figure:
    """Return events per hour with the exact Poisson interval."""
    if hours == 0:
        return Figure.of(None, None, 0, "1/h", "no benign traffic was driven")
    low, high = poisson(count)
    note = f"{count} in {hours:.2f} simulated hours, partial or full; {sensors}, the radar with clutter and ghosts"
    return Figure.of(count / hours, (low / hours, high / hours), count, "1/h", note)


def _row(case: Case, end: Approach) -> dict[str, object]:
    return {
        "table": case.table,
        "speed_kmh": case.speed_kmh,
        "case": case.detail,
        "avoided": end.contact_kmh is None,
        "contact_kmh": end.contact_kmh,
        "braked_at_m": end.braked_at_m,
        "stage": end.stage,
    }
