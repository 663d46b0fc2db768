"""The stop where nothing can be told: the path last meant, braked steadily to a standstill."""

from __future__ import annotations

import numpy as np

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Odometry, Plan, Route, no_tracks
from apps.automotive.planning.candidates import TIMES_S
from apps.automotive.planning.planner import Planner

BRAKING_MPS2 = 3.5
"""Harder than comfortable, softer than what those behind cannot follow."""
STRAIGHTENS_S = 1.5
"""Blind, the steering goes back to straight with this time constant: a bend ends, and nobody sees where."""

NO_PLAN = Plan(
    0, "stop", "there is no plan", np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), 0.0, -BRAKING_MPS2,
    safe_stop=True,
)  # fmt: skip


class Stopping:
    """Keeps the last plan, and stops on it."""

    def __init__(self, vehicle: VehicleConfig) -> None:
        self._vehicle = vehicle
        self._last = NO_PLAN

    def remember(self, plan: Plan) -> None:
        """Keep the plan that a stop would follow."""
        self._last = plan

    def stop(self, time_ns: int, reason: str) -> Plan:
        """Return a stop along the last plan's path, from where that plan is at ``time_ns``."""
        last = self._last
        gone_s = max((time_ns - last.time_ns) * 1e-9, 0.0)
        speed = max(float(np.interp(min(gone_s, 0.5), last.at_s, last.speed_mps)), 0.0)
        driven = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(last.x_m), np.diff(last.y_m)))])
        start = float(np.interp(gone_s, last.at_s, driven))
        t = np.minimum(TIMES_S, speed / BRAKING_MPS2)
        at = np.minimum(start + speed * t - BRAKING_MPS2 / 2 * t**2, driven[-1])
        steering = last.steering_rad * float(np.exp(-gone_s / STRAIGHTENS_S))
        return Plan(
            time_ns, "stop", reason, TIMES_S, np.interp(at, driven, last.x_m), np.interp(at, driven, last.y_m),
            np.interp(at, driven, last.yaw_rad), np.maximum(speed - BRAKING_MPS2 * t, 0.0), steering, -BRAKING_MPS2,
            safe_stop=True,
        )  # fmt: skip


def warm_up(planner: Planner) -> None:
    """Plan once on an empty road: a first cycle would pay for caches with its deadline."""
    x = np.arange(0.0, 200.0, 2.0)
    route = Route(x, np.zeros_like(x), 3.5, 1, 1, 13.9)
    planner.plan(0, Odometry(x_m=20.0, speed_mps=10.0), route, no_tracks())
