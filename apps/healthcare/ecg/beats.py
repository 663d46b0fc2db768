"""Beats: QRS complexes found in a lead while it comes, and the heart rate, pauses and shapes they give."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.beat_scorer import BeatScorer, shipped_scorer
from apps.healthcare.ecg.candidates import LOOK_AHEAD_S, CandidateFinder, Candidates
from apps.healthcare.ecg.precedents import Precedents

REFRACTORY_S = 0.2
"""No second beat is reported within so much of one: the ventricles cannot be excited again sooner."""

PEAK_REACH_S = 0.07
"""The R peak is sought so far from the centre of a complex."""

MAX_LATENCY_S = LOOK_AHEAD_S + PEAK_REACH_S
"""A beat is reported at the latest when so much signal after its R peak has been pushed."""

SHAPE_SAMPLES = 25
"""Length of a beat's shape: its slope from 96 ms before its centre to 96 ms after it, every 8 ms."""

_THRESHOLD = 0.5
_SHAPE_STEP_S = 0.008
_CURVATURE_S = 0.03  # the R peak is where the lead bends most, seen over so much on both sides
_EXTENT_S = 0.1  # the amplitude is that of the lead so far around the centre
_WIDTH_REACH_S = 0.18
_STEEP = 0.15  # of the steepest slope: what is flatter is not part of the complex,
_QUIET_S = 0.024  # if it stays so flat so long

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Beats:
    """Some beats (k,), in order.

    ``times_s``: R peaks, in seconds since the first sample pushed; ``amplitudes_mv``: from the lowest to the
    highest point of the complex (as ANSI/AAMI EC13 counts it); ``widths_ms``: for how long it is steep, an
    estimate of the QRS duration; ``scores``: how sure it is a beat, 0.5 to 1; ``shapes`` (k, SHAPE_SAMPLES):
    its slope, scaled to length 1, so the product of two shapes is their correlation.
    """

    times_s: Doubles
    amplitudes_mv: Doubles
    widths_ms: Doubles
    scores: Doubles
    shapes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.times_s)

    def __getitem__(self, chosen: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Beats:
        return Beats(
            self.times_s[chosen],
            self.amplitudes_mv[chosen],
            self.widths_ms[chosen],
            self.scores[chosen],
            self.shapes[chosen],
        )

    @classmethod
    def none(cls) -> Beats:
        """No beats."""
        empty = np.empty(0)
        return cls(empty, empty, empty, empty, np.empty((0, SHAPE_SAMPLES), np.float32))

    @classmethod
    def at(cls, times_s: Doubles) -> Beats:
        """Beats of which only the times are known: nothing was measured."""
        nothing = np.zeros(len(times_s))
        return cls(times_s, nothing, nothing, nothing, np.zeros((len(times_s), SHAPE_SAMPLES), np.float32))

    @classmethod
    def joined(cls, parts: list[Beats]) -> Beats:
        """The beats of several pushes as one."""
        if not parts:
            return cls.none()
        return (
            parts[0]
            if len(parts) == 1
            else cls(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))
        )


class QrsDetector:
    """Finds the beats of one lead, causally: each at most ``MAX_LATENCY_S`` after its R peak, none taken back.

    The beats do not depend on the size of the chunks. A lead at ``rate_hz`` (from 90 Hz) in mV is wanted, raw or
    lightly filtered; its offset and slow wander do no harm. Samples that are not numbers are bridged.
    """

    def __init__(self, rate_hz: float, scorer: BeatScorer | None = None) -> None:
        self._finder = CandidateFinder(rate_hz)
        self._scorer = scorer or shipped_scorer()
        self._precedents = Precedents()
        self._last_s = -math.inf

    def push(self, samples_mv: NDArray[np.floating]) -> Beats:
        """Take the next samples (n,) of the lead; give the beats that are certain now."""
        return Beats.joined([self._judged(found) for found in self._finder.push(samples_mv)])

    def flush(self) -> Beats:
        """The stream has ended: give the beats of its last moments."""
        return Beats.joined([self._judged(found) for found in self._finder.flush()])

    def _judged(self, found: Candidates) -> Beats:
        if not len(found.positions):
            return Beats.none()
        logits = self._precedents.weigh(found, self._scorer.logits(found.features))
        scores = 1 / (1 + np.exp(-logits))
        chosen = np.flatnonzero(scores > _THRESHOLD)
        chosen = chosen[self._apart(found.centres_s[chosen])]
        return _measured(found, chosen, scores[chosen]) if len(chosen) else Beats.none()

    def _apart(self, centres_s: Doubles) -> NDArray[np.bool_]:
        kept = np.ones(len(centres_s), bool)
        if not len(kept):
            return kept
        if np.diff(centres_s, prepend=self._last_s).min() < REFRACTORY_S:
            for at, centre_s in enumerate(centres_s.tolist()):
                kept[at] = centre_s - self._last_s >= REFRACTORY_S
                if kept[at]:
                    self._last_s = centre_s
        else:
            self._last_s = float(centres_s[-1])
        return kept


class MultiLeadDetector:
    """Beats of the best of several leads: it stays with a lead until another is clearly better for a while.

    Every lead is watched all the time, so that a change of lead needs no time to learn. A change comes at most
    ``SETTLE_S`` after the quality of the lead in use has fallen behind, and tells no beat twice. Clean is not yet easy
    to read: people put the lead that shows the beats best first, so an earlier lead that has been as good as the one in
    use for ``RETURN_S`` is taken again.
    """

    SETTLE_S = 1.0
    RETURN_S = 5.0
    ADVANTAGE = 0.2

    def __init__(self, rate_hz: float, leads: int, scorer: BeatScorer | None = None) -> None:
        self._detectors = [QrsDetector(rate_hz, scorer) for _ in range(leads)]
        self._rate_hz = rate_hz
        self._behind_s = 0.0
        self._as_good_s = 0.0
        self._last_s = -math.inf
        self.lead = 0
        """The lead in use, from 0."""

    def push(self, samples_mv: NDArray[np.floating], quality: NDArray[np.floating]) -> Beats:
        """Take samples (n, leads) and the leads' quality (leads,), 0 to 1, over them; give beats of the lead in use."""
        found = [detector.push(samples_mv[:, lead]) for lead, detector in enumerate(self._detectors)]
        best, earliest = int(np.argmax(quality)), int(np.argmax(quality >= quality[self.lead]))
        lasted_s = len(samples_mv) / self._rate_hz
        behind = quality[best] >= quality[self.lead] + self.ADVANTAGE
        self._behind_s = self._behind_s + lasted_s if behind else 0.0
        self._as_good_s = self._as_good_s + lasted_s if earliest < self.lead else 0.0
        if self._behind_s >= self.SETTLE_S:
            self._use(best)
        elif self._as_good_s >= self.RETURN_S:
            self._use(earliest)
        return self._new(found[self.lead])

    def flush(self) -> Beats:
        """The stream has ended: give the beats of its last moments."""
        return self._new([detector.flush() for detector in self._detectors][self.lead])

    def _use(self, lead: int) -> None:
        self.lead, self._behind_s, self._as_good_s = lead, 0.0, 0.0

    def _new(self, beats: Beats) -> Beats:
        new = beats[beats.times_s >= self._last_s + REFRACTORY_S] if math.isfinite(self._last_s) else beats
        if len(new):
            self._last_s = float(new.times_s[-1])
        return new


class BeatTracker:
    """Rates and pauses from beats as they come. Numbers only: what is too slow or too fast is not said here.

    A stretch without a usable lead is told by ``lost``: no interval is counted across it, and the time without
    a beat begins anew after it.
    """

    def __init__(self, remembered: int = 64) -> None:
        self._times_s: deque[float] = deque(maxlen=remembered)
        self._since_s: float | None = None

    def push(self, beats: Beats, now_s: float) -> None:
        """Take new beats; the lead has been seen until ``now_s``."""
        if self._since_s is None:
            self._since_s = now_s
        self._times_s.extend(beats.times_s.tolist())

    def lost(self, now_s: float) -> None:
        """The lead cannot be used at ``now_s``: beats before and after it are not neighbours."""
        self._times_s.clear()
        self._since_s = now_s

    def rr_s(self, beats: int) -> Doubles | None:
        """The intervals between the last ``beats`` beats, or None where there are not so many in a row."""
        if beats < 2 or len(self._times_s) < beats:
            return None
        return np.diff(np.array(self._times_s)[-beats:])

    def rate_bpm(self, beats: int) -> float | None:
        """The mean rate over the last ``beats`` beats, a minute."""
        intervals = self.rr_s(beats)
        return None if intervals is None else 60 / float(intervals.mean())

    def heart_rate_bpm(self) -> float | None:
        """The rate to show: from the median of up to eight intervals, so one missed or early beat changes little."""
        intervals = self.rr_s(min(len(self._times_s), 9))
        return None if intervals is None else 60 / float(np.median(intervals))

    def since_last_s(self, now_s: float) -> float:
        """Time without a beat, or without one since the lead could be used again."""
        if self._times_s:
            return max(0.0, now_s - self._times_s[-1])
        return 0.0 if self._since_s is None else max(0.0, now_s - self._since_s)


def _columns(beats: Beats) -> tuple[NDArray[np.floating], ...]:
    return beats.times_s, beats.amplitudes_mv, beats.widths_ms, beats.scores, beats.shapes


def _measured(found: Candidates, chosen: NDArray[np.intp], scores: NDArray[np.floating]) -> Beats:
    """Measure the chosen candidates on the lead around them."""
    rate = found.grid_hz
    places = found.positions[chosen][:, None]
    bend, reach = max(1, round(_CURVATURE_S * rate)), int(PEAK_REACH_S * rate)
    lead = found.grid_mv

    around = places + np.arange(-reach, reach + 1)
    bent = np.abs(2 * lead[around] - lead[around - bend] - lead[around + bend])
    peak = bent.argmax(axis=1)
    rows = np.arange(len(chosen))
    low, top, high = (
        bent[rows, np.maximum(peak - 1, 0)],
        bent[rows, peak],
        bent[rows, np.minimum(peak + 1, 2 * reach)],
    )
    curvature = low - 2 * top + high
    fraction = np.where(curvature < 0, 0.5 * (low - high) / np.where(curvature < 0, curvature, 1), 0.0)
    shift = np.clip(peak - reach + np.clip(fraction, -0.5, 0.5), -reach, reach)

    extent = round(_EXTENT_S * rate)
    complexes = lead[places + np.arange(-extent, extent + 1)]
    return Beats(
        times_s=found.centres_s[chosen] + shift / rate,
        amplitudes_mv=np.ptp(complexes, axis=1).astype(np.float64),
        widths_ms=_widths_ms(lead, places, rate),
        scores=scores.astype(np.float64),
        shapes=_shapes(lead, places, rate),
    )


def _widths_ms(lead: NDArray[np.float32], places: NDArray[np.intp], rate: float) -> Doubles:
    reach, quiet = round(_WIDTH_REACH_S * rate), max(1, round(_QUIET_S * rate))
    steps = np.arange(-reach, reach + 1)
    steep = np.abs(lead[places + steps + 1] - lead[places + steps - 1])
    start = reach - reach // 2 + steep[:, reach - reach // 2 : reach + reach // 2 + 1].argmax(axis=1)
    steepest = steep[np.arange(len(start)), start][:, None]
    flat = steep < _STEEP * steepest
    run = flat[:, : flat.shape[1] - quiet + 1].copy()
    for at in range(1, quiet):
        run &= flat[:, at : flat.shape[1] - quiet + 1 + at]
    places_of_run = np.arange(run.shape[1])
    before = np.where(run & (places_of_run + quiet <= start[:, None]), places_of_run + quiet, 0).max(axis=1)
    after = np.where(run & (places_of_run > start[:, None]), places_of_run, flat.shape[1]).min(axis=1)
    return np.asarray((after - before) * (1000 / rate), dtype=np.float64)


def _shapes(lead: NDArray[np.float32], places: NDArray[np.intp], rate: float) -> NDArray[np.float32]:
    half = SHAPE_SAMPLES // 2
    steps = np.rint(np.arange(-half, half + 1) * _SHAPE_STEP_S * rate).astype(np.intp)
    apart = max(1, round(_SHAPE_STEP_S * rate))
    slope = lead[places + steps + apart] - lead[places + steps - apart]
    return np.asarray(
        slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12), dtype=np.float32
    )
