"""The automotive app's front door, its configuration, and its evaluations on a handful of cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from apps.automotive.app import app
from apps.automotive.braking.evaluate import _rate
from apps.automotive.config import AutomotiveConfig, VehicleConfig
from apps.automotive.planning.evaluate import evaluate
from apps.automotive.planning.options import PlanningOptions
from apps.automotive.planning.search import avoidable
from apps.automotive.simulation.scenarios import FAMILIES, benign_scenario, random_scenario
from apps.automotive.simulation.sensors import read_failures
from apps.automotive.simulation.world import World
from edgeai_core.errors import ConfigError, InputError


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


def test_the_four_loops_know_each_other_by_topic() -> None:
    specs = {f"automotive.{spec.name}": spec for spec in app.loops(AutomotiveConfig())}
    assert list(specs) == [
        f"automotive.{name}" for name in ("simulation", "perception", "planning", "braking")
    ]
    for spec in specs.values():
        for each in spec.inputs:
            loop, _, stream = each.source.partition("/")
            assert loop in specs
            assert not stream or stream in specs[loop].streams


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"braking": {"limits": {"full_from_mps2": 20}}}, "full_from_mps2"),
        ({"simulation": {"scenario": "moon"}}, "scenario"),
        ({"vehicle": {"length": 4}}, "length"),
        ({"planning": {"headway_s": 0}}, "headway_s"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(table: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        AutomotiveConfig.model_validate(table)


@pytest.mark.parametrize(
    "text", ["radar", "sonar:lost", "radar:angry", "radar:late:soon", "radar:late:1:2:3:4"]
)
def test_a_failure_that_cannot_be_read_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match=text.split(":")[0]):
        read_failures([text])


def test_panels_and_cards_are_there() -> None:
    for panel in app.panels:
        assert panel.module.is_file()
    for card in app.models:
        assert card.is_file()


@pytest.mark.parametrize("seed", range(3 * len(FAMILIES)))
def test_every_scenario_begins_without_a_collision_and_is_the_same_for_the_same_seed(seed: int) -> None:
    world = World(random_scenario(seed), VehicleConfig())
    assert world._collide() is None
    again = World(random_scenario(seed), VehicleConfig())
    assert np.array_equal(world.scene().object_x_m, again.scene().object_x_m)


def test_benign_drivers_do_not_collide_with_each_other() -> None:
    scenario = benign_scenario(1, 20.0)
    from apps.automotive.simulation.traffic import Traffic

    traffic = Traffic(scenario.road, scenario.actors)
    for _ in range(400):
        traffic.step(0.05, (-1e6, 0.0, 0.0, 4.6, 1.9))
    own = np.abs(traffic.s_m - traffic.s_m[0]) < (traffic.length_m + traffic.length_m[0]) / 2
    beside = np.abs(traffic.d_m - traffic.d_m[0]) < (traffic.width_m + traffic.width_m[0]) / 2
    assert (own & beside).sum() == 1
    assert traffic.speed_mps[0] > 3.0


def _others(s_m: float, seconds: int = 60) -> np.ndarray:
    return np.tile(np.array([[s_m, 0.0, 4.5, 1.8]]), (seconds, 1, 1))


def test_the_search_finds_the_brake_that_helps_and_knows_when_none_does() -> None:
    vehicle = VehicleConfig()
    assert avoidable((0.0, 0.0, 15.0), _others(60.0), 3.5, 1, vehicle)
    assert not avoidable((0.0, 0.0, 25.0), _others(20.0), 3.5, 1, vehicle)
    # Too near to brake, but there is another lane.
    assert avoidable((0.0, 0.0, 15.0), _others(24.0), 3.5, 2, vehicle)
    # Who runs into its rear does not count.
    chaser = np.array([[[-5.0 + 1.1 * t, 0.0, 4.5, 1.8]] for t in range(40)])
    assert avoidable((0.0, 0.0, 10.0), chaser, 3.5, 1, vehicle)


def test_the_planner_is_evaluated_with_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "drives.png"
    found = evaluate(PlanningOptions(scenarios=1, first=6, threads=1, picture=picture), quiet)
    assert found.figures["avoidable_collisions"].value == 0
    assert found.figures["candidates_per_cycle"].value >= 1000
    assert {"cycle_p99_ms", "candidates_per_second", "progress", "jerk_rms_mps3"} <= set(found.figures)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="png"):
        evaluate(PlanningOptions(scenarios=1, first=6, threads=1, picture=tmp_path / "drives.jpg"), quiet)


def test_a_rate_of_nothing_in_ten_hours_has_an_upper_bound() -> None:
    figure = _rate(0, 10.0, "radar alone")
    assert (figure.value, figure.low) == (0.0, 0.0)
    assert figure.high == pytest.approx(3.689 / 10, abs=0.001)
    assert _rate(0, 0.0, "radar alone").value is None
