"""Training of the beat network: described beats -> network, ONNX file, card.

Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from apps.healthcare.ecg.atrial import AtrialReading
from apps.healthcare.ecg.beat_class import CLASSES, input_shapes
from apps.healthcare.ecg.beat_features import RHYTHM_FEATURES, SHAPE_FEATURES, WAVE_SAMPLES
from apps.healthcare.ecg.beat_network import OUTPUTS, BeatNetwork
from apps.healthcare.ecg.beat_records import NO_BEAT, BeatRecord
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.export import export_onnx
from edgeai_core.learning.training import FitOptions, fit
from edgeai_core.runners.card import CardFigure, Golden, ModelCard, TensorSpec, TrainingData, digest_of

BATCHES_PER_EPOCH, BATCH = 150, 256

_FEATURE_NOISE = 0.1
_GAIN = 0.2
_WAVE_NOISE_MV = 0.02
_TURNED = 0.1
_SMOOTHING = 0.02


@dataclass(frozen=True)
class Batch:
    """Some beats as the network takes them, with the numbers of their classes."""

    rhythm: Tensor
    shape: Tensor
    waves: Tensor
    classes: Tensor


def train_beat_network(
    records: Sequence[BeatRecord], *, seed: int, epochs: int, threads: int, progress: Progress, label: str
) -> BeatNetwork:
    """Train a network on records. Raises InputError where they do not hold every class."""
    examples = _Examples(records, seed)
    torch.manual_seed(seed)
    network = BeatNetwork(torch.from_numpy(examples.mean), torch.from_numpy(examples.scale))
    fit(
        network,
        examples.batches,
        beat_loss,
        FitOptions(epochs, BATCHES_PER_EPOCH, learning_rate=2e-3, average=0.99, seed=seed, threads=threads),
        progress,
        label=label,
    )
    return network


def beat_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy against slightly smoothed classes."""
    return nn.functional.cross_entropy(
        network(batch.rhythm, batch.shape, batch.waves), batch.classes, label_smoothing=_SMOOTHING
    )


class _Examples:
    """Beats drawn so that rare classes, and within a class records with few of it, count for more than their number."""

    def __init__(self, records: Sequence[BeatRecord], seed: int) -> None:
        parts = [(record, *_labelled(record)) for record in records]
        self.classes = np.concatenate([np.empty(0, np.int64), *(classes for _, _, classes in parts)])
        absent = [name for i, name in enumerate(CLASSES) if not (self.classes == i).any()]
        if absent:
            raise InputError(
                f"no annotated beat of class {', '.join(absent)}: the beat network needs each of {', '.join(CLASSES)}"
            )
        owner = np.concatenate([np.full(len(classes), i) for i, (_, _, classes) in enumerate(parts)])
        self.rhythm = np.concatenate([record.beats.rhythm[kept] for record, kept, _ in parts])
        self.shape = np.concatenate([record.beats.shape[kept] for record, kept, _ in parts])
        self._waves = [record.beats.waves[kept] for record, kept, _ in parts]
        self._owner = owner
        self._place = np.concatenate([np.arange(len(classes)) for _, _, classes in parts])
        features = np.concatenate([self.rhythm, self.shape], axis=1)
        self.mean = features.mean(axis=0).astype(np.float32)
        self.scale = (features.std(axis=0) + 1e-3).astype(np.float32)
        self._shares = _shares(self.classes, owner)
        self._seed = seed

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch: noise on features and waves, other gains, leads turned over now and then."""
        random = np.random.default_rng((self._seed, epoch))
        for _ in range(BATCHES_PER_EPOCH):
            drawn = random.choice(len(self.classes), BATCH, p=self._shares)
            noise = (
                random.standard_normal((BATCH, RHYTHM_FEATURES + SHAPE_FEATURES))
                * self.scale
                * _FEATURE_NOISE
            )
            yield Batch(
                torch.from_numpy((self.rhythm[drawn] + noise[:, :RHYTHM_FEATURES]).astype(np.float32)),
                torch.from_numpy((self.shape[drawn] + noise[:, RHYTHM_FEATURES:]).astype(np.float32)),
                torch.from_numpy(self._drawn_waves(drawn, random)),
                torch.from_numpy(self.classes[drawn]),
            )

    def _drawn_waves(self, drawn: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.float32]:
        """Two leads of each; a lone lead stands for both."""
        waves = np.stack(
            [_two_leads(self._waves[self._owner[each]][self._place[each]]) for each in drawn.tolist()]
        )
        gain = np.exp(_GAIN * random.standard_normal((BATCH, 2, 1, 1)))
        turned = np.where(random.random((BATCH, 2, 1, 1)) < _TURNED, -1.0, 1.0)
        noise = _WAVE_NOISE_MV * random.standard_normal(waves.shape)
        return np.asarray(waves * gain * turned + noise, dtype=np.float32)


def _labelled(record: BeatRecord) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which beats of a record can be learnt from, and their classes; what is no beat is to be called normal."""
    numbers = {name: i for i, name in enumerate(CLASSES)} | {NO_BEAT: 0}
    kept = [i for i, name in enumerate(record.classes) if name in numbers]
    return np.array(kept, dtype=np.intp), np.array([numbers[record.classes[i]] for i in kept], dtype=np.int64)


def _shares(classes: NDArray[np.int64], owner: NDArray[np.intp]) -> NDArray[np.float64]:
    """How often each beat is drawn: a class as the root of its number, in it a record as the root of its own."""
    shares = np.zeros(len(classes))
    for number in range(len(CLASSES)):
        own = classes == number
        counts = np.bincount(owner[own], minlength=owner.max() + 1).astype(np.float64)
        of_record = np.sqrt(counts) / np.sqrt(counts).sum()
        shares[own] = np.sqrt(own.sum()) * (of_record / np.maximum(counts, 1))[owner[own]]
    return np.asarray(shares / shares.sum())


def _two_leads(waves: NDArray[np.float32]) -> NDArray[np.float32]:
    return waves[:2] if len(waves) >= 2 else np.repeat(waves, 2, axis=0)


def export_beat_network(network: BeatNetwork, path: Path, seed: int = 0) -> float:
    """Write the network as ONNX, proved on random beats of one to twelve leads; return the largest difference."""
    random = np.random.default_rng(seed)
    examples = [
        {
            "rhythm": random.normal(0, 0.3, (beats, RHYTHM_FEATURES)).astype(np.float32),
            "shape": random.normal(0, 1, (beats, SHAPE_FEATURES)).astype(np.float32),
            "waves": random.normal(0, 0.5, (beats, leads, 2, WAVE_SAMPLES)).astype(np.float32),
        }
        for beats, leads in ((1, 2), (3, 1), (1, 12), (7, 3))
    ]
    free = {
        name: {i: axis for i, axis in enumerate(shape) if isinstance(axis, str)}
        for name, shape in input_shapes().items()
    }
    free |= {name: {0: "beats"} for name in OUTPUTS}
    return export_onnx(network, path, examples, OUTPUTS, free=free)


def beat_card(
    path: Path,
    offsets: Mapping[str, float],
    atrial: AtrialReading | None,
    *,
    version: str,
    licence: str = "Apache-2.0",
    limits: Sequence[str] = (),
    training_data: tuple[TrainingData, ...] = (),
    trained_on: Sequence[str] = (),
    figures: Mapping[str, CardFigure] | None = None,
    golden: Golden | None = None,
) -> ModelCard:
    """The card of a network file; ``trained_on`` names the records, so that an evaluation can leave them out."""
    meanings = {
        "rhythm": "intervals around the beat over the usual ones, logarithms (BeatDescriber)",
        "shape": "each lead's beat against the patient's usual beat: mean, least and largest over leads",
        "waves": "the beat and the usual beat of each usable lead, 125 Hz, 0.32 s before to 0.44 s after the R peak",
    }
    units = {"rhythm": "1", "shape": "1", "waves": "mV"}
    return ModelCard(
        name="ecg-beat-class",
        version=version,
        task="healthcare.ecg",
        file=path.name,
        digest=digest_of(path),
        licence=licence,
        intended_use=(
            "Beats of surface ECG of adults under monitoring: normal (and bundle branch block), supraventricular,"
            " ventricular, fusion, by ANSI/AAMI EC57. Counts and warnings, not critical alarms."
            " Not a medical device; not cleared by any authority."
        ),
        limits=tuple(limits),
        inputs=tuple(
            TensorSpec(name, shape, "float32", units[name], meanings[name])
            for name, shape in input_shapes().items()
        ),
        outputs=(
            TensorSpec("logits", ("beats", len(CLASSES)), "float32", "1", "classes, before the offsets"),
        ),
        classes=CLASSES,
        parameters={
            **{f"offset_{name}": value for name, value in offsets.items()},
            **(atrial.parameters() if atrial is not None else {}),
            "trained_on": list(trained_on),
        },
        golden=golden,
        training_data=training_data,
        figures=figures or {},
    )


def logits_of(network: BeatNetwork, record: BeatRecord) -> NDArray[np.float32]:
    """The network's logits of a record's beats (k, classes)."""
    beats = record.beats
    network.eval()
    with torch.no_grad():
        parts = [
            network(
                *(torch.from_numpy(each[at : at + 2048]) for each in (beats.rhythm, beats.shape, beats.waves))
            )
            for at in range(0, len(beats), 2048)
        ]
    return np.asarray(torch.cat(parts).numpy() if parts else np.empty((0, len(CLASSES))), dtype=np.float32)
