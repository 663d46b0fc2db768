"""Early beats made of normal ones: diastoles of annotated sinus rhythm shortened and lengthened, for the beat network.

Supraventricular beats are rare in recordings and lie in few patients, but what makes them is simple: a beat with the
patient's own shape that comes early, its P wave another or none, with a pause after it or not. So they can be made of
anybody's sinus rhythm, singly, in pairs, or as the greater part of all beats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ

Doubles = NDArray[np.float64]

_LONGEST_RR_S, _SHORTEST_RR_S = 1.5, 0.5
"""Only intervals of a sinus rhythm in this range are changed."""

_SHORTEST_MADE_S = 0.36
_T_END_S, _P_START_S = 0.30, 0.20  # diastole lies between these, after one R peak and before the next
_P_S = (0.22, 0.06)  # the P wave, before the R peak


@dataclass(frozen=True)
class _Mood:
    """For some minutes: how often beats come early, how early, how much of it is given back, how large P waves are."""

    until_s: float
    share: float = 0.0
    early: float = 0.7
    spread: float = 0.05
    pause: float = 0.0
    p_size: float = 1.0

    @classmethod
    def drawn(cls, now_s: float, random: np.random.Generator) -> _Mood:
        kind = random.random()
        share = 0.0
        if kind >= 0.85:
            share = random.uniform(0.4, 0.8)
        elif kind >= 0.6:
            share = random.uniform(0.06, 0.35)
        elif kind >= 0.15:
            share = random.uniform(0.01, 0.06)
        return cls(
            now_s + random.uniform(30, 240),
            share,
            random.uniform(0.58, 0.86),
            random.uniform(0.01, 0.06),
            float(random.choice([0.0, 0.0, random.uniform(0, 0.6), random.uniform(0.6, 1.0)])),
            float(random.choice([1.0, random.uniform(0, 1), random.uniform(-1, 0.3)])),
        )


def with_early_beats(
    samples_mv: Doubles,
    times_s: Doubles,
    classes: NDArray[np.str_],
    sinus: NDArray[np.bool_],
    random: np.random.Generator,
) -> tuple[Doubles, Doubles, NDArray[np.str_]]:
    """Make some normal beats early; return signal, times and classes anew.

    ``samples_mv`` (n, leads) is clean, at ``WORKING_RATE_HZ``; ``times_s``, ``classes`` and ``sinus`` (whether the
    rhythm there is a sinus rhythm) are those of its beats (k,). Only a normal beat between two others is moved.
    """
    made_s, called, p_sizes = _plan(times_s, classes, sinus, random)
    signal = _with_p_waves(samples_mv, times_s, p_sizes)
    old_s, new_s = _knots(times_s, made_s, len(samples_mv) / WORKING_RATE_HZ)
    count = int(new_s[-1] * WORKING_RATE_HZ)
    places = np.interp(np.arange(count) / WORKING_RATE_HZ, new_s, old_s) * WORKING_RATE_HZ
    numbers = np.arange(len(signal))
    warped = np.stack([np.interp(places, numbers, lead) for lead in signal.T], axis=1)
    return warped, np.interp(times_s, old_s, new_s), called


def _plan(
    times_s: Doubles, classes: NDArray[np.str_], sinus: NDArray[np.bool_], random: np.random.Generator
) -> tuple[Doubles, NDArray[np.str_], Doubles]:
    """The new intervals (k - 1,), the new classes and the sizes of P waves (k,)."""
    intervals_s = np.diff(times_s)
    made_s, called, p_sizes = intervals_s.copy(), classes.copy(), np.ones(len(times_s))
    normal = sinus & (classes == "N")
    mood = _Mood(0.0)
    for i in range(1, len(times_s) - 1):
        if times_s[i] >= mood.until_s:
            mood = _Mood.drawn(float(times_s[i]), random)
        before_s, after_s = intervals_s[i - 1], intervals_s[i]
        if not normal[i - 1 : i + 2].all() or not _SHORTEST_RR_S < before_s < _LONGEST_RR_S:
            continue
        if random.random() >= mood.share:
            continue
        early = float(np.clip(mood.early + mood.spread * random.standard_normal(), 0.45, 0.9))
        wanted_s = max(early * before_s, _SHORTEST_MADE_S)
        if wanted_s >= 0.9 * before_s:
            continue
        made_s[i - 1], called[i], p_sizes[i] = wanted_s, "S", mood.p_size
        if after_s < _LONGEST_RR_S:
            made_s[i] = after_s + mood.pause * (before_s - wanted_s)
    return made_s, called, p_sizes


def _knots(times_s: Doubles, made_s: Doubles, end_s: float) -> tuple[Doubles, Doubles]:
    """A map of time: only diastoles grow and shrink, and where they are too short for it, what is before them."""
    old, new, shift = [0.0], [0.0], 0.0
    for i, interval_s in enumerate(np.diff(times_s).tolist()):
        change_s = float(made_s[i]) - interval_s
        if abs(change_s) < 1e-6:
            continue
        start_s = float(times_s[i]) + min(_T_END_S, 0.45 * interval_s)
        stop_s = max(float(times_s[i + 1]) - min(_P_START_S, 0.3 * interval_s), start_s + 0.02)
        if stop_s - start_s + change_s < 0.02:
            start_s = max(float(times_s[i]) + 0.14, stop_s - (0.02 - change_s))
            change_s = max(change_s, 0.01 - (stop_s - start_s))
        old += [start_s, stop_s]
        new += [start_s + shift, stop_s + shift + change_s]
        shift += change_s
    return np.array([*old, end_s]), np.array([*new, end_s + shift])


def _with_p_waves(samples_mv: Doubles, times_s: Doubles, sizes: Doubles) -> Doubles:
    """The P waves of some beats made smaller, or turned over, about the line under them."""
    out = samples_mv.copy()
    for i in np.flatnonzero(sizes != 1.0).tolist():
        first, last = (int((times_s[i] - each) * WORKING_RATE_HZ) for each in _P_S)
        if 1 <= first < last < len(out):
            line = np.linspace(out[first], out[last], last - first)
            out[first:last] = line + sizes[i] * (out[first:last] - line)
    return out
