"""The planner: one call is one cycle, from messages to a plan. It keeps the lane it meant, and how speeds changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apps.automotive.config import PlanningConfig, VehicleConfig
from apps.automotive.messages import Floats, Odometry, Plan, Route, Tracks
from apps.automotive.path import Path
from apps.automotive.planning import predict
from apps.automotive.planning.candidates import TIMES_S, Profiles, Sides, sides, speed_profiles
from apps.automotive.planning.check import beside, drivable, level, motion
from apps.automotive.planning.control import DEAD_TIME_S, pure_pursuit
from apps.automotive.planning.costs import STANDSTILL_GAP_M, WEIGHTS, Wishes, costs, exposure, harm
from apps.automotive.planning.decide import Choice, Table, Tier, choose
from apps.automotive.planning.preprocess import Obstacles, Situation, situation

_REACHED_S = DEAD_TIME_S + 0.1
"""What is demanded now is the acceleration of the profile this much later."""
_STANDS_MPS = 0.05
NOTICED_BRAKING_MPS2 = -2.0
"""A change of speed less than this is noise of the track."""


@dataclass(frozen=True)
class Planned:
    """One cycle's result: the plan, its tier, and what was chosen among what."""

    plan: Plan
    tier: Tier
    choice: Choice
    candidates: int


class Planner:
    """Plans; ``plan`` is called once a cycle."""

    def __init__(self, config: PlanningConfig, vehicle: VehicleConfig) -> None:
        self._config, self._vehicle = config, vehicle
        self._meant_xy: tuple[float, float] | None = None  # a point of the lane meant, for routes may change
        self._meant_d_m = 0.0
        self._end_xy: tuple[float, float] | None = None  # where the lateral profile that is driven ends
        self._speeds: dict[int, tuple[int, float, float]] = {}
        self._path: tuple[Route, Path] | None = None

    def plan(
        self, time_ns: int, odometry: Odometry, route: Route, tracks: Tracks | None, tracks_age_s: float = 0.0
    ) -> Planned:
        """Return the plan from now on. Raises InputError for an odometry or a route that is no such thing."""
        path = self._path_of(route)
        now = situation(path, route, odometry, tracks, self._vehicle, tracks_age_s)
        self._meant_d_m = self._meant_d(now)
        obstacles = self._relevant(now)
        accelerations = self._accelerations(time_ns, obstacles)
        futures = predict.nominal(obstacles, accelerations)
        speeds = self._profiles(now, obstacles)
        lateral = sides(
            now.d_m, now.slope, now.bend_1pm, now.speed_mps,
            lane_width_m=route.lane_width_m,
            lanes_left=min(route.lanes_left, 2) if self._config.lane_changes else 0,
            lanes_right=min(route.lanes_right, 2) if self._config.lane_changes else 0,
            driven=self._driven(now),
        )  # fmt: skip
        table = self._table(now, obstacles, futures, speeds, lateral)
        choice = choose(table)
        self._remember(now, lateral, choice)
        return self._planned(time_ns, now, speeds, lateral, choice)

    # -- the parts of a cycle

    def _path_of(self, route: Route) -> Path:
        if self._path is None or self._path[0] is not route:
            self._path = (route, Path(route.x_m, route.y_m))
        return self._path[1]

    def _relevant(self, now: Situation) -> Obstacles:
        """Leave out who is behind in the ego's own lane: they keep their distance, not we.

        Who is behind in another lane stays in it, as far as the ego is concerned: to come over is theirs to see to.
        """
        obstacles = now.obstacles
        rear = -self._vehicle.rear_overhang_m
        behind = obstacles.s_m + obstacles.half_length_m < rear
        own = np.abs(obstacles.d_m - now.d_m) < (self._vehicle.width_m / 2 + obstacles.half_width_m)
        comes = behind & (obstacles.lateral_mps * (now.d_m - obstacles.d_m) > 0)
        obstacles = replace(
            obstacles,
            lateral_mps=np.where(comes, 0.0, obstacles.lateral_mps),
            sigma_lateral_mps=np.where(behind, 0.0, obstacles.sigma_lateral_mps),
        )
        return obstacles.take(~(behind & own))

    def _accelerations(self, time_ns: int, obstacles: Obstacles) -> Floats:
        """Return the accelerations of tracks by how their speeds changed, smoothed; 0 where it may be noise."""
        result = np.zeros(len(obstacles.id))
        speeds: dict[int, tuple[int, float, float]] = {}
        for i, identity in enumerate(obstacles.id.tolist()):
            speed = float(obstacles.speed_mps[i])
            then_ns, before, smooth = self._speeds.get(identity, (time_ns, speed, 0.0))
            dt = (time_ns - then_ns) * 1e-9
            if dt > 0.01:
                share = min(dt / 0.3, 1.0)
                smooth += share * (max(-9.0, min((speed - before) / dt, 9.0)) - smooth)
            speeds[identity] = (time_ns, speed, smooth)
            result[i] = smooth if smooth < NOTICED_BRAKING_MPS2 else 0.0
        self._speeds = speeds
        return result

    def _profiles(self, now: Situation, obstacles: Obstacles) -> Profiles:
        """Return speed profiles, with places to be behind those ahead in the lane meant and in the own one."""
        places = []
        for d in sorted({round(now.d_m, 2), round(self._meant_d_m, 2)}):
            ahead = (obstacles.s_m > 0) & (np.abs(obstacles.d_m - d) < 1.2 + obstacles.half_width_m)
            if not ahead.any():
                continue
            gaps = np.where(ahead, obstacles.s_m - obstacles.half_length_m - self._vehicle.front_m, np.inf)
            i = int(np.argmin(gaps))
            speed = max(float(obstacles.speed_mps[i]), 0.0)
            keep = STANDSTILL_GAP_M + self._config.headway_s * speed
            goal = float(gaps[i]) - keep
            if 0.0 < gaps[i] < 150.0:
                places.append((max(goal, 0.1), speed))
        top = self._wanted_mps(now)
        most = self._vehicle.braking_mps2
        return speed_profiles(
            now.speed_mps, now.acceleration_mps2, top_mps=top, braking_mps2=most, places=tuple(places)
        )

    def _wanted_mps(self, now: Situation) -> float:
        return max(min(self._config.speed_mps, now.route.speed_limit_mps), 1.0)

    def _table(
        self, now: Situation, obstacles: Obstacles, futures: predict.Futures, speeds: Profiles, lateral: Sides
    ) -> Table:
        vehicle = self._vehicle
        count = len(speeds.s_m)
        road = now.path.curvature(now.s_m + speeds.s_m)
        moves = motion(lateral, speeds.s_m, speeds.speed_mps, road)
        bend = self._config.lateral_acceleration_mps2
        comfortable, possible = drivable(moves, speeds.acceleration_mps2, speeds.speed_mps, bend, vehicle)
        contacts = level(speeds.s_m, speeds.speed_mps, futures, vehicle)
        hits = beside(contacts, contacts.of(moves.d_m), contacts.of(moves.slope), futures, vehicle)
        collides = contacts.reduce(hits, count, np.logical_or).astype(bool)
        harmful = harm(contacts, hits, speeds, futures)
        exposed = exposure(now, obstacles, speeds, lateral, vehicle)
        lane = round(self._meant_d_m / now.route.lane_width_m)
        wishes = Wishes(self._wanted_mps(now), self._config.headway_s, lane)
        by_name = costs(now, wishes, futures, speeds, lateral, moves, contacts, vehicle)
        by_name["exposure"] = WEIGHTS["exposure"] * exposed
        return Table(comfortable, possible, collides, exposed > 0.0, harmful, speeds.stop, by_name)

    # -- memory and output

    def _meant_d(self, now: Situation) -> float:
        """Return the middle of the lane that was meant, by the route; at first the lane where the ego is."""
        width = now.route.lane_width_m
        if self._meant_xy is None:
            lane = int(np.clip(round(now.d_m / width), -now.route.lanes_right, now.route.lanes_left))
            return lane * width
        return round(float(now.path.to_frenet(*self._meant_xy)[1][0]) / width) * width

    def _driven(self, now: Situation) -> tuple[float, float] | None:
        if self._end_xy is None:
            return None
        s, d = now.path.to_frenet(*self._end_xy)
        return float(s[0]) - now.s_m, float(d[0])

    def _remember(self, now: Situation, lateral: Sides, choice: Choice) -> None:
        d = float(lateral.lane[choice.side]) * now.route.lane_width_m
        x, y, _ = now.path.to_ground(now.s_m, d)
        self._meant_xy = (float(x), float(y))
        end, aside = float(lateral.length_m[choice.side]), float(lateral.target_m[choice.side])
        x, y, _ = now.path.to_ground(now.s_m + end, aside)
        self._end_xy = (float(x), float(y))

    def _planned(
        self, time_ns: int, now: Situation, speeds: Profiles, lateral: Sides, choice: Choice
    ) -> Planned:
        s, v = speeds.s_m[choice.speed], np.maximum(speeds.speed_mps[choice.speed], 0.0)
        dense = np.linspace(0.0, max(float(s[-1]), 25.0), 60)
        d, _, _ = lateral.place_at(choice.side, dense)
        x, y, _ = now.path.to_ground(now.s_m + dense, d)
        steering = pure_pursuit(
            x, y, now.odometry, self._vehicle.wheelbase_m, self._vehicle.steering_limit_rad
        )
        d, slope, _ = lateral.place_at(choice.side, s)
        x, y, heading = now.path.to_ground(now.s_m + s, d)
        stretch = 1.0 - now.path.curvature(now.s_m + s) * d
        profile = speeds.acceleration_mps2[choice.speed]
        acceleration = float(np.interp(_REACHED_S, TIMES_S, profile))
        if float(np.interp(_REACHED_S, TIMES_S, v)) < _STANDS_MPS:
            # what stands by then brakes no more in the profile, but has to until then, and is held
            acceleration = min(acceleration, -max(now.speed_mps / _REACHED_S, 1.0))
        lane = int(lateral.lane[choice.side])
        stop = bool(speeds.stop[choice.speed])
        plan = Plan(
            time_ns=time_ns,
            manoeuvre=_manoeuvre(speeds.kinds[choice.speed], lane, now),
            reason=choice.reason,
            at_s=TIMES_S,
            x_m=x,
            y_m=y,
            yaw_rad=heading + np.arctan2(slope, stretch),
            speed_mps=v,
            steering_rad=steering,
            acceleration_mps2=acceleration,
            candidates=len(lateral.length_m) * len(speeds.s_m),
            safe_stop=stop,
        )
        return Planned(plan, choice.tier, choice, plan.candidates)


def _manoeuvre(kind: str, lane: int, now: Situation) -> str:
    aside = lane * now.route.lane_width_m - now.d_m
    if abs(aside) > now.route.lane_width_m / 2:
        return "lane change to the left" if aside > 0 else "lane change to the right"
    return kind
