"""Make ``data_samples/automotive/simulation``: ``python -m apps.automotive.simulation.samples [DIR]``.

Each sample is a drive in closed loop, all four loops in virtual time, the real perception among them; what is kept is
where the car was. ``<name>.alerts.json`` beside it says which alert such a drive raises, and when it came.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apps.automotive.app import loops
from apps.automotive.config import AutomotiveConfig
from apps.automotive.simulation.loop import SimulationStep
from apps.automotive.simulation.recorded import SUFFIX, RecordedDrive, write_drive
from edgeai_core.loop.cycle import Cycle
from edgeai_core.sensors.replay import replay_loops

SAMPLES = (("pedestrian_steps_out", "pedestrian", 0, 14.0, "EMERGENCY_BRAKING"),)
"""Name, scenario, seed, seconds, and the alert that must come."""


def closed_loop(config: AutomotiveConfig, until_s: float) -> Iterator[tuple[str, Cycle[Any], SimulationStep]]:
    """Yield (loop, cycle, the car) of a drive in virtual time, in which planner and brake drive the car."""
    specs = {f"automotive.{spec.name}": spec for spec in loops(config)}
    simulation = specs["automotive.simulation"]
    parts = simulation.build()
    car = parts.step
    assert isinstance(car, SimulationStep)
    specs["automotive.simulation"] = replace(simulation, build=lambda: parts)
    for name, cycle in replay_loops(specs, until_s=until_s):
        yield name, cycle, car


def record(scenario: str, seed: int, until_s: float, code: str) -> tuple[RecordedDrive, float]:
    """Return a drive, and the second of the alert. Raises ValueError where it never comes, or the car crashes."""
    config = AutomotiveConfig.model_validate(
        {"simulation": {"scenario": scenario, "seed": seed, "repeat": False}}
    )
    states: list[tuple[float, ...]] = []
    first_s: float | None = None
    for name, cycle, car in closed_loop(config, until_s):
        now_s = cycle.snapshot.now_ns / 1e9
        if name == "automotive.simulation":
            ego = car.ego
            states.append(
                (ego.x_m, ego.y_m, ego.yaw_rad, ego.speed_mps, ego.acceleration_mps2, ego.steering_rad)
            )
            if cycle.decision.output.collisions:
                raise ValueError(f"{scenario}, seed {seed}: the car hits something at {now_s:.2f} s")
        if first_s is None and any(each.code == code for each in cycle.decision.conditions or ()):
            first_s = now_s
    if first_s is None:
        raise ValueError(f"{scenario}, seed {seed}: {code} never comes")
    return RecordedDrive(scenario, seed, np.array(states)), first_s


def write_samples(folder: Path) -> list[Path]:
    """Write each drive with its truth beside it, and return the drives."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (name, scenario, seed, until_s, code) in enumerate(SAMPLES, start=1):
        drive, first_s = record(scenario, seed, until_s, code)
        path = folder / f"{number}_{name}{SUFFIX}"
        write_drive(drive, path)
        promised = json.dumps({code: round(first_s, 2)})
        path.with_name(f"{path.stem}.alerts.json").write_text(f"{promised}\n", encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write_samples(Path(*sys.argv[1:2] or ["data_samples/automotive/simulation"])):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
