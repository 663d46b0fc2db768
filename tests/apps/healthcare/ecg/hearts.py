"""What the tests of the ECG's decisions share: a heart that is well, and what is said of one."""

from __future__ import annotations

import math

from apps.healthcare.ecg.decide import Code, Limits, Standing, Subject, decide
from apps.healthcare.ecg.fuse import Belief

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
