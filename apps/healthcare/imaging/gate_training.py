"""Training of the gate: own pictures whole, turned and cut, and foreign ones -> a small network with its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from apps.healthcare.imaging.augment import augment
from apps.healthcare.imaging.datasets import load
from apps.healthcare.imaging.export import TASK, write_model
from apps.healthcare.imaging.gate import CLASSES, gate_square
from apps.healthcare.imaging.inbox import MODALITIES
from apps.healthcare.imaging.kernel_network import PooledFeatures, pooled, seen, width_of
from apps.healthcare.imaging.network import TriageNetwork, load_imagenet
from apps.healthcare.imaging.options import TrainOptions
from apps.healthcare.imaging.preprocess import Grey
from apps.healthcare.imaging.training import as_function
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.runners.card import TrainingData
from edgeai_core.state import find_state

_STAGES = (5, 8, 11)
"""After these blocks means and deviations over all places are taken."""

_FEATURES = width_of(_STAGES)
_KEPT = 0.995
"""Share of a modality's own pictures, of those not trained on, within the limit of distance."""

_ACCEPT = 0.35
"""Likeness from which a picture passes; foreign pictures that were not trained on stay below 0.3."""

_MARGIN = 2.25
"""The limit of distance over what 995 in 1000 pictures of the same sources keep within: films of another scale and
compression lie up to 1.7 times as far, photographs and parts 1.5 to 12 times."""

_REGULARISATION = 0.02
_MOST = 140
"""Pictures of a folder that are looked at; more would not change the gate."""

_SHRINKAGE = 0.1


class GateNetwork(nn.Module):
    """Input (n, 1, 224, 224); outputs logits (n, 6), and the distances (n, 3) from each modality's own pictures.

    Distance is that of P. Mahalanobis with one covariance for the three modalities, as in K. Lee et al., A Simple
    Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018, divided by the number of features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.base = TriageNetwork(2)
        self.classify = nn.Linear(_FEATURES, len(CLASSES))
        self.whiten = nn.Linear(_FEATURES, _FEATURES, bias=False)
        self.centres = nn.Parameter(torch.zeros(len(MODALITIES), _FEATURES))

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Return (n, 464): by channel, mean and deviation over all places."""
        return pooled(seen(self.base, image, _STAGES))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, distances)."""
        found = self.features(image)
        away = self.whiten(found)[:, None, :] - self.centres[None]
        return self.classify(found), away.square().mean(dim=2)


def train_gate(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train the gate on ``DIR/xray* ct* mri* foreign*`` and write model and card. Raises InputError without them."""
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    network = GateNetwork()
    load_imagenet(network.base)
    network.eval()
    shown = _Shown(*_pictures(options, rng, progress))
    features = _features(network, shown.greys, progress)
    taught = ~shown.held
    _fit(network, features[taught], shown.labels[taught])
    with torch.no_grad():
        logits = network.classify(torch.from_numpy(features)).numpy()
        away = network.whiten(torch.from_numpy(features))[:, None, :] - network.centres[None]
        distances = away.square().mean(dim=2).numpy()
    limits = {
        name: float(np.quantile(distances[shown.held & (shown.labels == n) & ~shown.varied, n], _KEPT))
        * _MARGIN
        for n, name in enumerate(MODALITIES)
    }
    path = (options.output or find_state().create().models / TASK / options.version) / "gate.onnx"
    card = write_model(
        network,
        path,
        {"logits": (len(CLASSES),), "distances": (len(MODALITIES),)},
        name="imaging-gate",
        version=options.version,
        intended_use="Says whether a picture is a frontal chest film, a chest CT slice or a brain MR slice, whole and "
        "upright, before a network for these judges it. Not a medical device; not cleared by any authority.",
        limits=(
            "Resolution: 224 x 224 pixels, the whole picture squeezed to a square.",
            "Collection: the films and slices of the three networks (see their cards) and 120 natural photographs.",
            "Confounders: what is foreign was learned from photographs, noise and drawings; other body parts of the "
            "same modality were not at hand, and whether a hand or an abdomen is refused is not measured.",
            "Not a medical device.",
        ),
        classes=CLASSES,
        parameters={"accept": _ACCEPT, **{f"limit_{name}": value for name, value in limits.items()}},
        data=[
            TrainingData("films and slices of the three networks", "see their cards", "none stated"),
            TrainingData(
                "imagenet-sample-images", "https://github.com/EliSchwartz/imagenet-sample-images",
                "none stated there; ImageNet: non-commercial research",
            ),
        ],
        figures={},
        preprocessing="apps.healthcare.imaging.gate.gate_square: grey levels stretched (percentiles 0.5 and 99.5), "
        "squeezed to 224 x 224 (area)",
    )  # fmt: skip
    return {"model": str(path), "card": str(card), **_told(shown, logits, distances, limits)}


@dataclass(frozen=True)
class _Shown:
    """Pictures with their classes; ``held`` are not trained on, ``varied`` are variations of another."""

    greys: Sequence[Grey]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]
    varied: NDArray[np.bool_]


def _pictures(
    options: TrainOptions, rng: np.random.Generator, progress: Progress
) -> tuple[list[Grey], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    found = [
        each
        for name in MODALITIES
        for folder in sorted(options.data.glob(f"{name}*"))
        if folder.is_dir() and (folder / "labels.csv").is_file()
        for each in _own(folder, name, rng, progress)
    ]
    foreign = [each for folder in sorted(options.data.glob("foreign*")) for each in _foreign(folder, rng)]
    if not foreign or {name for _, name, _, _ in found} < set(MODALITIES):
        raise InputError(
            f"{options.data}: the gate needs folders xray, ct, mri and foreign, each with labels.csv"
        )
    found += foreign
    greys, names, held, varied = zip(*found, strict=True)
    return (
        list(greys), np.array([CLASSES.index(name) for name in names]), np.array(held), np.array(varied)
    )  # fmt: skip


def _own(
    folder: Path, name: str, rng: np.random.Generator, progress: Progress
) -> Iterator[tuple[Grey, str, bool, bool]]:
    items = load(folder, name, progress).items
    if len(items) > _MOST:
        items = tuple(items[row] for row in sorted(rng.permutation(len(items))[:_MOST]))
    donors = [item.grey for item in items if item.split == "train"] or [item.grey for item in items]
    for item in items:
        held = item.split == "val"
        yield item.grey, name, held, False
        if not held and rng.random() < 0.4:
            yield augment(item.grey, donors, name, rng), name, False, True
        if name == "xray" and rng.random() < 0.35:
            turned = np.ascontiguousarray(np.rot90(item.grey, int(rng.integers(1, 4))))
            yield turned, "turned", held, False
        if name == "xray" and rng.random() < 0.35:
            yield _cut(item.grey, rng), "cut", held, False


def _cut(grey: Grey, rng: np.random.Generator) -> Grey:
    """Return a third to a half of a film, from one side."""
    share = float(rng.uniform(0.33, 0.5))
    height, width = grey.shape
    side = int(rng.integers(4))
    across, down = round(width * share), round(height * share)
    parts = (grey[:, :across], grey[:, width - across :], grey[:down], grey[height - down :])
    return np.ascontiguousarray(parts[side])


def _foreign(folder: Path, rng: np.random.Generator) -> Iterator[tuple[Grey, str, bool, bool]]:
    import csv

    table = folder / "labels.csv"
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            grey = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
            if grey is None:
                continue
            held = row.get("split") == "val"
            yield np.asarray(grey, dtype=np.uint8), "foreign", held, False
            for _ in range(0 if held else 2):
                yield _part(np.asarray(grey, dtype=np.uint8), rng), "foreign", False, True
    for number in range(80):
        yield drawn(number, rng), "foreign", number % 4 == 0, False


def _part(grey: Grey, rng: np.random.Generator) -> Grey:
    """Return a part of a photograph, perhaps mirrored, darker or with a black surround, as films have it."""
    height, width = grey.shape
    share = float(rng.uniform(0.4, 1.0))
    down, across = max(round(height * share), 32), max(round(width * share), 32)
    top, left = int(rng.integers(height - down + 1)), int(rng.integers(width - across + 1))
    part = grey[top : top + down, left : left + across][:, :: int(rng.choice([-1, 1]))]
    part = (255 * (part / 255.0) ** float(np.exp(rng.normal(0, 0.4)))).astype(np.uint8)
    if rng.random() < 0.3:
        mask = np.zeros(part.shape, np.uint8)
        cv2.ellipse(
            mask, (across // 2, down // 2), (across * 2 // 5, down * 2 // 5), 0, 0, 360, 1, cv2.FILLED
        )
        part = part * mask
    return np.ascontiguousarray(part)


def drawn(number: int, rng: np.random.Generator) -> Grey:
    """Return a picture of nothing: noise of some grain, a gradient, text, shapes, or one grey level."""
    height, width = (int(each) for each in rng.integers(96, 320, 2))
    kind = number % 5
    canvas = np.full((height, width), int(rng.integers(256)), np.uint8)
    if kind == 0:
        grain = int(rng.integers(2, 96))
        noise = rng.integers(0, 256, (grain, grain)).astype(np.uint8)
        return np.asarray(
            cv2.resize(noise, (width, height), interpolation=int(rng.choice([0, 1, 2]))), np.uint8
        )
    if kind == 1:
        rows, columns = np.mgrid[0:height, 0:width]
        angle = float(rng.uniform(0, np.pi))
        wave = (np.cos(angle) * rows + np.sin(angle) * columns) / float(rng.uniform(4, 400))
        return np.asarray((127 + 127 * np.sin(wave)), np.uint8)
    for _ in range(int(rng.integers(3, 40))):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        shade = int(rng.integers(256))
        if kind == 2:
            cv2.putText(
                canvas,
                "".join(chr(int(c)) for c in rng.integers(33, 126, 12)),
                at,
                0,
                float(rng.uniform(0.3, 1.2)),
                shade,
                1,
            )
        elif kind == 3:
            cv2.circle(canvas, at, int(rng.integers(3, width // 2)), shade, int(rng.choice([-1, 1, 3])))
        else:
            cv2.rectangle(
                canvas,
                at,
                (int(rng.integers(width)), int(rng.integers(height))),
                shade,
                int(rng.choice([-1, 2])),
            )
    return canvas


def _features(network: GateNetwork, greys: Sequence[Grey], progress: Progress) -> NDArray[np.float32]:
    run = as_function(PooledFeatures(network.base, _STAGES))
    found = []
    for number, grey in enumerate(greys):
        found.append(run(gate_square(grey)[None, None])[0])
        progress("looking at pictures", number + 1, len(greys))
    return np.asarray(found, dtype=np.float32)


def _fit(network: GateNetwork, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Fit the classifier, and the covariance of the three modalities' own pictures, in closed forms of scikit-learn."""
    from sklearn.covariance import ShrunkCovariance
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(features)
    weights = LogisticRegression(C=_REGULARISATION, max_iter=300, class_weight="balanced")
    weights.fit(scale.transform(features), labels)
    slope = weights.coef_ / scale.scale_
    own = [features[labels == number] for number in range(len(MODALITIES))]
    centres = np.array([part.mean(axis=0) for part in own])
    apart = np.concatenate([(part - part.mean(axis=0)) / scale.scale_ for part in own])
    inverse = np.linalg.inv(ShrunkCovariance(shrinkage=_SHRINKAGE).fit(apart).covariance_)
    root = np.linalg.cholesky(inverse).T / scale.scale_
    with torch.no_grad():
        _set(network.classify.weight, slope)
        _set(network.classify.bias, weights.intercept_ - slope @ scale.mean_)
        _set(network.whiten.weight, root)
        _set(network.centres, centres @ root.T)


def _set(parameter: torch.Tensor, values: Any) -> None:
    parameter.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))


def _told(
    shown: _Shown, logits: NDArray[np.float32], distances: NDArray[np.float32], limits: Mapping[str, float]
) -> dict[str, object]:
    """Return what the gate does with the pictures it was not trained on, by class."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    told: dict[str, object] = {}
    for number, name in enumerate(CLASSES):
        mine = shown.held & (shown.labels == number)
        let = np.zeros(int(mine.sum()), dtype=bool)
        for place, modality in enumerate(MODALITIES):
            let |= (shares[mine, place] >= _ACCEPT) & (distances[mine, place] <= limits[modality])
        told[f"let through, held {name}"] = f"{int(let.sum())} of {int(mine.sum())}"
    return told
