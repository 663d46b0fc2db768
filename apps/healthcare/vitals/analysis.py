"""From measurements and waveforms to decisions: what the loop and the evaluation both run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.vitals.breath import BreathCounter, EcgBreath
from apps.healthcare.vitals.decide import (
    Limits,
    Standing,
    VitalsOutput,
    decision_of,
    judge,
    output_of,
)
from apps.healthcare.vitals.fuse import Belief, Fusion, MaxAges
from apps.healthcare.vitals.news2 import News2
from apps.healthcare.vitals.pulse import Pulse, PulseWatch
from apps.healthcare.vitals.signs import Measurement, Origin, Sign
from apps.healthcare.vitals.trends import Trends
from edgeai_core.decision import Decision

PULSE_WAVES = {"ppg": Origin.PPG, "abp": Origin.ABP}
BREATH_WAVES = ("impedance", "ecg")

PULSE_HELD = 0.2
"""The pulse comes from the waveform it came from before, unless another is better by so much (quality, 0 to 1)."""


@dataclass(frozen=True)
class Wave:
    """A stretch of one waveform: samples (n,), read-only, NaN where the sensor gave none.

    ``name`` is ppg (any unit), abp (mmHg), impedance (any unit) or ecg (mV).
    """

    name: str
    samples: NDArray[np.floating]
    rate_hz: float

    def __post_init__(self) -> None:
        self.samples.flags.writeable = False


@dataclass(frozen=True)
class Settings:
    """What an analysis is told."""

    patient: str = "patient-1"
    limits: Limits = field(default_factory=Limits)
    max_ages: MaxAges = field(default_factory=MaxAges)


class VitalsAnalyzer:
    """Takes measurements and waveforms in the order of their times, and decides when it is asked to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fusion = Fusion(settings.max_ages)
        self._trends = Trends()
        self._pulses: dict[str, PulseWatch] = {}
        self._breaths: dict[str, BreathCounter | EcgBreath] = {}
        self._pulse_now: dict[str, tuple[Pulse, float]] = {}
        self._pulse_origin = ""
        self._standing = Standing()
        self.belief = Belief(0.0)
        self.score: News2 | None = None

    @property
    def patient(self) -> str:
        """Whose signs these are."""
        return self._settings.patient

    def take_heart_rate(self, bpm: float, quality: float, time_s: float) -> None:
        """Take the heart rate that another loop found in the ECG."""
        self._fusion.take((Measurement(Sign.HEART_RATE, bpm, Origin.ECG, quality),), time_s)

    def take(self, measurements: Sequence[Measurement], time_s: float) -> None:
        """Take what was measured at one moment."""
        self._fusion.take(tuple(measurements), time_s)

    def push(self, waves: Sequence[Wave], time_s: float) -> None:
        """Take waveforms whose last samples are of ``time_s``; what they say becomes measurements."""
        measured: list[Measurement] = []
        for wave in waves:
            if wave.name in PULSE_WAVES:
                measured += self._take_pulse(wave, time_s)
            elif wave.name in BREATH_WAVES:
                measured += self._take_breath(wave)
        self._fusion.take(tuple(measured), time_s)

    def decide(self, now_s: float, *, recording: str = "", simulated: bool = False) -> Decision[VitalsOutput]:
        """Judge what is believed now."""
        patient, limits = self._settings.patient, self._settings.limits
        self.belief = self._fusion.believe(now_s)
        for sign, each in self.belief.values.items():
            self._trends.take(now_s, sign, each.value)
        judged = judge(self.belief, self._standing, limits, patient, self.trends, simulated)
        self._standing, self.score = judged.standing, judged.score
        output = output_of(judged, self.belief, patient, recording, simulated)
        return decision_of(judged, self._with_pulse(output, now_s))

    @property
    def trends(self) -> Mapping[Sign, tuple[float | None, float | None]]:
        """The slopes of every known sign over 15 minutes and an hour, in units an hour."""
        return {sign: self._trends.per_h(sign) for sign in self.belief.values}

    def _take_pulse(self, wave: Wave, time_s: float) -> list[Measurement]:
        watch = self._pulses.get(wave.name)
        if watch is None or watch.rate_hz != wave.rate_hz:
            watch = self._pulses[wave.name] = PulseWatch(wave.rate_hz)
        watch.push(wave.samples)
        pulse = watch.pulse()
        self._pulse_now[wave.name] = (pulse, time_s)
        origin = PULSE_WAVES[wave.name]
        if pulse.rate_bpm is None:
            return []
        found = [Measurement(Sign.HEART_RATE, pulse.rate_bpm, origin, pulse.quality)]
        if (
            origin is Origin.ABP
            and pulse.high is not None
            and pulse.low is not None
            and pulse.mean is not None
        ):
            for sign, value in (
                (Sign.SYSTOLIC, pulse.high),
                (Sign.DIASTOLIC, pulse.low),
                (Sign.MEAN_PRESSURE, pulse.mean),
            ):
                found.append(Measurement(sign, value, origin, pulse.quality))
        return found

    def _take_breath(self, wave: Wave) -> list[Measurement]:
        counter = self._breaths.get(wave.name)
        if counter is None or counter.rate_hz != wave.rate_hz:
            counter = EcgBreath(wave.rate_hz) if wave.name == "ecg" else BreathCounter(wave.rate_hz)
            self._breaths[wave.name] = counter
        counter.push(wave.samples)
        breathing = counter.breathing()
        if breathing.rate_per_min is None:
            return []
        origin = Origin.ECG if wave.name == "ecg" else Origin.IMPEDANCE
        return [Measurement(Sign.RESPIRATION, breathing.rate_per_min, origin, breathing.quality)]

    def _with_pulse(self, output: VitalsOutput, now_s: float) -> VitalsOutput:
        """Add the pulse of the best waveform that is current; of two as good, that of the one before."""
        current = [
            (pulse, name, now_s - at_s)
            for name, (pulse, at_s) in self._pulse_now.items()
            if now_s - at_s < 2.0
        ]
        if not current:
            return output
        pulse, name, late_s = max(
            current, key=lambda each: each[0].quality + (PULSE_HELD if each[1] == self._pulse_origin else 0.0)
        )
        self._pulse_origin = name
        return replace(
            output,
            pulse_bpm=pulse.rate_bpm,
            pulse_quality=round(pulse.quality, 3),
            pulse_strengths=pulse.strengths,
            pulse_before_bpm=pulse.before_bpm,
            pulse_recent_s=tuple(round(each + late_s, 3) for each in pulse.recent_s),
            pulse_origin=name,
        )
