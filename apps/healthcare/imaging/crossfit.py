"""Out-of-fold logits: every picture judged by a network that has not seen its group. Needs torch (extra ``train``)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.datasets import CLASSES, Dataset
from apps.healthcare.imaging.findings import Calibration
from apps.healthcare.imaging.methods import METHODS, Features
from apps.healthcare.imaging.training import Recipe
from edgeai_core.app import Progress
from edgeai_core.metrics.calibration import fit_temperature, softmax
from edgeai_core.metrics.curves import threshold_at
from edgeai_core.metrics.splits import Fold, grouped_folds

SPECIFICITY = {"xray": 0.99, "ct": None, "mri": None}
"""What a threshold is chosen for, on pictures the network has not seen: of normal films at most 1 in 100 is called ill,
for normal films of other years look more like ill ones than those of the training year do. None: as many ill ones
are missed as healthy ones are called."""

GREY_LOG_ODDS = 0.7
"""Within a factor of 2 of the threshold's odds nobody is told either way."""


@dataclass(frozen=True)
class OutOfFold:
    """Logits (n, classes) of every picture, and the fold each was judged in, (n,)."""

    logits: NDArray[np.float64]
    fold: NDArray[np.int64]


def out_of_fold(
    dataset: Dataset, kept: Features, recipe: Recipe, folds: int, progress: Progress, *,
    work: Path | None = None, leaky: bool = False,
) -> OutOfFold:  # fmt: skip
    """Train once for each fold, on the others. ``leaky``: folds of single pictures, whatever belongs together.

    With ``work`` each fold's logits are kept there, and an interrupted run goes on from them.
    """
    groups = [f"row {n}" if leaky else item.group for n, item in enumerate(dataset.items)]
    labels = dataset.labels
    logits = np.zeros((len(labels), len(CLASSES[dataset.modality])))
    numbers = np.zeros(len(labels), dtype=np.int64)
    for number, fold in enumerate(grouped_folds(groups, labels.tolist(), folds, recipe.seed)):
        path = None if work is None else work / f"{_name(dataset, kept, recipe, fold)}.npy"
        if path is not None and path.exists():
            logits[fold.test] = np.load(path)
        else:
            method = METHODS[dataset.modality]
            network = method.teach(
                kept,
                labels,
                fold.train,
                dataset.modality,
                recipe,
                progress,
                f"training fold {number + 1} of {folds}",
            )
            logits[fold.test] = method.predict(network, kept, fold.test)
            if path is not None:
                np.save(path, logits[fold.test])
        numbers[fold.test] = number
    return OutOfFold(logits, numbers)


def calibrate(logits: NDArray[np.float64], labels: NDArray[np.int64], modality: str) -> Calibration:
    """Return temperature, threshold and grey zone from logits of pictures that the network had not seen."""
    temperature = fit_temperature(logits, labels)
    ill = 1.0 - softmax(logits, temperature)[:, 0]
    truth = (labels != 0).astype(int)
    wanted = SPECIFICITY[modality]
    if wanted is not None:
        threshold = threshold_at(truth, ill, specificity=wanted).threshold
    else:
        threshold = _balanced(truth, ill)
    threshold = float(np.clip(threshold, 0.05, 0.95))
    log_odds = float(np.log(threshold / (1 - threshold)))
    low, high = (1 / (1 + np.exp(-(log_odds + way * GREY_LOG_ODDS))) for way in (-1, 1))
    return Calibration(temperature, threshold, float(low), float(high))


def calls(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Return class numbers: nothing found below the threshold of any finding, else the likeliest finding."""
    likeliest = 1 + probabilities[:, 1:].argmax(axis=1)
    return np.where(1.0 - probabilities[:, 0] >= threshold, likeliest, 0)


def _balanced(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the threshold at which sensitivity and specificity are nearest to each other."""
    points = np.unique(scores)
    sensitivity = np.array([(scores[truth == 1] >= point).mean() for point in points])
    specificity = np.array([(scores[truth == 0] < point).mean() for point in points])
    return float(points[np.abs(sensitivity - specificity).argmin()])


def _name(dataset: Dataset, kept: Features, recipe: Recipe, fold: Fold) -> str:
    digest = hashlib.sha256(
        f"{dataset.modality} {kept.shape} {recipe.epochs} {recipe.seed} {recipe.learning_rate}".encode()
    )
    digest.update(fold.train.tobytes())
    digest.update(dataset.labels.tobytes())
    return f"fold-{dataset.modality}-{digest.hexdigest()[:16]}"
