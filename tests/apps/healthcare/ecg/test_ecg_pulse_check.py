"""A claim of the ECG is checked against the pulse: an artefact is demoted, a true arrhythmia never."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from apps.healthcare.ecg.decide import ACTION, Code, EcgOutput, Limits, condition
from apps.healthcare.ecg.pulse_check import PulseEvidence, check, contradicts
from apps.healthcare.simulation.pulses import pulse_wave
from apps.healthcare.vitals.analysis import Settings, VitalsAnalyzer, Wave
from edgeai_core.decision import Decision, Priority

LIMITS = Limits()
RATE_HZ = 100.0
ONSET_S = 30.0
CHECKED = [
    Code.ASYSTOLE,
    Code.VENTRICULAR_TACHYCARDIA,
    Code.EXTREME_TACHYCARDIA,
    Code.EXTREME_BRADYCARDIA,
]
STEADY = PulseEvidence(0.95, (0.4, 1.2, 2.0, 2.8, 3.6, 4.4, 5.2), (1.0,) * 7, 75.0, "ppg")


def claim(*codes: Code) -> Decision[EcgOutput]:
    output = EcgOutput("p", "CRITICAL", codes[0], 0.9, "IMMEDIATE_MEDICAL_ATTENTION")
    return Decision(output, tuple(condition(code, output, 0.9) for code in codes))


def evidence(
    beats_s: np.ndarray, strengths: np.ndarray, until_s: float, seed: int = 0, late_s: float = 0.5
) -> Iterator[tuple[float, PulseEvidence]]:
    """Give what the vitals loop would publish every half second, as the ECG loop reads it, ``late_s`` later."""
    analyzer = VitalsAnalyzer(Settings())
    count = round(0.5 * RATE_HZ)
    rng = np.random.default_rng(seed)
    for step in range(round(until_s * 2)):
        start_s = step / 2
        wave = pulse_wave("ppg", beats_s.tolist(), strengths.tolist(), start_s, count, RATE_HZ)
        analyzer.push([Wave("ppg", wave + rng.normal(0, 0.01, count), RATE_HZ)], start_s + 0.5)
        out = analyzer.decide(start_s + 0.5).output
        recent_s = tuple(each + late_s for each in out.pulse_recent_s)
        yield (
            start_s + 0.5 + late_s,
            PulseEvidence(
                out.pulse_quality, recent_s, out.pulse_strengths, out.pulse_before_bpm, out.pulse_origin
            ),
        )


def rhythm(rng: np.random.Generator, bpm: float, start_s: float, end_s: float) -> list[float]:
    times, now_s = [], start_s
    while now_s < end_s:
        times.append(now_s)
        now_s += 60 / bpm * (1 + 0.02 * rng.standard_normal())
    return times


def after_onset(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return beats and strengths of a minute of sinus rhythm and then of a true arrhythmia."""
    rng = np.random.default_rng(seed)
    before = rhythm(rng, rng.uniform(60, 95), 0.0, ONSET_S)
    after: list[float] = []
    strengths: list[float] = []
    if kind in ("VT", "VT two to one"):
        after = rhythm(rng, rng.uniform(130, 220), ONSET_S, ONSET_S + 20)
        weak = rng.uniform(0.2, 0.85)
        strengths = [weak * (0.05 if kind != "VT" and n % 2 else 1.0) for n in range(len(after))]
    elif kind == "tachycardia":
        after = rhythm(rng, rng.uniform(145, 190), ONSET_S, ONSET_S + 20)
        strengths = [rng.uniform(0.7, 1.0)] * len(after)
    elif kind == "bradycardia":
        after = rhythm(rng, rng.uniform(25, 38), ONSET_S, ONSET_S + 20)
        strengths = [1.1] * len(after)
    return np.array(before + after), np.array([1.0] * len(before) + strengths)


@pytest.mark.parametrize("code", CHECKED)
def test_a_claim_that_a_steady_pulse_contradicts_is_medium_and_says_why(code: Code) -> None:
    checked = check(claim(code), STEADY, LIMITS)
    (found,) = checked.conditions or ()
    assert found.priority is Priority.MEDIUM
    assert "a steady pulse of 75 a minute (ppg)" in found.title
    assert "75 a minute" in str(found.evidence["contradicted_by"])
    assert (checked.output.status, checked.output.action) == ("DISPUTED", "")


def test_fibrillation_is_never_checked_nor_anything_beside_it() -> None:
    for codes in ([Code.VENTRICULAR_FIBRILLATION], [Code.VENTRICULAR_FIBRILLATION, Code.ASYSTOLE]):
        decision = claim(*codes)
        assert check(decision, STEADY, LIMITS) is decision


def test_without_a_pulse_nothing_changes() -> None:
    decision = claim(Code.ASYSTOLE)
    assert check(decision, None, LIMITS) is decision
    quiet: Decision[EcgOutput] = Decision(EcgOutput("p", "NORMAL"))
    assert check(quiet, STEADY, LIMITS) is quiet


@pytest.mark.parametrize(
    "pulse",
    [
        PulseEvidence(0.79, STEADY.recent_s, STEADY.strengths, 75.0, "ppg"),
        PulseEvidence(0.95, tuple(each + 1.11 for each in STEADY.recent_s), STEADY.strengths, 75.0, "ppg"),
        PulseEvidence(0.95, (1.0, 3.0, 5.0), (1.0,) * 3, 75.0, "ppg"),
        PulseEvidence(0.95, (), (), None, "ppg"),
    ],
    ids=["poor", "stopped", "too slow", "nothing"],
)
@pytest.mark.parametrize("code", CHECKED)
def test_a_pulse_that_is_not_good_and_going_on_contradicts_nothing(code: Code, pulse: PulseEvidence) -> None:
    assert contradicts(code, pulse, LIMITS) == ""


@pytest.mark.parametrize("code", [Code.VENTRICULAR_TACHYCARDIA, Code.EXTREME_TACHYCARDIA])
def test_a_tachycardia_is_not_contradicted_by_a_pulse_that_has_changed(code: Code) -> None:
    for strengths, before_bpm in (
        ((1.0, 1.0, 0.84, 1.0, 1.0), 75.0),
        ((1.0, 1.26, 1.0, 1.0, 1.0), 75.0),
        ((), 75.0),
        ((1.0,) * 5, 90.0),
        ((1.0,) * 5, 60.0),
        ((1.0,) * 5, None),
    ):
        changed = PulseEvidence(0.95, STEADY.recent_s, strengths, before_bpm, "ppg")
        assert contradicts(code, changed, LIMITS) == ""


@pytest.mark.parametrize("code", CHECKED)
def test_what_is_left_when_the_pulse_is_gone_contradicts_nothing(code: Code) -> None:
    noise = PulseEvidence(0.95, STEADY.recent_s, (0.49, *STEADY.strengths[1:]), 75.0, "ppg")
    assert contradicts(code, noise, LIMITS) == ""


@pytest.mark.parametrize(
    ("kind", "code", "claimed_after_s"),
    [
        ("VT", Code.VENTRICULAR_TACHYCARDIA, 2.5),
        ("VT two to one", Code.VENTRICULAR_TACHYCARDIA, 2.5),
        ("asystole", Code.ASYSTOLE, 4.0),
        ("tachycardia", Code.EXTREME_TACHYCARDIA, 5.0),
        ("bradycardia", Code.EXTREME_BRADYCARDIA, 6.5),
    ],
)
def test_a_true_arrhythmia_is_never_demoted(kind: str, code: Code, claimed_after_s: float) -> None:
    for seed in range(8):
        beats_s, strengths = after_onset(kind, seed)
        for at_s, pulse in evidence(beats_s, strengths, ONSET_S + 14, seed):
            if at_s >= ONSET_S + claimed_after_s:
                assert contradicts(code, pulse, LIMITS) == "", (seed, at_s, pulse)


def test_an_artefact_with_a_pulse_beneath_is_demoted_at_once() -> None:
    demoted = total = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        beats_s = np.array(rhythm(rng, rng.uniform(60, 90), 0.0, 50.0))
        for at_s, pulse in evidence(beats_s, np.ones(len(beats_s)), 45, seed):
            if at_s >= ONSET_S + 4:
                total += 1
                demoted += all(contradicts(code, pulse, LIMITS) for code in CHECKED)
    assert demoted / total > 0.9


def test_the_priority_is_high_when_the_pulse_has_gone() -> None:
    gone = PulseEvidence(0.0, (3.2,), (), None, "ppg")
    checked = check(claim(Code.ASYSTOLE), gone, LIMITS)
    assert (checked.conditions or ())[0].priority is Priority.HIGH
    assert checked.output.status == "CRITICAL"


def steady(interval_s: float, count: int = 4, **changed: object) -> PulseEvidence:
    """A pulse as regular as can be, the newest just now."""
    ages_s = tuple(interval_s * n for n in range(count))
    return replace(
        PulseEvidence(0.95, ages_s, (1.0,) * count, 60.0 / interval_s, "ppg"),
        **changed,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("pulse", "contradicted"),
    [
        (steady(1.0, 3), True),
        (steady(1.0, 2), False),
        (PulseEvidence(0.95, (0.5, 2.0, 4.0), (1.0,) * 3, 60.0, "ppg"), True),  # 4 s ago is within the window
        (PulseEvidence(0.95, (0.5, 2.0, 4.001), (1.0,) * 3, 60.0, "ppg"), False),
        (PulseEvidence(0.95, (1.5, 2.5, 3.5), (1.0,) * 3, 60.0, "ppg"), True),
        (steady(1.0, quality=0.8), True),
        (steady(1.0, strengths=(0.5, 1.0, 1.0, 1.0)), True),
        (steady(1.0, strengths=(1.0, 1.0, 1.0)), False),  # one is not known
    ],
)
def test_asystole_is_contradicted_up_to_the_limits_and_no_further(
    pulse: PulseEvidence, contradicted: bool
) -> None:
    assert bool(contradicts(Code.ASYSTOLE, pulse, LIMITS)) is contradicted


@pytest.mark.parametrize(
    ("pulse", "contradicted"),
    [
        (steady(1.2), False),  # 50 a minute is 40 and a quarter
        (steady(1.19), True),
        (PulseEvidence(0.95, (0.0, 0.5, 1.9), (1.0,) * 3, 60.0, "ppg"), False),  # the slowest counts
    ],
)
def test_bradycardia_is_contradicted_by_a_pulse_that_is_well_above_it(
    pulse: PulseEvidence, contradicted: bool
) -> None:
    assert bool(contradicts(Code.EXTREME_BRADYCARDIA, pulse, LIMITS)) is contradicted


@pytest.mark.parametrize(
    ("pulse", "contradicted"),
    [
        (steady(0.625), True),  # 96 a minute is four fifths of the 120 of VT
        (steady(0.62), False),
        (PulseEvidence(0.95, (0.0, 0.7, 1.3), (1.0,) * 3, 100.0, "ppg"), False),  # the fastest counts
        (steady(0.8, strengths=(0.85, 1.25, 1.0, 1.0)), True),
    ],
)
def test_a_tachycardia_is_contradicted_up_to_the_limits_and_no_further(
    pulse: PulseEvidence, contradicted: bool
) -> None:
    assert bool(contradicts(Code.VENTRICULAR_TACHYCARDIA, pulse, LIMITS)) is contradicted


def test_no_other_claim_is_contradicted() -> None:
    assert contradicts(Code.SIGNAL_LOST, STEADY, LIMITS) == ""


def test_a_pulse_is_that_from_before_up_to_a_share_of_its_rate() -> None:
    now_bpm = 75.0
    for share, contradicted in ((0.145, True), (0.155, False), (-0.145, True), (-0.155, False)):
        pulse = steady(60.0 / now_bpm, before_bpm=now_bpm / (1 + share))
        assert bool(contradicts(Code.VENTRICULAR_TACHYCARDIA, pulse, LIMITS)) is contradicted


def test_what_is_not_contradicted_is_the_same_decision() -> None:
    decision = claim(Code.VENTRICULAR_TACHYCARDIA)
    assert check(decision, replace(STEADY, before_bpm=None), LIMITS) is decision


def test_while_one_claim_stands_the_patient_is_critical() -> None:
    checked = check(
        claim(Code.ASYSTOLE, Code.VENTRICULAR_TACHYCARDIA), replace(STEADY, before_bpm=None), LIMITS
    )
    assert [each.priority for each in checked.conditions or ()] == [Priority.MEDIUM, Priority.HIGH]
    assert (checked.output.status, checked.output.action) == ("CRITICAL", ACTION)


def test_a_claim_that_is_not_critical_is_left_alone() -> None:
    decision = claim(Code.ASYSTOLE)
    low = replace(decision, conditions=(replace((decision.conditions or ())[0], priority=Priority.LOW),))
    assert check(low, STEADY, LIMITS) is low


def test_of_the_evidence_only_the_call_for_action_goes() -> None:
    decision = claim(Code.ASYSTOLE)
    before = (decision.conditions or ())[0].evidence
    after = (check(decision, STEADY, LIMITS).conditions or ())[0].evidence
    assert ACTION in before.values()
    assert ACTION not in after.values()
    kept = {key: value for key, value in before.items() if value != ACTION and key != "status"}
    assert kept.items() <= after.items()


def test_a_pulse_cannot_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        STEADY.quality = 0.0  # type: ignore[misc]
