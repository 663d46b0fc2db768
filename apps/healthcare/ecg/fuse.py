"""Several windows, beats and moments become one belief about the heart: no alarm words, no limits of alarms.

The network sees all leads at once, in a long and a short window. Their log-probabilities are averaged (a
geometric mean: one window that is sure of the contrary can veto), and over time the k-th largest of the last n
counts. Comparing that with a limit is the same as asking for k of n windows beyond the limit, whatever the limit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apps.healthcare.ecg.annotations import VF, VT
from apps.healthcare.ecg.beat_class import Labelled
from apps.healthcare.ecg.beats import MAX_LATENCY_S, Beats, BeatTracker
from apps.healthcare.ecg.ectopy import Ectopy, EctopyTracker
from apps.healthcare.ecg.rhythm import RhythmBelief

REMEMBERED_BEATS = 33
LONGEST_RR_S = 6.0
"""With a pause longer than this no heart rate is shown."""


@dataclass(frozen=True)
class Evidence:
    """What one stretch of signal says.

    ``time_s`` is its end, since the analysis began. ``beats`` are those newly found, wherever their time lies.
    ``labelled`` are the beats whose class is known now: each a beat later, or more. ``atrial`` is the probability of
    atrial fibrillation, None before enough beats. ``rhythm`` is what the network's
    two windows show, where it ran.
    ``amplitude_mv`` is the largest peak-to-peak of a connected lead in the last two seconds; None where no lead
    is connected. ``busy`` is the share of the last four seconds in which a lead was far from its middle: small
    where narrow complexes stand apart, large where one wave follows another.
    """

    time_s: float
    connected: tuple[bool, ...]
    quality: float
    amplitude_mv: float | None
    busy: float = 0.0
    beats: Beats = field(default_factory=Beats.none)
    rhythm: RhythmBelief | None = None
    labelled: Labelled = field(default_factory=Labelled.none)
    atrial: float | None = None


@dataclass(frozen=True)
class Belief:
    """What is believed of the heart at ``time_s``.

    ``ventricular`` is the probability of VT, flutter or fibrillation, ``fibrillation`` the share of the latter
    two in it; both None where the network has not seen enough: at the start, and without a connected lead.
    ``readable`` is False where the network cannot tell for noise. ``rr_s`` are the last intervals between
    beats, in a row up to the one at ``last_beat_s``, ``beat_score`` how sure those beats are. ``pause_s`` is how
    long there has certainly been no beat: a beat may be known only ``MAX_LATENCY_S`` after its R peak. ``ectopy`` is
    what is known of ventricular beats, ``atrial`` the probability of atrial fibrillation, None before enough beats.
    """

    time_s: float
    connected: tuple[bool, ...]
    quality: float
    amplitude_mv: float | None
    ventricular: float | None
    fibrillation: float | None
    readable: bool
    busy: float
    rr_s: tuple[float, ...]
    last_beat_s: float | None
    beat_score: float | None
    pause_s: float
    heart_rate_bpm: float | None
    ectopy: Ectopy = field(default_factory=Ectopy)
    atrial: float | None = None


class Fusion:
    """Joins evidence in the order of time."""

    def __init__(self, *, k: int = 2, n: int = 3) -> None:
        if not 1 <= k <= n:
            raise ValueError(f"k is {k} and n is {n}; it must be 1 <= k <= n")
        self._k = k
        self._recent: deque[RhythmBelief] = deque(maxlen=n)
        self._beats = BeatTracker(REMEMBERED_BEATS)
        self._scores: deque[float] = deque(maxlen=REMEMBERED_BEATS)
        self._ectopy = EctopyTracker()

    def update(self, evidence: Evidence) -> Belief:
        """Take what one stretch says and return what is believed now."""
        if any(evidence.connected):
            self._beats.push(evidence.beats, evidence.time_s)
            self._scores.extend(evidence.beats.scores.tolist())
            if evidence.rhythm is not None:
                self._recent.append(evidence.rhythm)
            self._ectopy.push(evidence.labelled)
        else:
            self._ectopy.lost()
            self._beats.lost(evidence.time_s)
            self._scores.clear()
            self._recent.clear()
        since_last_s = self._beats.since_last_s(evidence.time_s)
        pause_s = max(0.0, since_last_s - MAX_LATENCY_S)
        ventricular, fibrillation, readable = self._rhythm()
        return Belief(
            evidence.time_s,
            evidence.connected,
            evidence.quality,
            evidence.amplitude_mv,
            ventricular,
            fibrillation,
            readable,
            evidence.busy,
            rr_s=self._intervals_s(),
            last_beat_s=evidence.time_s - since_last_s if self._scores else None,
            beat_score=sum(self._scores) / len(self._scores) if self._scores else None,
            pause_s=pause_s,
            heart_rate_bpm=self._beats.heart_rate_bpm() if pause_s < LONGEST_RR_S else None,
            ectopy=self._ectopy.at(evidence.time_s),
            atrial=evidence.atrial,
        )

    def _intervals_s(self) -> tuple[float, ...]:
        intervals = self._beats.rr_s(len(self._scores))
        return () if intervals is None else tuple(intervals.tolist())

    def _rhythm(self) -> tuple[float | None, float | None, bool]:
        """Return (ventricular, fibrillation, readable); None before there are k windows."""
        if len(self._recent) < self._k:
            return None, None, False
        windows = [joined(each.long.probabilities, each.short.probabilities) for each in self._recent]
        ventricular = _kth_largest([each[VT] + each[VF] for each in windows], self._k)
        of_vf = sum(each[VF] for each in windows)
        of_both = of_vf + sum(each[VT] for each in windows)
        unreadable = sum(each.long.cannot_tell and each.short.cannot_tell for each in self._recent)
        return ventricular, of_vf / of_both if of_both > 0 else 0.0, unreadable < self._k


def joined(*windows: Mapping[str, float]) -> Mapping[str, float]:
    """Return the geometric mean of probabilities by class, scaled to the sum of one."""
    logs = {
        name: sum(math.log(max(window[name], _LEAST)) for window in windows) / len(windows)
        for name in windows[0]
    }
    highest = max(logs.values())
    weights = {name: math.exp(value - highest) for name, value in logs.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _kth_largest(values: Sequence[float], k: int) -> float:
    return sorted(values, reverse=True)[k - 1]


_LEAST = 1e-6  # a probability smaller than this is not told apart from zero
