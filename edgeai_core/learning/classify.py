"""Teaching of a classifier on arrays in memory, by labels alone or by a teacher too (extra ``train``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeai_core.app import Progress
from edgeai_core.learning.distillation import Distillation, FeatureMatch
from edgeai_core.learning.training import FitOptions, History, class_weights, fit

SHIFT = 0.06
"""The share of a side by which an example is moved about."""


@dataclass(frozen=True)
class Teacher:
    """What a teacher says of every training example: ``logits`` (n, classes), ``features`` (n, f) or None."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32] | None = None
    how: Distillation = Distillation()  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class Recipe:
    """How to teach. Examples are shifted by up to ``SHIFT`` and their contrast varied, unless ``varied`` is False."""

    epochs: int = 10
    batch: int = 32
    learning_rate: float = 2e-3
    patience: int | None = 3
    varied: bool = True
    seed: int = 0
    threads: int = 1


def teach(
    network: nn.Module,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    recipe: Recipe,
    progress: Progress,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    teacher: Teacher | None = None,
    label: str = "training",
) -> History:
    """Teach ``network`` in place on ``inputs`` (n, channels, ...) and keep its best epoch by ``validate`` (lower is
    better). With a teacher the loss is its distillation's; features are matched where both have them.
    """
    count = int(labels.max()) + 1
    weights = torch.from_numpy(class_weights(np.bincount(labels, minlength=count)))
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    network.to(memory_format=layout)
    match = None
    if teacher is not None and teacher.features is not None and teacher.how.features:
        match = FeatureMatch(int(network.features_out), teacher.features.shape[1])
    whole = nn.ModuleDict({"network": network} if match is None else {"network": network, "match": match})

    def batches(epoch: int) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
        rng = np.random.default_rng((recipe.seed, epoch))
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - len(order) % recipe.batch or len(order), recipe.batch):
            rows = order[start : start + recipe.batch]
            some = vary(inputs[rows], rng) if recipe.varied else inputs[rows]
            yield torch.from_numpy(np.ascontiguousarray(some)).to(memory_format=layout), rows

    def loss(module: nn.Module, batch: tuple[Tensor, NDArray[np.int64]]) -> Tensor:
        given, rows = batch
        truth = torch.from_numpy(labels[rows])
        if teacher is None:
            return nn.functional.cross_entropy(network(given), truth, weight=weights)
        said = torch.from_numpy(teacher.logits[rows])
        if match is None or teacher.features is None:
            return teacher.how.loss(network(given), said, truth, class_weights=weights)
        features = network.features(given)
        logits = network.classify(network.drop(features))
        matched = (match(features), torch.from_numpy(teacher.features[rows]))
        return teacher.how.loss(logits, said, truth, class_weights=weights, matched=matched)

    steps = max(1, len(labels) // recipe.batch)
    options = FitOptions(
        recipe.epochs, steps, recipe.learning_rate, average=0.95, patience=recipe.patience, seed=recipe.seed,
        threads=recipe.threads,
    )  # fmt: skip
    checked = None if validate is None else lambda _: validate(network)
    return fit(whole, batches, loss, options, progress, label=label, validate=checked)


def predict(network: nn.Module, inputs: NDArray[np.float32], batch: int = 64) -> NDArray[np.float32]:
    """Return logits (n, classes)."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(inputs[at : at + batch])).numpy() for at in range(0, len(inputs), batch)
        ]
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def vary(inputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the examples (n, channels, ...) each moved a little, with other contrast and brightness."""
    varied = np.empty_like(inputs)
    for row, example in enumerate(inputs):
        moves = [
            int(rng.integers(-round(SHIFT * size), round(SHIFT * size) + 1)) for size in example.shape[1:]
        ]
        padded = np.pad(example, [(0, 0), *((abs(move), abs(move)) for move in moves)], mode="edge")
        place = tuple(
            slice(abs(move) + move, abs(move) + move + size)
            for move, size in zip(moves, example.shape[1:], strict=True)
        )
        varied[row] = padded[(slice(None), *place)]
    shape = (len(inputs), *(1 for _ in inputs.shape[1:]))
    mean = varied.mean(axis=tuple(range(1, inputs.ndim)), keepdims=True)
    contrast = rng.uniform(0.8, 1.2, shape).astype(np.float32)
    brightness = rng.normal(0.0, 0.05, shape).astype(np.float32) * (inputs.std() + 1e-6) * 4
    return np.asarray((varied - mean) * contrast + mean + brightness, dtype=np.float32)
