"""Drives for the evaluation: the brake alone at the wheels, with simulated sensors, in steps of 10 ms."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from apps.automotive.braking.brake import Brake
from apps.automotive.braking.decide import Limits
from apps.automotive.braking.options import TracksOf
from apps.automotive.config import VehicleConfig
from apps.automotive.messages import BrakeStage, Floats, Odometry
from apps.automotive.path import wrap
from apps.automotive.simulation.believed import BelievedTracks
from apps.automotive.simulation.perceived import PerceivedTracks
from apps.automotive.simulation.scene import Scene
from apps.automotive.simulation.sensors import TICK_S, Sensors
from apps.automotive.simulation.traffic import Traffic
from apps.automotive.simulation.vehicle import Actuators
from apps.automotive.simulation.world import Scenario, World

TRACKS_EVERY = 10
PICTURES_HZ = 10.0
FALSE_WITHIN_S = 3.0
"""Brakes nearer together than this are one event."""
BENIGN_TICK_S = 0.05
BEHIND_M, STRETCH_M = -15.0, 200
"""Objects farther behind, and edges of the road farther away, reflect nothing to a radar at the front."""


@dataclass(frozen=True)
class Approach:
    """How a case ended: ``contact_kmh`` is how fast the ego was (against the other) at contact; None: avoided."""

    contact_kmh: float | None
    braked_at_m: float | None
    stage: str


def approach(scenario: Scenario, seed: int, *, tracks: TracksOf) -> Approach:
    """Drive one case at constant speed, with nobody but the brake to slow it down."""
    vehicle = VehicleConfig()
    world, brake = World(scenario, vehicle), Brake(vehicle, Limits())
    sensors = _sensors(seed, tracks, "radar", "lidar")
    perceived = PerceivedTracks() if tracks == "perception" else None
    believed = BelievedTracks(np.random.default_rng([seed, 11]))
    actuators = Actuators(with_brake=True, with_plan=False)
    braked_at: float | None = None
    hardest = BrakeStage.NONE
    odometry = Odometry()
    for number in range(round(scenario.duration_s / TICK_S)):
        now_ns = round(world.time_s * 1e9)
        scene = world.scene()
        arrived = sensors.tick(number, scene, now_ns)
        for reading in arrived.get("odometry", ()):
            odometry = reading.data
            brake.push_odometry(odometry)
        for reading in arrived.get("radar", ()):
            brake.push_radar(reading.time_ns or now_ns, reading.data)
        for reading in arrived.get("lidar_ahead", ()):
            brake.push_lidar(reading.time_ns or now_ns, reading.data)
        told = None
        if perceived is not None:
            told = perceived.see(arrived, now_ns)
        elif tracks == "truth" and number % TRACKS_EVERY == 0:
            told = believed.see(in_odometry(scene, odometry), odometry, now_ns)
        if told is not None:
            brake.push_tracks(told)
        # The first moments of a drive have no evidence yet; the brake is at work before the approach begins.
        if world.time_s > 0.3:
            command = brake.judge(now_ns)
            actuators.take_brake(world.time_s, command)
            if command.deceleration_mps2 > 0 and braked_at is None:
                braked_at = _gap(world)
            hardest = max(hardest, command.stage, key=list(BrakeStage).index)
        world.step(actuators.demand(world.time_s, world.ego.steering_rad), TICK_S)
        if world.collision is not None:
            return Approach(world.collision.closing_mps * 3.6, braked_at, hardest)
        if world.ego.speed_mps == 0.0:
            break
    return Approach(None, braked_at, hardest)


def benign(scenario: Scenario, seed: int, *, tracks: TracksOf) -> tuple[float, list[dict[str, object]]]:
    """Drive in benign traffic with an attentive driver (the first actor); return seconds, and every false brake.

    Radar with clutter and ghosts, and tracks: the truth with noise, or with ``perception`` what the real one makes of
    rendered pictures, lidar and radar; then the brake has the lidar's sector too. Judged at every 50 ms.
    """
    vehicle, rng = VehicleConfig(), np.random.default_rng([seed, 12])
    traffic = Traffic(scenario.road, scenario.actors)
    brake, sensors = Brake(vehicle, Limits()), _sensors(seed, tracks, "radar")
    perceived = PerceivedTracks() if tracks == "perception" else None
    believed = BelievedTracks(rng)
    odometry = Odometry()
    false: list[dict[str, object]] = []
    last_s = -math.inf
    ego = (-1e6, 0.0, 0.0, 4.6, 1.9)  # nobody else: the ego is one of the traffic
    tick_s = BENIGN_TICK_S if perceived is None else TICK_S
    ticks, judged = round(tick_s / TICK_S), round(BENIGN_TICK_S / tick_s)
    for number in range(round(scenario.duration_s / tick_s)):
        traffic.step(tick_s, ego)
        scene = seen_by_first(traffic, vehicle)
        now_ns = round(traffic.time_s * 1e9)
        arrived = sensors.tick(number * ticks, scene if perceived is not None else ahead_of(scene), now_ns)
        for reading in arrived.get("odometry", ()):
            odometry = reading.data
            brake.push_odometry(odometry)
        for reading in arrived.get("radar", ()):
            brake.push_radar(reading.time_ns or now_ns, reading.data)
        told = None
        if perceived is not None:
            for reading in arrived.get("lidar_ahead", ()):
                brake.push_lidar(reading.time_ns or now_ns, reading.data)
            told = perceived.see(arrived, now_ns)
        elif number % 2 == 0:
            told = believed.see(in_odometry(scene, odometry), odometry, now_ns)
        if told is not None:
            brake.push_tracks(told)
        if number % judged:
            continue
        command = brake.judge(now_ns)
        if command.stage in (BrakeStage.PARTIAL, BrakeStage.FULL) and traffic.time_s > 1.0:
            if traffic.time_s - last_s > FALSE_WITHIN_S:
                threat = brake.verdict.threat
                false.append(
                    {
                        "seed": seed,
                        "time_s": round(traffic.time_s, 2),
                        "speed_mps": round(scene.speed_mps, 1),
                        "stage": command.stage.value,
                        "source": threat.source if threat else "",
                        "gap_m": round(threat.gap_m, 1) if threat else None,
                        "its_speed_mps": round(threat.speed_mps, 1) if threat else None,
                        "track": threat.track if threat else -1,
                        "crosses": threat.crosses if threat else False,
                    }
                )
            last_s = traffic.time_s
    return traffic.time_s, false


def _sensors(seed: int, tracks: TracksOf, *needed: str) -> Sensors:
    """Return the sensors that a drive needs: the real perception has all of them, with pictures ten times a second."""
    if tracks == "perception":
        return Sensors(seed, camera_hz=PICTURES_HZ)
    return Sensors(seed, only=needed)


def in_odometry(scene: Scene, odometry: Odometry) -> Scene:
    """Return the scene as it lies around the ego where the ego believes to be: perception knows no other place."""
    turn = odometry.yaw_rad - scene.yaw_rad
    cos, sin = math.cos(turn), math.sin(turn)
    dx, dy = scene.object_x_m - scene.x_m, scene.object_y_m - scene.y_m
    return replace(
        scene,
        x_m=odometry.x_m,
        y_m=odometry.y_m,
        yaw_rad=odometry.yaw_rad,
        object_x_m=odometry.x_m + cos * dx - sin * dy,
        object_y_m=odometry.y_m + sin * dx + cos * dy,
        object_yaw_rad=wrap(scene.object_yaw_rad + turn),
    )


def ahead_of(scene: Scene) -> Scene:
    """Return the scene without what no radar at the front can see: that saves most of the time of a long drive."""
    dx, dy = scene.object_x_m - scene.x_m, scene.object_y_m - scene.y_m
    which = np.flatnonzero(np.cos(scene.yaw_rad) * dx + np.sin(scene.yaw_rad) * dy > BEHIND_M)
    road = replace(scene.road, borders_m=tuple(_stretch(each, scene) for each in scene.road.borders_m))
    arrays = {
        each.name: getattr(scene, each.name)[which]
        for each in fields(Scene)
        if each.name.startswith("object_")
    }
    return replace(scene, road=road, **arrays)


def _stretch(line_m: Floats, scene: Scene) -> Floats:
    """Return the part of a line, whose points lie a metre apart, that is near the ego."""
    nearest = int(np.argmin((line_m[:, 0] - scene.x_m) ** 2 + (line_m[:, 1] - scene.y_m) ** 2))
    return line_m[max(nearest - STRETCH_M, 0) : nearest + STRETCH_M]


def seen_by_first(traffic: Traffic, vehicle: VehicleConfig) -> Scene:
    """Return the scene in which the first actor is the ego and the others, near enough, are the objects."""
    path = traffic.road.path
    x, y, yaw = path.to_ground(traffic.s_m, traffic.d_m)
    drift = np.arctan2(traffic.lateral_mps, np.maximum(traffic.speed_mps, 0.1))
    heading = wrap(yaw + traffic.heading_rad + drift)
    turn = path.curvature(traffic.s_m) * traffic.speed_mps * np.cos(traffic.heading_rad)
    near = np.flatnonzero(np.abs(traffic.s_m - traffic.s_m[0]) < 180.0)
    near = near[near != 0]
    back = vehicle.middle_m
    return Scene(
        traffic.time_s, float(x[0] - back * np.cos(heading[0])), float(y[0] - back * np.sin(heading[0])),
        float(heading[0]), float(traffic.speed_mps[0]), float(turn[0] + traffic.turn_radps[0]),
        float(traffic.acceleration_mps2[0]), near, traffic.kind[near], x[near], y[near], heading[near],
        traffic.speed_mps[near], turn[near], traffic.length_m[near], traffic.width_m[near], traffic.height_m[near],
        traffic.road.road,
    )  # fmt: skip


def _gap(world: World) -> float:
    s, _ = world.ego_frenet()
    return float(np.min(world.traffic.s_m - world.traffic.length_m / 2) - s - world.vehicle.front_m)
