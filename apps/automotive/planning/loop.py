"""The planning loop: tracks, route and odometry become a plan ten times a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import START_WITHIN_S, Odometry, Plan, Route, Tracks, no_tracks
from apps.automotive.odometry import elsewhere
from apps.automotive.planning.decide import Code, blind, conditions
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts, Realtime

if TYPE_CHECKING:
    from apps.automotive.planning.planner import Planner
    from apps.automotive.planning.stopping import Stopping

RATE_HZ = 10.0
DEADLINE_S = 0.05

TRACKS: Input[Tracks] = Input("automotive.perception", max_age_s=0.5)
ROUTE: Input[Route] = Input("automotive.simulation/route", max_age_s=2.0)
ODOMETRY: Input[Odometry] = Input("automotive.simulation/odometry", max_age_s=0.2)

RULES: Mapping[str, Rule] = {
    Code.COLLISION_AHEAD: Rule(clear_after_s=2.0, latched=True),
    Code.EMERGENCY_STOP: Rule(clear_after_s=1.0),
    Code.BLIND_STOP: Rule(raise_after_s=0.1, clear_after_s=1.0),
}


def planning_loop(config: AutomotiveConfig) -> LoopSpec[Plan]:
    """Return the specification of the loop; nothing is built before ``build``."""
    from apps.automotive.planning.stopping import NO_PLAN

    return LoopSpec(
        name="planning",
        trigger=Every(RATE_HZ),
        inputs=(TRACKS, ROUTE, ODOMETRY),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        start_within_s=START_WITHIN_S,
        realtime=Realtime(priority=config.planning.priority),
        safe=Decision(NO_PLAN, conditions=None),
        rules=RULES,
    )


def _build(config: AutomotiveConfig) -> Parts[Plan]:
    from apps.automotive.planning.planner import Planner
    from apps.automotive.planning.stopping import Stopping, warm_up

    warm_up(Planner(config.planning, config.vehicle))
    step = PlanningStep(
        Planner(config.planning, config.vehicle), Stopping(config.vehicle), config.vehicle.name
    )
    return Parts((), step, step.fall_back)


class PlanningStep:
    """The step and its fallback, over one planner. ``stopping`` plans the stop where nothing can be told."""

    def __init__(self, planner: Planner, stopping: Stopping, vehicle: str) -> None:
        self._planner, self._stopping, self._vehicle = planner, stopping, vehicle

    def __call__(self, snapshot: Snapshot) -> Decision[Plan]:
        """Plan from what is known now."""
        odometry = snapshot[ODOMETRY].samples[-1]
        tracks = snapshot[TRACKS].data
        if elsewhere(tracks.ego, odometry.data):
            tracks = no_tracks(
                tracks.time_ns, odometry.data
            )  # odometry has begun anew, and they are of before
        age_s = max((odometry.time_ns - tracks.time_ns) * 1e-9, 0.0)
        with snapshot.stages.stage("plan"):
            planned = self._planner.plan(odometry.time_ns, odometry.data, snapshot[ROUTE].data, tracks, age_s)
        self._stopping.remember(planned.plan)
        found = conditions(planned.plan, planned.tier, vehicle=self._vehicle)
        return Decision(planned.plan, found, {"plan": _live(planned.plan, snapshot[ROUTE].data)})

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[Plan]:
        """Stop on the path that was meant: without tracks, route or odometry there is nothing else to stand on."""
        plan = self._stopping.stop(snapshot.now_ns, fault.message)
        return Decision(plan, blind(fault.message, self._vehicle), {"plan": _live(plan)})


_SHOWN_POINTS = 120
"""A route is drawn through so many points at most."""


def _live(plan: Plan, route: Route | None = None) -> Mapping[str, object]:
    """Return what the page draws, in the odometry frame."""
    road = {} if route is None else {"route": _road(route)}
    return road | {
        "x_m": [round(value, 2) for value in plan.x_m.tolist()],
        "y_m": [round(value, 2) for value in plan.y_m.tolist()],
        "speed_mps": [round(value, 2) for value in plan.speed_mps.tolist()],
        "manoeuvre": plan.manoeuvre,
        "reason": plan.reason,
        "candidates": plan.candidates,
        "safe_stop": plan.safe_stop,
        "steering_rad": round(plan.steering_rad, 4),
        "acceleration_mps2": round(plan.acceleration_mps2, 2),
    }


def _road(route: Route) -> Mapping[str, object]:
    every = -(-len(route.x_m) // _SHOWN_POINTS)
    return {
        "x_m": [round(value, 1) for value in route.x_m[::every].tolist()],
        "y_m": [round(value, 1) for value in route.y_m[::every].tolist()],
        "lane_width_m": route.lane_width_m,
        "lanes_left": route.lanes_left,
        "lanes_right": route.lanes_right,
    }
