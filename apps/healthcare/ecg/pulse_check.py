"""What an ECG claims, checked against the pulse: an artefact looks like an arrhythmia, but the pulse goes on.

A claim that a steady pulse contradicts is not called critical: its priority falls to medium, and its evidence says why.
Ventricular fibrillation is never checked, so nothing delays it, and what the pulse does not contradict clearly stays as
it is. The idea and its worth for asystole and ventricular tachycardia: A. Aboukhalil et al., "Reducing false alarm
rates for critical arrhythmias using the arterial blood pressure waveform", J. Biomed. Inform. 41:442-451, 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from apps.healthcare.ecg.decide import ACTION, Code, EcgOutput, Limits
from edgeai_core.decision import Condition, Decision, Priority

WINDOW_S = 4.0
"""The pulse must go on through as long as the claims stand on."""

LEAST_PULSES = 3
LEAST_QUALITY = 0.8
LONGEST_SILENCE_S = 1.5
SAME_RATE = 0.15
LEAST_STRENGTH = 0.5
SAME_STRENGTHS = (0.85, 1.25)
"""Height of every pulse over that of the minute before: in VT the heart fills badly, and its pulse is weaker. What is
under half of it may be the noise that is left when the pulse is gone.
"""

_MARGIN = 0.8


@dataclass(frozen=True)
class PulseEvidence:
    """The pulse now. ``recent_s``: how long ago each of the last pulses was, the newest first, and ``strengths`` the
    height of each over that of the minute before; empty, and ``before_bpm`` None, while that minute is not known.
    """

    quality: float
    recent_s: tuple[float, ...]
    strengths: tuple[float, ...]
    before_bpm: float | None
    origin: str


def check(decision: Decision[EcgOutput], pulse: PulseEvidence | None, limits: Limits) -> Decision[EcgOutput]:
    """Return the decision with what the pulse contradicts called medium; the same where it contradicts nothing."""
    if pulse is None or not decision.conditions:
        return decision
    if any(each.code == Code.VENTRICULAR_FIBRILLATION for each in decision.conditions):
        return decision
    checked = tuple(_checked(each, pulse, limits) for each in decision.conditions)
    if checked == decision.conditions:
        return decision
    output = decision.output
    if output.status == "CRITICAL" and not any(each.priority is Priority.HIGH for each in checked):
        output = replace(output, status="DISPUTED", action="")
    return replace(decision, output=output, conditions=checked)


def contradicts(code: str, pulse: PulseEvidence, limits: Limits) -> str:
    """Return why a pulse contradicts a claim; empty: it does not."""
    ages_s = [age_s for age_s in pulse.recent_s if age_s <= WINDOW_S]
    if pulse.quality < LEAST_QUALITY or len(ages_s) < LEAST_PULSES or ages_s[0] > LONGEST_SILENCE_S:
        return ""
    heights = pulse.strengths[: len(ages_s)]
    if len(heights) < len(ages_s) or min(heights) < LEAST_STRENGTH:
        return ""
    intervals_s = [older - newer for newer, older in pairwise(ages_s)]
    slowest, fastest = 60.0 / max(intervals_s), 60.0 / min(intervals_s)
    told = f"a steady pulse of {60.0 * len(intervals_s) / sum(intervals_s):.0f} a minute ({pulse.origin})"
    if code == Code.ASYSTOLE:
        return told
    if code == Code.EXTREME_BRADYCARDIA:
        return told if slowest > limits.bradycardia_bpm / _MARGIN else ""
    limit_bpm = {
        Code.VENTRICULAR_TACHYCARDIA.value: limits.vt_bpm,
        Code.EXTREME_TACHYCARDIA.value: limits.tachycardia_bpm,
    }.get(code)
    if limit_bpm is None or fastest > _MARGIN * limit_bpm or pulse.before_bpm is None:
        return ""
    # Half the beats of a tachycardia may reach the wrist, as a slow and regular pulse: it must be that from before.
    same = all(abs(60.0 / each / pulse.before_bpm - 1.0) <= SAME_RATE for each in intervals_s)
    alike = min(heights) >= SAME_STRENGTHS[0] and max(heights) <= SAME_STRENGTHS[1]
    return told if same and alike else ""


def _checked(condition: Condition, pulse: PulseEvidence, limits: Limits) -> Condition:
    if condition.priority is not Priority.HIGH or not (why := contradicts(condition.code, pulse, limits)):
        return condition
    evidence: Mapping[str, object] = {
        **{key: value for key, value in condition.evidence.items() if value != ACTION},
        "status": "DISPUTED",
        "contradicted_by": why,
    }
    return replace(
        condition, priority=Priority.MEDIUM, title=f"{condition.title}, but {why}", evidence=evidence
    )
