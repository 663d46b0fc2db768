"""From annotated records to the file of the beat network with its card: offsets, atrial fibrillation, golden vectors.

Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apps.healthcare.ecg.atrial import AtrialReading
from apps.healthcare.ecg.atrial_figures import (
    AtrialTrace,
    atrial_figures,
    certain,
    cross_fitted,
    fit_atrial,
)
from apps.healthcare.ecg.beat_class import CLASSES, read_logits
from apps.healthcare.ecg.beat_class_figures import Confusion, class_figures
from apps.healthcare.ecg.beat_class_training import (
    beat_card,
    export_beat_network,
    logits_of,
    train_beat_network,
)
from apps.healthcare.ecg.beat_features import Described
from apps.healthcare.ecg.beat_network import INPUTS, OUTPUTS, BeatNetwork
from apps.healthcare.ecg.beat_records import NO_BEAT, BeatRecord, describe_signal
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.runners.card import CardFigure, Golden, TrainingData, card_path, write_card
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner

LIMITS = (
    "Taught on ambulatory recordings of adults with two leads at 360 Hz; other leads and devices are met by"
    " augmentation only.",
    "A beat is classed when the next one is known, at most 2.4 s after it.",
    "Supraventricular beats are told by how early they come: in atrial fibrillation, and where most beats are early,"
    " that says little.",
    "Fusion beats are rarely recognised; most are called normal or ventricular. Paced beats are not known.",
    "Atrial flutter is neither called fibrillation nor told apart from it reliably.",
    "Not for neonates, for diagnosis, or for therapy. Not a medical device.",
)

_STEP, _HIGHEST = 0.5, 5.0  # the offsets that are tried


@dataclass(frozen=True)
class Plan:
    """How the network is taught."""

    folds: int
    epochs: int
    seed: int
    threads: int
    version: str
    command: str


def fit_beat_classes(
    records: Sequence[BeatRecord],
    learnt_from: Sequence[BeatRecord],
    output: Path,
    plan: Plan,
    data: tuple[TrainingData, ...],
    progress: Progress,
) -> dict[str, Figure]:
    """Teach the network on ``learnt_from``, read atrial fibrillation on ``records``, and write file and card.

    The offsets of the classes come from networks that had not seen the patients, and so do the figures that it returns.
    """
    out_of_fold = _out_of_fold(learnt_from, plan, progress)
    network = _taught(learnt_from, plan, progress, "teaching beat classes")
    unseen = {record.name: logits for record, logits in out_of_fold}
    first = best_offsets(out_of_fold)
    traces = [
        AtrialTrace.of(
            each.patient,
            each.name,
            read_logits(each.beats, unseen.get(each.name, logits_of(network, each)), first),
            each.labels,
        )
        for each in records
    ]
    note = f"{plan.folds} folds by patient"
    figures: dict[str, Figure] = {}
    reading: AtrialReading | None = None
    with suppress(InputError):  # too few patients with labelled fibrillation: then it is not told
        others, reading = cross_fitted(traces, plan.folds), fit_atrial(traces)
        by_name = {trace.name: (trace, gate) for trace, gate in zip(traces, others, strict=True)}
        out_of_fold = [
            (record, _gated(record, logits, *by_name[record.name])) for record, logits in out_of_fold
        ]
        known = [i for i, trace in enumerate(traces) if trace.labels.rhythms_from == "rhythm labels"]
        figures |= atrial_figures([traces[i] for i in known], [others[i] for i in known], note)
    offsets = best_offsets(out_of_fold)
    figures |= class_figures([_confusion(record, logits, offsets) for record, logits in out_of_fold], note)
    path = output / "beat_class.onnx"
    export_beat_network(network, path)
    card = beat_card(
        path,
        dict(zip(CLASSES, offsets.tolist(), strict=True)),
        reading,
        version=plan.version,
        limits=LIMITS,
        training_data=data,
        trained_on=[record.name for record in learnt_from],
        figures={name: CardFigure.of(f, plan.command) for name, f in figures.items() if f.value is not None},
        golden=_golden(network, output / "beat_class.golden.npz"),
    )
    write_card(card, card_path(path))
    OnnxRunner(path)  # it must pass its own golden vectors
    return figures


def best_offsets(out_of_fold: Sequence[tuple[BeatRecord, NDArray[np.float32]]]) -> NDArray[np.float64]:
    """The offsets of S and V (N is 0, F as V) at which the sum of their F1 over all records is largest."""
    truth = np.concatenate([_numbers(record) for record, _ in out_of_fold])
    logits = np.concatenate([each for _, each in out_of_fold])
    known = truth >= 0
    truth, logits = truth[known], logits[known]
    steps = np.arange(0.0, _HIGHEST + _STEP, _STEP)
    best, score = np.zeros(len(CLASSES)), -1.0
    for early, wide in product(steps.tolist(), steps.tolist()):
        offsets = np.array([0.0, early, wide, wide])
        said = (logits - offsets).argmax(axis=1)
        total = sum(
            2
            * float(((said == k) & (truth == k)).sum())
            / max(1, int((said == k).sum() + (truth == k).sum()))
            for k in (1, 2)
        )
        if total > score:
            best, score = offsets, total
    return best


def _gated(
    record: BeatRecord, logits: NDArray[np.float32], trace: AtrialTrace, reading: AtrialReading
) -> NDArray[np.float32]:
    """The logits with no supraventricular beat where fibrillation is certain."""
    gated = logits.copy()
    gated[certain(trace, reading, record.beats.times_s), CLASSES.index("S")] = -np.inf
    return gated


def _out_of_fold(
    records: Sequence[BeatRecord], plan: Plan, progress: Progress
) -> list[tuple[BeatRecord, NDArray[np.float32]]]:
    patients = list(dict.fromkeys(record.patient for record in records))
    fold_of = {patient: i % plan.folds for i, patient in enumerate(patients)}
    out: list[tuple[BeatRecord, NDArray[np.float32]]] = []
    for fold in range(plan.folds):
        others = [record for record in records if fold_of[record.patient] != fold]
        network = _taught(others, plan, progress, f"beat classes without fold {fold + 1} of {plan.folds}")
        out += [(r, logits_of(network, r)) for r in records if fold_of[r.patient] == fold]
    return out


def _taught(records: Sequence[BeatRecord], plan: Plan, progress: Progress, label: str) -> BeatNetwork:
    return train_beat_network(
        [each for record in records for each in (record, *record.varied)],
        seed=plan.seed,
        epochs=plan.epochs,
        threads=plan.threads,
        progress=progress,
        label=label,
    )


def _numbers(record: BeatRecord) -> NDArray[np.int64]:
    """The classes of a record's beats as numbers: what is no beat counts as normal, what cannot be classed as -1."""
    numbers = {name: i for i, name in enumerate(CLASSES)} | {NO_BEAT: 0}
    return np.array([numbers.get(name, -1) for name in record.classes], dtype=np.int64)


def _confusion(record: BeatRecord, logits: NDArray[np.float32], offsets: NDArray[np.float64]) -> Confusion:
    said = read_logits(record.beats, logits, offsets).classes
    return Confusion.of(record.patient, record.name, record.classes, said, record.missed)


def _golden(network: BeatNetwork, path: Path) -> Golden:
    """Keep simulated beats with what the network as trained says of them: nobody's data."""
    vectors = []
    for beats in golden_beats():
        inputs = dict(zip(INPUTS, (beats.rhythm, beats.shape, beats.waves), strict=True))
        with torch.no_grad():
            logits = network(*(torch.from_numpy(each) for each in inputs.values()))
        vectors.append(GoldenVector(inputs, {OUTPUTS[0]: np.asarray(logits.numpy())}))
    return write_golden(path, vectors, atol=1e-3, rtol=1e-3)


def golden_beats() -> Iterator[Described]:
    """Simulated beats: sinus rhythm with ventricular beats in two leads, atrial fibrillation in one."""
    from apps.healthcare.simulation.ecg import simulate
    from apps.healthcare.simulation.scenarios import Scenario, Segment

    for segment, leads in ((Segment("PVC", 20, 76), ("II", "V1")), (Segment("AFIB", 15, 95), ("II",))):
        made = simulate(Scenario((segment,)), lead_names=leads)
        yield describe_signal(made.samples_mv, made.rate_hz)[-12:]
