"""Evaluation on a folder of labelled pictures: the network that ships, or networks trained anew on other groups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.datasets import CLASSES, Dataset, check_apart, join_look_alikes, load
from apps.healthcare.imaging.figures import Judgements, figures, rows
from apps.healthcare.imaging.findings import Calibration, FindingClassifier
from apps.healthcare.imaging.gate import Gate
from apps.healthcare.imaging.loop import GATE, NETWORKS
from apps.healthcare.imaging.options import EvaluateOptions
from apps.healthcare.imaging.pictures import Picture, Refused
from apps.healthcare.imaging.preprocess import prepare
from apps.healthcare.imaging.train import TASK, work_folder
from apps.healthcare.imaging.triage import believe
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import Evaluation, Figure, ModelRef
from edgeai_core.runners.onnx import OnnxRunner


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge every picture as the loop would. Raises InputError where copies or groups lie across splits."""
    dataset = load(options.data, options.modality, progress)
    check_apart(dataset)
    dataset = join_look_alikes(dataset)
    if options.cross_validate:
        return _cross_validated(dataset, options, progress)
    dataset = _chosen(dataset, options)
    path = options.model or NETWORKS[options.modality]
    classifier = FindingClassifier(OnnxRunner(path), options.modality)
    card = classifier.card
    order = [classifier.classes.index(name) for name in CLASSES[options.modality]]
    gate = Gate(OnnxRunner(GATE))
    shares, let_through, seconds, refusals = [], [], [], []
    for number, item in enumerate(dataset.items):
        progress("judging", number + 1, len(dataset.items))
        started = time.perf_counter()
        try:
            gate.admit(Picture(item.grey, "file"), options.modality)
            let_through.append(True)
        except Refused as refusal:
            let_through.append(False)
            refusals.append({"refused": item.path.name, "label": item.label, "reason": str(refusal)})
        belief = believe(classifier, prepare(item.grey, options.modality))
        seconds.append(time.perf_counter() - started)
        shares.append([belief.probabilities[classifier.classes[place]] for place in order])
    judged = _judgements(dataset, np.array(shares), classifier.calibration, np.array(let_through))
    measured = figures(judged) | {"ms_per_image": _milliseconds(seconds)}
    if any(each.name == dataset.name for each in card.training_data):
        note = f"the network was taught on {dataset.name}; what it was not taught on is in its card"
        measured = {name: replace(figure, note=figure.note or note) for name, figure in measured.items()}
    table = (*rows(judged), *refusals[:20], *({"unreadable": each} for each in dataset.unreadable[:20]))
    return Evaluation(TASK, ModelRef(card.name, card.version, card.digest), (dataset.ref(),), measured, table)


def _chosen(dataset: Dataset, options: EvaluateOptions) -> Dataset:
    splits = {item.split for item in dataset.items}
    split = options.split or next((each for each in ("test", "val") if each in splits), "")
    if options.split and options.split not in splits:
        raise InputError(
            f"{dataset.name}: no split {options.split}; there are {', '.join(sorted(splits)) or 'none'}"
        )
    return dataset.of(split) if split else dataset


def _judgements(
    dataset: Dataset, shares: NDArray[np.float64], calibration: Calibration, let_through: NDArray[np.bool_]
) -> Judgements:
    ill = 1 - shares[:, 0]
    likeliest = 1 + shares[:, 1:].argmax(axis=1)
    return Judgements(
        dataset.labels,
        np.where(ill >= calibration.threshold, likeliest, 0),
        shares,
        let_through & ((ill < calibration.grey_low) | (ill >= calibration.grey_high)),
        [item.group for item in dataset.items],
        CLASSES[dataset.modality],
    )


def _cross_validated(dataset: Dataset, options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Every picture is judged by networks, and by a calibration, that have not seen its group."""
    from apps.healthcare.imaging.crossfit import calibrate, out_of_fold
    from apps.healthcare.imaging.methods import METHODS
    from apps.healthcare.imaging.training import EPOCHS, Recipe, enough
    from edgeai_core.metrics.calibration import softmax

    enough(dataset, options.folds)
    recipe = Recipe(options.epochs or EPOCHS[dataset.modality], options.seed, options.threads)
    with work_folder(options.work) as work:
        kept = METHODS[dataset.modality].features(dataset, options.copies, options.seed, work, progress)
        measured: Mapping[str, Figure] = {}
        table: tuple[Mapping[str, object], ...] = ()
        for leaky in (False, True) if options.leaky else (False,):
            found = out_of_fold(
                dataset, kept, recipe, options.folds, progress, work=options.work, leaky=leaky
            )
            shares = np.zeros_like(found.logits)
            called = np.zeros(len(shares), dtype=np.int64)
            answered = np.zeros(len(shares), dtype=bool)
            for fold in range(options.folds):
                mine, others = found.fold == fold, found.fold != fold
                calibration = calibrate(found.logits[others], dataset.labels[others], dataset.modality)
                shares[mine] = softmax(found.logits[mine], calibration.temperature)
                part = replace(dataset, items=tuple(dataset.items[row] for row in np.flatnonzero(mine)))
                some = _judgements(part, shares[mine], calibration, np.ones(int(mine.sum()), dtype=bool))
                called[mine], answered[mine] = some.called, some.answered
            judged = Judgements(
                dataset.labels, called, shares, answered, [item.group for item in dataset.items],
                CLASSES[dataset.modality],
            )  # fmt: skip
            if leaky:
                note = "LEAKY: pictures drawn at random, look-alikes on both sides; beside the honest figure only"
                measured = {
                    **measured,
                    **{f"leaky_{n}": replace(f, note=note) for n, f in figures(judged).items()},
                }
            else:
                measured, table = figures(judged), rows(judged)
    model = ModelRef(f"imaging-{options.modality}", f"trained anew, {options.folds} folds by group")
    return Evaluation(TASK, model, (dataset.ref(),), measured, table)


def _milliseconds(seconds: list[float]) -> Figure:
    """Median time of gate, preparation and network, with the 5th and 95th percentile as its interval."""
    low, middle, high = np.percentile(np.array(seconds) * 1e3, (5, 50, 95))
    return Figure.of(
        float(middle),
        (float(low), float(high)),
        len(seconds),
        "ms",
        "median; interval: 5th to 95th percentile",
    )
