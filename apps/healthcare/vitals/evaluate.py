"""The vitals loop on simulated patients: alarms, their delays, the waveforms' rates, and claims checked by the pulse.

All of it is simulation: the figures show that the alarms do what they say, not what they are worth on people.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from apps.healthcare.simulation.bedside import STEP_S, play_bedside
from apps.healthcare.simulation.patients import COURSES, DETERIORATING, Patient, simulate_patient
from apps.healthcare.vitals.analysis import Settings, VitalsAnalyzer
from apps.healthcare.vitals.decide import Code
from apps.healthcare.vitals.news2 import news2
from apps.healthcare.vitals.options import EvaluateOptions
from apps.healthcare.vitals.signs import Measurement, Origin, Sign
from apps.healthcare.vitals.sources import chunk_of
from edgeai_core.alerts.lifecycle import Key, Watch, observe
from edgeai_core.app import Progress
from edgeai_core.decision import Condition, Rule
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap

TASK = "healthcare.vitals"

_ORIGINS = {
    "heart_rate": (Sign.HEART_RATE, Origin.ECG),
    "pulse_rate": (Sign.HEART_RATE, Origin.PPG),
    "spo2": (Sign.SPO2, Origin.MONITOR),
    "respiration": (Sign.RESPIRATION, Origin.IMPEDANCE),
    "systolic": (Sign.SYSTOLIC, Origin.ABP),
    "diastolic": (Sign.DIASTOLIC, Origin.ABP),
    "mean_pressure": (Sign.MEAN_PRESSURE, Origin.ABP),
    "temperature": (Sign.TEMPERATURE, Origin.MONITOR),
}
_CHARTED_EVERY_S = 3600
_SETTLED_S = 40.0


@dataclass
class Watched:
    """What one simulated patient's hours gave: when alarms were raised, and when NEWS2 truly reached 5."""

    patient: Patient
    medical_s: list[int] = field(default_factory=list)
    technical: int = 0
    rose: int = 0
    due_s: int | None = None

    @property
    def days(self) -> float:
        """How long it was watched."""
        return self.patient.duration_s / 86_400

    @property
    def before(self) -> int:
        """Medical alarms without a deterioration."""
        onset_s = self.patient.onset_s
        return sum(onset_s is None or at_s < onset_s for at_s in self.medical_s)

    @property
    def after(self) -> int:
        """Medical alarms of a deterioration."""
        return len(self.medical_s) - self.before


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Watch simulated patients, and check what a pulse says of claims."""
    rules = _rules()
    watched: list[Watched] = []
    cycles_s: list[float] = []
    total = len(COURSES) * options.patients
    for course in COURSES:
        for number in range(options.patients):
            progress("watching patients", len(watched), total)
            patient = simulate_patient(course, options.seed + number, round(options.hours * 3600))
            watched.append(_watch(patient, rules))
    figures = _alarm_figures(watched)
    pulse_errors, breath_errors = [], []
    for number in range(options.waves):
        progress("reading waveforms", number, options.waves)
        pulses, breaths, took_s = _read_waves(COURSES[number % len(COURSES)], options.seed + 5000 + number)
        pulse_errors.append(pulses)
        breath_errors.append(breaths)
        cycles_s += took_s
    figures |= _wave_figures(pulse_errors, breath_errors, cycles_s)
    rows = tuple(
        _row(course, [each for each in watched if each.patient.course == course]) for course in COURSES
    )
    counts = {
        "patients": len(watched),
        "deteriorations": sum(each.patient.course in DETERIORATING for each in watched),
        "patient_hours": round(sum(each.days for each in watched) * 24),
        "minutes_of_waveforms": options.waves,
    }
    data = (DataRef("simulated patients", "made by this project (Apache-2.0)", counts),)
    return Evaluation(TASK, ModelRef("vitals", "rules"), data, figures, rows)


def measurements_at(patient: Patient, second: int) -> list[Measurement]:
    """Return what the sensors of a simulated patient give in one second, and what is charted every hour."""
    found = []
    for name, (sign, origin) in _ORIGINS.items():
        value = float(patient.measured[name][second])
        if not math.isnan(value):
            quality = float(patient.quality[name][second]) if name in patient.quality else 1.0
            found.append(Measurement(sign, value, origin, quality))
    if second % _CHARTED_EVERY_S == 0:
        found.append(Measurement(Sign.CONSCIOUSNESS, float(patient.consciousness[second]), Origin.CHARTED))
        found.append(Measurement(Sign.OXYGEN, 0.0, Origin.CHARTED))
    return found


def true_score(patient: Patient, second: int) -> int:
    """Return NEWS2 of the signs as they truly are."""
    values = {Sign(name): float(values[second]) for name, values in patient.truth.items()}
    values[Sign.CONSCIOUSNESS] = float(patient.consciousness[second])
    return news2(values | {Sign.OXYGEN: 0.0}).total


def _rules() -> Mapping[str, Rule]:
    """Return the rules of the loop as it ships."""
    from apps.healthcare.config import VitalsConfig
    from apps.healthcare.vitals.loop import vitals_loop

    return vitals_loop(VitalsConfig()).rules


def _watch(patient: Patient, rules: Mapping[str, Rule]) -> Watched:
    analyzer = VitalsAnalyzer(Settings())
    watches: Mapping[Key, Watch] = {}
    result = Watched(patient)
    for second in range(patient.duration_s):
        analyzer.take(measurements_at(patient, second), float(second))
        conditions = analyzer.decide(float(second)).conditions
        seen = observe(watches, conditions, rules, second * 1_000_000_000)
        for condition in seen.began:
            _count(result, condition, watches, second)
        watches = seen.watches
        if result.due_s is None and patient.onset_s is not None and second % 10 == 0:
            late = second >= patient.onset_s + 60
            if late and all(true_score(patient, at_s) >= 5 for at_s in (second - 60, second - 30, second)):
                result.due_s = second - 60
    return result


def _count(result: Watched, condition: Condition, watches: Mapping[Key, Watch], second: int) -> None:
    before = watches.get(Key(condition.code, condition.subject))
    if before is not None and before.standing:
        result.rose += 1
    elif condition.code == Code.DETERIORATION:
        result.medical_s.append(second)
    else:
        result.technical += 1


def _alarm_figures(watched: list[Watched]) -> dict[str, Figure]:
    falling = [each for each in watched if each.patient.onset_s is not None]
    well = [each for each in watched if each.patient.onset_s is None]
    found = sum(each.after > 0 for each in falling)
    delays_s = [
        min(at_s for at_s in each.medical_s if at_s >= (each.patient.onset_s or 0)) - each.due_s
        for each in falling
        if each.after and each.due_s is not None
    ]
    delay_s = float(np.median(delays_s)) if delays_s else None
    spread = (
        grouped_bootstrap(delays_s, lambda some: float(np.median(some)), n_resamples=1000)
        if delays_s
        else None
    )
    return {
        "deteriorations_found": Figure.share(found, len(falling)),
        "alerts_per_deterioration": _ratio([each.after for each in falling], [1.0] * len(falling)),
        "deteriorations_with_one_alert": Figure.share(sum(each.after == 1 for each in falling), len(falling)),
        "false_medical_alerts_per_patient_day": _ratio(
            [each.before for each in watched], [_calm_days(each) for each in watched], "1/d"
        ),
        "patients_without_deterioration_and_without_alert": Figure.share(
            sum(not each.medical_s for each in well), len(well)
        ),
        "technical_alerts_per_patient_day": _ratio(
            [each.technical for each in watched], [each.days for each in watched], "1/d"
        ),
        "alerts_per_patient_day": _ratio(
            [each.technical + len(each.medical_s) for each in watched],
            [each.days for each in watched],
            "1/d",
        ),
        "disturbances_per_patient_day": _ratio(
            [len(each.patient.disturbances) for each in watched], [each.days for each in watched], "1/d"
        ),
        "delay_after_news2_5_median_s": Figure.of(
            delay_s,
            spread,
            len(delays_s),
            "s",
            "from when the true signs have scored 5 or more for a minute on end",
        ),
    }


def _calm_days(each: Watched) -> float:
    """Return how long a patient was watched without a deterioration."""
    onset_s = each.patient.onset_s
    return each.days if onset_s is None else onset_s / 86_400


def _ratio(numbers: list[int], per: list[float], unit: str = "1") -> Figure:
    below = sum(per)
    if not below:
        return Figure.of(None, None, 0, unit)
    return Figure.of(sum(numbers) / below, ratio_bootstrap(numbers, per), sum(numbers), unit)


def _read_waves(course: str, seed: int) -> tuple[list[float], list[float], list[float]]:
    """Return the errors of pulse and breathing rates over a minute of waveforms, and each cycle's processor time."""
    patient = simulate_patient(course, seed, 3600)  # type: ignore[arg-type]
    analyzer = VitalsAnalyzer(Settings())
    pulses, breaths, took_s = [], [], []
    for moment in play_bedside(course, seed, 3600):  # type: ignore[arg-type]
        if moment.end_s > 60.0 + _SETTLED_S:
            break
        chunk = chunk_of(moment, course)
        started_s = time.thread_time()
        analyzer.push(chunk.waves, moment.end_s)
        analyzer.take(chunk.measurements, moment.end_s)
        output = analyzer.decide(moment.end_s).output
        took_s.append(time.thread_time() - started_s)
        second = int(moment.end_s - STEP_S)
        if moment.end_s > _SETTLED_S and output.pulse_bpm is not None and output.pulse_quality >= 0.4:
            pulses.append(abs(output.pulse_bpm - patient.truth["heart_rate"][second]))
        if moment.end_s > _SETTLED_S and output.respiration_per_min is not None:
            breaths.append(abs(output.respiration_per_min - patient.truth["respiration"][second]))
    return pulses, breaths, took_s


def _wave_figures(
    pulses: list[list[float]], breaths: list[list[float]], cycles_s: list[float]
) -> dict[str, Figure]:
    figures = {}
    for name, errors, unit in (
        ("pulse_rate_mean_error", pulses, "1/min"),
        ("respiration_mean_error", breaths, "1/min"),
    ):
        known = [each for each in errors if each]
        value = float(np.mean(np.concatenate(known))) if known else None
        interval = (
            grouped_bootstrap(known, lambda some: float(np.mean(np.concatenate(some))), n_resamples=1000)
            if len(known) > 1
            else None
        )
        figures[name] = Figure.of(value, interval, sum(map(len, known)), unit)
    for name, share in (("cycle_p50_ms", 50), ("cycle_p99_ms", 99)):
        value = 1e3 * float(np.percentile(cycles_s, share)) if cycles_s else None
        figures[name] = Figure.of(value, None, len(cycles_s), "ms", "of processor time")
    return figures


def _row(course: str, watched: list[Watched]) -> Mapping[str, object]:
    return {
        "course": course,
        "patients": len(watched),
        "alerts_before_onset": sum(each.before for each in watched),
        "alerts_after_onset": sum(each.after for each in watched),
        "rises_in_priority": sum(each.rose for each in watched),
        "technical_alerts": sum(each.technical for each in watched),
        "disturbances": sum(len(each.patient.disturbances) for each in watched),
    }
