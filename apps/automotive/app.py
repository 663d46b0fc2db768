"""The automotive app: see, fuse, plan, brake. Its loops, configuration, tasks and panels, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.automotive.braking.loop import braking_loop
from apps.automotive.braking.options import BrakingOptions
from apps.automotive.config import AutomotiveConfig
from apps.automotive.perception.loop import perception_loop
from apps.automotive.planning.loop import planning_loop
from apps.automotive.planning.options import PlanningOptions
from apps.automotive.simulation.loop import simulation_loop
from edgeai_core.app import App, Panel, Progress, Task
from edgeai_core.loop.spec import LoopSpec

_PAGE = Path(__file__).parent / "page"


def loops(config: AutomotiveConfig) -> Sequence[LoopSpec[Any]]:
    """Return the app's loops; the simulation is the car and its surroundings."""
    return (
        simulation_loop(config),
        perception_loop(config.perception),
        planning_loop(config),
        braking_loop(config),
    )


def evaluate_planning(options: PlanningOptions, progress: Progress) -> object:
    """Drive the seeded scenarios; the mathematics is imported only now."""
    from apps.automotive.planning.evaluate import evaluate

    return evaluate(options, progress)


def evaluate_braking(options: BrakingOptions, progress: Progress) -> object:
    """Drive the tables and the benign traffic; the mathematics is imported only now."""
    from apps.automotive.braking.evaluate import evaluate

    return evaluate(options, progress)


app = App(
    name="automotive",
    summary="A simulated car that sees, plans and brakes, each in a loop of its own",
    config=AutomotiveConfig,
    loops=loops,
    tasks=(
        Task("planning", "seeded scenarios, each driven to its end", evaluate_planning, PlanningOptions),
        Task("braking", "tables of approaches, and hours of benign traffic", evaluate_braking, BrakingOptions),
    ),
    panels=(
        Panel(
            "road",
            "Road",
            _PAGE / "road.js",
            (
                "automotive.perception/seen",
                "automotive.perception/camera",
                "automotive.planning/plan",
                "automotive.braking/brake",
            ),
        ),
    ),
)
