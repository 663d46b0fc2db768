"""Simulated pulse and breathing waveforms: from the times of the heart's beats, and from the rate of breathing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRANSIT_S = {"ppg": 0.25, "abp": 0.12}
"""From the R peak to the foot of the pulse, at the finger and in the arm."""

# (after the foot in s, width in s, height) of the systolic wave, its shoulder and the dicrotic wave.
_SHAPES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "ppg": ((0.13, 0.055, 1.0), (0.24, 0.07, 0.55), (0.40, 0.09, 0.25)),
    "abp": ((0.11, 0.045, 1.0), (0.22, 0.06, 0.60), (0.37, 0.06, 0.28)),
}


def pulse_wave(
    kind: Literal["ppg", "abp"],
    beats_s: Sequence[float],
    strengths: Sequence[float],
    start_s: float,
    count: int,
    rate_hz: float,
) -> Floats:
    """Return ``count`` samples from ``start_s`` on: each beat a pulse of its strength (1: whole), about 0 to 1 high."""
    times_s = start_s + np.arange(count) / rate_hz
    out = np.zeros(count)
    for beat_s, strength in zip(beats_s, strengths, strict=True):
        foot_s = beat_s + TRANSIT_S[kind]
        if foot_s > times_s[-1] or foot_s + 0.8 < start_s or strength == 0:
            continue
        for after_s, width_s, height in _SHAPES[kind]:
            out += strength * height * np.exp(-0.5 * ((times_s - foot_s - after_s) / width_s) ** 2)
    return out


def beat_times_s(rates_bpm: Floats, rng: np.random.Generator, spread: float = 0.025) -> Floats:
    """Return the times of beats at a rate given for every second, with the spread of intervals of a sinus rhythm."""
    times: list[float] = []
    now_s = float(rng.uniform(0.0, 0.8))
    while now_s < len(rates_bpm):
        times.append(now_s)
        now_s += 60.0 / float(rates_bpm[int(now_s)]) * (1.0 + spread * float(rng.standard_normal()))
    return np.array(times)


def breath_phase(rates_per_min: Floats) -> Floats:
    """Return the phase of breathing in turns at the start of every second, and at the end of the last."""
    return np.concatenate([[0.0], np.cumsum(rates_per_min / 60.0)])
