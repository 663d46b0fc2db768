"""Learning a new patient on the device: the network's last layers learn, beside a memory of other patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import VF, VT
from apps.healthcare.ecg.datasets import data_refs, training_data
from apps.healthcare.ecg.graft import FrozenNetwork, onnx_or_explain
from apps.healthcare.ecg.loop import MODEL
from apps.healthcare.ecg.options import ContinualOptions
from apps.healthcare.ecg.rhythm import CLASSES, LONG, WINDOWS, Reading
from apps.healthcare.ecg.scores import HOP
from apps.healthcare.ecg.windows import Record, load_records, truth_of
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adam, Adapter
from edgeai_core.learning.checkpoint import load_arrays, save_arrays
from edgeai_core.learning.continual import LearnOptions, Samples, balanced_accuracy, learn, remember
from edgeai_core.learning.forgetting import Comparison, Trial, compare
from edgeai_core.learning.gate import Held, Passed, check_gate
from edgeai_core.learning.lesson import Lesson
from edgeai_core.learning.rehearsal import RehearsalMemory
from edgeai_core.metrics.evaluation import Evaluation, ModelRef
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.runners.card import CardFigure, card_path, digest_of, write_card
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.store import current_folder
from edgeai_core.state import find_state

TASK = "healthcare.ecg"
LESSON_FILE = "lesson.npz"

THIN = 5
"""Of the windows of known patients that are not VF or VT, every so manieth: the memory holds a thousand anyway."""

_HELD_OUT_MOST = 4000
_PARITY = 1e-3
_BLOCK = 256

By = dict[str, Samples]
"""Samples by the name of the window."""


@dataclass(frozen=True)
class Known:
    """Other patients: by window the adapter as it is, what is rehearsed, and what judges."""

    adapters: dict[str, Adapter]
    memories: dict[str, RehearsalMemory]
    held: By


def continual(options: ContinualOptions, progress: Progress) -> Lesson:
    """Learn the patients in ``data``; return what came of it. Raises InputError where that is too little."""
    folder = current_folder(find_state(), TASK)
    path = options.model or (MODEL if folder is None else folder / MODEL.name)
    network = FrozenNetwork(path)
    records = load_records(options.data, progress)
    known = _known(options, path, network, {record.patient for record in records}, progress)
    splits = [split_in_time(windows_of(network, record), options.learn_share) for record in records]
    train = joined([before for before, _ in splits])
    held = joined([after for _, after in splits])
    learning = LearnOptions(options.passes, adam=Adam(options.learning_rate), seed=options.seed)
    comparison = compare_patients(
        network, [(known, before, after) for before, after in splits], learning, progress
    )
    figures = comparison.figures()
    card = network.card
    evaluation = Evaluation(
        TASK, ModelRef(card.name, card.version, card.digest), data_refs(records), figures, comparison.rows()
    )

    def write(into: Path, version: str) -> Passed:
        adapters = {
            window: learn(known.adapters[window], train[window], learning, known.memories[window])
            for window in WINDOWS
        }
        model = into / MODEL.name
        onnx_or_explain().save(network.grafted(adapters), str(model))
        made = replace(
            card,
            version=version,
            file=model.name,
            digest=digest_of(model),
            golden=None,
            training_data=(*card.training_data, *training_data(records, "learnt on this device")),
            figures={
                name: CardFigure.of(each, f"edgeai learn continual {TASK}")
                for name, each in figures.items()
                if each.value is not None
            },
        )
        write_card(made, card_path(model))
        difference, vectors = _proved(OnnxRunner(model), network, adapters)
        golden = write_golden(into / f"{model.stem}.golden.npz", vectors, atol=1e-3, rtol=1e-3)
        write_card(replace(made, golden=golden), card_path(model))
        OnnxRunner(model)  # it must pass its own golden vectors
        calls = {window: caller(network, window) for window in WINDOWS}
        passed = check_gate(
            [
                _judged(
                    f"other patients, windows of {window}",
                    {window: calls[window]},
                    known,
                    adapters,
                    known.held,
                )
                for window in WINDOWS
            ],
            _judged("the new patient", calls, known, adapters, held),
            parity_difference=difference,
            parity_tolerance=_PARITY,
            allowed_fall=options.allowed_fall,
        )
        _write_lesson(into, known, train, held)
        return passed

    return Lesson(evaluation, card.version, write)


def compare_patients(
    network: FrozenNetwork,
    patients: Sequence[tuple[Known, By, By]],
    learning: LearnOptions,
    progress: Progress,
    window: str = "4s",
) -> Comparison:
    """Learn every patient alone, with rehearsal and without; judge VF/VT on others and on what came later of each."""
    trials = (
        Trial(
            known.adapters[window],
            known.memories[window],
            (before[window],),
            (known.held[window], after[window]),
        )
        for known, before, after in patients
    )
    return compare(
        ("other patients", "new patient"),
        trials,
        learning,
        progress,
        total=len(patients),
        call=caller(network, window),
        truth=is_vfvt,
    )


def windows_of(network: FrozenNetwork, record: Record, *, thin: int = 1) -> By:
    """Return a record's windows, every 2 s, that are VF/VT or surely not; of the latter every ``thin``-th."""
    starts = np.arange(0, len(record.trace) - LONG + 1, HOP)
    kept, share = {}, {}
    for window, samples in WINDOWS.items():
        share[window] = record.shares(starts + LONG - samples, samples)
        truth = truth_of(share[window])
        kept[window] = truth.positive.copy()
        kept[window][np.flatnonzero(truth.negative)[::thin]] = True
    rows = np.flatnonzero(np.any(list(kept.values()), axis=0))
    made: dict[str, list[NDArray[np.float32]]] = {
        window: [np.empty((0, network.adapter(window).size), np.float32)] for window in WINDOWS
    }
    for block in (rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK)):
        windows_mv = record.trace[starts[block][:, None] + np.arange(LONG)].transpose(0, 2, 1)
        for window, features in network.features(windows_mv).items():
            made[window].append(features)
    return {
        window: Samples(
            np.concatenate(made[window])[kept[window][rows]],
            share[window][kept[window], : len(CLASSES)].argmax(axis=1).astype(np.int64),
            np.full(int(kept[window].sum()), record.patient),
        )
        for window in WINDOWS
    }


def known_from(network: FrozenNetwork, train: By, held: By, seed: int) -> Known:
    """Remember windows of some patients and keep those of others to judge by."""
    memories = {}
    for window, samples in train.items():
        memories[window] = RehearsalMemory(seed=seed)
        remember(memories[window], samples, 0)
    return Known({window: network.adapter(window, seed) for window in WINDOWS}, memories, held)


def caller(network: FrozenNetwork, window: str) -> Callable[[NDArray[np.float32]], NDArray[np.integer]]:
    """Return what makes calls of logits, by the calibration and the threshold of the network's card."""
    reading = Reading.of(network.card, window)
    return lambda logits: reading.positive(reading.probabilities(logits, np.zeros(len(logits), bool))).astype(
        np.int64
    )


def is_vfvt(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 1 for VF, flutter and VT."""
    return np.isin(labels, [CLASSES.index(VT), CLASSES.index(VF)]).astype(np.int64)


def _known(
    options: ContinualOptions, path: Path, network: FrozenNetwork, new: set[str], progress: Progress
) -> Known:
    lesson = path.with_name(LESSON_FILE)
    if not options.known and lesson.is_file():
        return _read_lesson(lesson, network, options.seed)
    if not options.known:
        raise InputError(
            "nothing is remembered of other patients: name records of them with --known; what is learnt keeps a memory"
        )
    records = [record for record in load_records(options.known, progress) if record.patient not in new]
    owner, labels = [], []
    parts = []
    for number, record in enumerate(records):
        progress("windows of known patients", number, len(records))
        parts.append(windows_of(network, record, thin=THIN))
        owner.append(record.patient)
        labels.append(bool(is_vfvt(parts[-1]["4s"].labels).any()))
    progress("windows of known patients", len(records), len(records))
    fold = grouped_folds(owner, labels, min(4, len(set(owner))), options.seed)[0]
    train, held = ([parts[row] for row in rows] for rows in (fold.train, fold.test))
    return known_from(network, joined(train), joined(held), options.seed)


def split_in_time(samples: By, share: float) -> tuple[By, By]:
    """Split a record's windows in time; two windows between the halves go to neither."""
    before, after = {}, {}
    for window, each in samples.items():
        cut = round(share * len(each))
        before[window] = each.rows(np.arange(cut))
        after[window] = each.rows(np.arange(min(cut + 2, len(each)), len(each)))
    return before, after


def joined(parts: Sequence[By]) -> By:
    """Return the windows of several records as one."""
    return {window: Samples.joined([part[window] for part in parts]) for window in WINDOWS}


def _judged(
    what: str,
    calls: dict[str, Callable[[NDArray[np.float32]], NDArray[np.integer]]],
    known: Known,
    adapters: dict[str, Adapter],
    held: By,
) -> Held:
    """Judge on held-out windows before and after; of several window lengths the mean."""
    scores = [
        [
            balanced_accuracy(call(each[window].logits(held[window].features)), is_vfvt(held[window].labels))
            for window, call in calls.items()
        ]
        for each in (known.adapters, adapters)
    ]
    n = min(len(held[window]) for window in calls)
    return Held(what, float(np.mean(scores[0])), float(np.mean(scores[1])), n)


def _proved(
    runner: OnnxRunner, network: FrozenNetwork, adapters: dict[str, Adapter]
) -> tuple[float, list[GoldenVector]]:
    """Return how far the file is from the adapters on simulated windows, and those as golden vectors."""
    from apps.healthcare.ecg.train import golden_windows

    worst, vectors = 0.0, []
    for window in golden_windows():
        wanted = network.outputs(window, adapters)
        got = runner.run({"ecg": window})
        worst = max(worst, *(float(np.abs(got[name] - each).max()) for name, each in wanted.items()))
        vectors.append(GoldenVector({"ecg": window}, wanted))
    return worst, vectors


def _write_lesson(into: Path, known: Known, train: By, held: By) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    for window in WINDOWS:
        memory = RehearsalMemory.of(known.memories[window].arrays(), seed=len(train[window]))
        remember(memory, train[window], max(memory.counts(), default=-1) + 1)
        judges = Samples.joined([known.held[window], held[window]])
        if len(judges) > _HELD_OUT_MOST:
            chosen = np.random.default_rng(0).choice(len(judges), _HELD_OUT_MOST, replace=False)
            judges = judges.rows(np.sort(chosen))
        for name, array in {
            **memory.arrays(),
            "held_features": judges.features.astype(np.float16),
            "held_labels": judges.labels,
            "held_groups": judges.groups,
        }.items():
            arrays[f"{window}/{name}"] = array
    save_arrays(into / LESSON_FILE, arrays, {"task": TASK})


def _read_lesson(path: Path, network: FrozenNetwork, seed: int) -> Known:
    arrays, _ = load_arrays(path)
    adapters, memories, held = {}, {}, {}
    for window in WINDOWS:
        own = {name.partition("/")[2]: each for name, each in arrays.items() if name.startswith(f"{window}/")}
        try:
            held[window] = Samples(
                np.asarray(own["held_features"], np.float32),
                np.asarray(own["held_labels"], np.int64),
                np.asarray(own["held_groups"], np.str_),
            )
        except KeyError as error:
            raise InputError(f"{path}: is no lesson: {error} is missing") from error
        adapters[window] = network.adapter(window, seed)
        memories[window] = RehearsalMemory.of(own, seed=seed)
        if held[window].features.shape[1:] != (adapters[window].size,):
            raise InputError(f"{path}: is a lesson of another network")
    return Known(adapters, memories, held)
