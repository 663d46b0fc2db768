"""The automotive loops together in virtual time: the car drives, and what fails is met."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.automotive.braking.decide import Code as BrakeCode
from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import BrakeStage, Tracks
from apps.automotive.planning.decide import Code as PlanCode
from apps.automotive.simulation.decide import Code as CarCode
from edgeai_core.loop.cycle import Cycle

_spec = importlib.util.spec_from_file_location("standin", Path(__file__).with_name("standin.py"))
assert _spec is not None
assert _spec.loader is not None
standin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(standin)

Cycles = dict[str, list[Cycle[Any]]]


def config(scenario: str = "country", *failures: str, **more: object) -> AutomotiveConfig:
    simulation = {
        "scenario": scenario,
        "seed": 1,
        "only_sensors": ["radar", "lidar"],
        "failures": failures,
        **more,
    }
    return AutomotiveConfig.model_validate({"simulation": simulation})


def driven(settings: AutomotiveConfig, until_s: float, **how: Any) -> Cycles:
    found: Cycles = {"simulation": [], "planning": [], "braking": [], "perception": []}
    for name, cycle in standin.drive(settings, until_s, **how):
        found[name.partition(".")[2]].append(cycle)
    return found


def codes(cycles: list[Cycle[Any]]) -> set[str]:
    return {condition.code for cycle in cycles for condition in cycle.decision.conditions or ()}


def subjects(cycles: list[Cycle[Any]]) -> set[str]:
    return {condition.subject for cycle in cycles for condition in cycle.decision.conditions or ()}


@pytest.fixture(scope="module")
def healthy() -> Cycles:
    return driven(config(), 4.0)


def test_planner_and_brake_really_drive_the_car(healthy: Cycles) -> None:
    last = healthy["simulation"][-1].decision.output
    first = healthy["simulation"][10].decision.output
    assert last.speed_mps > first.speed_mps + 1.0
    assert last.watchdog == ""
    assert last.collisions == 0
    assert not [cycle.fault for cycles in healthy.values() for cycle in cycles if cycle.fault]


def test_the_age_of_the_brakes_evidence_is_measured_at_the_wheels(healthy: Cycles) -> None:
    ages = [cycle.decision.output.evidence_age_s for cycle in healthy["simulation"][100:]]
    assert all(0.0 < age < 0.3 for age in ages)
    command = healthy["braking"][-1].decision.output
    assert 0 < command.evidence_ns <= command.time_ns


def test_a_drive_repeats_itself_to_the_last_digit() -> None:
    def outputs() -> Iterator[object]:
        for name, cycle in standin.drive(config(), 1.5):
            output = cycle.decision.output
            if name == "automotive.planning":
                yield output.steering_rad, output.acceleration_mps2, output.reason
            elif name == "automotive.simulation":
                yield output.speed_mps
            elif name == "automotive.braking":
                yield output.stage, output.evidence_ns

    assert list(outputs()) == list(outputs())


def test_without_perception_planning_stops_the_car_and_the_brake_goes_on_from_radar() -> None:
    cycles = driven(config(), 8.0, silent_after_s=1.5)
    assert PlanCode.BLIND_STOP in codes(cycles["planning"])
    assert cycles["planning"][-1].decision.output.safe_stop
    assert cycles["simulation"][-1].decision.output.speed_mps < 0.5
    assert "ego/tracks" in subjects(cycles["braking"])
    assert not any(cycle.fault for cycle in cycles["braking"])
    assert BrakeCode.BRAKE_BLIND not in codes(cycles["braking"][-100:])


@pytest.mark.parametrize("sensor", ["radar", "lidar"])
@pytest.mark.parametrize("kind", ["lost", "frozen"])
def test_a_sensor_that_is_lost_or_frozen_is_named_and_the_drive_goes_on(sensor: str, kind: str) -> None:
    cycles = driven(config("country", f"{sensor}:{kind}:0:1"), 3.0)
    assert f"ego/{sensor}" in subjects(cycles["braking"])
    assert cycles["simulation"][-1].decision.output.collisions == 0
    assert cycles["simulation"][-1].decision.output.speed_mps > 5.0


@pytest.mark.parametrize(
    "failure", ["radar:late:0.2:1", "lidar:late:0.2:1", "radar:bias:2:1", "radar:noise:0.5:1"]
)
def test_a_sensor_that_is_late_biased_or_noisy_brakes_nothing_by_itself(failure: str) -> None:
    cycles = driven(config("country", failure), 3.0)
    stages = {cycle.decision.output.stage for cycle in cycles["braking"][250:]}
    assert stages <= {BrakeStage.NONE, BrakeStage.WARN}


def test_old_evidence_at_the_wheels_is_alerted() -> None:
    cycles = driven(config("country", "radar:late:0.25:1", "lidar:late:0.3:1"), 2.5)
    assert CarCode.EVIDENCE_TOO_OLD in codes(cycles["simulation"]) or subjects(cycles["braking"]) >= {
        "ego/radar"
    }


def test_without_odometry_the_car_is_stopped() -> None:
    cycles = driven(config("country", "odometry:lost:0:1.5"), 6.0)
    assert PlanCode.BLIND_STOP in codes(cycles["planning"])
    assert cycles["braking"][-1].decision.output.stage is BrakeStage.PARTIAL
    assert cycles["simulation"][-1].decision.output.speed_mps == 0.0


def test_tracks_of_numbers_that_are_none_leave_car_and_loops_going() -> None:
    def broken(tracks: Tracks) -> Tracks:
        return replace(tracks, velocity_mps=np.full_like(tracks.velocity_mps, math.nan))

    cycles = driven(config(), 2.0, broken=broken)
    assert not any(cycle.fault for name in ("planning", "braking") for cycle in cycles[name])
    assert all(math.isfinite(cycle.decision.output.acceleration_mps2) for cycle in cycles["planning"])


def test_without_a_braking_loop_the_watchdog_brakes_the_car() -> None:
    from apps.automotive.simulation.scenarios import named_scenario
    from apps.automotive.simulation.vehicle import Actuators, drive
    from apps.automotive.simulation.world import World

    settings = config()
    world = World(named_scenario("country", 1), settings.vehicle)
    actuators = Actuators(with_brake=True, with_plan=False)
    for _ in range(900):
        demand = actuators.demand(world.time_s, 0.0)
        world.ego = drive(world.ego, demand, 0.01, settings.vehicle)
        world.time_s += 0.01
    assert demand.watchdog == "the brake command is too old"
    assert world.ego.speed_mps == 0.0
