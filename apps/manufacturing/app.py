"""The manufacturing app: parts and machines. Its loops, configuration, tasks and panels, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.manufacturing.config import ManufacturingConfig
from apps.manufacturing.inspection.loop import inspection_loop
from apps.manufacturing.inspection.options import ContinualOptions, EvaluateOptions, TrainOptions
from apps.manufacturing.inspection.sources import check_recording
from apps.manufacturing.maintenance.loop import MODELS as _MACHINE_MODELS
from apps.manufacturing.maintenance.loop import machine_source, maintenance_loop
from apps.manufacturing.maintenance.options import EvaluateOptions as EvaluateMachineOptions
from apps.manufacturing.maintenance.options import TrainOptions as TrainMachineOptions
from edgeai_core.app import App, Panel, Progress, Task
from edgeai_core.errors import ConfigError
from edgeai_core.loop.spec import LoopSpec

_PAGE = Path(__file__).parent / "page"
_MODELS = Path(__file__).parent / "inspection" / "models"


def loops(config: ManufacturingConfig) -> Sequence[LoopSpec[Any]]:
    """Return the app's loops."""
    return (
        inspection_loop(config.inspection),
        maintenance_loop(config.maintenance),
    )


def inputs(config: ManufacturingConfig, paths: Mapping[str, str]) -> ManufacturingConfig:
    """Return the configuration with recordings in place of cameras and sensors, by the name of the loop.

    Raises ConfigError for a loop that the app does not have, InputError for a path that holds no recording.
    """
    known = ("inspection", "maintenance")
    unknown = sorted(set(paths) - set(known))
    if unknown:
        raise ConfigError(f"manufacturing has no loop {', '.join(unknown)}; it has {', '.join(known)}")
    update: dict[str, object] = {}
    if "inspection" in paths:
        recording = Path(paths["inspection"])
        check_recording(recording)
        update["inspection"] = config.inspection.model_copy(update={"recording": recording})
    if "maintenance" in paths:
        machine = config.maintenance.model_copy(update={"recording": Path(paths["maintenance"])})
        machine_source(machine).check()
        update["maintenance"] = machine
    return config.model_copy(update=update) if update else config


def router(config: ManufacturingConfig) -> object:
    """Return the app's own routes; FastAPI is imported only now."""
    from apps.manufacturing.inspection.routes import parts_router

    return parts_router()


def evaluate_inspection(options: EvaluateOptions, progress: Progress) -> object:
    """Measure an inspection model on folders of pictures; its libraries are imported only now."""
    from apps.manufacturing.inspection.evaluate import evaluate

    return evaluate(options, progress)


def train_inspection(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Teach an inspection model from folders of pictures; its libraries are imported only now."""
    from apps.manufacturing.inspection.train import train

    return train(options, progress)


def learn_inspection(options: ContinualOptions, progress: Progress) -> object:
    """Learn a further kind of part on this device; its libraries are imported only now."""
    from apps.manufacturing.inspection.adapt import continual

    return continual(options, progress)


def evaluate_maintenance(options: EvaluateMachineOptions, progress: Progress) -> object:
    """Measure what is foretold of machines; its libraries are imported only now."""
    from apps.manufacturing.maintenance.evaluate import evaluate

    return evaluate(options, progress)


def train_maintenance(options: TrainMachineOptions, progress: Progress) -> Mapping[str, object]:
    """Teach what is foretold of machines; its libraries are imported only now."""
    from apps.manufacturing.maintenance.train import train

    return train(options, progress)


app = App(
    name="manufacturing",
    summary="Parts inspected one by one on the line, and the health of machines",
    config=ManufacturingConfig,
    loops=loops,
    inputs=inputs,
    tasks=(
        Task(
            "inspection",
            "good and bad parts, or printed boards against their template",
            evaluate_inspection,
            EvaluateOptions,
            train_inspection,
            TrainOptions,
            continual=learn_inspection,
            continual_options=ContinualOptions,
        ),
        Task(
            "maintenance",
            "remaining life, kinds of fault and failures foretold, on histories of machines",
            evaluate_maintenance,
            EvaluateMachineOptions,
            train_maintenance,
            TrainMachineOptions,
        ),
    ),
    router=router,
    panels=(
        Panel("line", "Line", _PAGE / "line.js", ("manufacturing.inspection/part",)),
        Panel("machine", "Machine", _PAGE / "machine.js", ("manufacturing.maintenance/machine",)),
    ),
    demo={
        "inspection.repeat": "true",
        "maintenance.repeat": "true",
    },
    models=(
        _MODELS / "backbone.card.toml",
        _MODELS / "flange" / "model.card.toml",
        _MODELS / "boards" / "model.card.toml",
        *(_MACHINE_MODELS / f"{name}.card.toml" for name in ("bearing", "life", "wear")),
    ),
)
