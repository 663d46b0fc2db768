"""How the evidence of heads is joined into one score: by weights or by a forest, judged on parts they had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.forest import fit_forest
from apps.manufacturing.inspection.heads import Floats, fit_linear
from apps.manufacturing.inspection.judge import bounded
from edgeai_core.metrics.splits import Fold

_STRENGTH = 1.0

_CLEARLY = 0.01
"""A forest, whose scores are coarse, must beat the linear mix by so much area under the curve."""


def best_mix(tried: Mapping[str, float], method: str) -> str:
    """Return the way with the largest area under the curve; what costs more must be better."""
    if method == "fine-tuned":
        return method
    heads = "forest" if tried["forest"] > tried["linear"] + _CLEARLY else "linear"
    return "fine-tuned" if tried.get("fine-tuned", 0.0) > tried[heads] else heads


def linear_mix(
    evidence: Floats,
    again: Floats,
    parent: NDArray[np.int64],
    truth: NDArray[np.int64],
    parts: Sequence[Fold],
) -> tuple[Floats, dict[str, Any]]:
    """Weigh the evidence; good pictures count as JPEG too (``again``, each of the picture ``parent``)."""
    out = np.zeros(len(truth), np.float32)
    rows = bounded(np.vstack([evidence, again]))
    labels = np.concatenate([truth, np.zeros(len(again), np.int64)])
    of = np.concatenate([np.arange(len(truth)), parent])
    for part in parts:
        inside = np.isin(of, part.train)
        if labels[inside].any() and not labels[inside].all():
            out[part.test] = fit_linear(rows[inside], labels[inside], _STRENGTH)(bounded(evidence[part.test]))
    mix = fit_linear(rows, labels, _STRENGTH)
    return out, {"mix": tuple(float(each) for each in mix.weight), "mix_bias": mix.bias}


def forest_mix(
    evidence: Floats,
    texture: Floats,
    truth: NDArray[np.int64],
    parts: Sequence[Fold],
    seed: int,
    threads: int,
) -> tuple[Floats, dict[str, Any]]:
    """Teach a forest on evidence and texture."""
    matrix = np.hstack([evidence, texture]).astype(np.float32)
    out = np.full(len(truth), truth.mean(), np.float32)
    for part in parts:
        if len(set(truth[part.train])) == 2:
            forest = fit_forest(matrix[part.train], truth[part.train], seed, threads)
            out[part.test] = forest.predict_proba(matrix[part.test])[:, 1]
    whole = fit_forest(matrix, truth, seed, threads)
    return np.log((out + 0.01) / (1.01 - out)).astype(np.float32), {"forest": whole}
