"""The world: road, traffic and ego at one time, stepped together; it knows the truth and who hit whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.automotive.config import VehicleConfig
from apps.automotive.path import boxes_overlap, wrap
from apps.automotive.simulation.road import RoadMap
from apps.automotive.simulation.scene import Scene
from apps.automotive.simulation.traffic import Actor, Traffic
from apps.automotive.simulation.vehicle import Demand, EgoState, drive


@dataclass(frozen=True)
class Scenario:
    """What is there at the start. ``lane`` is where the ego starts and whose route it follows."""

    name: str
    road: RoadMap
    actors: tuple[Actor, ...]
    speed_mps: float
    s_m: float = 80.0
    lane: int = 0
    duration_s: float = 20.0


@dataclass(frozen=True)
class Collision:
    """The ego touched something: ``closing_mps`` is how fast, ``from_behind`` whether the other drove into its rear."""

    time_s: float
    object_id: int
    kind: int
    speed_mps: float
    closing_mps: float
    from_behind: bool


class World:
    """Everything that moves; deterministic for a scenario and the demands it is given."""

    def __init__(self, scenario: Scenario, vehicle: VehicleConfig) -> None:
        self.scenario, self.vehicle = scenario, vehicle
        self.traffic = Traffic(scenario.road, scenario.actors)
        d_m = scenario.lane * scenario.road.lane_width_m
        x, y, yaw = scenario.road.path.to_ground(scenario.s_m, d_m)
        self.ego = EgoState(float(x), float(y), float(yaw), scenario.speed_mps)
        self.ego.steering_rad = float(
            np.arctan(scenario.road.path.curvature(scenario.s_m) * vehicle.wheelbase_m)
        )
        self.time_s = 0.0
        self.collision: Collision | None = None

    def step(self, demand: Demand, dt_s: float) -> None:
        """Move ego and traffic on by ``dt_s``, and notice the first collision."""
        self.follow(drive(self.ego, demand, dt_s, self.vehicle), dt_s)

    def follow(self, ego_state: EgoState, dt_s: float) -> None:
        """Put the ego where it is ``dt_s`` later, move traffic on, and notice the first collision."""
        self.ego = ego_state
        self.time_s += dt_s
        ego = self._ego_on_road()
        self.traffic.step(dt_s, ego)
        traffic = self.traffic
        near = np.abs(traffic.s_m - ego[0]) < (traffic.length_m + ego[3]) / 2 + 2.0
        near &= np.abs(traffic.d_m - ego[1]) < (traffic.width_m + ego[4]) / 2 + 2.0
        if self.collision is None and near.any():
            self.collision = self._collide()

    def ego_frenet(self) -> tuple[float, float]:
        """Return s and d of the ego's rear axle."""
        s, d = self.scenario.road.path.to_frenet(self.ego.x_m, self.ego.y_m)
        return float(s[0]), float(d[0])

    def scene(self) -> Scene:
        """Return the truth of this moment."""
        ego, traffic = self.ego, self.traffic
        x, y, yaw = traffic.road.path.to_ground(traffic.s_m, traffic.d_m)
        heading = traffic.heading_rad + np.arctan2(traffic.lateral_mps, np.maximum(traffic.speed_mps, 0.1))
        along = traffic.road.path.curvature(traffic.s_m) * traffic.speed_mps * np.cos(traffic.heading_rad)
        return Scene(
            self.time_s,
            ego.x_m,
            ego.y_m,
            ego.yaw_rad,
            ego.speed_mps,
            ego.yaw_rate_radps(self.vehicle.wheelbase_m),
            ego.acceleration_mps2,
            np.arange(1, len(x) + 1),
            traffic.kind,
            x,
            y,
            wrap(yaw + heading),
            np.hypot(traffic.speed_mps, traffic.lateral_mps),
            along,
            traffic.length_m,
            traffic.width_m,
            traffic.height_m,
            traffic.road.road,
        )

    def _middle(self) -> tuple[float, float]:
        ahead = self.vehicle.middle_m
        return self.ego.x_m + ahead * np.cos(self.ego.yaw_rad), self.ego.y_m + ahead * np.sin(
            self.ego.yaw_rad
        )

    def _ego_on_road(self) -> tuple[float, float, float, float, float]:
        s, d = self.scenario.road.path.to_frenet(*self._middle())
        return float(s[0]), float(d[0]), self.ego.speed_mps, self.vehicle.length_m, self.vehicle.width_m

    def _collide(self) -> Collision | None:
        scene = self.scene()
        x, y = self._middle()
        box = (x, y, self.ego.yaw_rad, self.vehicle.length_m, self.vehicle.width_m)
        hit = boxes_overlap(
            box,
            scene.object_x_m,
            scene.object_y_m,
            scene.object_yaw_rad,
            scene.object_length_m,
            scene.object_width_m,
        )
        if not hit.any():
            return None
        i = int(np.argmax(hit))
        to_object = np.array([scene.object_x_m[i] - x, scene.object_y_m[i] - y])
        forward = np.array([np.cos(self.ego.yaw_rad), np.sin(self.ego.yaw_rad)])
        heading = scene.object_yaw_rad[i]
        its = scene.object_speed_mps[i] * np.array([np.cos(heading), np.sin(heading)])
        closing = float(np.hypot(*(its - forward * self.ego.speed_mps)))
        behind = float(to_object @ forward) < -(self.vehicle.length_m / 2 - 0.3) and float(its @ forward) > 0
        return Collision(
            self.time_s, i + 1, int(scene.object_kind[i]), self.ego.speed_mps, closing, bool(behind)
        )
