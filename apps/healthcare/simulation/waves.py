"""The shapes of a simulated heart: waves as Gaussians on a dipole, and the rhythms that have no beats.

Beats follow the wave model of McSharry, Clifford, Tarassenko and Smith ("A dynamical model for generating
synthetic electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3):289-294, 2003): each wave is a Gaussian
around its own phase. Here the phase is time from the R peak, and every wave has a direction in space, so that
each lead sees it by projection (the dipole of Sameni et al., "Multichannel ECG and noise modeling",
EURASIP J. Adv. Signal Process. 2007:043407).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.simulation.scenarios import LEAD_AXES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Wave:
    """One wave of a beat: ``moment_mv`` along (left, feet, front), around ``delay_s`` from the R peak."""

    delay_s: float
    width_s: float
    moment_mv: tuple[float, float, float]


P_WAVE = Wave(-0.16, 0.022, (0.06, 0.12, 0.03))
NORMAL_BEAT = (
    Wave(-0.030, 0.009, (-0.06, -0.12, 0.10)),
    Wave(0.000, 0.011, (0.65, 0.95, -0.25)),
    Wave(0.030, 0.010, (-0.08, -0.20, -0.30)),
    Wave(0.270, 0.045, (0.16, 0.22, 0.12)),
)
"""Q, R, S and T of a beat that comes down the conduction system; QRS about 90 ms wide."""

VENTRICULAR_BEAT = (
    Wave(-0.036, 0.017, (0.10, 0.30, 0.60)),
    Wave(0.008, 0.020, (0.60, -1.25, 0.55)),
    Wave(0.056, 0.018, (0.25, -0.55, -0.30)),
    Wave(0.240, 0.048, (-0.25, 0.45, -0.30)),
)
"""A beat that begins in a ventricle: QRS about 160 ms wide, T against it."""


def lead_matrix(lead_names: Sequence[str]) -> Floats:
    """Return the directions of the leads, shape (3, leads).

    Raises ValueError for a lead that the simulation does not know.
    """
    unknown = [name for name in lead_names if name not in LEAD_AXES]
    if unknown or not lead_names:
        raise ValueError(f"leads {unknown or 'none'}: the simulation knows {', '.join(LEAD_AXES)}")
    return np.array([LEAD_AXES[name] for name in lead_names], dtype=float).T


def add_beat(
    moment_mv: Floats,
    rate_hz: float,
    time_s: float,
    waves: Sequence[Wave],
    *,
    scale: float = 1.0,
    stretch: float = 1.0,
) -> None:
    """Add one beat with its R peak at ``time_s`` to ``moment_mv`` (samples, 3), in place.

    ``stretch`` widens the distance from R to the later waves (the T wave comes earlier at a high rate).
    """
    for wave in waves:
        centre_s = time_s + wave.delay_s * (stretch if wave.delay_s > 0.1 else 1.0)
        first = max(0, math.floor((centre_s - 5 * wave.width_s) * rate_hz))
        last = min(len(moment_mv), math.ceil((centre_s + 5 * wave.width_s) * rate_hz) + 1)
        if first >= last:
            continue
        offset_s = np.arange(first, last) / rate_hz - centre_s
        bell = scale * np.exp(-0.5 * (offset_s / wave.width_s) ** 2)
        moment_mv[first:last] += bell[:, None] * np.asarray(wave.moment_mv)


def rr_intervals_s(rate_bpm: float, duration_s: float, rng: np.random.Generator) -> Floats:
    """Return RR intervals of a sinus rhythm that fill ``duration_s``.

    Variability has the two bands of McSharry et al. 2003: 0.1 Hz (Mayer waves) and 0.25 Hz (breathing).
    """
    mean_s = 60.0 / rate_bpm
    phases = rng.uniform(0.0, 2 * np.pi, 2)
    intervals: list[float] = []
    time_s = 0.0
    while time_s < duration_s:
        swing = 0.025 * math.sin(2 * math.pi * 0.10 * time_s + phases[0])
        swing += 0.025 * math.sin(2 * math.pi * 0.25 * time_s + phases[1])
        interval_s = mean_s * (1.0 + swing + 0.006 * float(rng.standard_normal()))
        intervals.append(max(0.2, interval_s))
        time_s += intervals[-1]
    return np.array(intervals)


def fibrillation_mv(
    samples: int, rate_hz: float, rng: np.random.Generator, *, amplitude_mv: float = 0.55
) -> Floats:
    """Return ventricular fibrillation, shape (samples, 3): wandering oscillations between 3 and 7 Hz.

    Three wavelets a direction, each with a frequency and an amplitude that wander: no two waves are alike,
    and nothing in them is a QRS complex.
    """
    out = np.zeros((samples, 3))
    for axis in range(3):
        for centre_hz, weight in ((3.8, 0.6), (4.9, 1.0), (6.1, 0.5)):
            hz = np.clip(centre_hz + _wander(samples, rate_hz, rng, 0.6), 3.0, 7.0)
            envelope = np.clip(1.0 + _wander(samples, rate_hz, rng, 0.45), 0.15, 2.0)
            phase = rng.uniform(0.0, 2 * np.pi) + 2 * np.pi * np.cumsum(hz) / rate_hz
            out[:, axis] += weight * envelope * np.sin(phase)
    scale = amplitude_mv / max(1e-9, float(np.sqrt(np.mean(out**2))) * math.sqrt(2.0))
    out *= scale
    return out


def flutter_mv(
    samples: int, rate_hz: float, rate_bpm: float, rng: np.random.Generator, *, amplitude_mv: float = 0.9
) -> Floats:
    """Return ventricular flutter, shape (samples, 3): one regular, almost sinusoidal wave."""
    hz = rate_bpm / 60.0 * (1.0 + _wander(samples, rate_hz, rng, 0.01))
    phase = 2 * np.pi * np.cumsum(hz) / rate_hz
    shape = np.sin(phase) + 0.18 * np.sin(2 * phase + 0.7)
    return np.outer(shape, amplitude_mv * np.array([0.45, 0.80, 0.60]))


def atrial_fibrillation_mv(samples: int, rate_hz: float, rng: np.random.Generator) -> Floats:
    """Return the f-waves of atrial fibrillation, shape (samples, 3): 5 to 8 Hz, some tens of microvolts."""
    hz = np.clip(6.3 + _wander(samples, rate_hz, rng, 0.6), 5.0, 8.0)
    phase = rng.uniform(0.0, 2 * np.pi) + 2 * np.pi * np.cumsum(hz) / rate_hz
    envelope = np.clip(1.0 + _wander(samples, rate_hz, rng, 0.3), 0.3, 1.7)
    wave: Floats = envelope * (np.sin(phase) + 0.3 * np.sin(2 * phase))
    return np.outer(wave, 0.05 * np.array([0.3, 0.6, 1.0]))


def _wander(samples: int, rate_hz: float, rng: np.random.Generator, deviation: float) -> Floats:
    """Return a slow random walk around zero: knots each 0.5 s, joined by cosines, of the given deviation."""
    knots = rng.standard_normal(max(2, math.ceil(samples / rate_hz / 0.5) + 2)) * deviation
    position = np.arange(samples) / rate_hz / 0.5
    left = position.astype(int)
    share = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    out: Floats = knots[left] * (1.0 - share) + knots[left + 1] * share
    return out
