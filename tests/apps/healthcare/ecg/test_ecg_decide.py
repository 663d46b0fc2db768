"""Belief -> decision, limit by limit."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.decide import (
    ACTION,
    PRIORITIES,
    Code,
    EcgOutput,
    Limits,
    Standing,
    Subject,
    decide,
    rate_bpm,
)
from apps.healthcare.ecg.fuse import Belief
from edgeai_core.decision import Priority
from tests.apps.healthcare.ecg.hearts import (
    FAST,
    LIMITS,
    NOTHING,
    SLOW,
    SUBJECT,
    VF,
    VT,
    WELL,
    codes,
    rr,
    stands,
)


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
    assert [codes(replace(vt, fibrillation=share)) for share in (0.39, 0.4)] == [[VT], [VF]]
    assert [codes(replace(vt, fibrillation=share), stands(VT)) for share in (0.44, 0.45)] == [[VT], [VF]]
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
    assert codes(replace(faint, amplitude_mv=0.0)) == [Code.ASYSTOLE]
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


def test_an_alert_names_no_leads_where_all_are_on() -> None:
    fast = replace(WELL, rr_s=rr(200.0, 16), last_beat_s=60.0)
    conditions = decide(fast, NOTHING, LIMITS, SUBJECT).conditions
    assert conditions
    assert all("leads_off" not in each.evidence for each in conditions)


def test_an_interval_that_began_the_moment_a_rhythm_was_over_counts_and_one_before_it_does_not() -> None:
    slow = replace(WELL, rr_s=(2.0,) * 4, last_beat_s=58.0)  # the first of the five beats comes at 50 s
    assert codes(slow, stands(until_s=50.0)) == [SLOW]
    assert codes(slow, stands(until_s=50.5)) == []


def test_a_lost_signal_is_an_alert_of_its_own_that_names_the_leads() -> None:
    decision = decide(LOST, NOTHING, LIMITS, SUBJECT)
    assert decision.conditions is not None
    (condition,) = decision.conditions
    assert (condition.code, condition.priority) == (Code.SIGNAL_LOST, Priority.MEDIUM)
    assert condition.evidence["leads_off"] == ["II", "V1"]
    assert not {"picture", "condition", "status", "action"} & set(condition.evidence)
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
        assert decision.conditions[0].evidence.get("simulated", False) is simulated
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
        {"fibrillation": 0.0},
        {"fibrillation_after_vt": 1.1},
        {"rate_margin": -0.1},
        {"bradycardia_busy": 1.1},
        {"bradycardia_beats": 33},
        {"tachycardia_beats": 1},
        {"tachycardia_beats": 33},
        {"tachycardia_bpm": math.inf},
        {"ectopy_s": math.nan},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|is a|at least|taken"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_limits_at_their_edges_are_taken() -> None:
    Limits(ventricular=0.2, ventricular_over=0.2)
    Limits(fibrillation=1.0, fibrillation_after_vt=1.0)
    Limits(rate_margin=0.0, bradycardia_busy=1.0)
    Limits(bradycardia_beats=2, tachycardia_beats=2)
    Limits(bradycardia_beats=32, tachycardia_beats=32)
    Limits(asystole_s=1.0, activity_mv=0.01, vt_bpm=0.5, bradycardia_bpm=0.5)


def test_vt_begins_at_120_a_minute() -> None:
    wide = replace(WELL, ventricular=0.9, fibrillation=0.1)
    assert codes(replace(wide, rr_s=rr(119.9))) == []
    assert codes(replace(wide, rr_s=rr(120.0))) == [VT]


def test_nothing_at_all_in_the_signal_is_neither_vf_nor_judged_by_a_probability_of_nothing() -> None:
    assert codes(replace(WELL, ventricular=0.0)) == []
    assert codes(replace(WELL, ventricular=0.99, fibrillation=1.0, amplitude_mv=0.0)) == []
    assert codes(replace(WELL, amplitude_mv=None), None) is None
    assert codes(replace(WELL, amplitude_mv=None, pause_s=9.0), stands(SLOW)) == [SLOW]


def test_a_rate_needs_two_beats() -> None:
    assert rate_bpm((0.5,), 2) == 120.0
    assert rate_bpm((0.5,), 1) is None
    assert rate_bpm((), 2) is None


def test_beats_without_a_score_give_no_confidence_and_no_beats_no_rate() -> None:
    assert (
        decide(replace(WELL, rr_s=rr(30.0), beat_score=None), NOTHING, LIMITS, SUBJECT).output.confidence
        == 0.0
    )
    assert codes(replace(WELL, rr_s=(), last_beat_s=None)) == []
    assert codes(replace(WELL, rr_s=rr(200.0, 16), last_beat_s=None)) == []


@pytest.mark.parametrize(
    ("belief", "rhythm"),
    [
        (WELL, "no alarm"),
        (replace(WELL, ventricular=0.97, fibrillation=0.9), "VF"),
        (replace(WELL, ventricular=0.97, fibrillation=0.1, rr_s=rr(180.0)), "VT"),
        (replace(WELL, pause_s=4.0, amplitude_mv=0.05), "asystole"),
        (replace(WELL, rr_s=rr(35.0)), "bradycardia"),
        (replace(WELL, rr_s=rr(150.0)), "tachycardia"),
        (replace(WELL, readable=False), "cannot tell"),
        (replace(WELL, connected=(False, False)), "no alarm"),
    ],
)
def test_the_rhythm_is_told_in_a_word(belief: Belief, rhythm: str) -> None:
    assert decide(belief, NOTHING, LIMITS, SUBJECT).output.rhythm == rhythm


def test_a_heart_rate_is_not_shown_of_leads_that_are_off_and_leads_need_no_names() -> None:
    off = decide(replace(WELL, connected=(False, False)), NOTHING, LIMITS, Subject("bed-4"))
    assert (off.output.heart_rate_bpm, off.output.leads_off) == (None, ())
    one = decide(replace(WELL, connected=(False, True)), NOTHING, LIMITS, Subject("bed-4", ("II",)))
    assert (one.output.heart_rate_bpm, one.output.leads_off) == (70.0, ("II",))


def test_what_others_get_says_nothing_until_something_is_known_and_stays_as_it_is() -> None:
    output = EcgOutput("bed-4", "CANNOT_TELL")
    assert (output.time_s, output.simulated, output.rhythm) == (0.0, False, "cannot tell")
    assert not Subject("bed-4").simulated
    for record, name in ((output, "status"), (LIMITS, "vt_bpm"), (SUBJECT, "patient"), (NOTHING, "codes")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, getattr(record, name))


def test_no_heart_rate_is_shown_where_there_are_no_beats_to_count() -> None:
    fibrillating = replace(WELL, ventricular=0.99, fibrillation=0.99, amplitude_mv=1.0, heart_rate_bpm=183.0)
    decision = decide(fibrillating, NOTHING, LIMITS, SUBJECT)
    assert decision.output.condition == Code.VENTRICULAR_FIBRILLATION
    assert decision.output.heart_rate_bpm is None
