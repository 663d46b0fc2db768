"""How the network for few pictures is taught: variations of every picture, pooled, and machines fitted to them.

The same three steps as ``training``: features, teach, predict. Needs torch (extra ``train``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apps.healthcare.imaging.datasets import CLASSES, Dataset
from apps.healthcare.imaging.kernel_network import KernelNetwork, PooledFeatures, fit_machines, width_of
from apps.healthcare.imaging.network import TriageNetwork, load_imagenet
from apps.healthcare.imaging.training import PLAIN, Recipe, as_function, fingerprint, squares
from edgeai_core.app import Progress

STAGES = (5, 8, 11)
"""The blocks whose outputs are pooled; chosen for CT by cross-validation, where others give much the same."""

COST = 4.0
"""What an example on the wrong side costs (C); with the features' own width the result hardly depends on it."""

_COPIES = 4
_EXAMPLES = (0, PLAIN, PLAIN + 1)
"""Of every picture itself and two variations are examples: more make the file larger, not the calls better."""


def features(
    dataset: Dataset, copies: int, seed: int, work: Path, progress: Progress
) -> NDArray[np.floating]:
    """Return what every picture's variations look like, (2 + copies, n, features); kept in ``work``."""
    copies = min(copies, _COPIES)
    path = work / f"{dataset.modality}-pooled-{fingerprint(dataset, copies, seed)}.npy"
    if path.exists():
        return np.asarray(np.load(path))
    run = as_function(PooledFeatures(base(), STAGES))
    kept = np.zeros((PLAIN + copies, len(dataset.items), width_of(STAGES)), dtype=np.float32)
    for place, number, square in squares(dataset, copies, seed, progress):
        kept[place, number] = run(square)[0]
    np.save(path, kept)
    return kept


def teach(
    kept: NDArray[np.floating], labels: NDArray[np.int64], rows: NDArray[np.int64], modality: str, recipe: Recipe,
    progress: Progress, label: str,
) -> KernelNetwork:  # fmt: skip
    """Return a network whose machines are fitted to some rows of the features."""
    progress(label, 0, 1)
    places = [place for place in _EXAMPLES if place < len(kept)]
    examples = np.concatenate([kept[place][rows] for place in places]).astype(np.float32)
    network = fit_machines(
        base(), STAGES, examples, np.tile(labels[rows], len(places)), len(CLASSES[modality]), COST
    )
    progress(label, 1, 1)
    return network


def predict(
    network: KernelNetwork, kept: NDArray[np.floating], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return logits (rows, classes) as they are at work: the mean of a picture's and its mirror image's."""
    with torch.no_grad():
        results = [
            network.judge(torch.from_numpy(np.asarray(kept[place][rows], dtype=np.float32))).numpy()
            for place in range(PLAIN)
        ]
    return np.asarray(np.mean(results, axis=0), dtype=np.float64)


def base() -> TriageNetwork:
    """Return the network as ImageNet left it."""
    network = TriageNetwork(2)
    load_imagenet(network)
    network.eval()
    return network
