"""Matching of found beats with annotated ones, one to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE_S = 0.15
"""A beat found within so much of an annotated one is right (ANSI/AAMI EC57: 150 ms)."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class BeatMatch:
    """How many beats were ``found``; when one was annotated and missed, and when one was found that is ``extra``."""

    found: int
    missed_s: Doubles
    extra_s: Doubles

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and positive predictive value; nan without a beat on either side."""
        total = 2 * self.found + len(self.missed_s) + len(self.extra_s)
        return 2 * self.found / total if total else float("nan")


def match_beats(
    detected_s: Doubles,
    annotated_s: Doubles,
    excluded: Sequence[tuple[float, float]] = (),
    tolerance_s: float = TOLERANCE_S,
) -> BeatMatch:
    """Match times in seconds, both in order, so that as many as can be are pairs within ``tolerance_s``.

    What is annotated inside the stretches ``excluded`` (start, end in seconds) counts for nothing, and so does what
    is found there, or as near to them as the tolerance, and matches no beat.
    """
    counted = annotated_s[~_within(annotated_s, excluded, 0.0)]
    found, matched = pairs(detected_s, counted, tolerance_s)
    extra_s = np.delete(detected_s, found)
    extra_s = extra_s[~_within(extra_s, excluded, tolerance_s)]
    return BeatMatch(len(found), np.delete(counted, matched), extra_s)


def pairs(
    detected_s: Doubles, annotated_s: Doubles, tolerance_s: float = TOLERANCE_S
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match times in seconds, both in order, one to one: the places of the detected and of the annotated ones."""
    found, matched = [], []
    detections, beats = detected_s.tolist(), annotated_s.tolist()
    i = j = 0
    while i < len(detections) and j < len(beats):
        ahead = detections[i] - beats[j]
        if abs(ahead) <= tolerance_s:
            found.append(i)
            matched.append(j)
            i, j = i + 1, j + 1
        elif ahead < 0:
            i += 1
        else:
            j += 1
    return np.array(found, dtype=np.intp), np.array(matched, dtype=np.intp)


def _within(times_s: Doubles, stretches: Sequence[tuple[float, float]], border_s: float) -> NDArray[np.bool_]:
    inside = np.zeros(len(times_s), bool)
    for start_s, end_s in stretches:
        inside |= (times_s >= start_s - border_s) & (times_s <= end_s + border_s)
    return inside
