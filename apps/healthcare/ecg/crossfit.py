"""Cross-fitting: networks trained on some patients, read by what they say of the others.

Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apps.healthcare.ecg.examples import BATCHES_PER_EPOCH, Examples, rhythm_loss
from apps.healthcare.ecg.network import OUTPUTS, RhythmNetwork
from apps.healthcare.ecg.rhythm import (
    BAND_HZ,
    CLASSES,
    LONG,
    LONG_S,
    RATE_HZ,
    SHORT,
    WINDOWS,
    Reading,
    is_flat,
    log_odds,
    vfvt_of,
)
from apps.healthcare.ecg.windows import KINDS, Record, Truth, truth_of
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.export import export_onnx
from edgeai_core.learning.training import FitOptions, fit
from edgeai_core.metrics.calibration import fit_platt
from edgeai_core.metrics.curves import threshold_at
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.runners.card import ModelCard, TensorSpec, digest_of
from edgeai_core.runners.runner import Runner

EPOCHS = 10

HOP = round(2.0 * RATE_HZ)
"""Windows are judged every 2 s; a 2 s window is the end of the 4 s window of the same moment."""

WANTED_SPECIFICITY = 0.975
"""Thresholds are set to this on the windows of the training side."""

_SCORED_AT_ONCE = 256


@dataclass(frozen=True)
class Scores:
    """A record's windows, every 2 s, as a network saw them.

    ``starts``: (windows,) of the 4 s windows in the trace. ``logits``: by window length, (windows, classes).
    ``flat``: by window length, (windows,).
    """

    record: Record
    starts: NDArray[np.intp]
    logits: dict[str, NDArray[np.float32]]
    flat: dict[str, NDArray[np.bool_]]

    def truth(self, window: str, record: Record | None = None) -> Truth:
        """What the windows are by the labels of the record, or of ``record`` where its labels are read otherwise."""
        samples, later = (LONG, 0) if window == "4s" else (SHORT, LONG - SHORT)
        return truth_of((record or self.record).shares(self.starts + later, samples))


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
    checkpoint: Path | None = None,
) -> RhythmNetwork:
    """Train a network on records. Raises InputError where they hold no VF and no VT, or nothing else."""
    positive = sum(int(np.isin(r.kinds, [KINDS.index("VF"), KINDS.index("VT")]).sum()) for r in records)
    other = sum(int((r.kinds == KINDS.index("OTHER")).sum()) for r in records)
    if positive < 10 * RATE_HZ or other < 60 * RATE_HZ:
        raise InputError(
            f"cannot train on {positive / RATE_HZ:.0f} s of VF or VT and {other / RATE_HZ:.0f} s of other rhythms;"
            " 10 s and 60 s are the least"
        )
    torch.manual_seed(seed)
    network = RhythmNetwork()
    options = FitOptions(epochs, BATCHES_PER_EPOCH, average=0.995, seed=seed, threads=threads)
    fit(
        network, Examples(records, seed).batches, rhythm_loss, options, progress, label=label, checkpoint=checkpoint
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
    path: Path, readings: dict[str, Reading], *, version: str, licence: str = "Apache-2.0", limits: Sequence[str] = ()
) -> ModelCard:
    """The card of a network file, without data and figures; ``train`` adds those."""
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
            TensorSpec("ecg", ("windows", "leads", LONG), "float32", "mV", "usable leads only", preprocessing),
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
        parameters={key: value for window, r in readings.items() for key, value in r.parameters(window).items()},
    )


def score(runner: Runner, record: Record) -> Scores:
    """Run the network on a record's windows, all leads joined."""
    starts = np.arange(0, len(record.trace) - LONG + 1, HOP)
    logits: dict[str, list[NDArray[np.float32]]] = {window: [] for window in WINDOWS}
    flat: dict[str, list[NDArray[np.bool_]]] = {window: [] for window in WINDOWS}
    for first in range(0, len(starts), _SCORED_AT_ONCE):
        at = starts[first : first + _SCORED_AT_ONCE]
        ecg = np.ascontiguousarray(record.trace[at[:, None] + np.arange(LONG)].transpose(0, 2, 1))
        outputs = runner.run({"ecg": ecg})
        for window, samples in WINDOWS.items():
            logits[window].append(outputs[f"logits_{window}"])
            flat[window].append(is_flat(ecg[:, :, -samples:]))
    empty = np.empty((0, len(CLASSES)), dtype=np.float32)
    return Scores(
        record,
        starts,
        {window: np.concatenate([empty, *parts]) for window, parts in logits.items()},
        {window: np.concatenate([np.empty(0, dtype=bool), *parts]) for window, parts in flat.items()},
    )


def fit_readings(scores: Sequence[Scores]) -> dict[str, Reading]:
    """Fit calibration and threshold of both window lengths on scores of patients the networks had not seen.

    The threshold is the one that reaches ``WANTED_SPECIFICITY`` there. Raises InputError where the scores hold no
    positive or no negative window.
    """
    readings = {}
    for window in WINDOWS:
        logits, flat, label = [], [], []
        for each in scores:
            truth = each.truth(window)
            judged = truth.positive | truth.negative
            logits.append(each.logits[window][judged])
            flat.append(each.flat[window][judged])
            label.append(truth.positive[judged])
        logit, is_silent, positive = np.concatenate(logits), np.concatenate(flat), np.concatenate(label)
        if positive.all() or not positive.any():
            raise InputError(
                f"cannot set a threshold: {int(positive.sum())} of {len(positive)} windows of {window} are VF or VT;"
                " both kinds are needed"
            )
        curve = fit_platt(log_odds(logit)[~is_silent], positive[~is_silent])
        reading = Reading(curve.slope, curve.intercept, 1.0)
        vfvt = vfvt_of(reading.probabilities(logit, is_silent))
        point = threshold_at(positive, vfvt, specificity=WANTED_SPECIFICITY)
        readings[window] = replace(reading, threshold=point.threshold)
    return readings
