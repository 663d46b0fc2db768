"""A small network of arrays: one hidden layer, taught in numpy wherever the data are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import EdgeAIError, InputError
from edgeai_core.learning.continual import Samples

Weights = tuple[NDArray[np.float32], ...]
"""``first`` (d, hidden), its bias (hidden,), ``last`` (hidden, k), its bias (k,)."""


@dataclass(frozen=True)
class FitOptions:
    """How to teach: ``passes`` in batches, by Adam (D. Kingma and J. Ba, ICLR 2015), every class weighing the same."""

    passes: int = 1
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    seed: int = 0


def fresh_weights(features: int, hidden: int, classes: int, seed: int = 0) -> Weights:
    """Return weights to begin with (K. He et al., ICCV 2015)."""
    random = np.random.default_rng(seed)
    arrays = (
        random.normal(0, np.sqrt(2 / features), (features, hidden)), np.zeros(hidden),
        random.normal(0, np.sqrt(1 / hidden), (hidden, classes)), np.zeros(classes),
    )  # fmt: skip
    return tuple(np.asarray(each, np.float32) for each in arrays)


def logits(weights: Weights, features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (n, k) for ``features`` (n, d)."""
    first, first_bias, last, last_bias = weights
    hidden = np.maximum(np.asarray(features, np.float32) @ first + first_bias, 0)
    return np.asarray(hidden @ last + last_bias, np.float32)


def taught(weights: Weights, samples: Samples, options: FitOptions) -> Weights:
    """Return the weights after some passes over the samples. The same arguments give the same weights.

    Raises InputError without samples, EdgeAIError where the loss is no longer a number.
    """
    if not len(samples):
        raise InputError("no samples to learn from")
    classes = len(weights[3])
    counts = np.bincount(samples.labels, minlength=classes)
    if len(counts) > classes:
        raise InputError(f"label {samples.labels.max()}; there are {classes} classes")
    weight_of = len(samples) / np.maximum(counts, 1) / (counts > 0).sum()
    now = [each.copy() for each in weights]
    mean, square = ([np.zeros_like(each) for each in now] for _ in range(2))
    random = np.random.default_rng(options.seed)
    steps = 0
    for _ in range(options.passes):
        order = random.permutation(len(samples))
        for start in range(0, len(order), options.batch):
            rows = order[start : start + options.batch]
            labels = samples.labels[rows]
            gradients = _gradients(now, samples.features[rows], labels, weight_of[labels].astype(np.float32))
            steps += 1
            for place, gradient in enumerate(gradients):
                mean[place] += 0.1 * (gradient - mean[place])
                square[place] += 0.001 * (gradient * gradient - square[place])
                away = (mean[place] / (1 - 0.9**steps)) / (np.sqrt(square[place] / (1 - 0.999**steps)) + 1e-8)
                decay = options.weight_decay * now[place] if now[place].ndim == 2 else 0.0
                now[place] = (now[place] - options.learning_rate * (away + decay)).astype(np.float32)
    if not all(np.isfinite(each).all() for each in now):
        raise EdgeAIError("the weights are no longer numbers; lower the rate of learning")
    return tuple(now)


def _gradients(
    now: Sequence[NDArray[np.float32]],
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> list[Any]:
    first, first_bias, last, last_bias = now
    hidden = np.maximum(features @ first + first_bias, 0)
    out = hidden @ last + last_bias
    shares = np.exp(out - out.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    error = shares * (weight / weight.sum())[:, None]
    back = (error @ last.T) * (hidden > 0)
    return [features.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
