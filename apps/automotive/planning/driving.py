"""One scenario driven to its end by the planner alone: no brake helps, and no perception but its stand-in."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from apps.automotive.config import PlanningConfig, VehicleConfig
from apps.automotive.messages import Floats, Odometry
from apps.automotive.planning.decide import Tier
from apps.automotive.planning.planner import Planner
from apps.automotive.simulation.believed import BelievedTracks, Quality
from apps.automotive.simulation.scenarios import random_scenario
from apps.automotive.simulation.vehicle import Actuators
from apps.automotive.simulation.world import Collision, World

STEP_S = 0.025
CYCLE = 4
"""A plan every fourth step: 10 Hz."""


@dataclass(frozen=True)
class Drive:
    """What one scenario gave. ``trail`` is of the ego, a row each 0.1 s: time, s, d, speed, acceleration."""

    seed: int
    family: str
    collision: Collision | None
    trail: Floats
    others: Floats
    """(times, objects, 4): s and d of their middles, length and width, in the road's frame."""
    limit_mps: float
    tiers: tuple[int, ...]
    cycle_s: Floats
    cpu_s: Floats
    candidates: Floats

    @property
    def progress(self) -> float:
        """Mean speed over the speed limit."""
        return float(self.trail[:, 3].mean() / self.limit_mps)

    @property
    def hardest_mps2(self) -> float:
        """The strongest deceleration, positive."""
        return float(max(-self.trail[:, 4].min(), 0.0))

    @property
    def jerk_mps3(self) -> float:
        """The root mean square of the jerk over 0.1 s."""
        return float(np.sqrt(np.mean((np.diff(self.trail[:, 4]) / (STEP_S * CYCLE)) ** 2)))


def drive(seed: int, *, noise: bool = True) -> Drive:
    """Drive the scenario of a seed; with equal seeds and builds the drive is the same, its timings apart."""
    vehicle, scenario = VehicleConfig(), random_scenario(seed)
    world = World(scenario, vehicle)
    planner = Planner(PlanningConfig(), vehicle)
    quality = Quality() if noise else Quality(0.0, 0.0, 0.0, 250.0)
    believed = BelievedTracks(np.random.default_rng([seed, 21]), quality)
    actuators = Actuators(with_brake=False)
    trail, others, tiers, cycle_s, cpu_s, candidates = [], [], [], [], [], []
    for number in range(round(scenario.duration_s / STEP_S)):
        if number % CYCLE == 0:
            ego = world.ego
            now_ns = round(world.time_s * 1e9)
            odometry = Odometry(
                ego.x_m, ego.y_m, ego.yaw_rad, ego.speed_mps, ego.yaw_rate_radps(vehicle.wheelbase_m),
                ego.acceleration_mps2, ego.steering_rad,
            )  # fmt: skip
            s, d = world.ego_frenet()
            tracks = believed.see(world.scene(), odometry, now_ns)
            route = scenario.road.route(scenario.lane, s)
            began, cpu = time.perf_counter(), time.thread_time()
            age_s = 0.0 if tracks is None else (now_ns - tracks.time_ns) * 1e-9
            planned = planner.plan(now_ns, odometry, route, tracks, age_s)
            cpu_s.append(time.thread_time() - cpu)
            cycle_s.append(time.perf_counter() - began)
            actuators.take_plan(world.time_s, planned.plan)
            tiers.append(int(planned.tier))
            candidates.append(planned.candidates)
            trail.append((world.time_s, s, d, ego.speed_mps, ego.acceleration_mps2))
            traffic = world.traffic
            others.append(np.stack([traffic.s_m, traffic.d_m, traffic.length_m, traffic.width_m], axis=1))
        world.step(actuators.demand(world.time_s, world.ego.steering_rad), STEP_S)
        if world.collision is not None:
            others.append(
                np.stack(
                    [world.traffic.s_m, world.traffic.d_m, world.traffic.length_m, world.traffic.width_m],
                    axis=1,
                )
            )
            break
    return Drive(
        seed, scenario.name, world.collision, np.array(trail), np.array(others), scenario.road.speed_limit_mps,
        tuple(tiers), np.array(cycle_s), np.array(cpu_s), np.array(candidates, np.float64),
    )  # fmt: skip


def lawful(drive_: Drive) -> bool:
    """Return whether a collision was from behind while the ego braked lawfully or drove on: it counts apart."""
    return (
        drive_.collision is not None
        and drive_.collision.from_behind
        and Tier.COLLISION not in drive_.tiers[-5:]
    )
