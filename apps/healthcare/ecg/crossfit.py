"""Cross-fitting: networks trained on some patients, read by what they say of the others.

Needs torch (extra ``train``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import read_signal
from apps.healthcare.ecg.beat_scorer import BeatScorer
from apps.healthcare.ecg.beat_training import BeatExamples, beat_examples, fit_beat_scorer, save_beat_scorer
from apps.healthcare.ecg.examples import BATCHES_PER_EPOCH, Examples, rhythm_loss
from apps.healthcare.ecg.network import OUTPUTS, RhythmNetwork
from apps.healthcare.ecg.rhythm import (
    BAND_HZ,
    CLASSES,
    LONG,
    LONG_S,
    RATE_HZ,
    WINDOWS,
    Reading,
)
from apps.healthcare.ecg.scores import HOP, Scores, fit_readings, score
from apps.healthcare.ecg.window_figures import window_figures
from apps.healthcare.ecg.windows import KINDS, Record
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.export import export_onnx
from edgeai_core.learning.training import FitOptions, fit
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.runners.card import (
    CardFigure,
    Golden,
    ModelCard,
    TensorSpec,
    TrainingData,
    card_path,
    digest_of,
    write_card,
)
from edgeai_core.runners.onnx import OnnxRunner

EPOCHS = 10


def split(records: Sequence[Record], folds: int, seed: int) -> list[int]:
    """Give every record its fold: patients whole, rhythms and databases spread evenly."""
    groups, labels, owner = [], [], []
    for i, record in enumerate(records):
        # A row for every half minute: long records count more, and so does what they are rich in.
        step = round(30 * RATE_HZ)
        for start in range(0, len(record.kinds), step):
            common = np.bincount(record.kinds[start : start + step], minlength=len(KINDS)).argmax()
            groups.append(record.patient)
            labels.append(f"{record.folder} {KINDS[common]}")
            owner.append(i)
    fold_of = [0] * len(records)
    for number, fold in enumerate(grouped_folds(groups, labels, folds, seed)):
        for row in fold.test:
            fold_of[owner[row]] = number
    return fold_of


def train_network(
    records: Sequence[Record],
    seed: int,
    threads: int,
    progress: Progress,
    *,
    epochs: int = EPOCHS,
    label: str = "training",
    work: Path | None = None,
    held: Mapping[str, NDArray[np.bool_]] | None = None,
) -> RhythmNetwork:
    """Train a network on records, without the windows ``held`` back (by record, one for every ``HOP``).

    With ``work`` every epoch is kept in that folder, and an interrupted training goes on from there.

    Raises InputError where they hold no VF and no VT, or nothing else."""
    positive = sum(int(np.isin(r.kinds, [KINDS.index("VF"), KINDS.index("VT")]).sum()) for r in records)
    other = sum(int((r.kinds == KINDS.index("OTHER")).sum()) for r in records)
    if positive < 10 * RATE_HZ or other < 60 * RATE_HZ:
        raise InputError(
            f"cannot train on {positive / RATE_HZ:.0f} s of VF or VT and {other / RATE_HZ:.0f} s of other rhythms;"
            " 10 s and 60 s are the least"
        )
    torch.manual_seed(seed)
    network = RhythmNetwork()
    fit(
        network,
        Examples(records, seed, held).batches,
        rhythm_loss,
        FitOptions(epochs, BATCHES_PER_EPOCH, average=0.995, seed=seed, threads=threads),
        progress,
        label=label,
        checkpoint=None if work is None else work / f"{label.replace(' ', '-')}.npz",
        fingerprint=_fingerprint(records),
    )
    return network


def export(network: RhythmNetwork, path: Path, seed: int = 0) -> float:
    """Write the network as ONNX, proved on random windows of one to twelve leads; return the largest difference."""
    random = np.random.default_rng(seed)
    examples = [
        {"ecg": random.normal(0, scale, (batch, leads, LONG)).astype(np.float32)}
        for batch, leads, scale in ((1, 2, 0.5), (3, 1, 0.05), (1, 12, 2.0), (2, 2, 0.0))
    ]
    free = {"ecg": {0: "windows", 1: "leads"}} | {name: {0: "windows"} for name in OUTPUTS[:2]}
    free |= {name: {0: "windows", 1: "leads"} for name in OUTPUTS[2:]}
    return export_onnx(network, path, examples, OUTPUTS, free=free)


def rhythm_card(
    path: Path,
    readings: dict[str, Reading],
    *,
    version: str,
    licence: str = "Apache-2.0",
    limits: Sequence[str] = (),
    training_data: tuple[TrainingData, ...] = (),
    figures: Mapping[str, CardFigure] | None = None,
    golden: Golden | None = None,
) -> ModelCard:
    """The card of a network file."""
    k = len(CLASSES)
    preprocessing = (
        f"The latest {LONG_S:g} s of each lead in mV: missing samples held, Butterworth high-pass"
        f" {BAND_HZ[0]:g} Hz (order 2) and low-pass {BAND_HZ[1]:g} Hz (order 4), causal, at the lead's own rate;"
        f" then interpolated linearly at {RATE_HZ:g} Hz (RhythmTrace)."
    )
    meanings = {
        "logits_4s": "classes by all leads, 4 s",
        "logits_2s": "classes by all leads, the latest 2 s",
        "lead_logits_4s": "classes by each lead alone, 4 s",
        "lead_logits_2s": "classes by each lead alone, the latest 2 s",
    }
    return ModelCard(
        name="ecg-rhythm",
        version=version,
        task="healthcare.ecg",
        file=path.name,
        digest=digest_of(path),
        licence=licence,
        intended_use=(
            "Windows of surface ECG of adults under monitoring: ventricular fibrillation or flutter, ventricular"
            " tachycardia, asystole, noise, or another rhythm. Part of an alarm, joined over time with beats."
            " Not a medical device; not cleared by any authority."
        ),
        limits=tuple(limits),
        inputs=(
            TensorSpec(
                "ecg", ("windows", "leads", LONG), "float32", "mV", "usable leads only", preprocessing
            ),
        ),
        outputs=tuple(
            TensorSpec(
                name,
                ("windows", k) if name.startswith("logits") else ("windows", "leads", k),
                "float32",
                "1",
                meanings[name],
            )
            for name in OUTPUTS
        ),
        classes=CLASSES,
        parameters={
            key: value for window, r in readings.items() for key, value in r.parameters(window).items()
        },
        golden=golden,
        training_data=training_data,
        figures=figures or {},
    )


@dataclass(frozen=True)
class FittedPart:
    """The records of one fold, and the files of what was fitted on the others; no scorer without beats to fit on."""

    records: tuple[Record, ...]
    model: Path
    scorer: Path | None


def cross_fit(
    records: Sequence[Record],
    folder: Path,
    *,
    folds: int,
    epochs: int,
    seed: int,
    threads: int,
    progress: Progress,
    work: Path | None = None,
    beats: bool = True,
) -> list[FittedPart]:
    """Train a network per fold on the other folds' patients, and a beat scorer too; write them into ``folder``.

    Beat scorers are fitted for a few groups of folds together, each on the patients of the other groups.
    A fold's network is read by curves and thresholds fitted on what the other folds' networks say of their own
    unseen patients: nothing of the fold itself takes part. Raises InputError where the data are too few.
    """
    fold_of = split(records, folds, seed)
    parts = []
    scores: list[list[Scores]] = []
    for fold in range(folds):
        inside = [r for r, f in zip(records, fold_of, strict=True) if f == fold]
        outside = [r for r, f in zip(records, fold_of, strict=True) if f != fold]
        label = f"training without fold {fold + 1} of {folds}"
        network = train_network(
            outside, seed * 1000 + fold, threads, progress, epochs=epochs, label=label, work=work
        )
        model = folder / f"rhythm-{fold}.onnx"
        export(network, model)
        runner = open_network(model, _UNREAD)
        scores.append([score(runner, record) for record in inside])
        parts.append(FittedPart(tuple(inside), model, None))
    for fold, part in enumerate(parts):
        others = [each for f, group in enumerate(scores) if f != fold for each in group]
        write_card(
            rhythm_card(part.model, fit_readings(others), version=f"fold {fold + 1}"), card_path(part.model)
        )
    return _with_scorers(parts, folder, seed, progress) if beats else parts


def _with_scorers(
    parts: Sequence[FittedPart], folder: Path, seed: int, progress: Progress
) -> list[FittedPart]:
    """Fit a beat scorer for every group of folds on the other groups' records, where those have beats."""
    groups = min(_SCORER_GROUPS, len(parts))
    examples = [
        _beat_examples(
            part.records, seed + fold, progress, f"examples of beats, fold {fold + 1} of {len(parts)}"
        )
        for fold, part in enumerate(parts)
    ]
    scorers: list[Path | None] = []
    for group in range(groups):
        progress("fitting beats", group, groups)
        outside = [each for fold, own in enumerate(examples) if fold % groups != group for each in own]
        scorers.append(None)
        if outside:
            scorers[group] = path = folder / f"beats-{group}.npz"
            save_beat_scorer(fit_beat_scorer(outside, seed), path, f"group {group + 1}", "Apache-2.0", ())
    return [replace(part, scorer=scorers[fold % groups]) for fold, part in enumerate(parts)]


def leaky_figures(
    records: Sequence[Record],
    folder: Path,
    *,
    epochs: int,
    seed: int,
    threads: int,
    progress: Progress,
    work: Path | None = None,
) -> dict[str, Figure]:
    """What a split of windows at random, patients on both sides, makes of the same network: far too good.

    One fifth of the windows is held out. The threshold is set on them too, as is often done.
    """
    random = np.random.default_rng(seed)
    held = {record.name: random.random(len(record.trace) // HOP + 1) < 0.2 for record in records}
    label = "training on windows at random"
    network = train_network(
        records, seed, threads, progress, epochs=epochs, label=label, work=work, held=held
    )
    model = folder / "rhythm-leaky.onnx"
    export(network, model)
    runner = open_network(model, _UNREAD)
    scores = [_kept(score(runner, record), held[record.name]) for record in records]
    figures = window_figures([(each, readings) for readings in [fit_readings(scores)] for each in scores])
    note = "leaky: windows of the same patients on both sides; not a figure for new patients"
    return {
        f"{name}_leaky_random_windows": replace(figures[name], low=None, high=None, note=note)
        for window in WINDOWS
        for name in (f"vfvt_{window}_sensitivity", f"vfvt_{window}_specificity", f"vfvt_{window}_auc")
    }


def fit_scorer(records: Sequence[Record], seed: int, progress: Progress) -> BeatScorer:
    """Fit the beat scorer on the records that have reference beats."""
    return fit_beat_scorer(_beat_examples(records, seed, progress, "examples of beats"), seed)


def _beat_examples(
    records: Sequence[Record], seed: int, progress: Progress, label: str
) -> list[BeatExamples]:
    examples: list[BeatExamples] = []
    for i, record in enumerate(records):
        progress(label, i, len(records))
        if record.labels.beat_s.size:
            excluded = [(each.start_s, each.end_s) for each in record.labels.flutter]
            signal = read_signal(record.header)
            examples += beat_examples(signal, record.header.rate_hz, record.labels.beat_s, excluded, seed + i)
    return examples


def open_network(model: Path, readings: dict[str, Reading]) -> OnnxRunner:
    """Write a card beside an exported network and open it."""
    write_card(rhythm_card(model, readings, version="in training"), card_path(model))
    return OnnxRunner(model)


def _fingerprint(records: Sequence[Record]) -> str:
    """What networks are trained on: the names, signals and labels of the records."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.name.encode())
        digest.update(record.kinds.tobytes())
        digest.update(record.trace[:: LONG // 4].tobytes())
    return digest.hexdigest()


def _kept(scores: Scores, held: NDArray[np.bool_]) -> Scores:
    chosen = held[: len(scores.starts)]
    return replace(
        scores,
        starts=scores.starts[chosen],
        logits={window: logits[chosen] for window, logits in scores.logits.items()},
        flat={window: flat[chosen] for window, flat in scores.flat.items()},
    )


_SCORER_GROUPS = 3  # a scorer takes minutes to fit, and differs little from one group of patients to another

_UNREAD = {window: Reading(1.0, 0.0, 0.5) for window in WINDOWS}  # logits as they come, before they are read
