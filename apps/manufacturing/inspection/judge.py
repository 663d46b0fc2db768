"""A taught judge: the heads together, their calibration and operating point; in numpy, and as one ONNX model."""

from __future__ import annotations

import math
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
    append_smooth,
    append_top_mean,
    smooth,
    top_mean,
)
from apps.manufacturing.inspection.texture import TEXTURE

PASS_QUALITY = 0.95
"""A part passes above this; the operating point is laid there."""

_LOGIT_AT_PASS = math.log(PASS_QUALITY / (1 - PASS_QUALITY))


@dataclass(frozen=True)
class Judged:
    """Of n pictures: ``score`` (n,), the higher the worse; ``quality`` (n,) 0 to 1; ``heat`` (n, grid, grid).

    Heat is 1 where a place is as odd as the oddest place of nearly all good parts.
    """

    score: Floats
    quality: Floats
    heat: Floats


@dataclass(frozen=True)
class Oddness:
    """How far a picture's texture stands out from that of good parts: the mean of its TOP highest numbers.

    ``centre`` and ``scale`` (TEXTURE,) are those of good parts.
    """

    centre: Floats
    scale: Floats

    def __call__(self, texture: NDArray[np.floating]) -> Floats:
        """Return (n,) for ``texture`` (n, TEXTURE)."""
        return top_mean((texture.astype(np.float32) - self.centre) / self.scale)

    def append(self, graph: Graph, texture: str) -> str:
        """Append the same to a graph."""
        away = graph.node("Sub", texture, graph.constant(self.centre))
        return append_top_mean(graph, graph.node("Div", away, graph.constant(self.scale)))


@dataclass(frozen=True)
class Features:
    """Of n pictures: ``pooled`` (n, POOLED), ``texture`` (n, TEXTURE), ``local`` (n, grid, grid, LOCAL)."""

    pooled: NDArray[np.floating]
    texture: NDArray[np.floating]
    local: NDArray[np.floating]

    def rows(self, which: NDArray[np.int64]) -> Features:
        """Return some of the pictures."""
        return Features(self.pooled[which], self.texture[which], self.local[which])


@dataclass(frozen=True)
class Judge:
    """Heads and how they are joined.

    ``bank`` and ``oddness`` say how unlike good parts a picture is, each as a z-score of good parts; ``whole`` (on
    pooled features and texture) how like bad ones. ``mix`` weighs the three into the logit of a defect; ``forest``,
    where there is one, takes the same three and the texture. What is odder than good parts ever are (``novelty_at``)
    is bad whatever else is said: so what was never seen is still rejected.
    """

    bank: MemoryBank
    bank_z: tuple[float, float]
    oddness: Oddness
    oddness_z: tuple[float, float]
    whole: Linear | None = None
    forest: Any = None
    mix: tuple[float, ...] = (0.5, 0.5)
    mix_bias: float = 0.0
    novelty_at: float = math.inf
    threshold: float = 0.0
    slope: float = 1.0
    heat_at: float = 1.0

    def evidence(self, features: Features) -> tuple[Floats, Floats]:
        """Return what the heads say, (n, len(mix)), and the heat (n, grid, grid)."""
        odd = smooth(self.bank.heat(features.local))
        columns = [
            (top_mean(odd) - self.bank_z[0]) / self.bank_z[1],
            (self.oddness(features.texture) - self.oddness_z[0]) / self.oddness_z[1],
        ]
        if self.whole is not None:
            columns.append(self.whole(np.hstack([features.pooled, features.texture])))
        return np.stack(columns, axis=1).astype(np.float32), odd / np.float32(self.heat_at)

    def score_of(self, evidence: Floats, texture: NDArray[np.floating]) -> Floats:
        """Join the evidence."""
        if self.forest is not None:
            shares = self.forest.predict_proba(np.hstack([evidence, texture]).astype(np.float32))[:, 1]
            joined = np.log((shares + _SOFT) / (1 - shares + _SOFT))
        else:
            joined = evidence @ np.array(self.mix, np.float32) + np.float32(self.mix_bias)
        if not math.isinf(self.novelty_at):
            joined = np.maximum(joined, evidence[:, 0] - np.float32(self.novelty_at))
        return np.asarray(joined, np.float32)

    def quality_of(self, score: Floats) -> Floats:
        """Return the quality: 0.95 at the operating point."""
        logit = self.slope * (self.threshold - score) + _LOGIT_AT_PASS
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -60, 60))), np.float32)

    def __call__(self, features: Features) -> Judged:
        """Judge pictures by their features."""
        evidence, heat = self.evidence(features)
        score = self.score_of(evidence, features.texture)
        return Judged(score, self.quality_of(score), heat)


_SOFT = 0.01
"""Keeps the logit of a forest's share finite."""


def judge_graph(judge: Judge, size: int) -> Any:
    """Return the whole as ONNX: ``picture`` (1, size, size, 3) uint8, ``texture`` -> ``score``, ``quality``, ``heat``."""
    graph = Graph()
    pooled, local = append_features(graph, size)
    odd = append_smooth(graph, judge.bank.append(graph, local))
    columns = [
        _standardised(graph, append_top_mean(graph, odd), judge.bank_z),
        _standardised(graph, judge.oddness.append(graph, "texture"), judge.oddness_z),
    ]
    if judge.whole is not None:
        both = graph.node("Concat", pooled, "texture", axis=1)
        columns.append(judge.whole.append(graph, both))
    if judge.forest is not None:
        rows = [graph.node("Unsqueeze", each, graph.constant([1], np.int64)) for each in columns]
        graph.node("Concat", *rows, "texture", name="forest_input", axis=1)
        graph.nodes += forest_node(judge.forest, "forest_input", "forest_shares")
        bad = graph.node("Gather", "forest_shares", graph.constant(1, np.int64), axis=1)
        upper = graph.node("Add", bad, graph.constant(_SOFT))
        lower = graph.node("Sub", graph.constant(1 + _SOFT), bad)
        total = graph.node("Log", graph.node("Div", upper, lower))
    else:
        total = graph.constant(judge.mix_bias)
        for column, weight in zip(columns, judge.mix, strict=True):
            total = graph.node("Add", total, graph.node("Mul", column, graph.constant(weight)))
    if not math.isinf(judge.novelty_at):
        over = graph.node("Sub", columns[0], graph.constant(judge.novelty_at))
        total = graph.node("Max", total, over)
    graph.node("Identity", total, name="score")
    below = graph.node("Sub", graph.constant(judge.threshold), total)
    logit = graph.node("Mul", below, graph.constant(judge.slope))
    graph.node("Sigmoid", graph.node("Add", logit, graph.constant(_LOGIT_AT_PASS)), name="quality")
    graph.node("Div", odd, graph.constant(judge.heat_at), name="heat")
    grid = size // 8
    return graph.model(
        [tensor("picture", "uint8", [1, size, size, 3]), tensor("texture", "float32", [1, TEXTURE])],
        [
            tensor("score", "float32", [1]),
            tensor("quality", "float32", [1]),
            tensor("heat", "float32", [1, grid, grid]),
        ],
        "judge",
    )


def _standardised(graph: Graph, value: str, z: tuple[float, float]) -> str:
    return graph.node("Div", graph.node("Sub", value, graph.constant(z[0])), graph.constant(z[1]))
