"""A taught judge: the heads together, their calibration and operating point; in numpy, and as one ONNX model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.forest import forest_node
from apps.manufacturing.inspection.graph import Graph, append_features, tensor
from apps.manufacturing.inspection.heads import (
    Floats,
    Linear,
    MemoryBank,
    Whitening,
    append_smooth,
    append_top_mean,
    smooth,
    top_mean,
)
from apps.manufacturing.inspection.places import Places, append_worst, worst
from apps.manufacturing.inspection.texture import TEXTURE

PASS_QUALITY = 0.95
"""A part passes above this; the operating point is laid there."""

LOGIT_AT_PASS = math.log(PASS_QUALITY / (1 - PASS_QUALITY))


@dataclass(frozen=True)
class Judged:
    """Of n pictures: ``score`` (n,), the higher the worse; ``quality`` (n,) 0 to 1; ``heat`` (n, grid, grid).

    Heat is 1 where a place is as odd, or as like a defect, as the worst place of nearly all good parts.
    ``kinds`` (n, kinds) is how likely a defect is of which kind, where kinds were taught.
    """

    score: Floats
    quality: Floats
    heat: Floats
    kinds: Floats | None = None


@dataclass(frozen=True)
class Oddness:
    """How far a picture's texture stands out from that of good parts, upwards: a Mahalanobis distance.

    ``centre`` and ``scale`` (TEXTURE,) are those of good parts; ``root`` (TEXTURE, TEXTURE) is a root of the inverse
    of their covariance, drawn half way to that of independent numbers.
    """

    centre: Floats
    scale: Floats
    root: Floats

    def __call__(self, texture: NDArray[np.floating]) -> Floats:
        """Return (n,) for ``texture`` (n, TEXTURE)."""
        away = np.maximum((texture.astype(np.float32) - self.centre) / self.scale, 0) @ self.root
        return np.asarray(np.sqrt((away**2).sum(axis=1) + _FLOOR), np.float32)

    def append(self, graph: Graph, texture: str) -> str:
        """Append the same to a graph."""
        away = graph.node("Sub", texture, graph.constant(self.centre))
        away = graph.node("Relu", graph.node("Div", away, graph.constant(self.scale)))
        away = graph.node("MatMul", away, graph.constant(self.root))
        squares = graph.node("Mul", away, away)
        total = graph.node("ReduceSum", squares, graph.constant([1], np.int64), keepdims=0)
        return graph.node("Sqrt", graph.node("Add", total, graph.constant(_FLOOR)))


def fit_oddness(texture: Floats) -> Oddness:
    """Return what the texture (n, TEXTURE) of good parts is usually like."""
    centre, scale = np.median(texture, axis=0), texture.std(axis=0) + 1e-3
    away = (texture - centre) / scale
    covariance = np.cov(away.T) + np.eye(texture.shape[1])
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    return Oddness(centre.astype(np.float32), scale.astype(np.float32), root.astype(np.float32))


@dataclass(frozen=True)
class Features:
    """Of n pictures: ``pooled`` (n, POOLED), ``texture`` (n, TEXTURE), whitened ``places`` (n, grid, grid, C).

    ``pictures`` gives the prepared pictures themselves, (n, size, size, 3), to a network that was taught on them.
    """

    pooled: NDArray[np.floating]
    texture: NDArray[np.floating]
    places: NDArray[np.floating]
    pictures: Callable[[], NDArray[np.uint8]] | None = None


@dataclass(frozen=True)
class Kinds:
    """Which kind of defect a bad picture shows: a multinomial regression on pooled features and texture.

    ``names`` (k,), ``weight`` (C, k), ``bias`` (k,).
    """

    names: tuple[str, ...]
    weight: Floats
    bias: Floats

    def __call__(self, matrix: NDArray[np.floating]) -> Floats:
        """Return (n, k) shares that sum to 1."""
        logits = matrix.astype(np.float32) @ self.weight + self.bias
        risen = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(risen / risen.sum(axis=1, keepdims=True), np.float32)

    def append(self, graph: Graph, matrix: str) -> None:
        """Append the same to a graph, as ``kinds``."""
        logits = graph.node("MatMul", matrix, graph.constant(self.weight))
        graph.node("Softmax", graph.node("Add", logits, graph.constant(self.bias)), name="kinds", axis=1)


MOST_EVIDENCE = 8.0
"""Spreads of good parts, or a logit, from which on evidence is beyond doubt."""

ONE_CLASS = (0.35, 0.65)
"""How the oddness of places and of texture count where nothing is known of bad parts."""


@dataclass(frozen=True)
class Judge:
    """Heads and how they are joined.

    ``bank`` and ``oddness`` say how unlike good parts a picture is, each as a z-score of good parts; ``whole`` (on
    pooled features and texture) and ``places`` (at every place) how like bad ones; so does ``tuned``, a network taught
    on the parts themselves (``network.TunedNetwork``), where there is one. ``mix`` weighs them into the logit
    of a defect; ``forest``, where there is one, takes the same and the texture. What is odder than good parts ever
    are (``novelty_at``) is bad whatever else is said: so what was never seen is still rejected.
    ``places_at`` is the logit that the worst places of good parts nearly never pass (those that ``tuned`` judges, if
    it is there), ``heat_at`` their oddness.
    """

    whitening: Whitening
    bank: MemoryBank
    bank_z: tuple[float, float]
    oddness: Oddness
    oddness_z: tuple[float, float]
    whole: Linear | None = None
    places: Places | None = None
    places_at: float = 0.0
    kinds: Kinds | None = None
    forest: Any = None
    tuned: Any = None
    mix: tuple[float, ...] = ONE_CLASS
    mix_bias: float = 0.0
    novelty_at: float = math.inf
    threshold: float = 0.0
    slope: float = 1.0
    heat_at: float = 1.0

    def evidence(self, features: Features) -> tuple[Floats, Floats]:
        """Return what the heads say, (n, 2, 4 or 6), and the heat (n, grid, grid)."""
        odd = smooth(self.bank.heat(features.places))
        columns = [
            (top_mean(odd) - self.bank_z[0]) / self.bank_z[1],
            (self.oddness(features.texture) - self.oddness_z[0]) / self.oddness_z[1],
        ]
        heat = odd / np.float32(self.heat_at)
        if self.whole is not None and self.places is not None:
            columns.append(self.whole(_matrix(features)))
            like = self.places.heat(features.places)
            columns.append(worst(like))
            if self.tuned is not None and features.pictures is not None:
                *tuned, like = self.tuned.judge(features.pictures())
                columns += tuned
            heat = np.maximum(heat, 2 / (1 + np.exp(-np.clip(like - np.float32(self.places_at), -60, 60))))
        return np.stack(columns, axis=1).astype(np.float32), np.asarray(heat, np.float32)

    def score_of(self, evidence: Floats, texture: NDArray[np.floating]) -> Floats:
        """Join the evidence."""
        if self.forest is not None:
            shares = self.forest.predict_proba(np.hstack([evidence, texture]).astype(np.float32))[:, 1]
            joined = np.log((shares + _SOFT) / (1 - shares + _SOFT))
        else:
            joined = bounded(evidence) @ np.array(self.mix, np.float32) + np.float32(self.mix_bias)
        if not math.isinf(self.novelty_at):
            joined = np.maximum(joined, oddest(evidence) - np.float32(self.novelty_at))
        return np.asarray(joined, np.float32)

    def quality_of(self, score: Floats) -> Floats:
        """Return the quality: 0.95 at the operating point."""
        logit = self.slope * (self.threshold - score) + LOGIT_AT_PASS
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -60, 60))), np.float32)

    def __call__(self, features: Features) -> Judged:
        """Judge pictures by their features."""
        evidence, heat = self.evidence(features)
        score = self.score_of(evidence, features.texture)
        kinds = None if self.kinds is None else self.kinds(_matrix(features))
        return Judged(score, self.quality_of(score), heat, kinds)


def bounded(evidence: Floats) -> Floats:
    """Return the evidence as it is weighed: what is far beyond doubt counts no more than what is beyond it."""
    return np.clip(evidence, -MOST_EVIDENCE, MOST_EVIDENCE)


def plain(evidence: Floats) -> Floats:
    """Return how unlike good parts a picture is, (n,), from the first two columns of the evidence."""
    return np.asarray(evidence[:, :2] @ np.array(ONE_CLASS, np.float32), np.float32)


def oddest(evidence: Floats) -> Floats:
    """Return by how much a picture is unlike good parts in its places or in its texture, the more of both, (n,).

    What is ordinary in one must not hide what is odd in the other: a regular pattern, say, has no mark that stands out.
    """
    return np.asarray(evidence[:, :2].max(axis=1), np.float32)


def _matrix(features: Features) -> NDArray[np.floating]:
    return np.hstack([features.pooled.astype(np.float32), features.texture])


_SOFT = 0.01
"""Keeps the logit of a forest's share finite."""

_FLOOR = np.float32(1e-3)
"""Added under a root, which makes much of what is near 0."""


def judge_graph(judge: Judge, size: int) -> Any:
    """Return the whole as ONNX: ``picture`` (1, size, size, 3), ``texture`` -> ``score``, ``quality``, ``heat``.

    Where the judge knows kinds, ``kinds`` comes with them.
    """
    graph = Graph()
    pooled, local = append_features(graph, size)
    places = judge.whitening.append(graph, local)
    odd = append_smooth(graph, judge.bank.append(graph, places))
    columns = [
        _standardised(graph, append_top_mean(graph, odd), judge.bank_z),
        _standardised(graph, judge.oddness.append(graph, "texture"), judge.oddness_z),
    ]
    heat = graph.node("Div", odd, graph.constant(judge.heat_at))
    both = graph.node("Concat", pooled, "texture", axis=1)
    if judge.whole is not None and judge.places is not None:
        columns.append(judge.whole.append(graph, both))
        like = judge.places.append(graph, places)
        columns.append(append_worst(graph, like))
        if judge.tuned is not None:
            *tuned, like = judge.tuned.append(graph)
            columns += tuned
        share = graph.node("Sigmoid", graph.node("Sub", like, graph.constant(judge.places_at)))
        heat = graph.node("Max", heat, graph.node("Mul", share, graph.constant(2.0)))
    total = _joined(graph, judge, columns)
    if not math.isinf(judge.novelty_at):
        odder = graph.node("Sub", graph.node("Max", *columns[:2]), graph.constant(judge.novelty_at))
        total = graph.node("Max", total, odder)
    graph.node("Identity", total, name="score")
    below = graph.node("Sub", graph.constant(judge.threshold), total)
    logit = graph.node("Mul", below, graph.constant(judge.slope))
    graph.node("Sigmoid", graph.node("Add", logit, graph.constant(LOGIT_AT_PASS)), name="quality")
    graph.node("Identity", heat, name="heat")
    grid = size // 8
    outputs = [
        tensor("score", "float32", [1]),
        tensor("quality", "float32", [1]),
        tensor("heat", "float32", [1, grid, grid]),
    ]
    if judge.kinds is not None:
        judge.kinds.append(graph, both)
        outputs.append(tensor("kinds", "float32", [1, len(judge.kinds.names)]))
    inputs = [tensor("picture", "uint8", [1, size, size, 3]), tensor("texture", "float32", [1, TEXTURE])]
    return graph.model(inputs, outputs, "judge")


def _joined(graph: Graph, judge: Judge, columns: list[str]) -> str:
    """Append the joining of the evidence by weights or by a forest."""
    if judge.forest is None:
        limits = graph.constant(-MOST_EVIDENCE), graph.constant(MOST_EVIDENCE)
        columns = [graph.node("Clip", each, *limits) for each in columns]
        return _weighted(graph, columns, judge.mix, judge.mix_bias)
    rows = [graph.node("Unsqueeze", each, graph.constant([1], np.int64)) for each in columns]
    graph.node("Concat", *rows, "texture", name="forest_input", axis=1)
    graph.nodes += forest_node(judge.forest, "forest_input", "forest_shares")
    bad = graph.node("Gather", "forest_shares", graph.constant(1, np.int64), axis=1)
    upper = graph.node("Add", bad, graph.constant(_SOFT))
    lower = graph.node("Sub", graph.constant(1 + _SOFT), bad)
    return graph.node("Log", graph.node("Div", upper, lower))


def _weighted(graph: Graph, columns: list[str], weights: tuple[float, ...], bias: float) -> str:
    total = graph.constant(bias)
    for column, weight in zip(columns, weights, strict=True):
        total = graph.node("Add", total, graph.node("Mul", column, graph.constant(weight)))
    return total


def _standardised(graph: Graph, value: str, z: tuple[float, float]) -> str:
    return graph.node("Div", graph.node("Sub", value, graph.constant(z[0])), graph.constant(z[1]))
