"""The ego vehicle: a kinematic single-track model behind actuators with dead time, lag and a watchdog."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import BrakeCommand, BrakeStage, Plan

STEERING_DELAY_S = 0.08
DRIVE_DELAY_S = 0.10
BRAKE_DELAY_S = 0.08
LAG_S = 0.10
"""Dead times of the actuators, and the time constant of what they do after it (first order)."""

PLAN_WITHIN_S = 0.35
BRAKE_WITHIN_S = 0.10
"""A plan or brake command older than this is no command: the watchdog brakes."""
WATCHDOG_BRAKING_MPS2 = 5.0
_GRACE_S = 2.0  # loops take time to start; the car stands until a plan comes


@dataclass
class EgoState:
    """Where the car is (middle of the rear axle, ground frame) and how it moves."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
    speed_mps: float = 0.0
    acceleration_mps2: float = 0.0
    steering_rad: float = 0.0

    def yaw_rate_radps(self, wheelbase_m: float) -> float:
        """Return how fast it turns."""
        return self.speed_mps * math.tan(self.steering_rad) / wheelbase_m


@dataclass(frozen=True)
class Demand:
    """What the actuators were asked for, and why. ``watchdog`` names the command that is missing, or is empty."""

    steering_rad: float
    acceleration_mps2: float
    watchdog: str = ""


class Actuators:
    """Commands in, what the wheels get out: the stronger brake of both loops, each only while it is fresh.

    ``with_brake``: a braking loop is expected, and its silence brakes. Until the first plan the car is held.
    """

    def __init__(self, *, with_brake: bool, with_plan: bool = True) -> None:
        self._with_brake, self._with_plan = with_brake, with_plan
        self._plans: deque[tuple[float, Plan]] = deque()
        self._brakes: deque[tuple[float, BrakeCommand]] = deque()
        self._plan: tuple[float, Plan] | None = None
        self._brake: tuple[float, BrakeCommand] | None = None
        self._started_s: float | None = None

    def take_plan(self, time_s: float, plan: Plan) -> None:
        """Take a plan that arrived at ``time_s``. What is not a finite number is refused: it is no plan."""
        if math.isfinite(plan.steering_rad) and math.isfinite(plan.acceleration_mps2):
            self._plans.append((time_s, plan))

    def take_brake(self, time_s: float, command: BrakeCommand) -> None:
        """Take a brake command that arrived at ``time_s``; one that is not a number brakes fully."""
        if not math.isfinite(command.deceleration_mps2):
            command = BrakeCommand(command.time_ns, BrakeStage.FULL, math.inf, "the command is not a number")
        self._brakes.append((time_s, command))

    @property
    def brake(self) -> BrakeCommand | None:
        """The brake command in force."""
        return self._brake[1] if self._brake else None

    @property
    def plan(self) -> Plan | None:
        """The plan in force."""
        return self._plan[1] if self._plan else None

    def demand(self, time_s: float, steering_now_rad: float) -> Demand:
        """Return what the wheels are asked for at ``time_s``, dead times included."""
        if self._started_s is None:
            self._started_s = time_s
        while self._plans and self._plans[0][0] + DRIVE_DELAY_S <= time_s + 1e-9:
            self._plan = self._plans.popleft()
        while self._brakes and self._brakes[0][0] + BRAKE_DELAY_S <= time_s + 1e-9:
            self._brake = self._brakes.popleft()
        watchdog = ""
        if self._plan is None:
            steering, acceleration = steering_now_rad, (-WATCHDOG_BRAKING_MPS2 if self._with_plan else 0.0)
            if self._with_plan and time_s - self._started_s > _GRACE_S:
                watchdog = "no plan came"
        elif time_s - self._plan[0] > PLAN_WITHIN_S + DRIVE_DELAY_S:
            steering, acceleration, watchdog = (
                self._plan[1].steering_rad,
                -WATCHDOG_BRAKING_MPS2,
                "the plan is too old",
            )
        else:
            steering, acceleration = self._plan[1].steering_rad, self._plan[1].acceleration_mps2
        if self._brake is not None and time_s - self._brake[0] <= BRAKE_WITHIN_S + BRAKE_DELAY_S:
            if self._brake[1].deceleration_mps2 > 0:
                acceleration = min(acceleration, -self._brake[1].deceleration_mps2)
        elif self._with_brake and (self._brake is not None or time_s - self._started_s > _GRACE_S):
            acceleration = min(acceleration, -WATCHDOG_BRAKING_MPS2)
            watchdog = watchdog or "the brake command is too old"
        return Demand(steering, acceleration, watchdog)


def drive(state: EgoState, demand: Demand, dt_s: float, vehicle: VehicleConfig) -> EgoState:
    """Return the state ``dt_s`` later: kinematic single-track model, steering rate and forces limited.

    Equations: Rajamani, "Vehicle Dynamics and Control", 2nd ed. 2012, section 2.2, at the rear axle.
    """
    wanted = max(-vehicle.braking_mps2, min(demand.acceleration_mps2, vehicle.acceleration_mps2))
    acceleration = state.acceleration_mps2 + (wanted - state.acceleration_mps2) * min(dt_s / LAG_S, 1.0)
    limit = vehicle.steering_limit_rad
    target = max(-limit, min(demand.steering_rad, limit))
    most = vehicle.steering_rate_radps * dt_s
    steering = state.steering_rad + max(-most, min(target - state.steering_rad, most))
    speed = max(state.speed_mps + acceleration * dt_s, 0.0)
    if speed == 0.0:
        acceleration = max(acceleration, 0.0)
    mean = (speed + state.speed_mps) / 2
    yaw = state.yaw_rad + mean * math.tan(steering) / vehicle.wheelbase_m * dt_s
    middle = (yaw + state.yaw_rad) / 2
    return EgoState(
        state.x_m + mean * math.cos(middle) * dt_s,
        state.y_m + mean * math.sin(middle) * dt_s,
        math.remainder(yaw, 2 * math.pi),
        speed,
        acceleration,
        steering,
    )
