"""A simulated bedside: one patient's monitor second by second, values and waveforms, for as long as wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.simulation.heart import Beats
from apps.healthcare.simulation.patients import Course, Patient, simulate_patient
from apps.healthcare.simulation.pulses import beat_times_s, breath_phase, pulse_wave

Floats = NDArray[np.float64]

PULSE_HZ = 100.0
BREATH_HZ = 25.0
STEP_S = 0.5
_SPOILED = {"ppg": ("probe off", "poor perfusion", "motion"), "abp": ("line flush", "line damped")}
_CHARTED_EVERY_S = 3600

_ARREST_MMHG = 20.0
"""Where the arterial pressure settles when nothing is pumped."""
_RUN_OFF_AFTER_S, _RUN_OFF_S = 1.2, 5.0
"""So long after the last pulse the pressure begins to run off, and with this time constant."""
_FELT = 0.25
"""A pulse weaker than this reaches no finger."""
_OXIMETER_WAITS_S = 4.0
"""Without a pulse for so long an oximeter gives no value."""

Heartbeats = Callable[[float, float], Beats]
"""Gives the beats between two moments of the recording, in seconds."""


@dataclass(frozen=True)
class Moment:
    """Half a second of a monitor.

    ``values`` by sign (once a second; NaN: the sensor gives nothing), ``waves`` by name: samples and rate.
    ``charted``: what a nurse wrote down, by sign.
    """

    end_s: float
    values: Mapping[str, float]
    waves: Mapping[str, tuple[Floats, float]]
    charted: Mapping[str, float]


def play_bedside(
    course: Course, seed: int, duration_s: int = 3 * 3600, heart: Heartbeats | None = None
) -> Iterator[Moment]:
    """Play one simulated patient; the same arguments give the same moments.

    ``heart`` gives the beats that the pulse follows, an electrocardiogram's say; without one they follow the
    patient's heart rate.
    """
    patient = simulate_patient(course, seed, duration_s)
    rng = np.random.default_rng([seed, 77])
    if heart is None:
        times_s = beat_times_s(patient.truth["heart_rate"], rng)
        heart = Beats(times_s, np.ones(len(times_s))).between
    phase = breath_phase(patient.truth["respiration"])
    per_step = round(PULSE_HZ * STEP_S)
    last_felt_s = 0.0
    for step in range(round(duration_s / STEP_S)):
        start_s = step * STEP_S
        second = int(start_s)
        near = heart(start_s - 1.5, start_s + STEP_S)
        felt_s = near.times_s[near.strengths >= _FELT]
        last_felt_s = max(last_felt_s, float(felt_s[-1]) if len(felt_s) else 0.0)
        silent_s = start_s - last_felt_s
        depth = near.strengths * (
            1.0 + 0.05 * np.sin(2 * np.pi * np.interp(near.times_s, np.arange(len(phase)), phase))
        )
        waves = {
            "ppg": (_ppg(patient, near.times_s, depth, start_s, per_step, rng), PULSE_HZ),
            "abp": (_abp(patient, near.times_s, depth, start_s, silent_s, per_step, rng), PULSE_HZ),
            "impedance": (_impedance(patient, phase, start_s, rng), BREATH_HZ),
        }
        whole = start_s == second
        values = (
            {sign: float(patient.measured[sign][second]) for sign in ("spo2", "temperature")} if whole else {}
        )
        if silent_s > _OXIMETER_WAITS_S and values:
            values["spo2"] = math.nan
        charted: dict[str, float] = {}
        if whole and (second % _CHARTED_EVERY_S == 0 or _changed(patient, second)):
            charted = {"consciousness": float(patient.consciousness[second]), "oxygen": 0.0}
        yield Moment(start_s + STEP_S, values, waves, charted)


def _changed(patient: Patient, second: int) -> bool:
    return second > 0 and patient.consciousness[second] != patient.consciousness[second - 1]


def _ppg(
    patient: Patient, beats_s: Floats, depth: Floats, start_s: float, count: int, rng: np.random.Generator
) -> Floats:
    kind = _spoiled(patient, "ppg", start_s)
    if kind == "probe off":
        return np.full(count, np.nan)
    wave = pulse_wave("ppg", beats_s.tolist(), depth.tolist(), start_s, count, PULSE_HZ)
    if kind == "poor perfusion":
        wave *= 0.1
    if kind == "motion":
        wave += np.cumsum(rng.normal(0.0, 0.12, count))
    return wave + rng.normal(0.0, 0.01, count)


def _abp(
    patient: Patient, beats_s: Floats, depth: Floats, start_s: float, silent_s: float, count: int,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    kind = _spoiled(patient, "abp", start_s)
    if kind == "line flush":
        return np.full(count, 300.0) + rng.normal(0.0, 0.5, count)
    second = int(start_s)
    low, high = patient.truth["diastolic"][second], patient.truth["systolic"][second]
    wave = pulse_wave("abp", beats_s.tolist(), depth.tolist(), start_s, count, PULSE_HZ)
    if kind == "line damped":
        wave = 0.35 + 0.03 * wave
    times_s = silent_s + np.arange(count) / PULSE_HZ
    left = np.exp(-np.maximum(times_s - _RUN_OFF_AFTER_S, 0.0) / _RUN_OFF_S)
    floor = _ARREST_MMHG + (low - _ARREST_MMHG) * left
    return np.asarray(floor + (high - low) * wave + rng.normal(0.0, 0.4, count))


def _impedance(patient: Patient, phase: Floats, start_s: float, rng: np.random.Generator) -> Floats:
    count = round(BREATH_HZ * STEP_S)
    times_s = start_s + np.arange(count) / BREATH_HZ
    wave = np.sin(2 * np.pi * np.interp(times_s, np.arange(len(phase)), phase))
    return wave + rng.normal(0.0, 0.05, count)


def _spoiled(patient: Patient, wave: str, at_s: float) -> str:
    """Return what happens to a waveform's sensor now; empty: nothing."""
    for each in patient.disturbances:
        if each.start_s <= at_s < each.end_s and each.kind in _SPOILED[wave]:
            return each.kind
    return ""
