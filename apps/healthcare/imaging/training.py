"""How a network is taught: variations of every picture go once through the part that stays, the rest learns from them.

The lower blocks keep what ImageNet taught them: they see edges and textures, and with few pictures from few
sources they would only learn the sources. What comes out of them is kept on disk, so a training costs the upper
blocks alone. Needs torch (extra ``train``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apps.healthcare.imaging.augment import augment
from apps.healthcare.imaging.datasets import CLASSES, Dataset
from apps.healthcare.imaging.network import TriageNetwork, load_imagenet
from apps.healthcare.imaging.preprocess import SIDE, prepare
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.export import export_onnx
from edgeai_core.learning.training import FitOptions, class_weights, fit

FROZEN: Mapping[str, int] = {"xray": 11, "ct": 11, "mri": 8}
"""Blocks that stay, of 16, by modality: all whose places are finer than 14 x 14, and some at 14 x 14."""

EPOCHS: Mapping[str, int] = {"xray": 8, "ct": 8, "mri": 24}
"""Passes over all pictures where none are asked for. Of MR slices there are half as many, of twice the classes: after
8 passes what they vary in is not learned yet."""

PLAIN = 2
"""The first entries of the features are the picture itself and its mirror image; variations follow."""

_BATCH = 32
_PLAIN_SHARE = 0.25
_SMOOTHING = 0.05
_MIXING = 0.2
"""Parameter of the beta distribution of H. Zhang et al., mixup, ICLR 2018."""


@dataclass(frozen=True)
class Recipe:
    """How to train: what of the options matters here."""

    epochs: int
    seed: int
    threads: int
    learning_rate: float = 4e-4


def features(dataset: Dataset, copies: int, seed: int, work: Path, progress: Progress) -> NDArray[np.float16]:
    """Return what the lower blocks make of every picture, (2 + copies, n, channels, 14, 14); kept in ``work``."""
    path = work / f"{dataset.modality}-{fingerprint(dataset, copies, seed)}.npy"
    if path.exists():
        return np.asarray(np.load(path, mmap_mode="r"))
    run = as_function(_Lower(FROZEN[dataset.modality]))
    fresh = path.with_suffix(".new.npy")
    places = run(np.zeros((1, 1, SIDE, SIDE), np.float32))[0].shape
    kept = np.lib.format.open_memmap(fresh, "w+", np.float16, (PLAIN + copies, len(dataset.items), *places))
    for place, number, square in squares(dataset, copies, seed, progress):
        kept[place, number] = run(square)[0]
    kept.flush()
    fresh.rename(path)
    return kept


def squares(
    dataset: Dataset, copies: int, seed: int, progress: Progress
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield (place, row, square (1, 1, 224, 224)): every picture, its mirror image, and its variations."""
    rng = np.random.default_rng(seed)
    pictures = [item.grey for item in dataset.items]
    donors = [item.grey for item in dataset.items if item.split not in ("val", "test")] or pictures
    for place in range(PLAIN + copies):
        for number, grey in enumerate(pictures):
            varied = grey if place < PLAIN else augment(grey, donors, dataset.modality, rng)
            square = prepare(varied, dataset.modality).square
            shown = square[:, ::-1] if place == 1 else square
            yield place, number, np.ascontiguousarray(shown)[None, None]
            done = place * len(pictures) + number + 1
            progress("looking at variations", done, (PLAIN + copies) * len(pictures))


def teach(
    kept: NDArray[np.float16], labels: NDArray[np.int64], rows: NDArray[np.int64], modality: str, recipe: Recipe,
    progress: Progress, label: str,
) -> TriageNetwork:  # fmt: skip
    """Return a network taught on some rows of the features."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    network = TriageNetwork(len(CLASSES[modality]))
    load_imagenet(network)
    network.freeze(FROZEN[modality])
    network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    weights = torch.from_numpy(class_weights(np.bincount(labels[rows], minlength=len(CLASSES[modality]))))

    def batches(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = np.random.default_rng((recipe.seed, epoch))
        shuffled = rng.permutation(rows)
        for start in range(0, len(shuffled), _BATCH):
            chosen = shuffled[start : start + _BATCH]
            plain = rng.random(len(chosen)) < _PLAIN_SHARE
            places = np.where(
                plain, rng.integers(PLAIN, size=len(chosen)), rng.integers(PLAIN, len(kept), len(chosen))
            )
            yield _mixed(_stacked(kept, places, chosen), labels[chosen], weights, rng)

    def loss(network: Any, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        logits, _ = network.after(batch[0], network.frozen)
        return -(batch[1] * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()

    steps = -(-len(rows) // _BATCH)
    options = FitOptions(
        recipe.epochs, steps, recipe.learning_rate, weight_decay=0.02, warm_up=0.1, average=0.98, seed=recipe.seed,
        threads=recipe.threads,
    )  # fmt: skip
    fit(network, batches, loss, options, progress, label=label)
    return network


def predict(
    network: TriageNetwork, kept: NDArray[np.float16], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return logits (rows, classes) as they are at work: the mean of a picture's and its mirror image's."""
    network.eval()
    results = []
    with torch.no_grad():
        for place in range(PLAIN):
            parts = [
                network.after(_stacked(kept, np.full(len(some), place), some), network.frozen)[0].numpy()
                for some in np.array_split(rows, max(len(rows) // 64, 1))
            ]
            results.append(np.concatenate(parts))
    return np.asarray(np.mean(results, axis=0), dtype=np.float64)


def _stacked(kept: NDArray[np.float16], places: NDArray[np.int64], rows: NDArray[np.int64]) -> torch.Tensor:
    some = np.stack([kept[place, row] for place, row in zip(places, rows, strict=True)]).astype(np.float32)
    return torch.from_numpy(some).contiguous(memory_format=torch.channels_last)


def _mixed(
    inputs: torch.Tensor, labels: NDArray[np.int64], weights: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix every picture with another of the batch; targets are smoothed and weighted by class."""
    classes = len(weights)
    truth = torch.from_numpy(labels)
    target = torch.nn.functional.one_hot(truth, classes).float() * (1 - _SMOOTHING) + _SMOOTHING / classes
    target = target * weights[truth][:, None]
    share = float(rng.beta(_MIXING, _MIXING))
    other = torch.from_numpy(rng.permutation(len(labels)))
    return share * inputs + (1 - share) * inputs[other], share * target + (1 - share) * target[other]


class _Lower(torch.nn.Module):
    """The blocks that stay."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.network = TriageNetwork(2)
        load_imagenet(self.network)
        self.block = block

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.until(image, self.block)


def as_function(network: torch.nn.Module) -> Any:
    """Return a network as a function on an array (1, 1, 224, 224): run as ONNX it takes a quarter of torch's time."""
    import onnxruntime

    with TemporaryDirectory(prefix="edgeai-imaging-") as folder:
        path = Path(folder) / "network.onnx"
        example = np.random.default_rng(0).random((1, 1, SIDE, SIDE), dtype=np.float32)
        export_onnx(network, path, [{"image": example}], ["found"], tolerance=1e-3)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    # A copy: an array of the engine's own keeps the memory of its whole run.
    return lambda image: session.run(None, {"image": image})[0].copy()


def fingerprint(dataset: Dataset, copies: int, seed: int) -> str:
    """Return what tells one set of features from another."""
    digest = hashlib.sha256(f"{dataset.modality} {copies} {seed} {FROZEN[dataset.modality]}".encode())
    for item in dataset.items:
        digest.update(item.grey.tobytes())
    return digest.hexdigest()[:16]


def enough(dataset: Dataset, folds: int) -> None:
    """Raise InputError where a class has too few groups to be spread over the folds."""
    for name in CLASSES[dataset.modality]:
        groups = {item.group for item in dataset.items if item.label == name}
        if len(groups) < folds:
            raise InputError(
                f"{dataset.name}: class {name} has {len(groups)} groups of pictures; {folds} folds need as many each"
            )


def rows_of(dataset: Dataset, splits: Sequence[str]) -> NDArray[np.int64]:
    """Return the row numbers of some splits."""
    return np.array([n for n, item in enumerate(dataset.items) if item.split in splits], dtype=np.int64)
