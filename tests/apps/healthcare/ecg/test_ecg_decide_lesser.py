"""Belief -> decision: what is not critical, ventricular beats and atrial fibrillation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.healthcare.ecg.decide import (
    ATRIAL_AFTER_S,
    ATRIAL_CLEAR_AFTER_S,
    ECTOPY_AFTER_S,
    ECTOPY_CLEAR_AFTER_S,
    STRIP,
    Code,
    Limits,
    decide,
)
from apps.healthcare.ecg.ectopy import Ectopy
from apps.healthcare.ecg.fuse import Belief
from edgeai_core.decision import Priority
from tests.apps.healthcare.ecg.hearts import FAST, LIMITS, NOTHING, SLOW, SUBJECT, VT, WELL, codes, rr, stands


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


def test_lesser_rhythms_are_an_alert_and_over_after_the_times_that_are_told() -> None:
    assert (ECTOPY_AFTER_S, ECTOPY_CLEAR_AFTER_S) == (3.0, 600.0)
    assert (ATRIAL_AFTER_S, ATRIAL_CLEAR_AFTER_S) == (15.0, 60.0)
