"""Heads on the backbone's features: what is unlike good parts, and what is like bad ones; each taught, run and written.

Every head computes the same twice: in numpy where it is taught, as nodes of the graph where it ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apps.manufacturing.inspection.graph import Graph
from edgeai_core.errors import InputError

Floats = NDArray[np.float32]

BANK = 1500
"""Patches of good parts that are remembered."""

COMPONENTS = 96
"""Directions of a place's features that are kept, each with spread 1: their noisy rest tells nothing."""

NEAR = 64
"""Of them, those by which a place is compared with places remembered."""

TOP = 5
"""The score of a picture is the mean of its so many most conspicuous places: one alone is noise."""

_POOL = 20_000
_RIDGE = 0.1
_FLOOR = np.float32(0.01)
"""Added to squared distances: engines round differently near 0, and a root makes much of it."""


@dataclass(frozen=True)
class Whitening:
    """Brings the features of places to equal spread: ``centre`` (C,), ``basis`` (C, components).

    What every head of places sees; so it is done once, and its result is kept in half precision while they are taught.
    """

    centre: Floats
    basis: Floats

    def __call__(self, local: NDArray[np.floating]) -> Floats:
        """Return (..., components) of ``local`` (..., C)."""
        return np.asarray((local.astype(np.float32) - self.centre) @ self.basis, np.float32)

    def append(self, graph: Graph, local: str) -> str:
        """Append the same to a graph."""
        return graph.node(
            "MatMul", graph.node("Sub", local, graph.constant(self.centre)), graph.constant(self.basis)
        )


def fit_whitening(places: Floats) -> Whitening:
    """Return what brings ``places`` (n, C) to equal spread along their largest COMPONENTS directions."""
    centre = places.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((places - centre).T))
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    basis = vectors / np.sqrt(np.maximum(values, 0) + _RIDGE * values.mean())
    return Whitening(centre.astype(np.float32), basis.astype(np.float32))


@dataclass(frozen=True)
class MemoryBank:
    """Distance of every place to the nearest remembered place of a good part: ``bank`` (n, at most NEAR).

    PatchCore (K. Roth et al., CVPR 2022) on whitened places.
    """

    bank: Floats

    def heat(self, places: NDArray[np.floating]) -> Floats:
        """Return (n, grid, grid) distances of whitened ``places`` (n, grid, grid, components)."""
        out = np.empty(places.shape[:3], np.float32)
        lengths = (self.bank**2).sum(axis=1)
        near = self.bank.shape[1]
        for number, each in enumerate(places):
            flat = each.reshape(-1, each.shape[-1])[:, :near].astype(np.float32)
            squared = (flat**2).sum(axis=1) + (lengths - 2 * flat @ self.bank.T).min(axis=1)
            out[number] = np.sqrt(np.maximum(squared, 0) + _FLOOR).reshape(each.shape[:2])
        return out

    def append(self, graph: Graph, places: str) -> str:
        """Append the same to a graph; return the name of the heat (n, grid, grid)."""
        limits = ([0], [self.bank.shape[1]], [3])
        projected = graph.node("Slice", places, *(graph.constant(each, np.int64) for each in limits))
        cross = graph.node("MatMul", projected, graph.constant(-2 * self.bank.T))
        cross = graph.node("Add", cross, graph.constant((self.bank**2).sum(axis=1)))
        nearest = graph.node("ReduceMin", cross, axes=[3], keepdims=0)
        own = graph.node(
            "ReduceSum", graph.node("Mul", projected, projected), graph.constant([3], np.int64), keepdims=0
        )
        squared = graph.node("Relu", graph.node("Add", own, nearest))
        return graph.node("Sqrt", graph.node("Add", squared, graph.constant(_FLOOR)))


def fit_bank(pictures: Sequence[NDArray[np.floating]], seed: int) -> MemoryBank:
    """Return the bank of good parts, from whitened places, each (grid, grid, C), spread out greedily (k-centre)."""
    random = np.random.default_rng(seed)
    flat = [picture.reshape(-1, picture.shape[-1])[:, :NEAR] for picture in pictures]
    each = max(1, min(len(flat[0]), _POOL // len(flat)))
    pool = np.concatenate(
        [places[random.choice(len(places), each, replace=False)] for places in flat]
    ).astype(np.float32)
    if len(pool) > _POOL:
        pool = pool[random.choice(len(pool), _POOL, replace=False)]
    return MemoryBank(pool[_spread_out(pool, min(BANK, (len(pool) + 1) // 2), random)])


def _spread_out(points: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    chosen = np.empty(count, np.int64)
    chosen[0] = random.integers(len(points))
    lengths = (points**2).sum(axis=1)
    distance = np.full(len(points), np.inf, np.float32)
    for number in range(count):
        if number:
            chosen[number] = int(distance.argmax())
        at = points[chosen[number]]
        np.minimum(distance, lengths - 2 * points @ at + at @ at, out=distance)
    return chosen


@dataclass(frozen=True)
class Linear:
    """A logistic regression: ``features @ weight + bias`` is the logit of a defect. ``weight`` (C,)."""

    weight: Floats
    bias: float

    def __call__(self, features: NDArray[np.floating]) -> Floats:
        """Return the logits of ``features`` (..., C)."""
        return np.asarray(features.astype(np.float32) @ self.weight + np.float32(self.bias), np.float32)

    def append(self, graph: Graph, features: str) -> str:
        """Append the same to a graph."""
        product = graph.node("MatMul", features, graph.constant(self.weight))
        return graph.node("Add", product, graph.constant(self.bias))


def fit_linear(features: NDArray[np.floating], labels: ArrayLike, strength: float) -> Linear:
    """Return an L2-regularised logistic regression on features of equal spread, classes weighted alike."""
    from sklearn.linear_model import LogisticRegression

    truth = np.asarray(labels)
    if truth.all() or not truth.any():
        raise InputError("a classifier needs good and bad pictures")
    rows = features.astype(np.float32)
    shift, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-4
    fitted = LogisticRegression(C=strength, max_iter=400, class_weight="balanced")
    fitted.fit((rows - shift) / scale, truth)
    weight = fitted.coef_[0] / scale
    bias = float(fitted.intercept_[0] - (weight * shift).sum())
    return Linear(weight.astype(np.float32), bias)


def smooth(heat: Floats) -> Floats:
    """Return the mean over 3 x 3 places, at the border over those that are there."""
    import cv2

    ones = cv2.blur(np.ones(heat.shape[1:], np.float32), (3, 3), borderType=cv2.BORDER_CONSTANT)
    return np.stack([cv2.blur(each, (3, 3), borderType=cv2.BORDER_CONSTANT) / ones for each in heat])


def top_mean(heat: Floats) -> Floats:
    """Return the mean of the TOP most conspicuous places of each picture, (n,)."""
    flat = heat.reshape(len(heat), -1)
    return np.asarray(np.partition(flat, -TOP, axis=1)[:, -TOP:].mean(axis=1), np.float32)


def append_smooth(graph: Graph, heat: str) -> str:
    """Append ``smooth`` to a graph."""
    planes = graph.node("Unsqueeze", heat, graph.constant([1], np.int64))
    mean = graph.node("AveragePool", planes, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=0)
    return graph.node("Squeeze", mean, graph.constant([1], np.int64))


def append_top_mean(graph: Graph, heat: str) -> str:
    """Append ``top_mean`` to a graph."""
    flat = graph.node("Flatten", heat, axis=1)
    values = graph.node("TopK", flat, graph.constant([TOP], np.int64), axis=1)
    graph.nodes[-1].output.append(f"{values}_indices")
    return graph.node("ReduceMean", values, axes=[1], keepdims=0)
