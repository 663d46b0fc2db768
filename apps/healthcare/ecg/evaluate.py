"""Evaluation on WFDB records: the model that ships, or networks and beat scorers trained anew on other patients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.analysis import EcgAnalyzer, Settings
from apps.healthcare.ecg.annotations import Header, Labels, find_records, read_signal
from apps.healthcare.ecg.beat_class import BeatClassifier, Labelled
from apps.healthcare.ecg.beat_evaluation import SaidBeats, beat_evaluation
from apps.healthcare.ecg.beat_features import Described
from apps.healthcare.ecg.beat_figures import BeatCounts, beat_figures
from apps.healthcare.ecg.beat_matching import match_beats
from apps.healthcare.ecg.beat_records import described_records
from apps.healthcare.ecg.beat_scorer import SHIPPED, BeatScorer
from apps.healthcare.ecg.beats import QrsDetector
from apps.healthcare.ecg.datasets import data_refs, data_refs_of
from apps.healthcare.ecg.decide import EcgOutput, Limits
from apps.healthcare.ecg.episode_figures import Outcome, episode_figures, episode_rows
from apps.healthcare.ecg.episodes import alerts_of
from apps.healthcare.ecg.options import EvaluateOptions
from apps.healthcare.ecg.rhythm import Reading, RhythmClassifier
from apps.healthcare.ecg.scores import Scores, score
from apps.healthcare.ecg.sources import EcgChunk
from apps.healthcare.ecg.window_figures import window_figures, window_rows
from apps.healthcare.ecg.windows import KINDS, Record, load_records
from edgeai_core.app import Progress
from edgeai_core.decision import Decision
from edgeai_core.metrics.evaluation import Evaluation, Figure, ModelRef
from edgeai_core.runners.onnx import OnnxRunner

MODEL = Path(__file__).parent / "models" / "rhythm.onnx"
BEAT_MODEL = Path(__file__).parent / "models" / "beat_class.onnx"

TASK = "healthcare.ecg"

LEADS = 2
"""The loop looks at a recording's first two leads, unless told otherwise; so does the analysis here."""

_BLOCK_S = 60.0


@dataclass(frozen=True)
class Part:
    """Some records, and the model and scorer files that judge them: the shipped ones, or a fold's."""

    records: Sequence[Record]
    model: Path
    scorer: Path


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge windows, episodes, alerts and beats. What the data cannot tell is a figure without a value, with a note."""
    if options.part == "classes":
        return _evaluate_classes(options, progress)
    records = load_records(options.data, progress)
    data = data_refs(records)
    with _parts(records, options, progress) as (parts, model, extra):
        figures, rows = _figures(parts, options, progress)
        if not options.cross_validate:
            taught = {each.name for each in OnnxRunner(parts[0].model).card.training_data}
            if seen := [each.name for each in data if each.name in taught]:
                note = f"the model was taught on {' and '.join(seen)}: flattering; see --cross-validate"
                figures = {name: replace(f, note=f.note or note) for name, f in figures.items()}
    return Evaluation(TASK, model, data, {**figures, **extra}, rows)


def _evaluate_classes(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge beat classes and atrial fibrillation alone: neither rhythm network nor alerts."""
    paths = find_records(options.data)
    classifier = BeatClassifier(OnnxRunner(BEAT_MODEL))
    said = [
        SaidBeats(each.patient, each.name, classifier.classify(each.beats), each.labels, _end_s(each.labels))
        for each in described_records(paths, progress, work=options.work)
    ]
    card = classifier.runner.card
    figures, rows = beat_evaluation(said, card, options.folds, cross_validate=options.cross_validate)
    return Evaluation(
        TASK, ModelRef(card.name, card.version, card.digest), data_refs_of(paths), figures, tuple(rows)
    )


def _end_s(labels: Labels) -> float:
    return max(float(labels.beat_s[-1]), max((each.end_s for each in labels.rhythms), default=0.0))


@contextmanager
def _parts(
    records: Sequence[Record], options: EvaluateOptions, progress: Progress
) -> Iterator[tuple[list[Part], ModelRef, dict[str, Figure]]]:
    if not options.cross_validate:
        path = options.model or MODEL
        card = OnnxRunner(path).card
        yield [Part(records, path, SHIPPED)], ModelRef(card.name, card.version, card.digest), {}
        return
    from apps.healthcare.ecg.crossfit import (  # torch, only where something is trained
        cross_fit,
        leaky_figures,
    )

    with TemporaryDirectory(prefix="edgeai-ecg-") as folder:
        how: Any = {
            "epochs": options.epochs,
            "seed": options.seed,
            "threads": options.threads,
            "progress": progress,
            "work": options.work,
        }
        fitted = cross_fit(records, Path(folder), folds=options.folds, **how)
        parts = [Part(each.records, each.model, each.scorer or SHIPPED) for each in fitted]
        extra = leaky_figures(records, Path(folder), **how) if options.leaky else {}
        yield parts, ModelRef("ecg-rhythm", f"trained anew, {options.folds} folds by patient"), extra


def _figures(
    parts: Sequence[Part], options: EvaluateOptions, progress: Progress
) -> tuple[dict[str, Figure], tuple[Mapping[str, object], ...]]:
    scores: list[tuple[Scores, Mapping[str, Reading]]] = []
    for part in parts:
        runner = OnnxRunner(part.model)
        readings = RhythmClassifier(runner).readings
        for record in part.records:
            progress("judging windows", len(scores), sum(len(each.records) for each in parts))
            if (record.kinds != KINDS.index("unlabelled")).any():
                scores.append((score(runner, record), readings))
    figures = window_figures(scores)
    jobs = [
        _Job(record.header, record.labels, record.patient, part.model, part.scorer, options.tick_s)
        for part in parts
        for record in part.records
    ]
    analysed = _in_parallel(jobs, options.threads, progress)
    outcomes = [each.outcome for each in analysed]
    figures |= episode_figures(outcomes)
    counts = [each.counts for each in analysed if each.counts is not None]
    figures |= beat_figures(counts)
    rows = [*window_rows(scores), *episode_rows(outcomes), *_beat_rows(counts)]
    said = [each.said for each in analysed]
    card = OnnxRunner(BEAT_MODEL).card
    more, more_rows = beat_evaluation(said, card, options.folds, cross_validate=options.cross_validate)
    return figures | more, (*rows, *more_rows)


@dataclass(frozen=True)
class _Analysed:
    """What one record gave: alerts, beats found where they are annotated, and their classes."""

    outcome: Outcome
    counts: BeatCounts | None
    said: SaidBeats


class _Logged(BeatClassifier):
    """Keeps what it says."""

    def __init__(self, runner: OnnxRunner) -> None:
        super().__init__(runner)
        self.said: list[Labelled] = []

    def classify(self, beats: Described) -> Labelled:
        """Class beats, and keep them."""
        self.said.append(super().classify(beats))
        return self.said[-1]


@dataclass(frozen=True)
class _Job:
    """What a worker needs to analyse one record."""

    header: Header
    labels: Labels
    patient: str
    model: Path
    scorer: Path
    tick_s: float


def _in_parallel(jobs: Sequence[_Job], workers: int, progress: Progress) -> list[_Analysed]:
    label = "analysing records"
    results = []
    if workers == 1 or len(jobs) == 1:
        for i, job in enumerate(jobs):
            progress(label, i, len(jobs))
            results.append(_analyse(job))
    else:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
            for i, result in enumerate(pool.map(_analyse, jobs)):
                progress(label, i, len(jobs))
                results.append(result)
    progress(label, len(jobs), len(jobs))
    return results


def _analyse(job: _Job) -> _Analysed:
    """Run what ships over one record, block by block, and the beat detector over its first lead."""
    classifier = RhythmClassifier(OnnxRunner(job.model))
    scorer = BeatScorer.load(job.scorer)
    classes = _Logged(OnnxRunner(BEAT_MODEL))
    settings = Settings(job.patient, limits=Limits(), tick_s=job.tick_s)
    analyzer = EcgAnalyzer(classifier, settings, scorer, classes)
    header = job.header
    names = tuple(f"{i} {header.leads[column]}" for i, column in enumerate(header.ecg_leads[:LEADS]))
    detector = QrsDetector(header.rate_hz, scorer)
    beats: list[NDArray[np.float64]] = []

    seconds = 0.0

    def decisions() -> Iterator[Decision[EcgOutput]]:
        nonlocal seconds
        for first, block in _blocks(header):
            if job.labels.beat_s.size:
                started = time.process_time()
                beats.append(detector.push(block[:, 0]).times_s)
                seconds += time.process_time() - started
            yield from analyzer.push(EcgChunk(block[:, :LEADS], header.rate_hz, names, first, header.name))

    alerts = alerts_of(decisions())
    outcome = Outcome(
        job.patient, header.name, header.path.parent.name, header.duration_s, job.labels, tuple(alerts)
    )
    said = SaidBeats(job.patient, header.name, Labelled.joined(classes.said), job.labels, header.duration_s)
    if not job.labels.beat_s.size:
        return _Analysed(outcome, None, said)
    beats.append(detector.flush().times_s)
    flutter = [(each.start_s, each.end_s) for each in job.labels.flutter]
    match = match_beats(np.concatenate(beats), job.labels.beat_s, flutter)
    counts = BeatCounts(
        job.patient, header.name, match.found, len(match.missed_s), len(match.extra_s), seconds
    )
    return _Analysed(outcome, counts, said)


def _blocks(header: Header) -> Iterator[tuple[int, NDArray[np.float32]]]:
    count, size = round(header.duration_s * header.rate_hz), round(_BLOCK_S * header.rate_hz)
    for first in range(0, count, size):
        yield first, read_signal(header, first, min(first + size, count))


def _beat_rows(counts: Sequence[BeatCounts]) -> list[dict[str, object]]:
    return [
        {
            "record": each.name,
            "beats": each.found + each.missed,
            "beats_missed": each.missed,
            "beats_false": each.false,
            "qrs_f1": each.f1,
            "qrs_seconds": each.seconds,
        }
        for each in counts
    ]
