"""Belief -> decision, limit by limit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.decide import (
    ACTION,
    PRIORITIES,
    STRIP,
    Code,
    Limits,
    Standing,
    Subject,
    decide,
    rate_bpm,
)
from apps.healthcare.ecg.ectopy import Ectopy
from apps.healthcare.ecg.fuse import Belief
from edgeai_core.decision import Priority

LIMITS = Limits()
SUBJECT = Subject("bed-4", ("II", "V1"))
NOTHING = Standing()
VF, VT = Code.VENTRICULAR_FIBRILLATION, Code.VENTRICULAR_TACHYCARDIA
SLOW, FAST = Code.EXTREME_BRADYCARDIA, Code.EXTREME_TACHYCARDIA


def rr(rate_bpm: float, intervals: int = 20) -> tuple[float, ...]:
    return (60.0 / rate_bpm,) * intervals


WELL = Belief(
    time_s=60.0,
    connected=(True, True),
    quality=0.9,
    amplitude_mv=1.2,
    ventricular=0.02,
    fibrillation=0.0,
    readable=True,
    busy=0.05,
    rr_s=rr(70.0),
    last_beat_s=59.8,
    beat_score=0.97,
    pause_s=0.1,
    heart_rate_bpm=70.0,
)


def stands(*codes: Code, until_s: float = -math.inf) -> Standing:
    return Standing(frozenset(codes), until_s)


def codes(belief: Belief, standing: Standing | None = NOTHING, limits: Limits = LIMITS) -> list[str] | None:
    conditions = decide(belief, standing, limits, SUBJECT).conditions
    return None if conditions is None else [each.code for each in conditions]


def test_a_heart_that_is_well_is_normal_and_raises_nothing() -> None:
    decision = decide(WELL, NOTHING, LIMITS, SUBJECT)
    assert decision.conditions == ()
    output = decision.output
    assert (output.status, output.condition, output.confidence, output.action) == ("NORMAL", "", None, "")
    assert (output.patient, output.heart_rate_bpm, output.leads_off) == ("bed-4", 70.0, ())


@pytest.mark.parametrize(
    ("belief", "code"),
    [
        (replace(WELL, ventricular=0.97, fibrillation=0.9), VF),
        (replace(WELL, ventricular=0.97, fibrillation=0.1, rr_s=rr(180.0)), VT),
        (replace(WELL, pause_s=4.0, amplitude_mv=0.05), Code.ASYSTOLE),
        (replace(WELL, rr_s=rr(35.0)), SLOW),
        (replace(WELL, rr_s=rr(150.0)), FAST),
    ],
)
def test_every_critical_rhythm_asks_for_help_at_once_with_high_priority(belief: Belief, code: Code) -> None:
    decision = decide(belief, NOTHING, LIMITS, SUBJECT)
    assert decision.conditions is not None
    (condition,) = decision.conditions
    assert (condition.code, condition.subject, condition.priority) == (code, "bed-4", Priority.HIGH)
    output = decision.output
    assert (output.status, output.condition, output.action) == ("CRITICAL", code, ACTION)
    assert ACTION == "IMMEDIATE_MEDICAL_ATTENTION"
    assert output.confidence is not None
    assert 0.9 < output.confidence <= 1.0
    assert condition.title
    assert condition.evidence["confidence"] == pytest.approx(output.confidence, abs=1e-4)


@pytest.mark.parametrize(
    ("inside", "beyond"),
    [
        ({"ventricular": 0.4999, "fibrillation": 1.0}, {"ventricular": 0.5, "fibrillation": 1.0}),
        ({"pause_s": 3.99, "amplitude_mv": 0.1}, {"pause_s": 4.0, "amplitude_mv": 0.1}),
        ({"rr_s": rr(40.0)}, {"rr_s": rr(39.9)}),
        ({"rr_s": rr(140.0)}, {"rr_s": rr(140.1)}),
        ({"rr_s": rr(30.0, 3)}, {"rr_s": rr(30.0, 4)}),
        ({"rr_s": rr(200.0, 15)}, {"rr_s": rr(200.0, 16)}),
    ],
)
def test_each_limit_is_where_it_is_said_to_be(inside: dict[str, object], beyond: dict[str, object]) -> None:
    limits = Limits(ventricular=0.5, ventricular_over=0.3)
    assert codes(replace(WELL, **inside), limits=limits) == []
    assert len(codes(replace(WELL, **beyond), limits=limits) or []) == 1


def test_a_ventricular_rhythm_holds_until_it_is_clearly_over() -> None:
    limits = Limits(ventricular=0.5, ventricular_over=0.3)
    between = replace(WELL, ventricular=0.4, fibrillation=1.0)
    assert codes(between, NOTHING, limits) == []
    assert codes(between, stands(VF), limits) == [VF]
    assert codes(replace(between, ventricular=0.29), stands(VF), limits) == []


def test_vt_that_becomes_vf_is_vf_from_then_on() -> None:
    vt = replace(WELL, ventricular=0.9, fibrillation=0.2, rr_s=rr(180.0))
    vf = replace(vt, fibrillation=0.8)
    assert codes(vt) == [VT]
    assert codes(replace(vt, fibrillation=0.44), stands(VT)) == [VT]
    assert codes(replace(vt, fibrillation=0.6), stands(VT)) == [VF]
    assert codes(replace(vt, fibrillation=0.5)) == [VF]
    assert codes(vf, stands(VT)) == [VF]
    assert codes(vt, stands(VF)) == [VF]


def test_a_wide_rhythm_below_the_rate_of_vt_is_not_vt() -> None:
    slow = replace(WELL, ventricular=0.9, fibrillation=0.1, rr_s=rr(LIMITS.vt_bpm - 1))
    assert codes(slow) == []
    assert codes(replace(slow, rr_s=rr(LIMITS.vt_bpm))) == [VT]
    assert codes(replace(slow, rr_s=())) == [VT]
    assert codes(replace(slow, rr_s=(1.0, *rr(130.0, 4)))) == [VT]
    assert codes(replace(slow, fibrillation=0.6)) == [VF]
    assert codes(slow, stands(VT)) == [VT], "beats are missed while VT turns into VF"


def test_a_line_with_almost_no_voltage_is_asystole_and_not_fibrillation() -> None:
    faint = replace(WELL, ventricular=0.99, fibrillation=1.0, amplitude_mv=0.19, pause_s=5.0)
    assert codes(faint) == [Code.ASYSTOLE]
    assert codes(replace(faint, amplitude_mv=0.2)) == [VF]


def test_no_beats_in_a_large_signal_is_not_asystole_but_cannot_be_told() -> None:
    unseen = replace(WELL, pause_s=6.0, amplitude_mv=0.2)
    assert codes(unseen) == []
    assert codes(replace(unseen, amplitude_mv=0.199)) == [Code.ASYSTOLE]
    assert decide(unseen, NOTHING, LIMITS, SUBJECT).output.status == "CANNOT_TELL"
    assert codes(unseen, stands(Code.ASYSTOLE)) == [Code.ASYSTOLE]


def test_beats_of_a_ventricular_rhythm_or_an_asystole_make_no_rate_after_it() -> None:
    fast = replace(WELL, rr_s=(*rr(200.0, 16), *rr(80.0, 3)), last_beat_s=60.0)
    over_s = 60.0 - 3 * 60 / 80
    assert codes(fast) == [FAST]
    assert codes(fast, stands(until_s=over_s - 0.1)) == []
    slow = replace(WELL, rr_s=(*rr(70.0), 8.0, *rr(70.0, 3)), last_beat_s=60.0)
    assert codes(slow) == [SLOW]
    assert codes(slow, stands(until_s=57.0)) == []
    assert codes(replace(slow, rr_s=(8.0, *rr(35.0, 4))), stands(until_s=59.9 - 4 * 60 / 35)) == [SLOW]


def test_what_stands_follows_the_decisions() -> None:
    vt = replace(WELL, ventricular=0.9, fibrillation=0.0, rr_s=rr(180.0), time_s=70.0)
    held = NOTHING.after(decide(vt, NOTHING, LIMITS, SUBJECT))
    assert held == stands(VT, until_s=70.0)
    over = held.after(decide(replace(WELL, time_s=80.0), held, LIMITS, SUBJECT))
    assert over == stands(until_s=70.0)
    slow = over.after(
        decide(replace(WELL, rr_s=rr(30.0, 4), last_beat_s=90.0, time_s=90.0), over, LIMITS, SUBJECT)
    )
    assert slow == stands(SLOW, until_s=70.0)
    unknown = decide(replace(WELL, ventricular=None), None, LIMITS, SUBJECT)
    assert held.after(unknown) is held


def test_waves_without_pauses_between_them_are_no_slow_rate() -> None:
    waves = replace(WELL, rr_s=rr(35.0), busy=0.21)
    assert codes(waves) == []
    assert decide(waves, NOTHING, LIMITS, SUBJECT).output.status == "CANNOT_TELL"
    assert codes(replace(waves, busy=0.2)) == [SLOW]


@pytest.mark.parametrize(
    ("code", "still", "over"), [(SLOW, rr(43.9), rr(44.1)), (FAST, rr(126.1), rr(125.9))]
)
def test_a_rate_alarm_ends_when_the_rate_is_well_inside(
    code: Code, still: tuple[float, ...], over: tuple[float, ...]
) -> None:
    assert codes(replace(WELL, rr_s=still), stands(code)) == [code]
    assert codes(replace(WELL, rr_s=over), stands(code)) == []


def test_in_noise_what_stands_stands_and_nothing_new_is_raised() -> None:
    noise = replace(WELL, readable=False, rr_s=rr(180.0), pause_s=5.0, amplitude_mv=0.1)
    assert codes(noise) == []
    assert codes(noise, stands(SLOW)) == [SLOW]
    output = decide(noise, stands(SLOW), LIMITS, SUBJECT).output
    assert (output.status, output.condition, output.confidence) == ("CRITICAL", SLOW, None)
    assert decide(noise, NOTHING, LIMITS, SUBJECT).output.status == "CANNOT_TELL"


def test_certain_fibrillation_is_told_even_where_noise_is_likely() -> None:
    assert codes(replace(WELL, readable=False, ventricular=0.95, fibrillation=1.0)) == [VF]


LOST = replace(
    WELL, connected=(False, False), quality=0.0, amplitude_mv=None, ventricular=None, fibrillation=None,
    readable=False, rr_s=(), last_beat_s=None, beat_score=None, pause_s=0.0, heart_rate_bpm=None,
)  # fmt: skip


def test_a_lost_signal_is_an_alert_of_its_own_that_names_the_leads() -> None:
    decision = decide(LOST, NOTHING, LIMITS, SUBJECT)
    assert decision.conditions is not None
    (condition,) = decision.conditions
    assert (condition.code, condition.priority) == (Code.SIGNAL_LOST, Priority.MEDIUM)
    assert condition.evidence["leads_off"] == ["II", "V1"]
    output = decision.output
    assert (output.status, output.condition, output.action) == ("CANNOT_TELL", Code.SIGNAL_LOST, "")


def test_a_lost_signal_does_not_clear_what_stood_before_it() -> None:
    assert codes(LOST, stands(VF)) == [VF, Code.SIGNAL_LOST]
    assert decide(LOST, stands(VF), LIMITS, SUBJECT).output.condition == VF
    assert codes(replace(LOST, connected=(True, False)), stands(VF, Code.SIGNAL_LOST)) == [VF]


def test_a_condition_carries_what_a_person_needs_to_check_it() -> None:
    belief = replace(
        WELL,
        time_s=61.23456,
        rr_s=rr(150.0),
        heart_rate_bpm=149.96,
        beat_score=0.912345,
        connected=(True, False),
    )
    conditions = decide(belief, NOTHING, LIMITS, SUBJECT).conditions
    assert conditions is not None
    assert conditions[0].evidence == {
        "status": "CRITICAL",
        "condition": "Extreme tachycardia",
        "action": "IMMEDIATE_MEDICAL_ATTENTION",
        "picture": "/v1/healthcare/strips/{alert}",
        "signal_quality": 0.9, "time_s": 61.235, "confidence": 0.9123, "heart_rate_bpm": 150.0, "leads_off": ["V1"],
    }  # fmt: skip


def test_one_lead_off_is_told_but_is_no_alert() -> None:
    decision = decide(replace(WELL, connected=(False, True)), NOTHING, LIMITS, SUBJECT)
    assert decision.conditions == ()
    assert decision.output.leads_off == ("II",)


def test_before_anything_could_be_judged_nothing_is_cleared() -> None:
    starting = replace(WELL, ventricular=None, fibrillation=None, readable=False)
    assert codes(starting, None) is None
    assert codes(LOST, None) == [Code.SIGNAL_LOST]
    assert codes(WELL, None) == []


def test_a_simulated_patient_is_told_from_a_real_one_in_the_evidence() -> None:
    belief = replace(WELL, rr_s=rr(30.0))
    for simulated in (False, True):
        decision = decide(belief, NOTHING, LIMITS, replace(SUBJECT, simulated=simulated))
        assert decision.conditions is not None
        assert ("simulated" in decision.conditions[0].evidence) is simulated
        assert decision.output.simulated is simulated


@given(
    ventricular=st.floats(0, 1),
    fibrillation=st.floats(0, 1),
    amplitude_mv=st.floats(0, 5),
    readable=st.booleans(),
    rr_s=st.lists(st.floats(0.2, 8.0), max_size=32),
    pause_s=st.floats(0, 20),
    standing=st.sets(st.sampled_from(list(Code))),
)
def test_at_most_one_rhythm_is_found_and_critical_means_one_holds(
    ventricular: float,
    fibrillation: float,
    amplitude_mv: float,
    readable: bool,
    rr_s: list[float],
    pause_s: float,
    standing: set[Code],
) -> None:
    belief = replace(
        WELL, ventricular=ventricular, fibrillation=fibrillation, amplitude_mv=amplitude_mv, readable=readable,
        rr_s=tuple(rr_s), pause_s=pause_s,
    )  # fmt: skip
    decision = decide(belief, Standing(frozenset(standing)), LIMITS, SUBJECT)
    assert decision.conditions is not None
    found = {each.code for each in decision.conditions}
    assert len(found - standing) <= 1
    assert (decision.output.status == "CRITICAL") == bool(found - set(PRIORITIES))
    assert (decision.output.condition in found) == bool(found)


@given(st.lists(st.floats(0.2, 3.0), min_size=1, max_size=40), st.integers(2, 40))
def test_a_rate_lies_between_its_fastest_and_its_slowest_interval(rr_s: list[float], beats: int) -> None:
    rate = rate_bpm(rr_s, beats)
    if len(rr_s) < beats - 1:
        assert rate is None
    else:
        used = rr_s[len(rr_s) - beats + 1 :]
        assert rate is not None
        assert 60 / max(used) - 1e-6 <= rate <= 60 / min(used) + 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        {"ventricular": 0.2, "ventricular_over": 0.3},
        {"ventricular": 1.0},
        {"ventricular_over": 0.0},
        {"bradycardia_bpm": 140.0},
        {"bradycardia_bpm": 0.0},
        {"bradycardia_beats": 1},
        {"tachycardia_beats": 40},
        {"asystole_s": 0.5},
        {"activity_mv": 0.0},
        {"vt_bpm": 0.0},
        {"rate_margin": 0.5},
        {"bradycardia_busy": 0.0},
        {"fibrillation": 0.7},
        {"fibrillation_after_vt": 1.1},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|is a|at least|taken"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_no_heart_rate_is_shown_where_there_are_no_beats_to_count() -> None:
    fibrillating = replace(WELL, ventricular=0.99, fibrillation=0.99, amplitude_mv=1.0, heart_rate_bpm=183.0)
    decision = decide(fibrillating, NOTHING, LIMITS, SUBJECT)
    assert decision.output.condition == Code.VENTRICULAR_FIBRILLATION
    assert decision.output.heart_rate_bpm is None


# What is not critical: ventricular beats and atrial fibrillation


def ectopic(**known: object) -> Belief:
    return replace(WELL, ectopy=Ectopy(**known))  # type: ignore[arg-type]


RUN, COUPLET, BIGEMINY = Code.PVC_RUN, Code.PVC_COUPLET, Code.PVC_BIGEMINY
AFIB = Code.ATRIAL_FIBRILLATION


def test_a_lesser_rhythm_is_told_with_its_priority_and_asks_nobody_to_come_at_once() -> None:
    for belief, code, priority, rhythm in (
        (
            ectopic(run_s=59.0, run_beats=4, run_bpm=150.4, certainty=0.8),
            RUN,
            Priority.MEDIUM,
            "ventricular run",
        ),
        (ectopic(couplet_s=59.0, certainty=0.8), COUPLET, Priority.LOW, "ventricular couplets"),
        (ectopic(bigeminy_s=59.0, certainty=0.8), BIGEMINY, Priority.LOW, "ventricular bigeminy"),
        (
            ectopic(per_minute=12, certainty=0.8),
            Code.FREQUENT_PVC,
            Priority.LOW,
            "frequent ventricular beats",
        ),
        (replace(WELL, atrial=0.95), AFIB, Priority.MEDIUM, "atrial fibrillation"),
    ):
        decision = decide(belief, NOTHING, LIMITS, SUBJECT)
        assert decision.conditions is not None
        (condition,) = decision.conditions
        assert (condition.code, condition.subject, condition.priority) == (code, "bed-4", priority)
        output = decision.output
        assert (output.status, output.action, output.rhythm) == ("NORMAL", "", rhythm)
        assert (output.condition, output.confidence) == (code, condition.evidence["confidence"])
        assert output.confidence == (0.95 if code == AFIB else 0.8)
        assert condition.evidence["condition"] == condition.title
        assert condition.evidence["picture"] == STRIP
        assert not {"status", "action"} & set(condition.evidence)


def test_evidence_tells_how_many_ventricular_beats_and_what_the_run_was() -> None:
    conditions = decide(
        ectopic(per_minute=7, run_s=59.0, run_beats=4, run_bpm=150.4, certainty=0.8), NOTHING, LIMITS, SUBJECT
    ).conditions
    assert conditions is not None
    evidence = conditions[0].evidence
    assert (evidence["ventricular_beats_last_minute"], evidence["run_beats"], evidence["run_bpm"]) == (
        7,
        4,
        150,
    )
    (couplet,) = decide(ectopic(couplet_s=59.0), NOTHING, LIMITS, SUBJECT).conditions or ()
    assert couplet.evidence["ventricular_beats_last_minute"] == 0
    assert "run_beats" not in couplet.evidence
    (atrial,) = decide(replace(WELL, atrial=0.95), NOTHING, LIMITS, SUBJECT).conditions or ()
    assert "ventricular_beats_last_minute" not in atrial.evidence


def test_of_all_that_ventricular_beats_give_only_the_gravest_is_told() -> None:
    known = {
        "per_minute": 30,
        "bigeminy_s": 59.0,
        "couplet_s": 59.0,
        "run_s": 59.0,
        "run_beats": 3,
        "run_bpm": 150.0,
    }
    for code, key in ((RUN, "run_s"), (COUPLET, "couplet_s"), (BIGEMINY, "bigeminy_s")):
        assert codes(ectopic(**known)) == [code]
        del known[key]
    assert codes(ectopic(**known)) == [Code.FREQUENT_PVC]


def test_a_run_is_told_for_a_minute_after_its_last_beat() -> None:
    assert codes(ectopic(run_s=0.1)) == [RUN]
    assert codes(ectopic(run_s=0.0)) == []
    assert codes(ectopic(run_s=55.0), limits=Limits(ectopy_s=5.0)) == []


def test_a_run_that_was_part_of_a_ventricular_tachycardia_is_not_told_again() -> None:
    assert codes(ectopic(run_s=58.0), stands(until_s=58.0)) == []
    assert codes(ectopic(run_s=58.1), stands(until_s=58.0)) == [RUN]
    assert codes(replace(ectopic(run_s=58.0), ventricular=0.9, rr_s=rr(180.0))) == [VT]


def test_ventricular_beats_are_frequent_from_their_limit_on() -> None:
    assert codes(ectopic(per_minute=9)) == []
    assert codes(ectopic(per_minute=10)) == [Code.FREQUENT_PVC]
    assert codes(ectopic(per_minute=60), stands(until_s=0.0)) == []
    assert codes(ectopic(per_minute=60), stands(until_s=-0.1)) == [Code.FREQUENT_PVC]


def test_atrial_fibrillation_holds_until_it_is_clearly_over() -> None:
    assert codes(replace(WELL, atrial=0.89)) == []
    assert codes(replace(WELL, atrial=0.9)) == [AFIB]
    assert codes(replace(WELL, atrial=0.3), stands(AFIB)) == [AFIB]
    assert codes(replace(WELL, atrial=0.29), stands(AFIB)) == []
    assert codes(replace(WELL, atrial=None), stands(AFIB)) == []


def test_lesser_rhythms_are_told_beside_a_rate_that_is_too_fast_or_too_slow() -> None:
    assert codes(replace(WELL, atrial=0.95, rr_s=rr(150.0))) == [FAST, AFIB]
    assert codes(replace(WELL, atrial=0.95, rr_s=rr(35.0))) == [SLOW, AFIB]
    decision = decide(replace(WELL, atrial=0.95, rr_s=rr(150.0)), NOTHING, LIMITS, SUBJECT)
    assert (decision.output.status, decision.output.condition) == ("CRITICAL", FAST)


def test_while_nothing_can_be_told_lesser_rhythms_stand() -> None:
    unreadable = replace(WELL, readable=False)
    assert codes(unreadable, stands(RUN, AFIB)) == [RUN, AFIB]


@pytest.mark.parametrize(
    "wrong",
    [
        {"atrial": 1.0},
        {"atrial_over": 0.0},
        {"atrial": 0.2},
        {"pvc_per_minute": 0},
        {"ectopy_s": 0.0},
    ],
)
def test_limits_of_lesser_rhythms_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"atrial|pvc_per_minute"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_limits_of_lesser_rhythms_at_their_edges_are_taken() -> None:
    Limits(atrial=0.5, atrial_over=0.5)
    Limits(pvc_per_minute=1, ectopy_s=0.1)
