"""From belief to alarms: what counts, for how long, and what it says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from apps.healthcare.vitals.decide import (
    Bounds,
    Code,
    Finding,
    Limits,
    Standing,
    VitalsOutput,
    judge,
    output_of,
)
from apps.healthcare.vitals.fuse import Belief, Value
from apps.healthcare.vitals.signs import Origin, Sign
from edgeai_core.decision import Condition, Priority

WELL = {
    Sign.HEART_RATE: 70.0,
    Sign.SPO2: 98.0,
    Sign.RESPIRATION: 15.0,
    Sign.SYSTOLIC: 120.0,
    Sign.DIASTOLIC: 75.0,
    Sign.MEAN_PRESSURE: 90.0,
    Sign.TEMPERATURE: 37.0,
    Sign.CONSCIOUSNESS: 0.0,
    Sign.OXYGEN: 0.0,
}
LIMITS = Limits()


def belief(time_s: float, silent: frozenset[Sign] = frozenset(), **changed: float | None) -> Belief:
    values = {**WELL, **{Sign(name): value for name, value in changed.items()}}
    return Belief(
        time_s, {s: Value(v, 0.0, 1.0, (Origin.MONITOR,)) for s, v in values.items() if v is not None}, silent
    )


def run(*looks: Belief, limits: Limits = LIMITS) -> list[tuple[Condition, ...] | None]:
    standing, seen = Standing(), []
    for each in looks:
        judged = judge(each, standing, limits, "patient-1")
        standing = judged.standing
        seen.append(judged.conditions)
    return seen


def test_a_well_patient_has_no_alarm_and_a_whole_score_of_nothing() -> None:
    judged = judge(belief(0.0), Standing(), LIMITS, "p")
    assert judged.conditions == ()
    assert judged.status == "NORMAL"
    output = output_of(judged, belief(0.0), "p")
    assert (output.news2, output.news2_risk, output.news2_missing) == (0, "low", ())


@pytest.mark.parametrize(
    ("sign", "inside", "outside", "priority", "delay_s"),
    [
        ("spo2", 90.0, 89.9, Priority.MEDIUM, 60.0),
        ("spo2", 84.0, 83.9, Priority.HIGH, 20.0),
        ("heart_rate", 125.0, 125.1, Priority.MEDIUM, 60.0),
        ("heart_rate", 150.0, 150.1, Priority.HIGH, 20.0),
        ("heart_rate", 45.0, 44.9, Priority.MEDIUM, 60.0),
        ("heart_rate", 35.0, 34.9, Priority.HIGH, 20.0),
        ("respiration", 28.0, 28.1, Priority.MEDIUM, 60.0),
        ("respiration", 36.0, 36.1, Priority.HIGH, 20.0),
        ("respiration", 8.0, 7.9, Priority.MEDIUM, 60.0),
        ("respiration", 5.0, 4.9, Priority.HIGH, 20.0),
        ("systolic", 90.0, 89.9, Priority.MEDIUM, 60.0),
        ("systolic", 75.0, 74.9, Priority.HIGH, 20.0),
        ("systolic", 200.0, 200.1, Priority.MEDIUM, 60.0),
        ("mean_pressure", 60.0, 59.9, Priority.MEDIUM, 60.0),
        ("mean_pressure", 50.0, 49.9, Priority.HIGH, 20.0),
        ("temperature", 35.0, 34.9, Priority.MEDIUM, 60.0),
        ("temperature", 39.5, 39.6, Priority.MEDIUM, 60.0),
    ],
)
def test_a_limit_counts_from_beyond_it_after_its_delay(
    sign: str, inside: float, outside: float, priority: Priority, delay_s: float
) -> None:
    for value, expected in ((inside, False), (outside, True)):
        looks = [belief(at_s, **{sign: value}) for at_s in (0.0, delay_s - 0.1, delay_s)]
        first, before, at = run(*looks)
        assert all(each.priority is not priority for each in (*(first or ()), *(before or ())))
        found = [each for each in at or () if each.priority is priority]
        assert bool(found) is expected


@pytest.mark.parametrize(
    ("changed", "priority", "word"),
    [
        ({"respiration": 26.0}, Priority.LOW, "NEWS2 3"),
        ({"respiration": 23.0, "heart_rate": 115.0, "temperature": 38.5}, Priority.MEDIUM, "NEWS2 5"),
        ({"respiration": 23.0, "heart_rate": 115.0, "spo2": 91.0}, Priority.HIGH, "NEWS2 7"),
    ],
)
def test_the_score_alarms_as_its_thresholds_say(
    changed: dict[str, float], priority: Priority, word: str
) -> None:
    conditions = run(belief(0.0, **changed), belief(59.9, **changed), belief(60.0, **changed))
    assert conditions[1] == ()
    (found,) = conditions[2] or ()
    assert (found.code, found.subject, found.priority) == (Code.DETERIORATION, "patient-1", priority)
    assert found.title.startswith(word)
    assert found.evidence["category"] == "medical"


def test_one_deterioration_is_one_condition_with_everything_in_it() -> None:
    bad = {"respiration": 30.0, "spo2": 86.0, "systolic": 85.0, "heart_rate": 135.0}
    (found,) = run(belief(0.0, **bad), belief(60.0, **bad))[1] or ()
    assert found.priority is Priority.HIGH
    assert {"low SpO2", "low systolic pressure", "high heart rate", "high respiration", "NEWS2 high"} <= set(
        found.evidence["findings"]  # type: ignore[arg-type]
    )
    assert "SpO2 86 %" in found.title


def test_a_finding_that_is_broken_off_starts_its_delay_anew() -> None:
    seen = run(
        belief(0.0, spo2=80.0),
        belief(10.0),
        belief(11.0, spo2=80.0),
        belief(30.0, spo2=80.0),
        belief(31.0, spo2=80.0),
    )
    assert [bool(each) for each in seen] == [False, False, False, False, True]


def test_a_value_must_come_a_margin_back_inside() -> None:
    seen = run(
        belief(0.0, spo2=89.0), belief(60.0, spo2=89.0), belief(61.0, spo2=91.0), belief(62.0, spo2=93.0)
    )
    assert [any("low SpO2" in c.evidence["findings"] for c in each or ()) for each in seen] == [  # type: ignore[operator]
        False,
        True,
        True,
        False,
    ]


def test_what_is_not_known_now_keeps_what_it_had_and_a_lost_signal_is_an_alarm_of_the_equipment() -> None:
    lost = frozenset({Sign.SPO2})
    seen = run(belief(0.0, spo2=80.0), belief(20.0, spo2=80.0), belief(30.0, lost, spo2=None))
    codes = [each.code for each in seen[2] or ()]
    assert codes == [Code.DETERIORATION, Code.SPO2_LOST]
    technical = (seen[2] or ())[1]
    assert technical.priority is Priority.LOW
    assert technical.evidence["category"] == "technical"


def test_a_score_that_may_be_too_low_for_a_lost_sign_keeps_what_it_had() -> None:
    bad = {"respiration": 23.0, "heart_rate": 115.0, "spo2": 91.0}
    lost = frozenset({Sign.RESPIRATION})
    seen = run(belief(0.0, **bad), belief(60.0, **bad), belief(61.0, lost, **{**bad, "respiration": None}))
    assert (seen[2] or ())[0].priority is Priority.HIGH
    over = run(belief(0.0, **bad), belief(60.0, **bad), belief(61.0))
    assert over[2] == ()


def test_nothing_known_is_no_judgement() -> None:
    judged = judge(Belief(0.0), Standing(), LIMITS, "p")
    assert judged.conditions is None
    assert (judged.status, judged.score) == ("CANNOT_TELL", None)


def test_on_scale_2_a_saturation_of_88_is_no_alarm() -> None:
    limits = Limits(spo2_scale=2)
    assert run(belief(0.0, spo2=87.6), belief(100.0, spo2=87.6), limits=limits)[1] == ()
    assert run(belief(0.0, spo2=83.0), belief(100.0, spo2=83.0), limits=limits)[1] != ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Limits(delay_s=10.0, critical_delay_s=20.0),
        lambda: Limits(margin=0.2),
        lambda: Limits(spo2_scale=3),  # type: ignore[arg-type]
        lambda: Bounds(90.0, 80.0),
        lambda: Bounds(90.0, None, 95.0),
        lambda: Bounds(float("nan")),
    ],
)
def test_limits_that_contradict_themselves_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"must|share|2"):
        wrong()  # type: ignore[operator]


def test_a_high_value_too_must_come_a_margin_back_inside() -> None:
    looks = [
        belief(at_s, heart_rate=bpm)
        for at_s, bpm in ((0.0, 126.0), (60.0, 126.0), (61.0, 122.0), (62.0, 121.0))
    ]
    found = [any("high heart rate" in c.evidence["findings"] for c in each or ()) for each in run(*looks)]  # type: ignore[operator]
    assert found == [False, True, True, False]


@pytest.mark.parametrize(
    ("value", "priority", "delay_s"),
    [(84.0, None, 60.0), (83.9, Priority.MEDIUM, 60.0), (80.0, None, 20.0), (79.9, Priority.HIGH, 20.0)],
)
def test_on_scale_2_the_limits_of_the_saturation_lie_where_that_scale_has_them(
    value: float, priority: Priority | None, delay_s: float
) -> None:
    limits = Limits(spo2_scale=2)
    (_, conditions) = run(belief(0.0, spo2=value), belief(delay_s, spo2=value), limits=limits)
    found = [each.priority for each in conditions or () if "low SpO2" in str(each.evidence["findings"])]
    assert found == ([] if priority is None else [priority])


def test_limits_of_ones_own_hold_on_either_scale() -> None:
    own = Bounds(92.0, None, 85.0)
    assert Limits(spo2=own, spo2_scale=2).bounds()[Sign.SPO2] == own


def test_delays_and_margins_may_be_as_small_and_as_large_as_is_said() -> None:
    assert Limits(delay_s=600.0, critical_delay_s=0.0, margin=0.0).delay_s == 600.0
    assert Limits(delay_s=20.0, critical_delay_s=20.0).delay_s == 20.0
    for wrong in ({"delay_s": 600.5}, {"critical_delay_s": -0.5}, {"margin": -0.01}):
        with pytest.raises(ValueError, match=r"must|share"):
            Limits(**wrong)  # type: ignore[arg-type]


def test_the_evidence_says_when_what_and_how_fast() -> None:
    bad = {"respiration": 30.0, "spo2": 86.0, "systolic": 85.0, "heart_rate": 135.0, "temperature": 34.0}
    trends = {
        Sign.SPO2: (-12.34, -3.21),
        Sign.HEART_RATE: (None, 4.56),
        Sign.SYSTOLIC: (None, None),
        Sign.DIASTOLIC: (9.0, 9.0),
    }
    first = judge(belief(0.0, **bad), Standing(), LIMITS, "p", trends, simulated=True)
    judged = judge(belief(60.04, **bad), first.standing, LIMITS, "p", trends, simulated=True)
    (found,) = judged.conditions or ()
    assert found.evidence["time_s"] == 60.0
    assert found.evidence["simulated"] is True
    assert found.evidence["news2"] == 15
    assert "news2_missing" not in found.evidence
    assert found.evidence["change_per_h_over_15_min_and_1_h"] == {
        "heart rate": [None, 4.6],
        "SpO2": [-12.3, -3.2],
        "systolic pressure": [None, None],
    }
    assert found.title.count(",") == 3  # four signs are named, however many findings there are


def test_without_a_known_slope_and_a_simulation_the_evidence_says_nothing_of_them() -> None:
    first = judge(belief(0.0, spo2=80.0), Standing(), LIMITS, "p", {Sign.SPO2: (None, None)})
    judged = judge(belief(20.0, spo2=80.0), first.standing, LIMITS, "p", {Sign.SPO2: (None, None)})
    (found,) = judged.conditions or ()
    assert "simulated" not in found.evidence
    assert "change_per_h_over_15_min_and_1_h" not in found.evidence


def test_a_sign_that_scores_two_is_named_though_it_passes_no_limit() -> None:
    bad = {"respiration": 23.0, "heart_rate": 115.0, "spo2": 91.0, "systolic": 105.0}
    (found,) = run(belief(0.0, **bad), belief(60.0, **bad))[1] or ()
    for word in ("respiration 23", "heart rate 115", "SpO2 91"):
        assert word in found.title
    assert "systolic" not in found.title


def test_a_score_without_all_parameters_is_at_least_so_much() -> None:
    bad = {"respiration": 30.0, "spo2": 86.0, "temperature": None}
    (found,) = run(belief(0.0, **bad), belief(60.0, **bad))[1] or ()
    assert found.title.startswith("NEWS2 at least 6")
    assert found.evidence["news2_missing"] == ["temperature"]


def test_a_lost_sign_says_whether_its_values_cannot_be_or_do_not_come() -> None:
    lost = frozenset({Sign.SPO2})
    silent = judge(belief(10.04, lost, spo2=None), Standing(), LIMITS, "p", simulated=True)
    wrong = judge(Belief(0.0, belief(0.0, spo2=None).values, lost, lost), Standing(), LIMITS, "p")
    (one,), (other,) = silent.conditions or (), wrong.conditions or ()
    assert one.evidence == {
        "category": "technical",
        "time_s": 10.0,
        "cause": "no signal, or one that is too poor",
        "simulated": True,
    }
    assert other.evidence["cause"] == "its values cannot be"
    assert "simulated" not in other.evidence
    assert other.title == "No SpO2: its values cannot be"


def test_the_status_names_the_gravest_finding_and_the_most_urgent_comes_first() -> None:
    for changed, status, delay_s in (
        ({"respiration": 25.0}, "WATCH", 60.0),
        ({"systolic": 89.0}, "URGENT", 60.0),
        ({"spo2": 80.0}, "EMERGENCY", 20.0),
    ):
        first = judge(belief(0.0, **changed), Standing(), LIMITS, "p")
        assert judge(belief(delay_s, **changed), first.standing, LIMITS, "p").status == status
    bad = {"spo2": 80.0, "systolic": 89.0}
    (found,) = run(belief(0.0, systolic=89.0), belief(40.0, **bad), belief(60.0, **bad))[2] or ()
    assert found.evidence["findings"][0] == "critical low SpO2"  # type: ignore[index]


def test_what_others_get_is_empty_until_something_is_known() -> None:
    output = VitalsOutput("p", "CANNOT_TELL")
    assert (output.pulse_quality, output.time_s, output.simulated) == (0.0, 0.0, False)
    judged = judge(belief(7.0), Standing(), LIMITS, "p")
    full = output_of(judged, belief(7.0), "p", "night", simulated=True)
    assert (full.heart_rate_bpm, full.oxygen_l_per_min, full.consciousness) == (70.0, 0.0, "alert")
    assert (full.time_s, full.recording, full.simulated) == (7.0, "night", True)
    part = belief(7.0, temperature=None)
    assert output_of(judge(part, Standing(), LIMITS, "p"), part, "p").news2_missing == ("temperature",)
    nothing = output_of(judge(Belief(0.0), Standing(), LIMITS, "p"), Belief(0.0), "p")
    assert (nothing.news2, nothing.news2_risk, nothing.news2_missing) == (None, "", ())
    assert nothing.consciousness == ""
    assert not nothing.simulated


def test_a_score_that_stood_stays_while_nothing_is_known() -> None:
    bad = {"respiration": 26.0}
    conditions = run(belief(0.0, **bad), belief(60.0, **bad), Belief(61.0, {}, frozenset({Sign.RESPIRATION})))
    (kept, lost) = conditions[2] or ()
    assert (kept.code, kept.priority) == (Code.DETERIORATION, Priority.LOW)
    assert kept.title == "NEWS2 low-medium"
    assert lost.code == Code.RESPIRATION_LOST


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (Bounds(), "low"),
        (LIMITS, "margin"),
        (Finding("low SpO2", Sign.SPO2, Priority.LOW, 0.0), "since_s"),
        (VitalsOutput("p", "NORMAL"), "status"),
        (Standing(), "findings"),
        (judge(belief(0.0), Standing(), LIMITS, "p"), "status"),
    ],
)
def test_what_was_judged_and_by_which_limits_cannot_be_changed_afterwards(held: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(held, name, getattr(held, name))
