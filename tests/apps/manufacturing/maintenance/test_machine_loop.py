"""The maintenance loop as it ships, on simulated machines whose truth is known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.manufacturing.maintenance.analysis import MachineAnalyzer, Models, Settings
from apps.manufacturing.maintenance.config import MaintenanceConfig
from apps.manufacturing.maintenance.decide import ACTION, Code, MaintenanceOutput
from apps.manufacturing.maintenance.loop import load_models, maintenance_loop
from apps.manufacturing.maintenance.npzfile import write_npz
from apps.manufacturing.maintenance.recording import Block, MachineChunk
from apps.manufacturing.simulation.machines import Machine, measure
from edgeai_core.alerts.lifecycle import observe
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.sample import View
from edgeai_core.sensors.replay import replay

RATE_HZ = 10_240.0
EVERY_H = 12.0


def lifetime(kind: str, **changes: object) -> list[Block]:
    """A measurement of 0.2 s every 12 hours, from new to failed."""
    machine = replace(Machine("m", kind, 300.0, 600.0, 2.0, seed=5), **changes)  # type: ignore[arg-type]
    hours = np.arange(EVERY_H, machine.failure_h, EVERY_H)
    return [measure(machine, float(h), rate_hz=RATE_HZ, duration_s=0.2, channels=2) for h in hours]


def played(path: Path, **more: object) -> list[Cycle[MaintenanceOutput]]:
    return list(replay(maintenance_loop(MaintenanceConfig(recording=path, **more))))  # type: ignore[arg-type]


def recorded(path: Path, blocks: list[Block]) -> Path:
    write_npz(path, blocks, RATE_HZ, play_s=1.0, simulated=True)
    return path


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(None)


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> list[Cycle[MaintenanceOutput]]:
    return played(recorded(tmp_path_factory.mktemp("worn") / "a.npz", lifetime("outer_race")))


def outputs(
    analyzer: MachineAnalyzer, blocks: list[Block], rate_hz: float = RATE_HZ
) -> Iterator[Decision[MaintenanceOutput]]:
    first = 0
    for block in blocks:
        channels = tuple(f"channel {n}" for n in range(block.vibration.shape[1]))
        chunk = MachineChunk(
            block.vibration, rate_hz, channels, block.slow, first, "a", burst=True, simulated=True
        )
        first += len(block.vibration)
        yield from analyzer.push(chunk)


def test_a_machine_that_wears_out_is_one_alert_before_it_fails_with_what_to_do(
    worn: list[Cycle[MaintenanceOutput]],
) -> None:
    rules = maintenance_loop(MaintenanceConfig()).rules
    watches: dict[object, object] = {}
    began = []
    for cycle in worn:
        seen = observe(watches, cycle.conditions_of.conditions, rules, cycle.snapshot.now_ns)  # type: ignore[arg-type]
        watches = dict(seen.watches)
        began += [
            (each, cycle.decision.output) for each in seen.began if each.code == Code.MAINTENANCE_REQUIRED
        ]
    assert len(began) == 1
    alert, output = began[0]
    assert output.hours is not None
    assert 300.0 < output.hours < 600.0 - EVERY_H
    assert alert.evidence["status"] == "MAINTENANCE_REQUIRED"
    assert alert.evidence["action"] == ACTION
    assert float(str(alert.evidence["failure_probability"])) > 0.8
    assert alert.evidence["simulated"] is True
    assert "time_to_failure" in alert.evidence


def test_a_healthy_machine_is_normal_and_its_wear_has_no_end_in_sight(
    worn: list[Cycle[MaintenanceOutput]],
) -> None:
    healthy = [c for c in worn if c.decision.output.hours is not None and c.decision.output.hours < 300]
    assert {cycle.decision.output.status for cycle in healthy} == {"NORMAL"}
    assert all(cycle.decision.conditions == () for cycle in healthy)
    assert healthy[-1].decision.output.time_to_failure is None
    assert (healthy[-1].decision.output.health_index or 0) > 0.9


def test_no_cycle_of_a_life_is_a_fault(worn: list[Cycle[MaintenanceOutput]]) -> None:
    assert all(cycle.fault is None for cycle in worn)


@pytest.mark.parametrize("kind", ["inner_race", "imbalance", "misalignment", "cavitation"])
def test_the_kind_of_a_fault_is_named_when_it_is_far_on(models: Models, kind: str) -> None:
    said = [each.output.fault for each in outputs(MachineAnalyzer(models, Settings()), lifetime(kind))]
    assert said[-1] == kind
    assert said[20] == "none"


def test_how_a_signal_is_cut_does_not_change_a_decision(models: Models) -> None:
    machine = Machine("m", "ball", 0.0, 100.0)
    whole = measure(machine, 50.0, rate_hz=RATE_HZ, duration_s=12.0, channels=1)
    said = []
    for size in (700, 10_240, 50_000):
        analyzer = MachineAnalyzer(models, Settings(learn=8))
        decisions = []
        for first in range(0, len(whole.vibration), size):
            piece = whole.vibration[first : first + size]
            decisions += list(
                analyzer.push(MachineChunk(piece, RATE_HZ, ("a",), {"rpm": 1770.0}, first, "r"))
            )
        said.append([each.output for each in decisions])
    assert len(said[0]) == 12
    assert said[0] == said[1] == said[2]


def test_a_gap_throws_away_the_second_it_is_in_and_no_more(models: Models) -> None:
    noise = np.random.default_rng(0).standard_normal((int(5 * RATE_HZ), 1)).astype(np.float32)
    analyzer = MachineAnalyzer(models, Settings())
    half = int(0.5 * RATE_HZ)
    made = []
    for first in range(0, len(noise), half):
        if first != half:  # the first second's latter half never comes
            chunk = MachineChunk(noise[first : first + half], RATE_HZ, ("a",), {"rpm": 1500.0}, first, "r")
            made += list(analyzer.push(chunk))
    assert len(made) == 4


@pytest.mark.parametrize(
    ("name", "spoil", "trouble"),
    [
        ("constant", lambda v: np.full_like(v, 3.0), "constant"),
        ("clipped", lambda v: np.clip(v, -0.3, 0.3), "clipped"),
        ("gaps", lambda v: np.where(np.arange(len(v))[:, None] % 10 == 0, np.nan, v), "missing"),
        ("nothing", lambda v: np.full_like(v, np.nan), "missing"),
    ],
)
def test_a_sensor_in_trouble_is_said_and_nothing_is_judged_by_it(
    models: Models, name: str, spoil: object, trouble: str
) -> None:
    blocks = lifetime("imbalance")[:3]
    bad = [Block(spoil(block.vibration), block.slow, 1.0) for block in blocks]  # type: ignore[operator]
    decision = list(outputs(MachineAnalyzer(models, Settings()), bad))[-1]
    assert decision.output.status == "CANNOT_TELL"
    (condition,) = decision.conditions or ()
    assert condition.code == Code.SENSOR_TROUBLE
    assert trouble in str(condition.evidence["troubles"])


def test_one_bad_channel_does_not_blind_the_other(models: Models) -> None:
    blocks = lifetime("imbalance")[:3]
    for block in blocks:
        block.vibration[:, 1] = 0.0
    decision = list(outputs(MachineAnalyzer(models, Settings()), blocks))[-1]
    assert decision.output.status == "NORMAL"
    assert [each.code for each in decision.conditions or ()] == [Code.SENSOR_TROUBLE]


@pytest.mark.parametrize("rpm", [0.0, -5.0, 1e9, float("nan")])
def test_a_speed_that_makes_no_sense_is_said_and_levels_are_judged_all_the_same(
    models: Models, rpm: float
) -> None:
    blocks = [Block(block.vibration, {**block.slow, "rpm": rpm}, 1.0) for block in lifetime("imbalance")[:3]]
    analyzer = MachineAnalyzer(models, Settings())
    decision = list(outputs(analyzer, blocks))[-1]
    assert decision.output.velocity_mm_s is not None
    assert "speed" in analyzer.belief.troubles[-1]


def test_an_engines_cycles_give_its_remaining_life_with_an_interval(tmp_path: Path, models: Models) -> None:
    assert models.life is not None
    scaling = models.life.scaling
    sensors = np.zeros(21)
    sensors[list(scaling.sensors)] = scaling.means[0]
    settings = scaling.centres[0] * scaling.setting_spreads
    lines = []
    for cycle in range(1, 61):
        worn = sensors.copy()
        worn[list(scaling.sensors)] -= np.sign(scaling.direction) * scaling.spreads[0] * 4 * (cycle / 60) ** 2
        lines.append(" ".join(f"{value:.6f}" for value in (1, cycle, *settings, *worn)))
    (tmp_path / "test_FD001.txt").write_text("\n".join(lines) + "\n")
    said = [cycle.decision.output for cycle in played(tmp_path / "test_FD001.txt")]
    assert said[0].remaining_unit == "cycles"
    first, last = said[5].time_to_failure, said[-1].time_to_failure
    assert first is not None
    assert last is not None
    assert last < first
    assert (said[-1].time_to_failure_low or 0) <= last <= (said[-1].time_to_failure_high or 1e9)


def test_a_source_that_falls_silent_keeps_what_stood(worn: list[Cycle[MaintenanceOutput]]) -> None:
    spec = maintenance_loop(MaintenanceConfig())
    parts = spec.build()
    views = {each.source: View[object]((), None) for each in spec.inputs}
    decision = parts.fallback(Snapshot(0, 0, 0, 0, views), Fault(FaultKind.STALE, "a test", input="machine"))
    assert decision.conditions is None
    assert decision.output.status == "CANNOT_TELL"


def test_a_specification_costs_no_numpy() -> None:
    code = (
        "import sys; from apps.manufacturing.maintenance.config import MaintenanceConfig;"
        "from apps.manufacturing.maintenance.loop import maintenance_loop;"
        "maintenance_loop(MaintenanceConfig()); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
