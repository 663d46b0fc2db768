"""One simulated heart for all loops of a device: which beat falls when is a function of clock and seed alone.

The ECG's electrodes and the vital signs' finger and artery are two processes; both ask the same clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.simulation.ecg import SimulatedEcg, Truth, simulate
from apps.healthcare.simulation.scenarios import Scenario

Floats = NDArray[np.float64]

_FILLS_FROM_S, _FULL_AFTER_S = 0.25, 0.60
"""A ventricle that is given less time to fill throws out less; one that beats out of its own middle less again.

What a textbook says, not fitted to data.
"""
_ECTOPIC_SHARE = 0.6


@dataclass(frozen=True)
class Beats:
    """Heartbeats: their times in seconds, and what of each reaches the artery (1: a whole beat of sinus rhythm)."""

    times_s: Floats
    strengths: Floats

    def between(self, start_s: float, end_s: float) -> Beats:
        """Return those from ``start_s`` up to ``end_s``."""
        part = slice(*np.searchsorted(self.times_s, (start_s, end_s)))
        return Beats(self.times_s[part], self.strengths[part])


_NONE = Beats(np.zeros(0), np.zeros(0))


def beats_of(truth: Truth) -> Beats:
    """Return the beats of a simulated ECG, with the strength of their pulses."""
    times_s = np.array([beat.time_s for beat in truth.beats])
    if not len(times_s):
        return Beats(times_s, times_s)
    before_s = np.diff(times_s, prepend=times_s[0] - 1.0)
    filled = np.clip((before_s - _FILLS_FROM_S) / (_FULL_AFTER_S - _FILLS_FROM_S), 0.0, 1.0)
    share = np.array([_ECTOPIC_SHARE if beat.kind == "V" else 1.0 for beat in truth.beats])
    return Beats(times_s, filled * share)


class Heart:
    """A heart that lives through a scenario over and over, in rounds that begin at multiples of its duration.

    No two rounds are alike, and a process that starts later, or again, falls into the same round. ``seed`` tells
    hearts apart.
    """

    def __init__(
        self, scenario: Scenario, *, name: str, rate_hz: float, lead_names: tuple[str, ...], seed: int
    ) -> None:
        self.name = name
        self.rate_hz = rate_hz
        self.lead_names = lead_names
        self.round_ns = round(scenario.duration_s * 1e9)
        self._scenario = scenario
        self._seed = seed
        self._played: dict[int, tuple[SimulatedEcg, Beats]] = {}

    def round_at(self, time_ns: int) -> tuple[int, int]:
        """Return the number of the round that a moment of the clock lies in, and how far in, in nanoseconds."""
        return divmod(time_ns, self.round_ns)

    def play(self, number: int) -> SimulatedEcg:
        """Return one round: what the electrodes see, and the truth."""
        return self._round(number)[0]

    def between(self, origin_ns: int, start_s: float, end_s: float) -> Beats:
        """Return the beats from ``start_s`` up to ``end_s``, in seconds since a moment of the clock."""
        number, into_ns = self.round_at(origin_ns + round(start_s * 1e9))
        offset_s = start_s - into_ns / 1e9
        parts = []
        while offset_s < end_s:
            beats = self._round(number)[1] if number >= 0 else _NONE  # before the clock began
            parts.append(Beats(beats.times_s + offset_s, beats.strengths).between(start_s, end_s))
            number, offset_s = number + 1, offset_s + self.round_ns / 1e9
        return Beats(
            np.concatenate([each.times_s for each in parts]),
            np.concatenate([each.strengths for each in parts]),
        )

    def _round(self, number: int) -> tuple[SimulatedEcg, Beats]:
        if number not in self._played:
            made = simulate(
                self._scenario, rate_hz=self.rate_hz, lead_names=self.lead_names, seed=self._seed + number
            )
            # Two are kept: at the border between them both are asked for.
            kept = {key: value for key, value in self._played.items() if key == number - 1}
            self._played = {**kept, number: (made, beats_of(made.truth))}
        return self._played[number]
