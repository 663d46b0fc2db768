"""Several sensors become one belief: what counts, for how long, and what cannot be."""

from __future__ import annotations

import pytest

from apps.healthcare.vitals.fuse import FRESH_S, Fusion, MaxAges
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
