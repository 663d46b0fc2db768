"""NEWS2 is the published chart, on every value of every parameter."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.vitals.news2 import PARAMETERS, news2
from apps.healthcare.vitals.signs import Sign

# Chart 1 as it is printed: for each parameter the values from .. to .. (both included) and their points.
# Written out as ranges, not as the code's thresholds, so that a slip of either shows.
RESPIRATION = [(0, 8, 3), (9, 11, 1), (12, 20, 0), (21, 24, 2), (25, 80, 3)]
SPO2_SCALE_1 = [(40, 91, 3), (92, 93, 2), (94, 95, 1), (96, 100, 0)]
SPO2_SCALE_2_AIR = [(40, 83, 3), (84, 85, 2), (86, 87, 1), (88, 92, 0), (93, 100, 0)]
SPO2_SCALE_2_OXYGEN = [
    (40, 83, 3),
    (84, 85, 2),
    (86, 87, 1),
    (88, 92, 0),
    (93, 94, 1),
    (95, 96, 2),
    (97, 100, 3),
]
SYSTOLIC = [(30, 90, 3), (91, 100, 2), (101, 110, 1), (111, 219, 0), (220, 280, 3)]
PULSE = [(15, 40, 3), (41, 50, 1), (51, 90, 0), (91, 110, 1), (111, 130, 2), (131, 300, 3)]
TEMPERATURE_TENTHS = [(250, 350, 3), (351, 360, 1), (361, 380, 0), (381, 390, 1), (391, 440, 2)]


@pytest.mark.parametrize(
    ("sign", "chart"),
    [
        (Sign.RESPIRATION, RESPIRATION),
        (Sign.SPO2, SPO2_SCALE_1),
        (Sign.SYSTOLIC, SYSTOLIC),
        (Sign.HEART_RATE, PULSE),
    ],
)
def test_every_whole_value_scores_as_the_chart_has_it(sign: Sign, chart: list[tuple[int, int, int]]) -> None:
    for first, last, points in chart:
        for value in range(first, last + 1):
            assert news2({sign: float(value)}).points == {sign: points}, value


@pytest.mark.parametrize(("oxygen", "chart"), [(0.0, SPO2_SCALE_2_AIR), (2.0, SPO2_SCALE_2_OXYGEN)])
def test_every_saturation_on_scale_2_scores_by_the_supply_of_oxygen(
    oxygen: float, chart: list[tuple[int, int, int]]
) -> None:
    for first, last, points in chart:
        for value in range(first, last + 1):
            score = news2({Sign.SPO2: float(value), Sign.OXYGEN: oxygen}, 2)
            assert score.points == {Sign.SPO2: points, Sign.OXYGEN: 2 if oxygen else 0}, value


def test_any_supply_of_oxygen_counts_and_an_unknown_one_as_air() -> None:
    little = news2({Sign.SPO2: 97.0, Sign.OXYGEN: 0.5}, 2)
    assert little.points == {Sign.SPO2: 3, Sign.OXYGEN: 2}
    assert news2({Sign.SPO2: 97.0}, 2).points == {Sign.SPO2: 0}


def test_every_tenth_of_a_degree_scores_as_the_chart_has_it() -> None:
    for first, last, points in TEMPERATURE_TENTHS:
        for tenths in range(first, last + 1):
            assert news2({Sign.TEMPERATURE: tenths / 10}).points == {Sign.TEMPERATURE: points}, tenths


def test_alert_scores_nothing_and_every_other_consciousness_three() -> None:
    assert [news2({Sign.CONSCIOUSNESS: float(place)}).total for place in range(5)] == [0, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("sign", "value", "points"),
    [
        (Sign.RESPIRATION, 20.49, 0),
        (Sign.RESPIRATION, 20.5, 2),
        (Sign.RESPIRATION, 8.49, 3),
        (Sign.SPO2, 95.5, 0),
        (Sign.SPO2, 95.49, 1),
        (Sign.TEMPERATURE, 38.04, 0),
        (Sign.TEMPERATURE, 38.06, 1),
        (Sign.TEMPERATURE, 35.04, 3),
        (Sign.TEMPERATURE, 35.06, 1),
        (Sign.SYSTOLIC, 219.4, 0),
        (Sign.SYSTOLIC, 219.5, 3),
        (Sign.HEART_RATE, 130.5, 3),
    ],
)
def test_what_a_monitor_measures_between_is_rounded_to_the_charts_steps(
    sign: Sign, value: float, points: int
) -> None:
    assert news2({sign: value}).total == points


VALUES = st.fixed_dictionaries(
    {
        Sign.RESPIRATION: st.floats(0, 80),
        Sign.SPO2: st.floats(40, 100),
        Sign.OXYGEN: st.sampled_from([0.0, 4.0]),
        Sign.SYSTOLIC: st.floats(30, 280),
        Sign.HEART_RATE: st.floats(15, 300),
        Sign.CONSCIOUSNESS: st.integers(0, 4).map(float),
        Sign.TEMPERATURE: st.floats(25, 44),
    }
)


@given(VALUES, st.sampled_from([1, 2]), st.sets(st.sampled_from(PARAMETERS)))
def test_what_is_missing_can_only_add(values: dict[Sign, float], scale: int, left: set[Sign]) -> None:
    whole = news2(values, scale)  # type: ignore[arg-type]
    assert whole.total == sum(whole.points.values())
    assert 0 <= whole.total <= 20
    assert not whole.missing
    left.discard(Sign.OXYGEN)  # without it scale 2 scores SpO2 as on air
    part = news2({sign: value for sign, value in values.items() if sign not in left}, scale)  # type: ignore[arg-type]
    assert set(part.missing) == left
    assert part.total <= whole.total


@pytest.mark.parametrize(
    ("values", "risk"),
    [
        ({Sign.HEART_RATE: 70.0}, "low"),
        ({Sign.RESPIRATION: 22.0, Sign.HEART_RATE: 115.0}, "low"),
        ({Sign.RESPIRATION: 25.0}, "low-medium"),
        ({Sign.RESPIRATION: 25.0, Sign.HEART_RATE: 111.0}, "medium"),
        ({Sign.RESPIRATION: 25.0, Sign.HEART_RATE: 131.0}, "medium"),
        ({Sign.RESPIRATION: 25.0, Sign.HEART_RATE: 131.0, Sign.SPO2: 95.0}, "high"),
    ],
)
def test_the_risk_is_that_of_the_thresholds(values: dict[Sign, float], risk: str) -> None:
    assert news2(values).risk == risk


def test_a_score_cannot_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        news2({}).total = 1  # type: ignore[misc]
