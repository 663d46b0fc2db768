"""The automotive app: see, fuse, plan, brake. Its loops, configuration, tasks and panels, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.automotive.braking.loop import braking_loop
from apps.automotive.braking.options import BrakingOptions
from apps.automotive.config import AutomotiveConfig
from apps.automotive.perception.loop import FETCHED_CARD, SHIPPED, perception_loop, perception_sources
from apps.automotive.perception.options import EvaluateOptions as PerceptionOptions
from apps.automotive.perception.train_options import TrainOptions
from apps.automotive.planning.loop import planning_loop
from apps.automotive.planning.options import PlanningOptions
from apps.automotive.simulation.loop import simulation_loop
from edgeai_core.app import App, Panel, Progress, Task
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.loop.spec import LoopSpec

if TYPE_CHECKING:
    from edgeai_core.recording.shown import Encoder

_PAGE = Path(__file__).parent / "page"


def loops(config: AutomotiveConfig) -> Sequence[LoopSpec[Any]]:
    """Return the app's loops; the simulation is the car and its surroundings."""
    return (
        simulation_loop(config),
        perception_loop(config.perception),
        planning_loop(config),
        braking_loop(config),
    )


def inputs(config: AutomotiveConfig, paths: Mapping[str, str]) -> AutomotiveConfig:
    """Return the configuration with recordings in place of the simulated road.

    For perception a KITTI drive (a folder) or a video; for the simulation a recorded drive (a file, or a folder of
    them), of which all loops live. Raises ConfigError for another loop, InputError for a path without a recording.
    """
    unknown = sorted(set(paths) - {"perception", "simulation"})
    if unknown:
        raise ConfigError(
            f"automotive has no recordings for {', '.join(unknown)}; it has them for perception and simulation"
        )
    if "simulation" in paths:
        from apps.automotive.simulation.recorded import drives_in, read_drive

        for each in drives_in(Path(paths["simulation"])):
            read_drive(each)
        drive = config.simulation.model_copy(update={"drive": Path(paths["simulation"])})
        config = config.model_copy(update={"simulation": drive})
    if "perception" not in paths:
        return config
    path = Path(paths["perception"])
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    source = "kitti" if path.is_dir() else "video"
    perception = config.perception.model_copy(update={"source": source, "path": path})
    perception_sources(perception)
    return config.model_copy(update={"perception": perception})


def channels() -> Mapping[type[Any], Encoder]:
    """Return how recorded messages look to people; its libraries are imported only now."""
    from apps.automotive.recording import channels as encoders

    return encoders()


def evaluate_perception(options: PerceptionOptions, progress: Progress) -> object:
    """Track recordings in KITTI's layout; the mathematics is imported only now."""
    from apps.automotive.perception.evaluate import evaluate

    return evaluate(options, progress)


def train_perception(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train the camera's detector on simulated pictures (extra ``train``); its libraries are imported only now."""
    from apps.automotive.perception.train import train

    return train(options, progress)


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
    inputs=inputs,
    tasks=(
        Task(
            "perception",
            "tracks of recordings in KITTI's layout",
            evaluate_perception,
            PerceptionOptions,
            train_perception,
            TrainOptions,
        ),
        Task("planning", "seeded scenarios, each driven to its end", evaluate_planning, PlanningOptions),
        Task(
            "braking", "tables of approaches, and hours of benign traffic", evaluate_braking, BrakingOptions
        ),
    ),
    demo={"simulation.drive_repeat": "true", "simulation.camera_hz": "10"},
    models=(SHIPPED.with_suffix(".card.toml"), FETCHED_CARD),
    channels=channels,
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
