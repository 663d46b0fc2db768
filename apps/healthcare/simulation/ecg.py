"""A simulated electrocardiogram with its truth: a script of rhythms becomes leads in millivolts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.simulation.noise import add_artefact, add_noise
from apps.healthcare.simulation.scenarios import Artefact, RhythmName, Scenario, Segment
from apps.healthcare.simulation.waves import (
    NORMAL_BEAT,
    P_WAVE,
    VENTRICULAR_BEAT,
    Floats,
    Wave,
    add_beat,
    atrial_fibrillation_mv,
    fibrillation_mv,
    flutter_mv,
    lead_matrix,
    rr_intervals_s,
)

MAX_DURATION_S = 3600.0

_RUN_EVERY, _RUN_BEATS, _RUN_INTERVAL_S = 12, 4, 0.4


@dataclass(frozen=True)
class RhythmInterval:
    """The truth of a stretch of time: from ``start_s`` up to ``end_s``."""

    start_s: float
    end_s: float
    rhythm: RhythmName


@dataclass(frozen=True)
class Beat:
    """The truth of one beat: its R peak, and whether it is normal (N) or ventricular (V)."""

    time_s: float
    kind: Literal["N", "V"]


@dataclass(frozen=True)
class Truth:
    """What the simulation knows of what it made."""

    rhythms: tuple[RhythmInterval, ...]
    beats: tuple[Beat, ...]
    artefacts: tuple[Artefact, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain values; beat times to the millisecond."""
        return {
            "rhythms": [asdict(each) for each in self.rhythms],
            "beats": [{"time_s": round(beat.time_s, 3), "kind": beat.kind} for beat in self.beats],
            "artefacts": [asdict(each) for each in self.artefacts],
        }


@dataclass(frozen=True)
class SimulatedEcg:
    """Made samples, shape (samples, leads), float32 millivolts and read-only, with their truth."""

    samples_mv: NDArray[np.float32]
    rate_hz: float
    lead_names: tuple[str, ...]
    truth: Truth


def simulate(
    scenario: Scenario, *, rate_hz: float = 250.0, lead_names: Sequence[str] = ("II", "V1"), seed: int = 0
) -> SimulatedEcg:
    """Play a scenario. The same arguments give the same samples.

    Raises ValueError for a scenario that is empty or longer than ``MAX_DURATION_S``, for a rhythm that
    cannot run at its rate, and for an unknown lead.
    """
    if not 0.0 < scenario.duration_s <= MAX_DURATION_S:
        raise ValueError(f"a scenario of {scenario.duration_s} s; it must last up to {MAX_DURATION_S:.0f} s")
    if not rate_hz > 0:
        raise ValueError(f"rate_hz is {rate_hz}; it must be positive")
    directions = lead_matrix(lead_names)
    rng = np.random.default_rng(seed)
    moment_mv = np.zeros((round(scenario.duration_s * rate_hz), 3))
    rhythms: list[RhythmInterval] = []
    beats: list[Beat] = []
    start_s = 0.0
    for segment in scenario.segments:
        end_s = start_s + segment.duration_s
        rhythms.append(RhythmInterval(start_s, end_s, segment.rhythm))
        beats += _play(moment_mv, rate_hz, segment, start_s, end_s, rng)
        start_s = end_s
    samples_mv = moment_mv @ directions
    add_noise(samples_mv, rate_hz, scenario.noise, rng)
    for artefact in scenario.artefacts:
        for lead, name in enumerate(lead_names):
            if artefact.lead in (None, name):
                add_artefact(samples_mv, rate_hz, lead, artefact, rng)
    out = samples_mv.astype(np.float32)
    out.flags.writeable = False
    return SimulatedEcg(
        out, rate_hz, tuple(lead_names), Truth(tuple(rhythms), tuple(beats), scenario.artefacts)
    )


def _play(
    moment_mv: Floats,
    rate_hz: float,
    segment: Segment,
    start_s: float,
    end_s: float,
    rng: np.random.Generator,
) -> list[Beat]:
    """Add one segment to ``moment_mv`` and return its beats."""
    first, last = round(start_s * rate_hz), min(len(moment_mv), round(end_s * rate_hz))
    match segment.rhythm:
        case "ASYS":
            return []
        case "VF":
            moment_mv[first:last] += _faded(fibrillation_mv(last - first, rate_hz, rng), rate_hz)
            return []
        case "VFL":
            _check_rate(segment, 180, 350)
            moment_mv[first:last] += _faded(flutter_mv(last - first, rate_hz, segment.rate_bpm, rng), rate_hz)
            return []
        case "VT":
            _check_rate(segment, 100, 250)
            times_s = _regular_times_s(segment.rate_bpm, start_s, end_s, rng)
            for time_s in times_s:
                scale = 1.2 + 0.05 * float(rng.standard_normal())
                add_beat(
                    moment_mv,
                    rate_hz,
                    time_s,
                    VENTRICULAR_BEAT,
                    scale=scale,
                    stretch=_stretch(segment.rate_bpm),
                )
            return [Beat(time_s, "V") for time_s in times_s]
        case "AFIB":
            _check_rate(segment, 40, 200)
            moment_mv[first:last] += _faded(atrial_fibrillation_mv(last - first, rate_hz, rng), rate_hz)
            return _irregular_beats(moment_mv, rate_hz, segment, start_s, end_s, rng)
        case "N" | "PVC":
            _check_rate(segment, 20, 220)
            return _sinus_beats(moment_mv, rate_hz, segment, start_s, end_s, rng)
        case "RUN":
            _check_rate(segment, 40, 110)
            return _beats_with_runs(moment_mv, rate_hz, segment, start_s, end_s, rng)


def _sinus_beats(
    moment_mv: Floats,
    rate_hz: float,
    segment: Segment,
    start_s: float,
    end_s: float,
    rng: np.random.Generator,
) -> list[Beat]:
    """Sinus beats with P waves; in PVC about every sixth comes early and wide, with a pause after it."""
    beats: list[Beat] = []
    stretch = _stretch(segment.rate_bpm)
    normal: tuple[Wave, ...] = (P_WAVE, *NORMAL_BEAT)
    time_s = start_s + min(0.3, 30.0 / segment.rate_bpm)
    paused = False
    for number, interval_s in enumerate(rr_intervals_s(segment.rate_bpm, segment.duration_s, rng)):
        if time_s >= end_s:
            break
        ectopic = segment.rhythm == "PVC" and number % 6 == 5 and not paused
        add_beat(moment_mv, rate_hz, time_s, VENTRICULAR_BEAT if ectopic else normal, stretch=stretch)
        beats.append(Beat(time_s, "V" if ectopic else "N"))
        next_is_ectopic = segment.rhythm == "PVC" and number % 6 == 4
        time_s += interval_s * (1.4 if ectopic else 0.62 if next_is_ectopic else 1.0)
        paused = ectopic
    return beats


def _beats_with_runs(
    moment_mv: Floats,
    rate_hz: float,
    segment: Segment,
    start_s: float,
    end_s: float,
    rng: np.random.Generator,
) -> list[Beat]:
    """Sinus beats, and after every eighth a run of four ventricular ones at 150 a minute, with a pause after it."""
    beats: list[Beat] = []
    stretch = _stretch(segment.rate_bpm)
    normal: tuple[Wave, ...] = (P_WAVE, *NORMAL_BEAT)
    time_s = start_s + 0.3
    for number, interval_s in enumerate(rr_intervals_s(segment.rate_bpm, 2 * segment.duration_s, rng)):
        if time_s >= end_s:
            break
        place = number % _RUN_EVERY
        ectopic = place >= _RUN_EVERY - _RUN_BEATS
        add_beat(moment_mv, rate_hz, time_s, VENTRICULAR_BEAT if ectopic else normal, stretch=stretch)
        beats.append(Beat(time_s, "V" if ectopic else "N"))
        if place == _RUN_EVERY - 1:
            time_s += 1.4 * interval_s
        else:
            time_s += _RUN_INTERVAL_S if place >= _RUN_EVERY - _RUN_BEATS - 1 else interval_s
    return beats


def _irregular_beats(
    moment_mv: Floats,
    rate_hz: float,
    segment: Segment,
    start_s: float,
    end_s: float,
    rng: np.random.Generator,
) -> list[Beat]:
    """Normal beats without P waves at irregular intervals (coefficient of variation about 0.2)."""
    beats: list[Beat] = []
    time_s = start_s + 0.3
    while time_s < end_s:
        add_beat(moment_mv, rate_hz, time_s, NORMAL_BEAT, stretch=_stretch(segment.rate_bpm))
        beats.append(Beat(time_s, "N"))
        time_s += max(0.28, 60.0 / segment.rate_bpm * (1.0 + 0.2 * float(rng.standard_normal())))
    return beats


def _regular_times_s(rate_bpm: float, start_s: float, end_s: float, rng: np.random.Generator) -> list[float]:
    """Return beat times with the one per cent of jitter of a monomorphic tachycardia."""
    times_s: list[float] = []
    time_s = start_s + 0.15
    while time_s < end_s:
        times_s.append(time_s)
        time_s += 60.0 / rate_bpm * (1.0 + 0.01 * float(rng.standard_normal()))
    return times_s


def _stretch(rate_bpm: float) -> float:
    """Return how far the T wave moves with the rate: QT follows the square root of RR (Bazett 1920)."""
    return float(np.clip((60.0 / rate_bpm) ** 0.5, 0.55, 1.2))


def _faded(moment_mv: Floats, rate_hz: float) -> Floats:
    """Return the wave with its first and last 0.2 s faded, so that rhythms join without a step."""
    count = min(len(moment_mv) // 2, round(0.2 * rate_hz))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / max(1, count))
    out = moment_mv.copy()
    out[:count] *= ramp[:, None]
    if count:
        out[-count:] *= ramp[::-1, None]
    return out


def _check_rate(segment: Segment, low_bpm: float, high_bpm: float) -> None:
    if not low_bpm <= segment.rate_bpm <= high_bpm:
        raise ValueError(
            f"{segment.rhythm} at {segment.rate_bpm} a minute; it runs at {low_bpm} to {high_bpm}"
        )
