"""Belief -> decision: the only place that knows alarm words and limits.

Definitions follow the PhysioNet/CinC Challenge 2015 (Clifford et al., "The PhysioNet/Computing in Cardiology
Challenge 2015: reducing false arrhythmia alarms in the ICU", Computing in Cardiology 42:273-276, 2015): asystole is
no beat for 4 s, extreme bradycardia a rate under 40 a minute over 5 beats, extreme tachycardia above 140 over 17.
Flutter and fibrillation are one condition there and here: they look alike, and are treated alike.

Priorities follow the table of IEC 60601-1-8 (what happens if nobody acts, and how soon). The rhythms lead to death
at once: high. A lost signal harms nobody by itself, but leaves a patient unwatched: death, but later: medium. So is
atrial fibrillation (stroke, with time) and a run of ventricular beats (it may go over into a tachycardia that stays);
couplets, bigeminy and many ventricular beats are signs of it, no more: low.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from edgeai_core.decision import Condition, Decision, Priority

if TYPE_CHECKING:
    from apps.healthcare.ecg.ectopy import Ectopy
    from apps.healthcare.ecg.fuse import Belief

Status = Literal["NORMAL", "CRITICAL", "DISPUTED", "CANNOT_TELL"]
"""DISPUTED: the ECG says so and the pulse contradicts it (``pulse_check.py``)."""

ACTION = "IMMEDIATE_MEDICAL_ATTENTION"

_NO_FACTS: Mapping[str, object] = {}


class Code(StrEnum):
    """The conditions of this loop, the gravest first; all but the last are the patient's, that is the device's."""

    VENTRICULAR_FIBRILLATION = "VENTRICULAR_FIBRILLATION"
    ASYSTOLE = "ASYSTOLE"
    VENTRICULAR_TACHYCARDIA = "VENTRICULAR_TACHYCARDIA"
    EXTREME_BRADYCARDIA = "EXTREME_BRADYCARDIA"
    EXTREME_TACHYCARDIA = "EXTREME_TACHYCARDIA"
    PVC_RUN = "PVC_RUN"
    ATRIAL_FIBRILLATION = "ATRIAL_FIBRILLATION"
    PVC_COUPLET = "PVC_COUPLET"
    PVC_BIGEMINY = "PVC_BIGEMINY"
    FREQUENT_PVC = "FREQUENT_PVC"
    SIGNAL_LOST = "SIGNAL_LOST"


TITLES = {
    Code.VENTRICULAR_FIBRILLATION: "Ventricular fibrillation or flutter",
    Code.ASYSTOLE: "Asystole",
    Code.VENTRICULAR_TACHYCARDIA: "Ventricular tachycardia",
    Code.EXTREME_BRADYCARDIA: "Extreme bradycardia",
    Code.EXTREME_TACHYCARDIA: "Extreme tachycardia",
    Code.PVC_RUN: "Run of ventricular beats",
    Code.ATRIAL_FIBRILLATION: "Atrial fibrillation",
    Code.PVC_COUPLET: "Ventricular couplets",
    Code.PVC_BIGEMINY: "Ventricular bigeminy",
    Code.FREQUENT_PVC: "Frequent ventricular beats",
    Code.SIGNAL_LOST: "ECG signal lost",
}

PRIORITIES = {
    Code.PVC_RUN: Priority.MEDIUM,
    Code.ATRIAL_FIBRILLATION: Priority.MEDIUM,
    Code.PVC_COUPLET: Priority.LOW,
    Code.PVC_BIGEMINY: Priority.LOW,
    Code.FREQUENT_PVC: Priority.LOW,
    Code.SIGNAL_LOST: Priority.MEDIUM,
}
"""Of all others it is high: they are critical."""

ECTOPY = (Code.PVC_RUN, Code.PVC_COUPLET, Code.PVC_BIGEMINY, Code.FREQUENT_PVC)
"""What ventricular beats give, the gravest first. Only the gravest that holds is said: each by itself would be many."""

ECTOPY_AFTER_S, ECTOPY_CLEAR_AFTER_S = 3.0, 600.0
"""Ventricular beats are an alert after so long, for a run that goes on is a tachycardia, which has its own; and over
when there has been no cause for so long, lest one patient give hundreds.
"""

ATRIAL_AFTER_S, ATRIAL_CLEAR_AFTER_S = 15.0, 60.0
"""Atrial fibrillation is an alert when it has been believed for so long, and over when not for so long."""

STRIP = "/v1/healthcare/strips/{alert}"
"""Where the strip of an alert can be seen, with the alert's id in place of ``{alert}``."""

VENTRICULAR = frozenset({Code.VENTRICULAR_FIBRILLATION, Code.VENTRICULAR_TACHYCARDIA})

MINUTE_S = 60.0
"""Ventricular beats are counted over so long: where some of it was VT or VF, their number says nothing else."""

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

    Atrial fibrillation is believed at a probability of ``atrial``, and until it falls under ``atrial_over``.
    Ventricular beats are frequent from ``pvc_per_minute`` on. A run, couplet or bigeminy is told for ``ectopy_s`` after
    its last beat, so that those that come again and again are one alert.
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
    atrial: float = 0.9
    atrial_over: float = 0.3
    pvc_per_minute: int = 10
    ectopy_s: float = 60.0

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
        if not 0 < self.atrial_over <= self.atrial < 1:
            raise ValueError("it must be 0 < atrial_over <= atrial < 1")
        if self.pvc_per_minute < 1 or self.ectopy_s <= 0:
            raise ValueError("pvc_per_minute must be at least 1, ectopy_s positive")


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
    critical = next((code for code in Code if code in holding and code not in PRIORITIES), None)
    first = next((code for code in Code if code in holding), None)
    rhythm = next((code for code in Code if code in holding and code is not Code.SIGNAL_LOST), None)
    output = EcgOutput(
        patient=subject.patient,
        status="CRITICAL" if critical else "CANNOT_TELL" if found is None else "NORMAL",
        condition=first or "",
        confidence=None if first is None else holding[first],
        action=ACTION if critical else "",
        rhythm="cannot tell" if found is None else _RHYTHMS[rhythm] if rhythm else "no alarm",
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
    told = _told(belief.ectopy)
    conditions = tuple(
        condition(code, output, holding[code], told if code in ECTOPY else {})
        for code in Code
        if code in holding
    )
    return Decision(output, conditions)


def condition(
    code: Code, output: EcgOutput, confidence: float | None, facts: Mapping[str, object] = _NO_FACTS
) -> Condition:
    """Return the condition with what a person needs to check it, ``facts`` among it."""
    evidence: dict[str, object] = {"time_s": round(output.time_s, 3), "signal_quality": output.signal_quality}
    if code is not Code.SIGNAL_LOST:
        evidence |= {"condition": TITLES[code], "picture": STRIP, **facts}
    if code not in PRIORITIES:
        evidence |= {"status": "CRITICAL", "action": ACTION}
    if confidence is not None:
        evidence["confidence"] = round(confidence, 4)
    if output.heart_rate_bpm is not None:
        evidence["heart_rate_bpm"] = round(output.heart_rate_bpm, 1)
    if output.leads_off:
        evidence["leads_off"] = list(output.leads_off)
    if output.simulated:
        evidence["simulated"] = True
    return Condition(code, output.patient, PRIORITIES.get(code, Priority.HIGH), TITLES[code], evidence)


def rate_bpm(rr_s: Sequence[float], beats: int) -> float | None:
    """Return the mean rate over the last ``beats`` beats (one interval fewer); None where there are not so many."""
    if beats < 2 or len(rr_s) < beats - 1:
        return None
    return 60.0 * (beats - 1) / sum(rr_s[1 - beats :])


def _told(ectopy: Ectopy) -> dict[str, object]:
    """Return what a person is told of ventricular beats."""
    told: dict[str, object] = {"ventricular_beats_last_minute": ectopy.per_minute}
    if ectopy.run_beats:
        told |= {"run_beats": ectopy.run_beats, "run_bpm": round(ectopy.run_bpm)}
    return told


_BEATLESS = frozenset({Code.VENTRICULAR_FIBRILLATION, Code.ASYSTOLE})

_RHYTHMS = {
    Code.VENTRICULAR_FIBRILLATION: "VF",
    Code.ASYSTOLE: "asystole",
    Code.VENTRICULAR_TACHYCARDIA: "VT",
    Code.EXTREME_BRADYCARDIA: "bradycardia",
    Code.EXTREME_TACHYCARDIA: "tachycardia",
    Code.PVC_RUN: "ventricular run",
    Code.ATRIAL_FIBRILLATION: "atrial fibrillation",
    Code.PVC_COUPLET: "ventricular couplets",
    Code.PVC_BIGEMINY: "ventricular bigeminy",
    Code.FREQUENT_PVC: "frequent ventricular beats",
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
        if belief.busy > limits.bradycardia_busy:
            return None
        return {Code.EXTREME_BRADYCARDIA: score} | _lesser(belief, before, limits)
    if _too_fast(rr_s, before.codes, limits):
        return {Code.EXTREME_TACHYCARDIA: score} | _lesser(belief, before, limits)
    return _lesser(belief, before, limits)


def _lesser(belief: Belief, before: Standing, limits: Limits) -> dict[Code, float]:
    """Return atrial fibrillation where it holds, and the gravest that ventricular beats give."""
    found: dict[Code, float] = {}
    limit = limits.atrial_over if Code.ATRIAL_FIBRILLATION in before.codes else limits.atrial
    if belief.atrial is not None and belief.atrial >= limit:
        found[Code.ATRIAL_FIBRILLATION] = belief.atrial
    ectopy = belief.ectopy
    latest_s = dict(zip(ECTOPY, (ectopy.run_s, ectopy.couplet_s, ectopy.bigeminy_s), strict=False))
    after_s = max(belief.time_s - limits.ectopy_s, before.rhythm_until_s)
    for code, last_s in latest_s.items():
        if last_s is not None and last_s > after_s:
            return {**found, code: ectopy.certainty}
    if ectopy.per_minute >= limits.pvc_per_minute and before.rhythm_until_s < belief.time_s - MINUTE_S:
        found[Code.FREQUENT_PVC] = ectopy.certainty
    return found


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
    if belief.last_beat_s is None:
        return ()
    start_s = belief.last_beat_s
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
