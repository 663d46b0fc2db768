"""How a small network learns from a large one: every variation of every picture, and what the large one says of it.

The same three steps as ``training``: features, teach, predict. The student is MobileNetV2 of a third of the channels on
112 pixels. Its last blocks keep 7 x 7 places, so that it shows where its evidence lies as the large one does. It begins
with random weights. Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from apps.healthcare.imaging.datasets import CLASSES, Dataset
from apps.healthcare.imaging.findings import INPUT, LOGITS
from apps.healthcare.imaging.methods import Method
from apps.healthcare.imaging.preprocess import SIDE
from apps.healthcare.imaging.training import PLAIN, Recipe, fingerprint, squares
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.architectures import MobileNetV2
from edgeai_core.learning.classify import vary
from edgeai_core.learning.distillation import Distillation
from edgeai_core.learning.training import FitOptions, class_weights, fit
from edgeai_core.optimize.student import shrunk
from edgeai_core.runners.onnx import OnnxRunner

WIDTH = 0.35
SHRINK = 2
"""Pixels averaged into one: the student sees 112 of the 224."""

_BATCH = 32
_RATE = 2e-3


@dataclass(frozen=True)
class Shown:
    """``pictures`` (2 + copies, n, 112, 112): every one, its mirror image, its variations, 255 white; ``said``
    (2 + copies, n, classes): the teacher's logits of each.
    """

    pictures: NDArray[np.uint8]
    said: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the pictures."""
        return self.pictures.shape

    def some(self, places: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return pictures as the student sees them, (n, 1, 112, 112) from 0 to 1."""
        return np.asarray(self.pictures[places, rows][:, None] / np.float32(255), np.float32)


class StudentNetwork(nn.Module):
    """Input (n, 1, 224, 224), grey from 0 to 1; outputs logits (n, classes) and evidence (n, classes, 7, 7)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(SHRINK)
        self.small = _Finer(classes, width=WIDTH, channels=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, evidence); the mean of a class's evidence and its bias are its logit."""
        places = self.small.drop(self.small.layers(self.shrink(image)))
        evidence = torch.einsum("nfhw,cf->nchw", places, self.small.classify.weight)
        return evidence.mean(dim=(2, 3)) + self.small.classify.bias, evidence


class _Finer(MobileNetV2):
    """MobileNetV2 whose last blocks do not halve the places once more: 7 x 7 of them at 112 pixels."""

    stages = (*MobileNetV2.stages[:5], (6, 160, 3, 1), MobileNetV2.stages[6])


def taught_by(teacher: Path) -> Method:
    """Return the method of learning from a network (``.onnx`` with its card)."""
    return Method("a small network taught by a large one", partial(features, teacher), teach, predict)


def features(
    teacher: Path, dataset: Dataset, copies: int, seed: int, work: Path, progress: Progress
) -> Shown:
    """Return every picture's variations and what the teacher says of each; kept in ``work``.

    Raises InputError where the teacher's classes are not those of the data.
    """
    runner = OnnxRunner(teacher)
    classes = CLASSES[dataset.modality]
    if set(runner.card.classes) != set(classes):
        raise InputError(
            f"{teacher}: calls {', '.join(runner.card.classes) or 'no classes'}; "
            f"{dataset.name} has {', '.join(classes)}"
        )
    name = f"{dataset.modality}-shown-{runner.card.digest[:8]}-{fingerprint(dataset, copies, seed)}.npz"
    if (path := work / name).exists():
        with np.load(path, allow_pickle=False) as kept:
            return Shown(kept["pictures"], kept["said"])
    order = [runner.card.classes.index(each) for each in classes]
    count, side = len(dataset.items), SIDE // SHRINK
    pictures = np.zeros((PLAIN + copies, count, side, side), np.uint8)
    said = np.zeros((PLAIN + copies, count, len(classes)), np.float32)
    for place, row, square in squares(dataset, copies, seed, progress):
        said[place, row] = runner.run({INPUT: square})[LOGITS][0][order]
        pictures[place, row] = np.rint(255 * shrunk(square, SHRINK)[0, 0])
    fresh = path.with_name(f"new-{path.name}")
    np.savez(fresh, pictures=pictures, said=said)
    fresh.rename(path)
    return Shown(pictures, said)


def teach(
    kept: Shown, labels: NDArray[np.int64], rows: NDArray[np.int64], modality: str, recipe: Recipe,
    progress: Progress, label: str, *, how: Distillation | None = Distillation(),  # noqa: B008 - frozen
) -> StudentNetwork:  # fmt: skip
    """Return a student taught on some rows; ``how`` None: by their labels alone, all else as with the teacher."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    network = StudentNetwork(len(CLASSES[modality]))
    network.to(memory_format=torch.channels_last)
    weights = torch.from_numpy(class_weights(np.bincount(labels[rows], minlength=len(CLASSES[modality]))))

    def batches(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        rng = np.random.default_rng((recipe.seed, epoch))
        shuffled = rng.permutation(rows)
        for start in range(0, len(shuffled) - len(shuffled) % _BATCH or len(shuffled), _BATCH):
            chosen = shuffled[start : start + _BATCH]
            places = rng.integers(len(kept.pictures), size=len(chosen))
            inputs = torch.from_numpy(vary(kept.some(places, chosen), rng))
            said = torch.from_numpy(kept.said[places, chosen])
            yield inputs.to(memory_format=torch.channels_last), said, torch.from_numpy(labels[chosen])

    def loss(module: Any, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        inputs, said, truth = batch
        logits = network.small(inputs)
        if how is None:
            return nn.functional.cross_entropy(logits, truth, weight=weights)
        return how.loss(logits, said, truth, class_weights=weights)

    steps = max(1, len(rows) // _BATCH)
    options = FitOptions(recipe.epochs, steps, _RATE, average=0.98, seed=recipe.seed, threads=recipe.threads)
    fit(network, batches, loss, options, progress, label=label)
    return network


def predict(network: StudentNetwork, kept: Shown, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logits (rows, classes) as they are at work: the mean of a picture's and its mirror image's."""
    network.eval()
    results = []
    with torch.no_grad():
        for place in range(PLAIN):
            parts = [
                network.small(torch.from_numpy(kept.some(np.full(len(some), place), some))).numpy()
                for some in np.array_split(rows, max(len(rows) // 64, 1))
            ]
            results.append(np.concatenate(parts))
    return np.asarray(np.mean(results, axis=0), dtype=np.float64)


def teachers(kept: Shown, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the teacher's logits (rows, classes) as ``predict`` gives the student's."""
    return np.asarray(kept.said[:PLAIN][:, rows].mean(axis=0), dtype=np.float64)
