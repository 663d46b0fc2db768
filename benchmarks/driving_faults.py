"""What the car does when a sensor fails: closed drives in virtual time, each with one fault, and what was alerted.

    python -m benchmarks.driving_faults [--scenario town] [--seed 0] [--seconds 9] [--json]

All four loops with the real perception, on one clock on which no step takes any time. A fault begins at 4 s, or with
the drive where it says so. What was alerted are the conditions of all loops that the drive without a fault does not
have, each with the seconds from the fault's beginning to its first moment.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import BrakeStage
from apps.automotive.simulation.samples import closed_loop

FROM_S = 4.0
_SETTLED_S = 1.0
"""Before it loops start, and every sensor counts as lost."""

SENSORS = ("camera", "lidar", "radar", "odometry")
FAULTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("none", ()),
    *((f"{sensor} lost", (f"{sensor}:lost:0:{FROM_S}",)) for sensor in SENSORS),
    *((f"{sensor} frozen", (f"{sensor}:frozen:0:{FROM_S}",)) for sensor in SENSORS),
    *((f"{sensor} 200 ms late", (f"{sensor}:late:0.2:{FROM_S}",)) for sensor in SENSORS),
    ("camera 60 px to the right", (f"camera:bias:60:{FROM_S}",)),
    ("lidar 3 m too far", (f"lidar:bias:3:{FROM_S}",)),
    ("radar 3 m too far", (f"radar:bias:3:{FROM_S}",)),
    ("camera 60 px, from the start", ("camera:bias:60",)),
    ("lidar 4 m, from the start", ("lidar:bias:4",)),
    ("radar 6 m, from the start", ("radar:bias:6",)),
    ("camera noise 60 grey levels", (f"camera:noise:60:{FROM_S}",)),
    ("lidar noise 0.5 m", (f"lidar:noise:0.5:{FROM_S}",)),
    ("radar noise 3 m, 3 m/s", (f"radar:noise:3:{FROM_S}",)),
    ("odometry yaw rate 0.1 rad/s off", (f"odometry:bias:0.1:{FROM_S}",)),
)


@dataclass(frozen=True)
class Outcome:
    """What one drive gave: ``alerted`` by condition and subject, in seconds from the fault's beginning."""

    fault: str
    alerted: dict[str, float]
    end_speed_mps: float
    hardest: str
    collisions: int


def drive(fault: str, failures: Sequence[str], scenario: str, seed: int, until_s: float) -> Outcome:
    """Drive once with these failures."""
    simulation = {"scenario": scenario, "seed": seed, "repeat": False, "failures": list(failures)}
    begins_s = 0.0 if failures and failures[0].count(":") < 3 else FROM_S
    alerted: dict[str, float] = {}
    speed, collisions, hardest = 0.0, 0, BrakeStage.NONE
    for name, cycle, car in closed_loop(AutomotiveConfig.model_validate({"simulation": simulation}), until_s):
        now_s = cycle.snapshot.now_ns / 1e9
        if now_s < max(begins_s, _SETTLED_S):
            continue
        for each in cycle.decision.conditions or ():
            alerted.setdefault(f"{each.code} {each.subject}", now_s - begins_s)
        if name == "automotive.braking":
            hardest = max(hardest, cycle.decision.output.stage, key=list(BrakeStage).index)
        if name == "automotive.simulation":
            speed, collisions = car.ego.speed_mps, cycle.decision.output.collisions
    return Outcome(fault, alerted, speed, hardest.value, collisions)


def told(outcome: Outcome, healthy: Outcome) -> dict[str, float]:
    """Return what was alerted because of the fault."""
    return {
        what: at_s for what, at_s in outcome.alerted.items()
        if what not in healthy.alerted or outcome.fault == healthy.fault
    }  # fmt: skip


def main() -> int:
    """Drive with every fault and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", default="town")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    healthy: Outcome | None = None
    for fault, failures in FAULTS:
        outcome = drive(fault, failures, options.scenario, options.seed, options.seconds)
        healthy = healthy or outcome
        found = {
            what: round(at_s, 2) for what, at_s in sorted(told(outcome, healthy).items(), key=lambda x: x[1])
        }
        rows.append(
            {
                "fault": fault,
                "alerted_s": found,
                "brake": outcome.hardest,
                "end_speed_mps": round(outcome.end_speed_mps, 1),
                "collisions": outcome.collisions,
            }
        )
        print(f"{fault}: {found}", file=sys.stderr)
    if options.json:
        print(json.dumps({"scenario": options.scenario, "seed": options.seed, "rows": rows}, indent=1))
        return 0
    print("| fault | alerted, after s | brake | speed at the end, m/s | collisions |\n|---|---|---|---|---|")
    for row in rows:
        alerts = row["alerted_s"]
        assert isinstance(alerts, dict)
        words = ", ".join(f"{what} {at_s}" for what, at_s in alerts.items()) or "nothing"
        print(f"| {row['fault']} | {words} | {row['brake']} | {row['end_speed_mps']} | {row['collisions']} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
