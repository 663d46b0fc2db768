"""Several views of one picture -> one belief: calibrated probabilities, and a map of what speaks for the finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.findings import Calibration, View
from edgeai_core.metrics.calibration import softmax


@dataclass(frozen=True)
class Belief:
    """What is believed of one study.

    ``probabilities`` by class; ``finding`` is the likeliest class that is a finding and ``probability`` that of any
    finding at all; ``map`` (7, 7) from 0 to 1 is where the evidence for ``finding`` lies.
    """

    probabilities: dict[str, float]
    finding: str
    probability: float
    map: NDArray[np.float32]


def join(views: Sequence[View], classes: Sequence[str], nothing: int, calibration: Calibration) -> Belief:
    """Average the views' logits and evidence, and calibrate."""
    logits = np.mean([view.logits for view in views], axis=0)
    evidence = np.mean([view.evidence for view in views], axis=0)
    probabilities = softmax(logits[None], calibration.temperature)[0]
    findings = [number for number in range(len(classes)) if number != nothing]
    best = max(findings, key=lambda number: float(probabilities[number]))
    against = evidence[nothing] if len(findings) == 1 else np.delete(evidence, best, axis=0).mean(axis=0)
    return Belief(
        {name: float(value) for name, value in zip(classes, probabilities, strict=True)},
        classes[best],
        1.0 - float(probabilities[nothing]),
        relief(evidence[best] - against),
    )


def relief(evidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return what speaks for a finding, from 0 (nothing, or against it) to 1 (the most)."""
    positive = np.maximum(evidence, 0.0)
    return np.asarray(positive / max(float(positive.max()), 1e-6), dtype=np.float32)
