"""The vital signs: what they are called, in which units, which values can be, and what one measurement is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Sign(StrEnum):
    """A vital sign. Rates are a minute, pressures mmHg, SpO2 per cent, temperature degrees Celsius."""

    HEART_RATE = "heart_rate"
    SPO2 = "spo2"
    RESPIRATION = "respiration"
    SYSTOLIC = "systolic"
    DIASTOLIC = "diastolic"
    MEAN_PRESSURE = "mean_pressure"
    TEMPERATURE = "temperature"
    CONSCIOUSNESS = "consciousness"
    OXYGEN = "oxygen"


class Origin(StrEnum):
    """Where a value comes from. The first five measure all the time, the last two now and then."""

    ECG = "ecg"
    PPG = "ppg"
    ABP = "abp"
    IMPEDANCE = "impedance"
    MONITOR = "monitor"
    CUFF = "cuff"
    CHARTED = "charted"


CONTINUOUS = frozenset({Origin.ECG, Origin.PPG, Origin.ABP, Origin.IMPEDANCE, Origin.MONITOR})

ACVPU = "ACVPU"
"""Consciousness as a number: its place here. Alert, new Confusion, responds to Voice, to Pain, Unresponsive."""

UNITS = {
    Sign.HEART_RATE: "/min",
    Sign.SPO2: "%",
    Sign.RESPIRATION: "/min",
    Sign.SYSTOLIC: "mmHg",
    Sign.DIASTOLIC: "mmHg",
    Sign.MEAN_PRESSURE: "mmHg",
    Sign.TEMPERATURE: "°C",
    Sign.CONSCIOUSNESS: "",
    Sign.OXYGEN: "L/min",
}

NAMES = {
    Sign.HEART_RATE: "heart rate",
    Sign.SPO2: "SpO2",
    Sign.RESPIRATION: "respiration",
    Sign.SYSTOLIC: "systolic pressure",
    Sign.DIASTOLIC: "diastolic pressure",
    Sign.MEAN_PRESSURE: "mean pressure",
    Sign.TEMPERATURE: "temperature",
    Sign.CONSCIOUSNESS: "consciousness",
    Sign.OXYGEN: "oxygen",
}

PLAUSIBLE: dict[Sign, tuple[float, float]] = {
    Sign.HEART_RATE: (15.0, 300.0),
    Sign.SPO2: (40.0, 100.0),
    Sign.RESPIRATION: (0.0, 80.0),
    Sign.SYSTOLIC: (30.0, 280.0),
    Sign.DIASTOLIC: (10.0, 200.0),
    Sign.MEAN_PRESSURE: (15.0, 230.0),
    Sign.TEMPERATURE: (25.0, 44.0),
    Sign.CONSCIOUSNESS: (0.0, 4.0),
    Sign.OXYGEN: (0.0, 80.0),
}
"""What a living patient can have and these sensors can measure: anything else is a fault of the measurement.

Asystole is the ECG loop's to tell: a heart rate of 0 here is a sensor without a signal.
"""


@dataclass(frozen=True)
class Measurement:
    """One value of one sign. ``quality`` runs from 0 to 1. Oxygen is its flow; 0 is room air."""

    sign: Sign
    value: float
    origin: Origin = Origin.MONITOR
    quality: float = 1.0


def shown(sign: Sign, value: float) -> str:
    """Return a value as people read it, with its unit."""
    if sign is Sign.CONSCIOUSNESS:
        return ("alert", "new confusion", "responds to voice", "responds to pain", "unresponsive")[
            round(value)
        ]
    if sign is Sign.OXYGEN:
        return f"{value:.0f} L/min" if value else "room air"
    digits = 1 if sign is Sign.TEMPERATURE else 0
    return f"{value:.{digits}f} {UNITS[sign]}"
