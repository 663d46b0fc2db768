"""Belief -> decision: the only place that knows alarm words and limits.

Definitions follow the PhysioNet/CinC Challenge 2015 (Clifford et al., "The PhysioNet/Computing in Cardiology
Challenge 2015: reducing false arrhythmia alarms in the ICU", Computing in Cardiology 42:273-276, 2015): asystole is
no beat for 4 s, extreme bradycardia a rate under 40 a minute over 5 beats, extreme tachycardia above 140 over 17.
Flutter and fibrillation are one condition there and here: they look alike, and are treated alike.

Priorities follow the table of IEC 60601-1-8 (what happens if nobody acts, and how soon). The rhythms lead to death
at once: high. A lost signal harms nobody by itself, but leaves a patient unwatched: death, but later: medium.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from edgeai_core.decision import Condition, Decision, Priority

if TYPE_CHECKING:
    from apps.healthcare.ecg.fuse import Belief

Status = Literal["NORMAL", "CRITICAL", "DISPUTED", "CANNOT_TELL"]
"""DISPUTED: the ECG says so and the pulse contradicts it (``pulse_check.py``)."""

ACTION = "IMMEDIATE_MEDICAL_ATTENTION"


class Code(StrEnum):
    """The conditions of this loop, the gravest first; all but the last are the patient's, that is the device's."""

    VENTRICULAR_FIBRILLATION = "VENTRICULAR_FIBRILLATION"
    ASYSTOLE = "ASYSTOLE"
    VENTRICULAR_TACHYCARDIA = "VENTRICULAR_TACHYCARDIA"
    EXTREME_BRADYCARDIA = "EXTREME_BRADYCARDIA"
    EXTREME_TACHYCARDIA = "EXTREME_TACHYCARDIA"
    SIGNAL_LOST = "SIGNAL_LOST"


TITLES = {
    Code.VENTRICULAR_FIBRILLATION: "Ventricular fibrillation or flutter",
    Code.ASYSTOLE: "Asystole",
    Code.VENTRICULAR_TACHYCARDIA: "Ventricular tachycardia",
    Code.EXTREME_BRADYCARDIA: "Extreme bradycardia",
    Code.EXTREME_TACHYCARDIA: "Extreme tachycardia",
    Code.SIGNAL_LOST: "ECG signal lost",
}

VENTRICULAR = frozenset({Code.VENTRICULAR_FIBRILLATION, Code.VENTRICULAR_TACHYCARDIA})

VT_BEATS = 5
"""The rate of VT is taken over so many beats (PhysioNet/CinC Challenge 2015)."""


@dataclass(frozen=True)
class Limits:
    """Where alarms begin. Raises ValueError for limits that contradict each other.

    A ventricular rhythm is believed at a probability of ``ventricular``, and until it falls under
    ``ventricular_over``. From a share of ``fibrillation`` on it is named fibrillation; where it has been named
    VT only from ``fibrillation_after_vt``, lest one episode be named twice for a little more. Both are under one
    half, for VF named VT is the graver mistake. VT begins only at ``vt_bpm`` a minute or more. ``activity_mv``,
    peak to peak, parts asystole from everything else: without a beat and below it the heart stands still, and
    nothing below it is called VF or VT (coarse fibrillation is above 0.2 mV in the recommendations of Kerber et
    al., Circulation 95:1677-1682, 1997). A rate is slow only where the signal is no busier than
    ``bradycardia_busy``: else there are beats that were not seen. A rate alarm ends when the rate is
    ``rate_margin`` (a share) back inside its limit.
    """

    ventricular: float = 0.5
    ventricular_over: float = 0.2
    fibrillation: float = 0.4
    fibrillation_after_vt: float = 0.45
    vt_bpm: float = 120.0
    activity_mv: float = 0.2
    asystole_s: float = 4.0
    bradycardia_bpm: float = 40.0
    bradycardia_beats: int = 5
    bradycardia_busy: float = 0.2
    tachycardia_bpm: float = 140.0
    tachycardia_beats: int = 17
    rate_margin: float = 0.1

    def __post_init__(self) -> None:
        if not all(math.isfinite(limit) for limit in vars(self).values()):
            raise ValueError("every limit must be a finite number: against any other no rate is too high")
        if not 0 < self.ventricular_over <= self.ventricular < 1:
            raise ValueError("it must be 0 < ventricular_over <= ventricular < 1")
        if not 0 < self.fibrillation <= self.fibrillation_after_vt <= 1:
            raise ValueError("it must be 0 < fibrillation <= fibrillation_after_vt <= 1")
        if not 0 <= self.rate_margin < 0.5 or not 0 < self.bradycardia_busy <= 1:
            raise ValueError("rate_margin is a share under 0.5, bradycardia_busy one above 0")
        if not 2 <= self.bradycardia_beats <= 32 or not 2 <= self.tachycardia_beats <= 32:
            raise ValueError("a rate is taken over 2 to 32 beats")
        if not 0 < self.bradycardia_bpm < self.tachycardia_bpm:
            raise ValueError("bradycardia_bpm must be above 0 and under tachycardia_bpm")
        if self.asystole_s < 1 or self.activity_mv <= 0 or self.vt_bpm <= 0:
            raise ValueError("asystole_s must be at least 1, activity_mv and vt_bpm positive")


@dataclass(frozen=True)
class EcgOutput:
    """What other loops and people get.

    ``condition`` is the code of the gravest condition that holds, or empty; ``confidence`` the probability that
    it does, None where it is only kept because nothing can be told now. ``rhythm`` is for people.
    ``time_s`` is that of the signal judged, since the analysis began.
    """

    patient: str
    status: Status
    condition: str = ""
    confidence: float | None = None
    action: str = ""
    rhythm: str = "cannot tell"
    heart_rate_bpm: float | None = None
    signal_quality: float | None = None
    leads_off: tuple[str, ...] = ()
    time_s: float = 0.0
    simulated: bool = False


@dataclass(frozen=True)
class Subject:
    """Whose heart it is, by which leads it is seen, and whether it is a real one."""

    patient: str
    lead_names: tuple[str, ...] = ()
    simulated: bool = False


@dataclass(frozen=True)
class Standing:
    """What held at the last judgement, and until when VT, VF or asystole last did.

    Beats found, or missed, in such a rhythm make no rate: intervals that began before its end are not counted.
    """

    codes: Set[Code] = frozenset()
    rhythm_until_s: float = -math.inf

    def after(self, decision: Decision[EcgOutput]) -> Standing:
        """Return what stands after a decision; the same where it could judge nothing."""
        if decision.conditions is None:
            return self
        codes = frozenset(Code(each.code) for each in decision.conditions)
        holds = codes & (VENTRICULAR | {Code.ASYSTOLE})
        return Standing(codes, decision.output.time_s if holds else self.rhythm_until_s)


def decide(
    belief: Belief, standing: Standing | None, limits: Limits, subject: Subject
) -> Decision[EcgOutput]:
    """Say what holds now, given what held before (``standing``; None: nothing has been judged yet).

    Where nothing can be told, what stands goes on standing; before the first judgement the conditions are None.
    That no lead is connected can always be told.
    """
    before = standing or Standing()
    found = _found(belief, before, limits)
    lost = not any(belief.connected)
    holding: dict[Code, float | None]
    if found is not None:
        holding = dict(found)
    else:
        holding = {code: None for code in before.codes if code is not Code.SIGNAL_LOST}
    if lost:
        holding[Code.SIGNAL_LOST] = None
    medical = [code for code in Code if code in holding and code is not Code.SIGNAL_LOST]
    first = next((code for code in Code if code in holding), None)
    output = EcgOutput(
        patient=subject.patient,
        status="CRITICAL" if medical else "CANNOT_TELL" if found is None else "NORMAL",
        condition=first or "",
        confidence=None if first is None else holding[first],
        action=ACTION if medical else "",
        rhythm="cannot tell" if found is None else _RHYTHMS[medical[0]] if medical else "no alarm",
        heart_rate_bpm=None if lost or _BEATLESS & holding.keys() else belief.heart_rate_bpm,
        signal_quality=belief.quality,
        leads_off=tuple(
            name for name, on in zip(subject.lead_names, belief.connected, strict=False) if not on
        ),
        time_s=belief.time_s,
        simulated=subject.simulated,
    )
    if standing is None and found is None and not lost:
        return Decision(output, conditions=None)
    conditions = tuple(condition(code, output, holding[code]) for code in Code if code in holding)
    return Decision(output, conditions)


def condition(code: Code, output: EcgOutput, confidence: float | None) -> Condition:
    """Return the condition with what a person needs to check it."""
    evidence: dict[str, object] = {"time_s": round(output.time_s, 3), "signal_quality": output.signal_quality}
    if code is not Code.SIGNAL_LOST:
        evidence |= {"status": "CRITICAL", "condition": TITLES[code], "action": ACTION}
    if confidence is not None:
        evidence["confidence"] = round(confidence, 4)
    if output.heart_rate_bpm is not None:
        evidence["heart_rate_bpm"] = round(output.heart_rate_bpm, 1)
    if output.leads_off:
        evidence["leads_off"] = list(output.leads_off)
    if output.simulated:
        evidence["simulated"] = True
    priority = Priority.MEDIUM if code is Code.SIGNAL_LOST else Priority.HIGH
    return Condition(code, output.patient, priority, TITLES[code], evidence)


def rate_bpm(rr_s: Sequence[float], beats: int) -> float | None:
    """Return the mean rate over the last ``beats`` beats (one interval fewer); None where there are not so many."""
    if beats < 2 or len(rr_s) < beats - 1:
        return None
    return 60.0 * (beats - 1) / sum(rr_s[1 - beats :])


_BEATLESS = frozenset({Code.VENTRICULAR_FIBRILLATION, Code.ASYSTOLE})

_RHYTHMS = {
    Code.VENTRICULAR_FIBRILLATION: "VF",
    Code.ASYSTOLE: "asystole",
    Code.VENTRICULAR_TACHYCARDIA: "VT",
    Code.EXTREME_BRADYCARDIA: "bradycardia",
    Code.EXTREME_TACHYCARDIA: "tachycardia",
}


def _found(belief: Belief, before: Standing, limits: Limits) -> dict[Code, float] | None:
    """Return the patient's conditions that hold, each with its probability; None where nothing can be told."""
    if belief.ventricular is None or belief.amplitude_mv is None:
        return None
    if (code := _ventricular(belief, before.codes, limits)) is not None:
        return {code: belief.ventricular}
    if not belief.readable:
        return None
    if belief.pause_s >= limits.asystole_s:
        if belief.amplitude_mv >= limits.activity_mv:
            return None
        return {Code.ASYSTOLE: 1.0 - belief.ventricular}
    rr_s = _counted_s(belief, before.rhythm_until_s)
    score = 0.0 if belief.beat_score is None else belief.beat_score
    if _too_slow(rr_s, before.codes, limits):
        return None if belief.busy > limits.bradycardia_busy else {Code.EXTREME_BRADYCARDIA: score}
    if _too_fast(rr_s, before.codes, limits):
        return {Code.EXTREME_TACHYCARDIA: score}
    return {}


def _ventricular(belief: Belief, standing: Set[Code], limits: Limits) -> Code | None:
    """Return VF or VT where one holds. Within an episode VT may become VF, but VF does not become VT again."""
    limit = limits.ventricular_over if standing & VENTRICULAR else limits.ventricular
    if (belief.ventricular or 0.0) < limit or (belief.amplitude_mv or 0.0) < limits.activity_mv:
        return None
    vt_stands = Code.VENTRICULAR_TACHYCARDIA in standing
    share = limits.fibrillation_after_vt if vt_stands else limits.fibrillation
    if Code.VENTRICULAR_FIBRILLATION in standing or (belief.fibrillation or 0.0) >= share:
        return Code.VENTRICULAR_FIBRILLATION
    rate = rate_bpm(belief.rr_s, VT_BEATS)
    if rate is not None and rate < limits.vt_bpm and not vt_stands:
        return None
    return Code.VENTRICULAR_TACHYCARDIA


def _counted_s(belief: Belief, from_s: float) -> Sequence[float]:
    """Return the last intervals between beats, of those that began at ``from_s`` or later."""
    start_s = belief.last_beat_s or 0.0
    count = 0
    for interval_s in reversed(belief.rr_s):
        start_s -= interval_s
        if start_s < from_s:
            break
        count += 1
    return belief.rr_s[len(belief.rr_s) - count :]


def _too_slow(rr_s: Sequence[float], standing: Set[Code], limits: Limits) -> bool:
    rate = rate_bpm(rr_s, limits.bradycardia_beats)
    margin = 1.0 + limits.rate_margin if Code.EXTREME_BRADYCARDIA in standing else 1.0
    return rate is not None and rate < limits.bradycardia_bpm * margin


def _too_fast(rr_s: Sequence[float], standing: Set[Code], limits: Limits) -> bool:
    rate = rate_bpm(rr_s, limits.tachycardia_beats)
    margin = 1.0 - limits.rate_margin if Code.EXTREME_TACHYCARDIA in standing else 1.0
    return rate is not None and rate > limits.tachycardia_bpm * margin
