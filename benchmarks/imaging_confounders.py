"""Does the network for chest films read the lungs? Films of split val whole, without their margin, and as margin alone.

python -m benchmarks.imaging_confounders DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from apps.healthcare.imaging.datasets import load
from apps.healthcare.imaging.findings import FindingClassifier
from apps.healthcare.imaging.loop import NETWORKS
from apps.healthcare.imaging.preprocess import Prepared, prepare
from apps.healthcare.imaging.triage import believe
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.runners.onnx import OnnxRunner

_FILMS = 120
_MARGIN = 32
"""Pixels of 224: one of the seven places of the map."""


def main(folder: Path) -> None:
    """Print the table."""
    classifier = FindingClassifier(OnnxRunner(NETWORKS["xray"]), "xray")
    held = load(folder, "xray", lambda *_: None).of("val")
    chosen = np.random.default_rng(0).permutation(len(held.items))[:_FILMS]
    ill = (held.labels[chosen] != 0).astype(int)
    middle = (slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    scores: dict[str, list[float]] = {
        "whole film": [],
        "margin blanked": [],
        "margin alone, lungs blanked": [],
    }
    for row in chosen:
        prepared = prepare(held.items[row].grey, "xray")
        square = prepared.square
        inner = np.full_like(square, square.mean())
        inner[middle] = square[middle]
        outer = square.copy()
        outer[middle] = square[middle].mean()
        for name, shown in zip(scores, (square, inner, outer), strict=True):
            scores[name].append(believe(classifier, Prepared(shown, prepared.box)).probability)
    threshold = classifier.calibration.threshold
    print(f"{len(chosen)} films{'AUC':>33} {'sensitivity':>12} {'specificity':>12}")
    for name, values in scores.items():
        found = np.array(values)
        hit, clear = (found[ill == 1] >= threshold).mean(), (found[ill == 0] < threshold).mean()
        print(f"{name:38} {roc_auc(ill, found):5.3f} {hit:12.3f} {clear:12.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
