"""Bearings, damage, wear, alerts and policies: each promise by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.manufacturing.maintenance import policy
from apps.manufacturing.maintenance.anomaly import Baseline
from apps.manufacturing.maintenance.bearing import BEARINGS, LINE_NAMES, Bearing, BearingEvidence
from apps.manufacturing.maintenance.cyclefile import Unit
from apps.manufacturing.maintenance.damage import SHIPPED, BearingJudge, Case, fit_judge
from apps.manufacturing.maintenance.decide import Code, Limits, decide
from apps.manufacturing.maintenance.evaluate_cmapss import nasa_score
from apps.manufacturing.maintenance.fuse import Belief
from apps.manufacturing.maintenance.vibration import zone_of
from apps.manufacturing.maintenance.wear import Calibration, WearTrend
from apps.manufacturing.simulation.machines import Machine, measure
from edgeai_core.errors import InputError, ModelError


def test_the_lines_of_a_known_bearing_are_those_its_maker_states() -> None:
    lines = BEARINGS["6205"].lines
    assert (lines.bpfo, lines.bpfi) == (pytest.approx(3.5848, abs=1e-3), pytest.approx(5.4152, abs=1e-3))
    assert (2 * lines.bsf, lines.ftf) == (pytest.approx(4.7135, abs=1e-3), pytest.approx(0.39828, abs=1e-3))


@given(st.integers(3, 40), st.floats(0.02, 0.45), st.floats(0, 60))
def test_the_two_races_are_passed_by_every_element_together(
    elements: int, ratio: float, angle: float
) -> None:
    lines = Bearing(elements, ratio, 1.0, angle).lines
    assert lines.bpfo + lines.bpfi == pytest.approx(elements)
    assert lines.bpfo == pytest.approx(elements * lines.ftf)


@pytest.mark.parametrize("sizes", [(2, 0.3, 1.5), (9, 1.5, 0.3), (9, math.nan, 1.5), (9, 0.3, 1.5, 90.0)])
def test_a_geometry_that_cannot_be_is_refused(sizes: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"bearing|element_diameter"):
        Bearing(*sizes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["outer_race", "inner_race"])
def test_a_damaged_race_is_named_by_its_line_at_any_loudness(kind: str) -> None:
    judge = BearingJudge.load(SHIPPED)
    block = measure(Machine("m", kind, 0.0, 100.0), 80.0, rate_hz=12_000, duration_s=2.0, channels=1)
    for gain in (0.01, 1.0, 100.0):
        evidence = BearingEvidence(BEARINGS["6205"])
        evidence.push(gain * block.vibration, 12_000, block.slow["rpm"] / 60)
        verdict = judge.judge(evidence.prominences(), np.zeros(24))
        assert verdict.kind == kind
        assert sum(verdict.probabilities) == pytest.approx(1.0)


def test_a_sensor_too_slow_for_any_line_says_that_it_cannot_tell() -> None:
    verdict = BearingJudge.load(SHIPPED).judge(np.full(len(LINE_NAMES), np.nan), np.zeros(24))
    assert verdict.kind == "cannot tell"


def cases(kind: str, strength: tuple[float, float], shape: float, bearing: str) -> list[Case]:
    rng = np.random.default_rng(len(bearing))
    made = []
    for number in range(20):
        lines = np.array([strength[0]] * 2 + [strength[1]] * 2 + [0.5] * 4) + 0.1 * rng.standard_normal(8)
        bands = shape * np.linspace(0, 1, 24) + 0.02 * rng.standard_normal(24)
        made.append(Case(lines, bands, kind, bearing, f"{bearing} {number % 2}"))
    return made


def test_what_has_no_line_is_named_as_it_was_taught_on_this_machine() -> None:
    taught = (
        cases("outer_race", (5.0, 1.0), 0.0, "a") + cases("ball", (1.0, 1.0), 3.0, "b")
        + cases("outer_race", (1.0, 1.0), -3.0, "silent")
    )  # fmt: skip
    judge = fit_judge(taught)
    quiet = np.full(8, 1.0)
    assert 1.3 < judge.threshold < 4.7
    assert judge.judge(quiet, -3.0 * np.linspace(0, 1, 24)).kind == "outer_race"
    assert judge.judge(quiet, 3.0 * np.linspace(0, 1, 24)).kind == "ball"
    elsewhere = replace(judge, gate=0.0).judge(quiet, -3.0 * np.linspace(0, 1, 24))
    assert elsewhere.probability < 0.7


def test_one_kind_alone_teaches_nothing() -> None:
    with pytest.raises(InputError, match="two kinds"):
        fit_judge(cases("ball", (1.0, 1.0), 0.0, "a"))


def test_a_bearing_model_that_is_not_its_cards_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bearing.card.toml").write_bytes(SHIPPED.with_name("bearing.card.toml").read_bytes())
    (tmp_path / "bearing.npz").write_bytes(SHIPPED.read_bytes() + b" ")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        BearingJudge.load(tmp_path / "bearing.npz")


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.02), st.floats(0.0, 0.02))
def test_steady_wear_is_foretold_to_reach_its_limit_when_it_does(pace: float, noise: float) -> None:
    trend, rng = WearTrend(), np.random.default_rng(0)
    hours = np.arange(0.0, 0.8 / pace, 0.02 / pace)
    for each in hours:
        trend.push(float(each), pace * float(each) + noise * float(rng.standard_normal()))
    left = 1 / pace - hours[-1]
    outlook = trend.outlook(left)
    assert outlook is not None
    low, median, high = outlook.remaining_h
    assert low <= median <= high
    assert low <= left <= high
    assert median == pytest.approx(left, rel=0.3)
    sooner, later = trend.outlook(left / 4), trend.outlook(left * 4)
    assert sooner is not None
    assert later is not None
    assert sooner.probability < outlook.probability < later.probability


def test_a_machine_that_does_not_wear_has_no_end_in_sight() -> None:
    trend = WearTrend()
    for hour in range(50):
        trend.push(float(hour), 0.02)
    outlook = trend.outlook(1000.0)
    assert outlook is not None
    assert outlook.probability < 0.05
    assert outlook.remaining_h[0] == math.inf


def test_a_counter_that_stands_still_or_runs_back_breaks_nothing() -> None:
    trend = WearTrend()
    for hours in (1.0, 2.0, 2.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        trend.push(hours, 0.1 * hours)
    assert trend.outlook(10.0) is not None


@pytest.mark.parametrize("numbers", [{"low": 0.6, "middle": 0.5}, {"slope": math.nan}, {"high": 1.0}])
def test_a_calibration_that_contradicts_itself_is_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="do not fit together"):
        Calibration(**numbers)


def test_a_baseline_scores_the_usual_near_one_and_a_change_far_above() -> None:
    baseline, rng = Baseline(40), np.random.default_rng(1)
    rows = rng.standard_normal((300, 10))
    rows[:, 3] = np.nan  # a quantity nobody measures
    scores = [score for row in rows if (score := baseline.push(row)) is not None]
    assert len(scores) == 260
    assert max(scores) < 2.0
    changed = [baseline.push(row + 30.0) for row in rows[:20]]
    assert (changed[-1] or 0) > 10.0


@pytest.mark.parametrize(("velocity", "zone"), [(1.0, "A"), (2.4, "B"), (5.0, "C"), (7.2, "D")])
def test_a_velocity_lies_in_its_zone(velocity: float, zone: str) -> None:
    assert zone_of(velocity, "medium flexible") == zone


def belief(**changes: object) -> Belief:
    return replace(Belief(10.0, 5.0, judged=True, failure_probability=0.1, health_index=0.9), **changes)  # type: ignore[arg-type]


def test_maintenance_is_required_above_the_limit_and_until_well_below_it() -> None:
    standing: frozenset[Code] = frozenset()
    said = []
    for probability in (0.79, 0.81, 0.7, 0.61, 0.59, 0.7):
        decision = decide(belief(failure_probability=probability), standing, Limits(), "m", False)
        standing = frozenset(Code(each.code) for each in decision.conditions or ())
        said.append(decision.output.status)
    required, normal = "MAINTENANCE_REQUIRED", "NORMAL"
    assert said == [normal, required, required, required, normal, normal]


def test_what_cannot_be_told_clears_nothing() -> None:
    blind = Belief(11.0, troubles=("a: constant",))
    decision = decide(blind, frozenset({Code.MAINTENANCE_REQUIRED}), Limits(), "m", False)
    codes = [each.code for each in decision.conditions or ()]
    assert codes == [Code.MAINTENANCE_REQUIRED, Code.SENSOR_TROUBLE]
    assert decide(Belief(0.0), None, Limits(), "m", False).conditions is None


def test_an_end_that_is_not_in_sight_is_no_number() -> None:
    output = decide(belief(remaining=(50.0, math.inf, math.inf)), None, Limits(), "m", False).output
    assert (output.time_to_failure, output.time_to_failure_low) == (None, 50.0)


@pytest.mark.parametrize(
    "limits", [{"failure_probability": 0.5}, {"anomaly": 1.0}, {"failure_probability": math.inf}]
)
def test_limits_that_contradict_each_other_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        Limits(**limits)


def test_a_late_prediction_costs_more_than_an_early_one() -> None:
    assert nasa_score([10.0], [10.0]) == 0
    assert nasa_score([40.0], [20.0]) == pytest.approx(math.expm1(2.0))
    assert nasa_score([20.0], [40.0]) == pytest.approx(math.expm1(20 / 13))


def test_alerts_in_time_save_downtime_and_alerts_too_late_save_nothing() -> None:
    times = np.arange(1.0, 101.0)
    lives = [policy.Life(times, times >= 90, 100.0) for _ in range(3)]
    costs = policy.Costs()
    never = policy.run_to_failure(lives, costs)
    ours, late = policy.foretold(lives, 5.0, costs), policy.foretold(lives, 20.0, costs)
    assert (never.failures, ours.failures, late.failures) == (3, 0, 3)
    assert ours.downtime_h < never.downtime_h == late.downtime_h
    assert ours.used == pytest.approx(0.95)
    assert policy.fixed_interval(lives, 50.0, costs).visits == 3


def test_an_engine_knows_only_its_past() -> None:
    from apps.manufacturing.maintenance.engines import features_of, left_of, scale_on

    rng = np.random.default_rng(0)
    units = []
    for number in range(4):
        count = 60 + 10 * number
        wear = (np.arange(count) / count) ** 2
        sensors = rng.standard_normal((count, 21)) + wear[:, None]
        units.append(Unit(str(number), np.arange(1.0, count + 1), np.zeros((count, 3)), sensors, 0.0))
    scaling = scale_on(units)
    whole = features_of(units[0], scaling)
    cut = Unit("cut", units[0].cycles[:30], units[0].settings[:30], units[0].sensors[:30], 30.0)
    np.testing.assert_allclose(features_of(cut, scaling), whole[:30], rtol=1e-4, atol=1e-4)
    assert left_of(cut)[-1] == 30
