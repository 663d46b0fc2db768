"""Belief -> decision: the only place that knows alarm words and limits.

One deterioration is one alert: limits that are passed and a NEWS2 that rises are findings of it, named in its title and
evidence, and it becomes more urgent with the gravest of them. What concerns the equipment is an alert of its own
(IEC 60601-1-8: a technical alarm condition), of low priority, and says nothing of the patient.

Responses to NEWS2 follow its chart 2 (Royal College of Physicians 2017): 7 and more is an emergency, 5 and 6 are
urgent, a 3 in one parameter is for the ward to look at. Limits of single signs are for what must not wait for a score;
their defaults are where the chart gives 3 points, or further out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from apps.healthcare.vitals.fuse import Belief
from apps.healthcare.vitals.news2 import News2, Scale, news2
from apps.healthcare.vitals.signs import NAMES, Sign, shown
from edgeai_core.decision import Condition, Decision, Priority


class Code(StrEnum):
    """The conditions of this loop; the first is the patient's, the others are the equipment's."""

    DETERIORATION = "DETERIORATION"
    HEART_RATE_LOST = "HEART_RATE_LOST"
    SPO2_LOST = "SPO2_LOST"
    RESPIRATION_LOST = "RESPIRATION_LOST"
    PRESSURE_LOST = "PRESSURE_LOST"
    TEMPERATURE_LOST = "TEMPERATURE_LOST"


TECHNICAL = {
    Sign.HEART_RATE: Code.HEART_RATE_LOST,
    Sign.SPO2: Code.SPO2_LOST,
    Sign.RESPIRATION: Code.RESPIRATION_LOST,
    Sign.SYSTOLIC: Code.PRESSURE_LOST,
    Sign.TEMPERATURE: Code.TEMPERATURE_LOST,
}


@dataclass(frozen=True)
class Bounds:
    """Where one sign's alarms begin: ``low`` and ``high`` are urgent, the critical ones an emergency. None: nowhere."""

    low: float | None = None
    high: float | None = None
    critical_low: float | None = None
    critical_high: float | None = None

    def __post_init__(self) -> None:
        given = [
            each for each in (self.critical_low, self.low, self.high, self.critical_high) if each is not None
        ]
        if not all(math.isfinite(each) for each in given) or given != sorted(set(given)):
            raise ValueError("limits must be finite and rise: critical_low, low, high, critical_high")


@dataclass(frozen=True)
class Limits:
    """Every limit and delay. Raises ValueError for what contradicts itself.

    A finding counts once it has held for its delay without a break, and until the value is ``margin`` (a share) back
    inside. ``critical_delay_s`` is for critical bounds, ``delay_s`` for the others and NEWS2.
    """

    heart_rate: Bounds = Bounds(45.0, 125.0, 35.0, 150.0)
    spo2: Bounds = Bounds(90.0, None, 84.0, None)
    respiration: Bounds = Bounds(8.0, 28.0, 5.0, 36.0)
    systolic: Bounds = Bounds(90.0, 200.0, 75.0, None)
    mean_pressure: Bounds = Bounds(60.0, None, 50.0, None)
    temperature: Bounds = Bounds(35.0, 39.5, None, None)
    delay_s: float = 60.0
    critical_delay_s: float = 20.0
    margin: float = 0.03
    spo2_scale: Scale = 1

    def __post_init__(self) -> None:
        if not 0 <= self.critical_delay_s <= self.delay_s <= 600:
            raise ValueError("it must be 0 <= critical_delay_s <= delay_s <= 600")
        if not 0 <= self.margin < 0.2:
            raise ValueError("margin is a share under 0.2")
        if self.spo2_scale not in (1, 2):
            raise ValueError("spo2_scale is 1 or 2; 2 on a clinician's word alone")

    def bounds(self) -> dict[Sign, Bounds]:
        """Return the bounds by sign; on SpO2 scale 2 those of SpO2 lie where that scale has them (3 points at 83)."""
        spo2 = self.spo2
        if self.spo2_scale == 2 and spo2 == Bounds(90.0, None, 84.0, None):
            spo2 = Bounds(84.0, None, 80.0, None)
        return {
            Sign.HEART_RATE: self.heart_rate,
            Sign.SPO2: spo2,
            Sign.RESPIRATION: self.respiration,
            Sign.SYSTOLIC: self.systolic,
            Sign.MEAN_PRESSURE: self.mean_pressure,
            Sign.TEMPERATURE: self.temperature,
        }


@dataclass(frozen=True)
class Finding:
    """Something that is passed: since when, and how urgent. ``sign`` None: the score."""

    name: str
    sign: Sign | None
    priority: Priority
    since_s: float


@dataclass(frozen=True)
class VitalsOutput:
    """What other loops and people get. Values are None where nobody knows them now.

    ``status``: NORMAL, WATCH (a finding of low urgency), URGENT, EMERGENCY or CANNOT_TELL. ``news2`` is the score, or
    the least it can be where ``news2_missing`` names parameters. The pulse is that of the best waveform:
    ``pulse_recent_s`` says how long before ``time_s`` each of the last pulses was; the ECG loop checks its claims
    against it.
    """

    patient: str
    status: str
    news2: int | None = None
    news2_risk: str = ""
    news2_missing: tuple[str, ...] = ()
    heart_rate_bpm: float | None = None
    spo2_percent: float | None = None
    respiration_per_min: float | None = None
    systolic_mmhg: float | None = None
    diastolic_mmhg: float | None = None
    mean_pressure_mmhg: float | None = None
    temperature_celsius: float | None = None
    consciousness: str = ""
    oxygen_l_per_min: float | None = None
    pulse_bpm: float | None = None
    pulse_quality: float = 0.0
    pulse_strengths: tuple[float, ...] = ()
    pulse_before_bpm: float | None = None
    pulse_recent_s: tuple[float, ...] = ()
    pulse_origin: str = ""
    time_s: float = 0.0
    recording: str = ""
    simulated: bool = False


@dataclass(frozen=True)
class Standing:
    """The findings that are passed, confirmed or not yet, by name."""

    findings: Mapping[str, Finding] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """What one look gave: the decision's conditions, the score, and what stands after it."""

    conditions: tuple[Condition, ...] | None
    score: News2 | None
    status: str
    standing: Standing


def judge(
    belief: Belief,
    standing: Standing,
    limits: Limits,
    patient: str,
    trends: Mapping[Sign, tuple[float | None, float | None]] | None = None,
    simulated: bool = False,
) -> Judged:
    """Say what holds now, given what stood before. What is not known now keeps the findings it had."""
    values = belief.plain()
    score = news2(values, limits.spo2_scale) if values else None
    findings = _findings(belief, score, standing, limits)
    confirmed = [each for each in findings.values() if belief.time_s - each.since_s >= _delay_s(each, limits)]
    confirmed.sort(key=lambda each: (_ORDER[each.priority], each.since_s))
    lost = {code for sign, code in TECHNICAL.items() if sign in belief.silent}
    conditions = [_lost(code, belief, patient, simulated) for code in Code if code in lost]
    if confirmed:
        conditions.insert(0, _deterioration(confirmed, belief, score, patient, trends or {}, simulated))
    status = _STATUS[confirmed[0].priority] if confirmed else "NORMAL" if values else "CANNOT_TELL"
    nothing = not values and not confirmed and not belief.silent
    return Judged(None if nothing else tuple(conditions), score, status, Standing(findings))


_ORDER = {each: place for place, each in enumerate((Priority.HIGH, Priority.MEDIUM, Priority.LOW))}
_STATUS = {Priority.HIGH: "EMERGENCY", Priority.MEDIUM: "URGENT", Priority.LOW: "WATCH"}
_SCORE = {"high": Priority.HIGH, "medium": Priority.MEDIUM, "low-medium": Priority.LOW}
_CRITICAL = "critical "


def _findings(belief: Belief, score: News2 | None, standing: Standing, limits: Limits) -> dict[str, Finding]:
    before = standing.findings
    found: dict[str, Finding] = {}

    def note(name: str, sign: Sign | None, priority: Priority, passed: bool | None) -> None:
        """``passed`` None: it cannot be told, so what was stays."""
        if passed or (passed is None and name in before):
            since_s = before[name].since_s if name in before else belief.time_s
            found[name] = Finding(name, sign, priority, since_s)

    for sign, bounds in limits.bounds().items():
        known = belief.values.get(sign)
        for word, low, high, priority in (
            (_CRITICAL, bounds.critical_low, bounds.critical_high, Priority.HIGH),
            ("", bounds.low, bounds.high, Priority.MEDIUM),
        ):
            for side, bound in (("low", low), ("high", high)):
                if bound is not None:
                    name = f"{word}{side} {NAMES[sign]}"
                    value = None if known is None else known.value
                    note(
                        name,
                        sign,
                        priority,
                        _passed(value, bound, side == "low", name in before, limits.margin),
                    )
    if score is not None:
        # What is missing can only add: a score that is high is high; one that is not may only be unknown.
        for risk, priority in _SCORE.items():
            name = f"NEWS2 {risk}"
            reached = _RISKS.index(score.risk) >= _RISKS.index(risk)
            whole = not (set(score.missing) & belief.silent)
            note(name, None, priority, True if reached else False if whole else None)
    else:
        found.update(before)  # nothing is known: what stood stays
    return found


_RISKS = ("low", "low-medium", "medium", "high")


def _passed(value: float | None, bound: float, below: bool, stood: bool, margin: float) -> bool | None:
    if value is None:
        return None
    back = margin * abs(bound) if stood else 0.0
    return value < bound + back if below else value > bound - back


def _delay_s(finding: Finding, limits: Limits) -> float:
    return limits.critical_delay_s if finding.name.startswith(_CRITICAL) else limits.delay_s


def _deterioration(
    confirmed: list[Finding],
    belief: Belief,
    score: News2 | None,
    patient: str,
    trends: Mapping[Sign, tuple[float | None, float | None]],
    simulated: bool,
) -> Condition:
    """Return the one condition of a patient's deterioration, with what a person needs to check it."""
    worst = confirmed[0].priority
    signs = sorted({each.sign for each in confirmed if each.sign is not None}, key=list(Sign).index)
    if score is not None:
        scored = [sign for sign, points in score.points.items() if points >= 2 and sign not in signs]
        signs += scored
    said = [
        f"{NAMES[sign]} {shown(sign, belief.values[sign].value)}" for sign in signs if sign in belief.values
    ]
    total = "" if score is None else f"NEWS2 {'at least ' if score.missing else ''}{score.total}"
    title = ": ".join(part for part in (total, ", ".join(said[:4])) if part) or confirmed[0].name
    evidence: dict[str, object] = {
        "category": "medical",
        "time_s": round(belief.time_s, 1),
        "findings": [each.name for each in confirmed],
        "signs": {NAMES[sign]: shown(sign, each.value) for sign, each in belief.values.items()},
    }
    if score is not None:
        evidence["news2"] = score.total
        evidence["news2_points"] = {NAMES[sign]: points for sign, points in score.points.items()}
        if score.missing:
            evidence["news2_missing"] = [NAMES[sign] for sign in score.missing]
    slopes = {
        NAMES[sign]: [None if each is None else round(each, 1) for each in trends[sign]]
        for sign in signs
        if sign in trends
    }
    if any(each != [None, None] for each in slopes.values()):
        evidence["change_per_h_over_15_min_and_1_h"] = slopes
    if simulated:
        evidence["simulated"] = True
    return Condition(Code.DETERIORATION, patient, worst, title, evidence)


def _lost(code: Code, belief: Belief, patient: str, simulated: bool) -> Condition:
    sign = next(sign for sign, each in TECHNICAL.items() if each is code)
    why = "its values cannot be" if sign in belief.implausible else "no signal, or one that is too poor"
    evidence: dict[str, object] = {"category": "technical", "time_s": round(belief.time_s, 1), "cause": why}
    if simulated:
        evidence["simulated"] = True
    return Condition(code, patient, Priority.LOW, f"No {NAMES[sign]}: {why}", evidence)


def output_of(
    judged: Judged, belief: Belief, patient: str, recording: str = "", simulated: bool = False
) -> VitalsOutput:
    """Return what other loops and people get, without the pulse."""
    values = belief.plain()
    consciousness = values.get(Sign.CONSCIOUSNESS)
    score = judged.score
    return VitalsOutput(
        patient,
        judged.status,
        None if score is None else score.total,
        "" if score is None else score.risk,
        () if score is None else tuple(NAMES[sign] for sign in score.missing),
        values.get(Sign.HEART_RATE),
        values.get(Sign.SPO2),
        values.get(Sign.RESPIRATION),
        values.get(Sign.SYSTOLIC),
        values.get(Sign.DIASTOLIC),
        values.get(Sign.MEAN_PRESSURE),
        values.get(Sign.TEMPERATURE),
        "" if consciousness is None else shown(Sign.CONSCIOUSNESS, consciousness),
        values.get(Sign.OXYGEN),
        time_s=belief.time_s,
        recording=recording,
        simulated=simulated,
    )


def decision_of(judged: Judged, output: VitalsOutput) -> Decision[VitalsOutput]:
    """Return the decision, without what only people look at."""
    return Decision(output, judged.conditions)
