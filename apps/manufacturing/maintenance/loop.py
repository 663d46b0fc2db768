"""The maintenance loop: its configuration becomes a source, an analysis once a second, and rules for its alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apps.manufacturing.maintenance.config import MaintenanceConfig
from apps.manufacturing.maintenance.decide import Code, MaintenanceOutput, condition
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts

if TYPE_CHECKING:
    from apps.manufacturing.maintenance.analysis import MachineAnalyzer, Models
    from apps.manufacturing.maintenance.recording import MachineChunk
    from edgeai_core.sensors.player import Player

RATE_HZ = 1.0
DEADLINE_S = 0.5
MAX_AGE_S = 5.0
"""Without a new measurement for so long the sensors are lost."""

MODELS = Path(__file__).parent / "models"

MACHINE: Input[MachineChunk] = Input("machine", history="new", depth=64, max_age_s=MAX_AGE_S)


def maintenance_loop(config: MaintenanceConfig) -> LoopSpec[MaintenanceOutput]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``."""
    return LoopSpec(
        name="maintenance",
        trigger=Every(RATE_HZ),
        inputs=(MACHINE,),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        safe=Decision(MaintenanceOutput(config.machine, "CANNOT_TELL"), conditions=None),
        rules={
            Code.MAINTENANCE_REQUIRED: Rule(config.raise_after_s, config.clear_after_s),
            Code.VIBRATION_ZONE_D: Rule(config.raise_after_s, config.clear_after_s),
            Code.MACHINE_UNUSUAL: Rule(config.raise_after_s, config.clear_after_s),
            Code.SENSOR_TROUBLE: Rule(raise_after_s=2.0, clear_after_s=2.0),
        },
    )


def machine_source(config: MaintenanceConfig) -> Player[MachineChunk]:
    """Return the source that the configuration names. Raises InputError for a path that holds no recording."""
    from apps.manufacturing.maintenance.sources import machine_player, open_simulation, recordings_at

    if config.recording is not None:
        return machine_player(recordings_at(config.recording, config.columns), repeat=config.repeat)
    made = config.simulation
    return machine_player(
        (
            lambda: open_simulation(
                made.number,
                made.kind,
                rate_hz=made.rate_hz,
                channels=made.channels,
                every_h=made.every_h,
                burst_s=made.burst_s,
            ),
        ),
        repeat=True,
    )


def load_models(folder: Path | None) -> Models:
    """Load what ships, with what a taught folder holds in its place."""
    from apps.manufacturing.maintenance.analysis import Models
    from apps.manufacturing.maintenance.damage import BearingJudge
    from apps.manufacturing.maintenance.life import LifeModel
    from apps.manufacturing.maintenance.wear import Calibration

    def file(name: str) -> Path:
        own = None if folder is None else folder / name
        return own if own is not None and own.is_file() else MODELS / name

    life = file("life.onnx")
    return Models(
        BearingJudge.load(file("bearing.npz")),
        Calibration.load(file("wear.npz")),
        LifeModel.load(life) if life.is_file() else None,
    )


def _build(config: MaintenanceConfig) -> Parts[MaintenanceOutput]:
    """Open the source and the models. Imports here, so that a specification costs no numpy."""
    from apps.manufacturing.maintenance.analysis import MachineAnalyzer

    models = load_models(config.model)
    settings = config.settings()
    _warm_up(MachineAnalyzer(models, settings))
    analyzer = MachineAnalyzer(models, settings)
    step = MaintenanceStep(analyzer, replayed=config.recording is not None)
    return Parts((machine_source(config),), step, step.fall_back)


def _warm_up(analyzer: MachineAnalyzer) -> None:
    """Run every stage once on noise: a first cycle would pay for imports and caches with its deadline."""
    import numpy as np

    from apps.manufacturing.maintenance.recording import MachineChunk

    noise = np.random.default_rng(0).standard_normal((25_600, 3)).astype(np.float32)
    for first in (0, len(noise)):
        list(analyzer.push(MachineChunk(noise, 25_600.0, ("a", "b", "c"), {"rpm": 1500.0}, first)))


class MaintenanceStep:
    """The step and its fallback, over one analysis; ``replayed`` is told to the page."""

    def __init__(self, analyzer: MachineAnalyzer, *, replayed: bool) -> None:
        self._analyzer = analyzer
        self._replayed = replayed

    def __call__(self, snapshot: Snapshot) -> Decision[MaintenanceOutput]:
        """Analyse what has come, and decide."""
        judged = False
        for sample in snapshot[MACHINE].samples:
            for _ in self._analyzer.push(sample.data, snapshot.stages, lost=sample.lost > 0):
                judged = True
        decision = self._analyzer.decision
        if not judged:
            return decision
        shown = {**_live(self._analyzer, decision.output), "replayed": self._replayed}
        return Decision(decision.output, decision.conditions, {"machine": shown})

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[MaintenanceOutput]:
        """Say that nothing can be told. Without a signal what stood stands, and the loss is a condition too."""
        last = self._analyzer.decision
        output = MaintenanceOutput(last.output.machine, "CANNOT_TELL", time_s=last.output.time_s)
        if fault.kind is not FaultKind.STALE or last.conditions is None:
            return Decision(output, conditions=None)
        kept = [each for each in last.conditions if each.code != Code.SENSOR_TROUBLE]
        return Decision(output, (*kept, condition(Code.SENSOR_TROUBLE, output, None)))


def _live(analyzer: MachineAnalyzer, output: MaintenanceOutput) -> Mapping[str, object]:
    """Return what the page draws."""
    from apps.manufacturing.maintenance.live import picture

    return picture(analyzer, output)
