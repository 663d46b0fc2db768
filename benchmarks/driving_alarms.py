"""What the car alerts to while all is well: closed drives in virtual time, whole and with the real perception.

    python -m benchmarks.driving_alarms [--scenarios town,motorway,country] [--seeds 0,1,2] [--seconds 20] [--json]

All four loops on one clock on which no step takes any time, and no sensor fails. Counted is how often each condition
begins to hold, before any alert's delay, from the second second on: loops start, and every sensor counts as lost,
before it. Traffic behaves; a hard brake may be right all the same, so the figures are an upper bound of what is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from apps.automotive.config import AutomotiveConfig
from apps.automotive.simulation.samples import closed_loop
from edgeai_core.metrics.intervals import poisson

SETTLED_S = 2.0
WATCHED = (
    "COLLISION_AHEAD",
    "EMERGENCY_STOP",
    "EMERGENCY_BRAKING",
    "COLLISION_WARNING",
    "BRAKE_BLIND",
    "SENSOR_CONTRADICTED",
)


def drive(job: tuple[str, int, float]) -> tuple[Counter[str], int]:
    """Return how often each condition began in one drive of (scenario, seed, seconds), and the collisions."""
    scenario, seed, until_s = job
    simulation = {"scenario": scenario, "seed": seed, "repeat": False}
    holds: dict[str, set[tuple[str, str]]] = {}
    began: Counter[str] = Counter()
    collisions = 0
    for name, cycle, _ in closed_loop(AutomotiveConfig.model_validate({"simulation": simulation}), until_s):
        if name == "automotive.simulation":
            collisions = cycle.decision.output.collisions
        if cycle.decision.conditions is None:
            continue
        now = {(str(each.code), each.subject) for each in cycle.decision.conditions}
        if cycle.snapshot.now_ns / 1e9 >= SETTLED_S:
            began.update(code for code, _ in now - holds.get(name, set()))
        holds[name] = now
    return began, collisions


def main() -> int:
    """Drive, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", default="town,motorway,country")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    jobs = [
        (scenario, int(seed), given.seconds)
        for scenario in given.scenarios.split(",")
        for seed in given.seeds.split(",")
    ]
    total: Counter[str] = Counter()
    collisions = 0
    with ProcessPoolExecutor(given.threads, mp_context=get_context("spawn")) as pool:
        for job, (began, hits) in zip(jobs, pool.map(drive, jobs), strict=True):
            print(f"{job[0]} {job[1]}: {dict(began) or 'nothing'}", file=sys.stderr)
            total += began
            collisions += hits
    minutes = len(jobs) * (given.seconds - SETTLED_S) / 60
    rows = {code: (total[code], *(each / minutes for each in poisson(total[code]))) for code in WATCHED}
    if given.json:
        print(
            json.dumps(
                {"drives": len(jobs), "minutes": minutes, "collisions": collisions, "began": rows}, indent=1
            )
        )
        return 0
    print(f"{len(jobs)} drives, {minutes:.1f} minutes, {collisions} collisions")
    for code, (count, low, high) in rows.items():
        print(f"{code:<22}{count:>4}   {count / minutes:5.2f} a minute ({low:.2f} to {high:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
