"""What the steps of the car's four loops cost: a closed drive in virtual time, processor time of each step.

    OMP_NUM_THREADS=1 python -m benchmarks.driving_steps [--scenario town] [--seconds 8] [--camera-hz 15] [--json]

The share of a core is of simulated time: at real speed a loop needs at least that, and what the framework adds. The
last line is everything: pictures and turns of the lidar, which are made in a thread beside, and the framework in
virtual time are in it too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from apps.automotive.app import loops
from apps.automotive.config import AutomotiveConfig
from edgeai_core.loop.spec import LoopSpec, Parts
from edgeai_core.sensors.replay import replay_loops

SETTLED = 5
"""The first steps of a loop pay for what is loaded late."""


def timed(spec: LoopSpec[Any], costs_s: list[float]) -> LoopSpec[Any]:
    """Return a loop whose steps note the processor time of their thread."""

    def build() -> Parts[Any]:
        parts = spec.build()

        def step(snapshot: Any, inner: Callable[[Any], Any] = parts.step) -> Any:
            began_s = time.thread_time()
            decision = inner(snapshot)
            costs_s.append(time.thread_time() - began_s)
            return decision

        return replace(parts, step=step)

    return replace(spec, build=build)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", default="town")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--camera-hz", type=float, default=15.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    simulation = {"scenario": options.scenario, "seed": 1, "camera_hz": options.camera_hz}
    config = AutomotiveConfig.model_validate({"simulation": simulation})
    costs: dict[str, list[float]] = {spec.name: [] for spec in loops(config)}
    specs = {f"automotive.{spec.name}": timed(spec, costs[spec.name]) for spec in loops(config)}
    began_s: float | None = None
    for _ in replay_loops(specs, until_s=options.seconds):
        began_s = (
            time.process_time() if began_s is None else began_s
        )  # what is built before counts for no drive
    everything = (time.process_time() - (began_s or 0.0)) / options.seconds
    rows = []
    for name, cost_s in costs.items():
        ms = np.array(cost_s[SETTLED:]) * 1e3
        p50, p99 = (float(np.percentile(ms, share)) for share in (50, 99))
        core = float(ms.sum()) / 1e3 / options.seconds
        rows.append({"loop": name, "n": len(ms), "p50_ms": p50, "p99_ms": p99, "core": core})
    if options.json:
        print(
            json.dumps(
                {
                    "scenario": options.scenario,
                    "camera_hz": options.camera_hz,
                    "rows": rows,
                    "everything": everything,
                },
                indent=1,
            )
        )
        return 0
    print(f"{'loop':<12}{'steps':>7}{'p50 ms':>9}{'p99 ms':>9}{'core':>7}")
    for row in rows:
        print(f"{row['loop']:<12}{row['n']:>7}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['core']:>7.2f}")
    print(f"everything, all threads: {everything:.2f} of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
