"""From samples to decisions: what the loop, replay and evaluation all run, so that figures are of what ships."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.beat_class import BeatClassifier, Labelled
from apps.healthcare.ecg.beat_features import BeatDescriber
from apps.healthcare.ecg.beat_reader import BeatReader
from apps.healthcare.ecg.beat_scorer import BeatScorer
from apps.healthcare.ecg.beats import Beats, MultiLeadDetector
from apps.healthcare.ecg.decide import EcgOutput, Limits, Standing, Subject, decide
from apps.healthcare.ecg.fuse import Evidence, Fusion
from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ, Clean, Preprocessor
from apps.healthcare.ecg.rhythm import LONG_S, RhythmBelief, RhythmTrace
from apps.healthcare.ecg.sources import EcgChunk
from edgeai_core.decision import Decision
from edgeai_core.loop.snapshot import Stages

RHYTHM_EVERY_S = 0.5
"""The network looks so often, in time of the signal."""

AMPLITUDE_WINDOW_S = 2.0
LONGEST_FILLED_GAP_S = 2.0
"""Samples lost for so long are bridged as missing; after a longer gap the analysis begins anew."""


class Classifier(Protocol):
    """Judges the latest 4 s: ``rhythm.RhythmClassifier``, or another in an evaluation that trains anew."""

    def classify(self, window_mv: NDArray[np.float32], usable: NDArray[np.bool_]) -> RhythmBelief:
        """Judge a window (leads, samples) by its usable leads (leads,)."""
        ...


@dataclass(frozen=True)
class Settings:
    """What an analysis is told: whose heart, the mains of the country, the limits.

    Everything but the network is looked at anew every ``tick_s`` of signal, which divides ``RHYTHM_EVERY_S``.
    A larger tick costs less and decides up to so much later.
    """

    patient: str = "patient-1"
    mains_hz: float = 50.0
    limits: Limits = field(default_factory=Limits)
    tick_s: float = 0.1


@dataclass(frozen=True)
class Strip:
    """What was cleaned since the last time somebody looked: for the page.

    ``samples_mv`` (n, leads) at ``rate_hz``, the first being number ``first_index`` since the analysis began;
    ``beats_s`` and ``time_s`` count from the same moment. ``labelled`` are beats whose class became known: some are
    of the strip before.
    """

    samples_mv: NDArray[np.float32]
    rate_hz: float
    first_index: int
    lead_names: tuple[str, ...]
    lead_off: tuple[bool, ...]
    quality: tuple[float, ...]
    beats_s: tuple[float, ...]
    labelled: tuple[tuple[float, str], ...]
    time_s: float


class EcgAnalyzer:
    """Takes chunks in order and decides after every tick of signal.

    The decisions depend on the signal alone, not on how it was cut into chunks. Another recording, other leads,
    another rate or a long gap begin the analysis anew; what stood before stands until it can judge again.
    """

    def __init__(
        self,
        classifier: Classifier,
        settings: Settings,
        scorer: BeatScorer | None = None,
        beat_classifier: BeatClassifier | None = None,
    ) -> None:
        """``scorer`` stands in for the beat scorer that ships, in an evaluation that fits one anew.

        Without a ``beat_classifier`` beats get no class, and what follows from classes is never found.
        """
        self._classifier = classifier
        self._beat_classifier = beat_classifier
        self._settings = settings
        self._scorer = scorer
        self._track: _Track | None = None
        self._next: tuple[str, int] = ("", 0)
        self._standing: Standing | None = None
        self.decision: Decision[EcgOutput] = Decision(EcgOutput(settings.patient, "CANNOT_TELL"), None)
        """The latest decision; before the first tick nothing can be told."""
        self.rhythm_every_s = RHYTHM_EVERY_S
        """The network may be told to look less often."""

    @property
    def standing(self) -> Standing | None:
        """What holds; None before the first judgement."""
        return self._standing

    def push(self, chunk: EcgChunk, stages: Stages | None = None) -> list[Decision[EcgOutput]]:
        """Take a chunk and return the decisions of the ticks it completes, oldest first."""
        samples = chunk.samples_mv
        track = self._track
        if track is None or not track.takes(chunk):
            track = None
        elif (chunk.recording, chunk.first_index) != self._next:
            missing = chunk.first_index - self._next[1]
            same = chunk.recording == self._next[0]
            if same and 0 < missing <= LONGEST_FILLED_GAP_S * chunk.rate_hz:
                gap = np.full((missing, len(chunk.lead_names)), np.nan, dtype=np.float32)
                samples = np.concatenate([gap, samples])
            else:
                track = None
        if track is None:
            track = _Track(chunk, self._classifier, self._settings, self._scorer, self._beat_classifier)
            self._standing = None if self._standing is None else Standing(self._standing.codes)
        self._track = track
        self._next = (chunk.recording, chunk.first_index + len(chunk.samples_mv))
        subject = Subject(self._settings.patient, chunk.lead_names, chunk.simulated)
        decisions = []
        for evidence in track.push(samples, self.rhythm_every_s, stages or Stages()):
            belief = track.fusion.update(evidence)
            self.decision = decide(belief, self._standing, self._settings.limits, subject)
            if self.decision.conditions is not None:
                self._standing = (self._standing or Standing()).after(self.decision)
            decisions.append(self.decision)
        return decisions

    def take_strip(self) -> Strip | None:
        """Return what was cleaned since the last call; None where there is nothing."""
        return self._track.take_strip() if self._track is not None else None


def decisions(
    samples_mv: NDArray[np.floating],
    rate_hz: float,
    lead_names: Sequence[str],
    classifier: Classifier,
    settings: Settings,
    beat_classifier: BeatClassifier | None = None,
) -> Iterator[Decision[EcgOutput]]:
    """Analyse a whole signal (n, leads) and yield the decision of every tick."""
    analyzer = EcgAnalyzer(classifier, settings, beat_classifier=beat_classifier)
    size = max(1, round(10.0 * rate_hz))
    for first in range(0, len(samples_mv), size):
        part = np.asarray(samples_mv[first : first + size], dtype=np.float32)
        yield from analyzer.push(EcgChunk(part, rate_hz, tuple(lead_names), first))


class _Track:
    """The analysis of one uninterrupted signal: filters, detectors and windows with their state."""

    def __init__(
        self,
        chunk: EcgChunk,
        classifier: Classifier,
        settings: Settings,
        scorer: BeatScorer | None,
        beat_classifier: BeatClassifier | None,
    ) -> None:
        leads = len(chunk.lead_names)
        self.rate_hz = chunk.rate_hz
        self.lead_names = chunk.lead_names
        self.fusion = Fusion()
        self._classifier = classifier
        self._tick_s = settings.tick_s
        self._preprocessor = Preprocessor(chunk.rate_hz, leads, settings.mains_hz)
        self._detector = MultiLeadDetector(chunk.rate_hz, leads, scorer)
        self._describer = BeatDescriber(leads)
        self._reader = None if beat_classifier is None else BeatReader(beat_classifier)
        self._trace = RhythmTrace(chunk.rate_hz, leads)
        self._pending: list[NDArray[np.float32]] = []
        self._taken = 0
        self._ticks = 0
        self._busy = 0.0
        self._connected_since_s = np.zeros(leads)
        self._recent: deque[Clean] = deque(maxlen=round(AMPLITUDE_WINDOW_S / settings.tick_s))
        self._unseen: deque[Clean] = deque(maxlen=50)
        self._unseen_beats_s: deque[float] = deque(maxlen=50)
        self._unseen_labels: deque[tuple[float, str]] = deque(maxlen=50)

    def takes(self, chunk: EcgChunk) -> bool:
        """Whether the chunk has this signal's rate and leads."""
        return chunk.rate_hz == self.rate_hz and chunk.lead_names == self.lead_names

    def push(
        self, samples_mv: NDArray[np.float32], rhythm_every_s: float, stages: Stages
    ) -> Iterator[Evidence]:
        """Take samples of any number and yield the evidence of every tick they complete."""
        self._pending.append(samples_mv)
        waiting = sum(map(len, self._pending))
        while waiting >= (size := self._next_tick() - self._taken):
            whole = np.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
            self._pending = [whole[size:]]
            waiting -= size
            self._taken += size
            self._ticks += 1
            yield self._tick(whole[:size], rhythm_every_s, stages)

    def _next_tick(self) -> int:
        return round((self._ticks + 1) * self._tick_s * self.rate_hz)

    def _tick(self, samples_mv: NDArray[np.float32], rhythm_every_s: float, stages: Stages) -> Evidence:
        time_s = self._taken / self.rate_hz
        with stages.stage("preprocess"):
            clean = self._preprocessor.push(samples_mv)
            self._recent.append(clean)
            self._unseen.append(clean)
            self._connected_since_s[clean.lead_off] = time_s
        with stages.stage("beats"):
            beats = self._detector.push(samples_mv, clean.quality)
            self._unseen_beats_s.extend(beats.times_s.tolist())
        with stages.stage("beat classes"):
            labelled = self._labelled(beats, clean, time_s)
        with stages.stage("rhythm"):
            self._trace.push(samples_mv)
            due = self._ticks % round(rhythm_every_s / self._tick_s) == 0
            rhythm = self._rhythm(clean, time_s) if due else None
        return Evidence(
            time_s,
            tuple(not off for off in clean.lead_off.tolist()),
            float(clean.quality.max()),
            self._amplitude_mv(clean.lead_off),
            self._busy,
            beats,
            rhythm,
            labelled,
            None if self._reader is None else self._reader.atrial,
        )

    def _labelled(self, beats: Beats, clean: Clean, time_s: float) -> Labelled:
        if self._reader is None:
            return Labelled.none()
        if clean.lead_off.all():
            self._reader.lost()
        labelled = self._reader.push(self._describer.push(beats, clean, time_s))
        self._unseen_labels.extend(zip(labelled.times_s.tolist(), labelled.classes, strict=True))
        return labelled

    def _rhythm(self, clean: Clean, time_s: float) -> RhythmBelief | None:
        """Let the network judge the leads that have been connected for a whole window."""
        usable = ~clean.lead_off & (time_s - self._connected_since_s >= LONG_S)
        if not self._trace.full or not usable.any():
            return None
        self._busy = _busy(self._trace.window[usable])
        return self._classifier.classify(self._trace.window, usable)

    def _amplitude_mv(self, lead_off: NDArray[np.bool_]) -> float | None:
        if lead_off.all():
            return None
        window = np.concatenate([each.samples_mv for each in self._recent])
        return float(np.ptp(window, axis=0)[~lead_off].max()) if len(window) else 0.0

    def take_strip(self) -> Strip | None:
        if not self._unseen:
            return None
        samples = np.concatenate([each.samples_mv for each in self._unseen]).astype(np.float32)
        first, last = self._unseen[0].first_index, self._unseen[-1]
        beats_s = tuple(self._unseen_beats_s)
        self._unseen.clear()
        labelled = tuple(self._unseen_labels)
        self._unseen_beats_s.clear()
        self._unseen_labels.clear()
        skip = first % 2
        return Strip(
            samples[skip::2],
            WORKING_RATE_HZ / 2,
            (first + skip) // 2,
            self.lead_names,
            tuple(last.lead_off.tolist()),
            tuple(round(each, 3) for each in last.quality.tolist()),
            beats_s,
            labelled,
            self._taken / self.rate_hz,
        )


def _busy(window_mv: NDArray[np.float32]) -> float:
    """Return the share of samples further from their middle than 35 % of the furthest, of the calmest lead.

    In slow rhythms (leads, samples) of annotated records it is under 0.1; where waves without sharp complexes
    go on, so that beats are missed, it is mostly above 0.2.
    """
    away = np.abs(window_mv - np.median(window_mv, axis=1, keepdims=True))
    return float((away > 0.35 * away.max(axis=1, keepdims=True)).mean(axis=1).min())
