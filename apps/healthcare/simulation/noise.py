"""What spoils an electrocardiogram: baseline wander, mains, muscle, motion, and electrodes that come off."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.simulation.scenarios import Artefact, Noise

Floats = NDArray[np.float64]


LEAD_OFF_MV = 5.0
"""Where an amplifier's output stands when its input floats: the rail of a typical +-5 mV range."""

_FAINT_SHARE = 0.01


def add_noise(samples_mv: Floats, rate_hz: float, noise: Noise, rng: np.random.Generator) -> None:
    """Add the standing disturbances to ``samples_mv`` (samples, leads), in place."""
    count, leads = samples_mv.shape
    time_s = np.arange(count) / rate_hz
    mains_phase = rng.uniform(0.0, 2 * np.pi)
    for lead in range(leads):
        for hz in (0.05, 0.15, 0.27):
            phase = rng.uniform(0.0, 2 * np.pi)
            samples_mv[:, lead] += noise.baseline_mv / math.sqrt(3) * np.sin(2 * np.pi * hz * time_s + phase)
        share = rng.uniform(0.6, 1.0)
        samples_mv[:, lead] += (
            share * noise.mains_mv * np.sin(2 * np.pi * noise.mains_hz * time_s + mains_phase)
        )
        samples_mv[:, lead] += noise.muscle_mv * rng.standard_normal(count)


def add_artefact(
    samples_mv: Floats, rate_hz: float, lead: int, artefact: Artefact, rng: np.random.Generator
) -> None:
    """Put one artefact on one lead of ``samples_mv`` (samples, leads), in place."""
    first = max(0, round(artefact.start_s * rate_hz))
    last = min(len(samples_mv), round(artefact.end_s * rate_hz))
    count = last - first
    if count <= 0:
        return
    part = samples_mv[first:last, lead]
    match artefact.kind:
        case "missing":
            part[:] = np.nan
        case "flat":
            part[:] = part[0]
        case "faint":
            part *= _FAINT_SHARE
        case "lead_off":
            part[:] = LEAD_OFF_MV
        case "muscle":
            tremor = np.diff(rng.standard_normal(count + 1)) / math.sqrt(2.0)
            part += 0.25 * tremor
        case "motion":
            part += _motion(count, rate_hz, rng)


def _motion(count: int, rate_hz: float, rng: np.random.Generator) -> Floats:
    """Return swings of 1 to 3 Hz and millivolts, with steps where an electrode slips."""
    time_s = np.arange(count) / rate_hz
    swing = np.zeros(count)
    for hz in rng.uniform(0.6, 3.5, 5):
        swing += rng.uniform(0.3, 0.8) * np.sin(2 * np.pi * hz * time_s + rng.uniform(0.0, 2 * np.pi))
    steps = np.zeros(count)
    for at in rng.integers(0, count, max(1, count // round(1.5 * rate_hz))):
        decay = np.exp(-(time_s[at:] - time_s[at]) / 0.25)
        steps[at:] += rng.uniform(-2.0, 2.0) * decay
    return swing + steps
