"""Several sensors become one belief: what counts, for how long, and what cannot be."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from apps.healthcare.vitals.fuse import FRESH_S, Belief, Fusion, MaxAges, Value
from apps.healthcare.vitals.signs import PLAUSIBLE, Measurement, Origin, Sign


def take(fusion: Fusion, start_s: int, end_s: int, *measured: Measurement) -> None:
    for second in range(start_s, end_s):
        fusion.take(measured, float(second))


def rate(value: float, origin: Origin, quality: float = 0.9) -> Measurement:
    return Measurement(Sign.HEART_RATE, value, origin, quality)


def test_heart_rates_that_agree_are_joined_and_one_that_stands_alone_is_not_believed() -> None:
    fusion = Fusion()
    take(fusion, 0, 20, rate(70, Origin.ECG, 0.6), rate(72, Origin.PPG, 0.9), rate(140, Origin.ABP, 1.0))
    found = fusion.believe(19.0).values[Sign.HEART_RATE]
    assert found.value == pytest.approx((70 * 0.6 + 72 * 0.9) / 1.5)
    assert found.origins == (Origin.PPG, Origin.ECG)


def test_of_two_that_disagree_the_better_one_is_believed_and_a_poor_one_never() -> None:
    fusion = Fusion()
    take(fusion, 0, 20, rate(70, Origin.ECG, 0.9), rate(150, Origin.PPG, 0.5))
    assert fusion.believe(19.0).values[Sign.HEART_RATE].value == 70
    alone = Fusion()
    take(alone, 0, 20, rate(150, Origin.PPG, 0.3))
    assert Sign.HEART_RATE not in alone.believe(19.0).values


def test_a_continuous_value_is_gone_when_it_is_stale_and_counts_as_silent() -> None:
    fusion = Fusion()
    take(fusion, 0, 10, Measurement(Sign.SPO2, 97))
    assert Sign.SPO2 in fusion.believe(9.0 + FRESH_S).values
    late = fusion.believe(9.1 + FRESH_S)
    assert Sign.SPO2 not in late.values
    assert late.silent == {Sign.SPO2}


def test_values_taken_now_and_then_count_for_as_long_as_their_kind_does() -> None:
    fusion = Fusion(MaxAges(cuff_s=100.0, charted_s=1000.0, charted_temperature_s=5000.0))
    fusion.take((Measurement(Sign.SYSTOLIC, 120, Origin.CUFF),), 0.0)
    fusion.take(
        (
            Measurement(Sign.CONSCIOUSNESS, 0, Origin.CHARTED),
            Measurement(Sign.TEMPERATURE, 37, Origin.CHARTED),
        ),
        0.0,
    )
    assert set(fusion.believe(100.0).values) == {Sign.SYSTOLIC, Sign.CONSCIOUSNESS, Sign.TEMPERATURE}
    assert set(fusion.believe(1000.0).values) == {Sign.CONSCIOUSNESS, Sign.TEMPERATURE}
    assert fusion.believe(5001.0).values == {}
    assert fusion.believe(5001.0).silent == frozenset()


def test_a_line_is_believed_before_a_cuff_and_the_newer_of_two_cuffs() -> None:
    fusion = Fusion()
    fusion.take((Measurement(Sign.SYSTOLIC, 100, Origin.CUFF),), 0.0)
    fusion.take((Measurement(Sign.SYSTOLIC, 110, Origin.CHARTED),), 50.0)
    assert fusion.believe(60.0).values[Sign.SYSTOLIC].value == 110
    take(fusion, 50, 60, Measurement(Sign.SYSTOLIC, 130, Origin.ABP))
    assert fusion.believe(60.0).values[Sign.SYSTOLIC].value == 130


def test_a_charted_value_that_arrives_late_does_not_replace_a_newer_one() -> None:
    fusion = Fusion()
    fusion.take((Measurement(Sign.TEMPERATURE, 38.0, Origin.CHARTED),), 100.0)
    fusion.take((Measurement(Sign.TEMPERATURE, 37.0, Origin.CHARTED),), 50.0)
    assert fusion.believe(101.0).values[Sign.TEMPERATURE].value == 38.0


@pytest.mark.parametrize("sign", list(Sign))
def test_what_cannot_be_is_not_taken(sign: Sign) -> None:
    low, high = PLAUSIBLE[sign]
    for value, taken in (
        (low, True),
        (high, True),
        (low - 0.1, False),
        (high + 0.1, False),
        (float("nan"), False),
    ):
        fusion = Fusion()
        fusion.take((Measurement(sign, value),), 0.0)
        assert (sign in fusion.believe(0.0).values) is taken, value


def test_a_flushed_or_damped_line_gives_no_pressure() -> None:
    fusion = Fusion()
    take(
        fusion, 0, 20, Measurement(Sign.SYSTOLIC, 95, Origin.ABP), Measurement(Sign.DIASTOLIC, 88, Origin.ABP)
    )
    found = fusion.believe(19.0)
    assert found.values == {}
    assert found.implausible == {Sign.SYSTOLIC, Sign.DIASTOLIC}


def test_a_finger_lost_is_no_desaturation_and_a_true_one_is_followed() -> None:
    fusion = Fusion()
    take(fusion, 0, 30, Measurement(Sign.SPO2, 97))
    take(fusion, 30, 40, Measurement(Sign.SPO2, 70))
    assert fusion.believe(39.0).values[Sign.SPO2].value == 97
    falling = Fusion()
    for second in range(120):
        falling.take((Measurement(Sign.SPO2, 97.0 - 0.4 * max(0, second - 60)),), float(second))
    assert falling.believe(119.0).values[Sign.SPO2].value == pytest.approx(97 - 0.4 * 52, abs=2)


def spo2(value: float, quality: float = 1.0) -> Measurement:
    return Measurement(Sign.SPO2, value, Origin.MONITOR, quality)


def test_a_continuous_value_is_the_median_of_fifteen_seconds() -> None:
    for first_s, expected in ((5.0, 96.0), (4.9, 97.0)):
        fusion = Fusion()
        fusion.take((spo2(95),), first_s)
        fusion.take((spo2(96),), 10.0)
        fusion.take((spo2(98),), 20.0)
        assert fusion.believe(20.0).values[Sign.SPO2].value == expected
    fusion = Fusion()
    fusion.take((spo2(95),), 5.0)
    fusion.take((spo2(98),), 10.0)
    assert fusion.believe(20.0).values[Sign.SPO2].value == 96.5
    assert fusion.believe(20.1).values[Sign.SPO2].value == 98


def test_poor_values_are_left_out_and_where_most_are_poor_the_sensor_says_nothing() -> None:
    fusion = Fusion()
    for second, (value, quality) in enumerate([(96, 0.4), (98, 0.9), (90, 0.39)]):
        fusion.take((spo2(value, quality),), float(second))
    found = fusion.believe(2.0).values[Sign.SPO2]
    assert (found.value, found.quality, found.age_s) == (97, 0.4, 0.0)
    fusion.take((spo2(90, 0.39),), 3.0)
    fusion.take((spo2(90, 0.39),), 4.0)
    assert Sign.SPO2 not in fusion.believe(4.0).values


def test_what_is_not_given_has_the_ages_that_a_ward_uses() -> None:
    ages = MaxAges()
    assert ages.of(Sign.SYSTOLIC, Origin.CUFF) == 3600
    assert ages.of(Sign.CONSCIOUSNESS, Origin.CHARTED) == 4 * 3600
    assert ages.of(Sign.TEMPERATURE, Origin.CHARTED) == 12 * 3600
    assert ages.of(Sign.TEMPERATURE, Origin.CUFF) == 3600
    assert ages.of(Sign.HEART_RATE, Origin.ECG) == FRESH_S == 15
    own = Fusion(MaxAges(cuff_s=1.0))
    own.take((Measurement(Sign.SYSTOLIC, 120, Origin.CUFF, 0.7),), 0.0)
    (kept,) = own.believe(1.0).values.values()
    assert (kept.value, kept.age_s, kept.quality, kept.origins) == (120, 1.0, 0.7, (Origin.CUFF,))
    assert own.believe(1.1).values == {}


def test_of_a_moment_told_twice_both_count_and_the_last_of_what_is_charted() -> None:
    fusion = Fusion()
    fusion.take((Measurement(Sign.TEMPERATURE, 37.0, Origin.CHARTED),), 10.0)
    fusion.take((Measurement(Sign.TEMPERATURE, 38.0, Origin.CHARTED),), 10.0)
    assert fusion.believe(10.0).values[Sign.TEMPERATURE].value == 38.0
    fusion.take((spo2(96),), 10.0)
    fusion.take((spo2(98),), 10.0)
    assert fusion.believe(10.0).values[Sign.SPO2].value == 97


@pytest.mark.parametrize(("pulse_pressure", "taken"), [(8.0, True), (7.9, False)])
def test_a_pressure_needs_eight_between_its_ends(pulse_pressure: float, taken: bool) -> None:
    fusion = Fusion()
    pressures = (
        Measurement(Sign.SYSTOLIC, 80 + pulse_pressure, Origin.ABP),
        Measurement(Sign.DIASTOLIC, 80, Origin.ABP),
        Measurement(Sign.MEAN_PRESSURE, 83, Origin.ABP),
        spo2(97),
    )
    fusion.take(pressures, 0.0)
    values = fusion.believe(0.0).values
    assert (Sign.SYSTOLIC in values) is (Sign.MEAN_PRESSURE in values) is (Sign.DIASTOLIC in values) is taken
    assert Sign.SPO2 in values


def test_a_damped_line_spoils_the_pressures_of_its_monitor_and_nothing_else() -> None:
    fusion = Fusion()
    damped = (Measurement(Sign.SYSTOLIC, 95, Origin.MONITOR), Measurement(Sign.DIASTOLIC, 90, Origin.MONITOR))
    fusion.take((*damped, spo2(97)), 0.0)
    assert set(fusion.believe(0.0).values) == {Sign.SPO2}


def test_one_end_of_a_pressure_alone_is_taken() -> None:
    fusion = Fusion()
    fusion.take((Measurement(Sign.SYSTOLIC, 95, Origin.ABP),), 0.0)
    fusion.take((Measurement(Sign.DIASTOLIC, 90, Origin.CUFF),), 0.0)
    assert set(fusion.believe(0.0).values) == {Sign.SYSTOLIC, Sign.DIASTOLIC}


@pytest.mark.parametrize(
    ("before", "gap_s", "fall", "taken"),
    [
        (4, 1.0, 4.69, True),  # 4 and 0.7 a second
        (4, 1.0, 4.71, False),
        (4, 0.2, 4.69, True),  # no less than a second's worth
        (4, 0.2, 4.71, False),
        (4, 10.0, 10.99, True),
        (4, 10.0, 11.0, True),
        (4, 10.0, 11.01, False),
        (3, 1.0, 30.0, True),  # too little is known to say that it cannot be
    ],
)
def test_a_saturation_may_fall_so_fast_and_no_faster(
    before: int, gap_s: float, fall: float, taken: bool
) -> None:
    fusion = Fusion()
    for second in range(before):
        fusion.take((spo2(97),), float(second))
    at_s = before - 1 + gap_s
    fusion.take((spo2(97 - fall),), at_s)
    newest = [each.value for _, each in fusion._series[Sign.SPO2, Origin.MONITOR]][-1]
    assert (newest == 97 - fall) is taken
    charted = Fusion()
    for second in range(5):
        charted.take((Measurement(Sign.SPO2, 97, Origin.CHARTED),), float(second))
    charted.take((Measurement(Sign.SPO2, 60, Origin.CHARTED),), 5.0)
    assert charted.believe(5.0).values[Sign.SPO2].value == 60


def test_what_could_not_be_is_told_for_as_long_as_a_sensor_counts_as_fresh() -> None:
    fusion = Fusion()
    fusion.take((spo2(97),), 0.0)
    fusion.take((spo2(20),), 20.0)
    assert fusion.believe(20.0).implausible == {Sign.SPO2}
    assert fusion.believe(34.9).implausible == {Sign.SPO2}
    assert fusion.believe(35.0).implausible == frozenset()
    assert fusion.believe(35.0).silent == {Sign.SPO2}
    fusion.take((spo2(97),), 36.0)
    assert fusion.believe(36.0).silent == frozenset()


@pytest.mark.parametrize(("other", "joined"), [(108.0, True), (107.9, False)])
def test_heart_rates_agree_within_a_tenth(other: float, joined: bool) -> None:
    fusion = Fusion()
    fusion.take((rate(120, Origin.ECG, 0.9), rate(other, Origin.PPG, 0.8)), 0.0)
    found = fusion.believe(0.0).values[Sign.HEART_RATE]
    assert found.origins == ((Origin.ECG, Origin.PPG) if joined else (Origin.ECG,))


def test_a_joined_heart_rate_has_the_newest_age_and_the_best_quality() -> None:
    fusion = Fusion()
    fusion.take((rate(70, Origin.ECG, 0.6),), 0.0)
    fusion.take((rate(72, Origin.PPG, 0.9),), 2.0)
    found = fusion.believe(3.0).values[Sign.HEART_RATE]
    assert (found.age_s, found.quality, found.origins) == (1.0, 0.9, (Origin.PPG, Origin.ECG))


def test_a_charted_heart_rate_counts_where_no_sensor_gives_one() -> None:
    fusion = Fusion()
    fusion.take((Measurement(Sign.HEART_RATE, 80, Origin.CHARTED),), 0.0)
    fusion.take((Measurement(Sign.HEART_RATE, 90, Origin.CUFF),), 5.0)
    assert fusion.believe(6.0).values[Sign.HEART_RATE].value == 90
    fusion.take((rate(70, Origin.ECG),), 6.0)
    assert fusion.believe(6.0).values[Sign.HEART_RATE].origins == (Origin.ECG,)


def test_of_two_running_sensors_the_better_is_believed() -> None:
    fusion = Fusion()
    fusion.take((spo2(97, 0.6), Measurement(Sign.SPO2, 92, Origin.PPG, 0.9)), 0.0)
    assert fusion.believe(0.0).values[Sign.SPO2].value == 92


@pytest.mark.parametrize(
    ("held", "name"),
    [(Value(1.0, 0.0, 1.0, ()), "value"), (Belief(0.0), "time_s"), (MaxAges(), "cuff_s")],
)
def test_what_is_believed_cannot_be_changed_afterwards(held: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(held, name, getattr(held, name))
