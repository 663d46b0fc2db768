"""Ventricular ectopy: premature beats, couplets, bigeminy and runs, counted from the classes of beats as they come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from apps.healthcare.ecg.beat_class import Labelled

VENTRICULAR = "V"

RUN_BEATS = 3
"""So many ventricular beats on end are a run; two, and then another, are a couplet."""

BIGEMINY_PAIRS = 3
"""So many times a ventricular beat after one that is none is bigeminy."""

MINUTE_S = 60.0

LONGEST_COUPLING_S = 1.5
"""Ventricular beats further apart, under 40 a minute, are escapes: they are not counted as a couplet or a run."""


@dataclass(frozen=True)
class Ectopy:
    """What is known of ventricular beats.

    ``per_minute``: how many in the last minute. ``run_s``, ``couplet_s``, ``bigeminy_s``: when the last beat of the
    latest one was, None where there has been none. ``run_beats`` and ``run_bpm`` are the length and rate of that run.
    ``certainty``: the mean probability that the last minute's are ventricular.
    """

    per_minute: int = 0
    run_s: float | None = None
    run_beats: int = 0
    run_bpm: float = 0.0
    couplet_s: float | None = None
    bigeminy_s: float | None = None
    certainty: float = 0.0


class EctopyTracker:
    """Takes classified beats in order."""

    def __init__(self) -> None:
        self._ventricular: deque[tuple[float, float]] = deque()
        self._chain: list[float] = []
        self._pairs = 0
        self._singles = 0
        self._run: tuple[float, int, float] | None = None
        self._couplet_s: float | None = None
        self._bigeminy_s: float | None = None

    def push(self, beats: Labelled) -> None:
        """Take beats in order."""
        for time_s, kind, probability in beats:
            if kind == VENTRICULAR:
                self._ventricular.append((time_s, probability))
                self._take_ventricular(time_s)
            else:
                self._take_other()

    def lost(self) -> None:
        """The signal was lost: beats before and after it are not neighbours."""
        self._chain = []
        self._pairs = self._singles = 0

    def at(self, now_s: float) -> Ectopy:
        """Return what is known at ``now_s``."""
        while self._ventricular and self._ventricular[0][0] <= now_s - MINUTE_S:
            self._ventricular.popleft()
        run_s, run_beats, run_bpm = self._run or (None, 0, 0.0)
        count = len(self._ventricular)
        certainty = sum(probability for _, probability in self._ventricular) / count if count else 0.0
        return Ectopy(count, run_s, run_beats, run_bpm, self._couplet_s, self._bigeminy_s, certainty)

    def _take_ventricular(self, time_s: float) -> None:
        if self._chain and time_s - self._chain[-1] > LONGEST_COUPLING_S:
            self._chain = []
        self._chain.append(time_s)
        count = len(self._chain)
        if count == 1:
            self._pairs = self._pairs + 1 if self._singles == 1 else 0
            if self._pairs >= BIGEMINY_PAIRS:
                self._bigeminy_s = time_s
        else:
            self._pairs = 0
        if count >= RUN_BEATS:
            self._run = (time_s, count, 60.0 * (count - 1) / (time_s - self._chain[0]))
        self._singles = 0

    def _take_other(self) -> None:
        if len(self._chain) == RUN_BEATS - 1:
            self._couplet_s = self._chain[-1]
        self._chain = []
        self._singles += 1
