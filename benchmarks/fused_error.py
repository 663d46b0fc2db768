"""Fusion of camera, lidar and radar beside each sensor alone, on simulated traffic at the level of detections.

    python -m benchmarks.fused_error [--runs 10] [--json]

Every scenario of `apps.automotive.perception.scenarios`; errors are of the nearest confirmed track, at most 4 m (also
where there is none), from 1.5 s on. NEES is of position and velocity (4 numbers) once a run, at its middle, so that
runs are independent; its mean should lie within the bounds. The intervals of errors are over runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.automotive.perception.scenarios import SCENARIOS, Moment, Scenario, play
from edgeai_core.fusion.consistency import mean_bounds, nees
from edgeai_core.metrics.intervals import grouped_bootstrap

SENSORS = ("camera", "lidar", "radar")
FARTHEST_M, SETTLED_S = 4.0, 1.5


def errors_m(moments: Sequence[Moment]) -> list[float]:
    """Distances of each truth to the nearest confirmed track."""
    errors = []
    for moment in moments:
        if moment.time_s < SETTLED_S:
            continue
        place = moment.position_m[moment.confirmed]
        for truth in moment.truth:
            near = float(np.hypot(*(place - truth[:2]).T).min()) if len(place) else FARTHEST_M
            errors.append(min(FARTHEST_M, near))
    return errors


def middle_nees(moments: Sequence[Moment]) -> list[float]:
    """Normalised squared errors of position and velocity at the middle of a run, of what is tracked."""
    moment = moments[len(moments) // 2]
    sure = moment.confirmed
    values = []
    for truth in moment.truth:
        off = np.hypot(*(moment.position_m[sure] - truth[:2]).T)
        if off.size and off.min() < FARTHEST_M:
            k = int(off.argmin())
            error = np.r_[moment.position_m[sure][k], moment.velocity_mps[sure][k]] - truth
            values.append(float(nees(error[None], moment.covariance[sure][k][None])[0]))
    return values


def judge(scenario: Scenario, runs: int) -> dict[str, Any]:
    """Errors with all sensors and with each alone, and the consistency of the fused tracks."""

    def rmse(some: Sequence[list[float]]) -> float:
        return float(np.sqrt(np.mean(np.square(np.concatenate(some)))))

    row: dict[str, Any] = {"scenario": scenario.name}
    fused = [list(play(scenario, seed)) for seed in range(runs)]
    errors = [errors_m(each) for each in fused]
    row["fused_m"] = rmse(errors)
    row["fused_low_m"], row["fused_high_m"] = grouped_bootstrap(errors, rmse, 300)
    for name in SENSORS:
        row[f"{name}_m"] = rmse([errors_m(list(play(scenario, seed, (name,)))) for seed in range(runs)])
    values = [value for each in fused for value in middle_nees(each)]
    row["nees"], row["nees_n"] = float(np.mean(values)), len(values)
    row["nees_low"], row["nees_high"] = mean_bounds(4, len(values))
    return row


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        rows.append(judge(scenario, options.runs))
        print(f"{scenario.name} done", file=sys.stderr)
    if options.json:
        print(json.dumps({"task": "fused_error", "runs": options.runs, "rows": rows}, indent=1))
        return 0
    print(
        f"{'scenario':<15}{'fused m':>9}{'95 %':>15}{'camera':>8}{'lidar':>8}{'radar':>8}{'NEES':>7}{'bounds (n)':>20}"
    )
    for row in rows:
        interval = f"{row['fused_low_m']:.2f} to {row['fused_high_m']:.2f}"
        bounds = f"{row['nees_low']:.1f} to {row['nees_high']:.1f} ({row['nees_n']})"
        print(
            f"{row['scenario']:<15}{row['fused_m']:>9.2f}{interval:>15}{row['camera_m']:>8.2f}{row['lidar_m']:>8.2f}"
            f"{row['radar_m']:>8.2f}{row['nees']:>7.2f}{bounds:>20}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
