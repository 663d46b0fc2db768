"""A classifier of places: it says of every place of a picture how like a defect it is, taught by verdicts or by masks.

A picture is as bad as its worst places, so the verdict on the whole is enough to learn from (multiple-instance
learning: O. Maron and T. Lozano-Pérez, NIPS 1997). Where a mask says which places are defect, that is learnt too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.graph import Graph

Floats = NDArray[np.float32]

HIDDEN = 32
WORST = 10
"""A picture's score is the mean over its so many worst places."""

_STEPS = (400, 3_000)
"""Batches that a classifier learns from: at least, and at most, where _ROUNDS over all pictures are others."""

_ROUNDS = 20
_BATCH = 16
_RATE = 3e-3
_DECAY = 2e-2
_MASK_WEIGHT = 3.0
_COVERED = 0.2
"""A place is defect from this share of it on; between none and this it is left out."""


@dataclass(frozen=True)
class Places:
    """Two layers at every whitened place: ``first`` (C, HIDDEN), ``first_bias``, ``second`` (HIDDEN,), its bias."""

    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: float

    def heat(self, local: NDArray[np.floating]) -> Floats:
        """Return the logits of a defect, (n, grid, grid), of ``local`` (n, grid, grid, C)."""
        out = np.empty(local.shape[:3], np.float32)
        for number, each in enumerate(local):
            hidden = np.maximum(each.astype(np.float32) @ self.first + self.first_bias, 0)
            out[number] = hidden @ self.second + np.float32(self.second_bias)
        return out

    def append(self, graph: Graph, local: str) -> str:
        """Append the same to a graph; return the name of the heat."""
        hidden = graph.node("MatMul", local, graph.constant(self.first))
        hidden = graph.node("Relu", graph.node("Add", hidden, graph.constant(self.first_bias)))
        return graph.node(
            "Add", graph.node("MatMul", hidden, graph.constant(self.second)), graph.constant(self.second_bias)
        )


def worst(heat: Floats) -> Floats:
    """Return the mean of the WORST places of each picture, (n,)."""
    flat = heat.reshape(len(heat), -1)
    return np.asarray(np.partition(flat, -WORST, axis=1)[:, -WORST:].mean(axis=1), np.float32)


def append_worst(graph: Graph, heat: str) -> str:
    """Append ``worst`` to a graph."""
    flat = graph.node("Flatten", heat, axis=1)
    values = graph.node("TopK", flat, graph.constant([WORST], np.int64), axis=1)
    graph.nodes[-1].output.append(f"{values}_indices")
    return graph.node("ReduceMean", values, axes=[1], keepdims=0)


def fit_places(
    locals_: Sequence[NDArray[np.floating]],
    labels: NDArray[np.int64],
    masks: Sequence[Floats | None],
    seed: int,
) -> Places:
    """Teach on whitened places, each (grid, grid, C), whether the picture is bad, and masks (grid, grid) of some.

    A mask gives the share of each place that is defect; good pictures need none.
    """
    random = np.random.default_rng(seed)
    rows = [each.reshape(-1, each.shape[-1]) for each in locals_]
    targets = [_targets(mask, bad) for mask, bad in zip(masks, labels, strict=True)]
    learner = _Learner(rows[0].shape[1], random)
    weight = np.where(labels == 1, 0.5 / max(labels.mean(), 1e-6), 0.5 / max(1 - labels.mean(), 1e-6))
    steps = min(max(_ROUNDS * len(rows) // _BATCH, _STEPS[0]), _STEPS[1])
    order: list[int] = []
    for step in range(steps):
        if len(order) < _BATCH:
            order += random.permutation(len(rows)).tolist()
        batch, order = order[:_BATCH], order[_BATCH:]
        places = np.stack([rows[row] for row in batch]).astype(np.float32)
        rate = _RATE * min(1.0, (step + 1) / 30) * 0.5 * (1 + np.cos(np.pi * step / steps))
        learner.step(places, labels[batch], weight[batch], [targets[row] for row in batch], rate)
    first, first_bias, second, second_bias = learner.weights
    return Places(first, first_bias, second, float(second_bias[0]))


def _targets(mask: Floats | None, bad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return which places are surely sound and which surely defect."""
    if mask is None or not bad:
        return None
    flat = mask.ravel()
    return np.flatnonzero(flat <= 0), np.flatnonzero(flat >= min(_COVERED, max(float(flat.max()), 1e-6)))


class _Learner:
    """Adam (D. Kingma and J. Ba, ICLR 2015) on the two layers; the gradient reaches only the places that decide."""

    def __init__(self, inputs: int, random: np.random.Generator) -> None:
        self.weights: list[Floats] = [
            random.normal(0, np.sqrt(2 / inputs), (inputs, HIDDEN)).astype(np.float32),
            np.zeros(HIDDEN, np.float32),
            random.normal(0, np.sqrt(1 / HIDDEN), HIDDEN).astype(np.float32),
            np.zeros(1, np.float32),
        ]
        self._means = [np.zeros_like(each) for each in self.weights]
        self._squares = [np.zeros_like(each) for each in self.weights]
        self._steps = 0
        self._random = random

    def step(
        self, places: Floats, labels: NDArray[np.int64], weight: NDArray[np.floating],
        targets: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]] | None], rate: float,
    ) -> None:  # fmt: skip
        """Learn from a batch (b, places, C)."""
        first, first_bias, second, second_bias = self.weights
        hidden = np.maximum(places @ first + first_bias, 0)
        logits = hidden @ second + second_bias[0]
        deciding = np.argpartition(logits, -WORST, axis=1)[:, -WORST:]
        score = np.take_along_axis(logits, deciding, 1).mean(axis=1)
        push = (_share(score) - labels) * weight / len(places)
        pull = np.zeros_like(logits)
        np.put_along_axis(pull, deciding, np.repeat(push[:, None] / WORST, WORST, 1).astype(np.float32), 1)
        for number, target in enumerate(targets):
            if target is None:
                continue
            for rows, truth in zip(target, (0.0, 1.0), strict=True):
                if len(rows):
                    some = rows if truth else self._random.choice(rows, min(len(rows), 64), replace=False)
                    error = (_share(logits[number, some]) - truth) / len(some)
                    pull[number, some] += (0.5 * _MASK_WEIGHT / len(places)) * error
        picture, place = np.nonzero(pull)
        at, inner, back = places[picture, place], hidden[picture, place], pull[picture, place]
        behind = (back[:, None] * second) * (inner > 0)
        self._update(
            [
                at.T @ behind + _DECAY * first,
                behind.sum(axis=0),
                inner.T @ back + _DECAY * second,
                back.sum(keepdims=True),
            ],
            rate,
        )

    def _update(self, gradients: Sequence[Floats], rate: float) -> None:
        self._steps += 1
        for number, gradient in enumerate(gradients):
            mean = self._means[number] = 0.9 * self._means[number] + 0.1 * gradient
            square = self._squares[number] = 0.99 * self._squares[number] + 0.01 * gradient**2
            corrected = np.sqrt(square / (1 - 0.99**self._steps)) + 1e-8
            self.weights[number] -= rate * (mean / (1 - 0.9**self._steps)) / corrected


def _share(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))
