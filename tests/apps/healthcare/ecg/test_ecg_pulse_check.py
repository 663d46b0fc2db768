"""A claim of the ECG is checked against the pulse: an artefact is demoted, a true arrhythmia never."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from apps.healthcare.ecg.decide import Code, EcgOutput, Limits, condition
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
