"""Teaching a network on the parts themselves: which looks it learns from, what it is held to, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from apps.manufacturing.inspection.examples import Example, read_mask
from apps.manufacturing.inspection.heads import Whitening
from apps.manufacturing.inspection.network import TunedNetwork
from apps.manufacturing.inspection.places import Places
from apps.manufacturing.inspection.preprocess import Pixels, prepare
from edgeai_core.app import Progress
from edgeai_core.learning.training import FitOptions, fit
from edgeai_core.sensors.picture import read_picture

_BATCH = 16
_RATE = 5e-4
_COVERED = 0.2
"""A place is defect from this share of it on; between none and this it is left out."""

_MASK_WEIGHT = 0.5
_TURN_DEGREES, _ZOOM, _SHIFT = 8.0, 0.08, 0.03
_GAMMA, _CONTRAST, _LIGHT = 0.25, 0.2, 20.0
_SOFT_PX = (0.4, 1.0)
_QUALITIES = (60, 96)


@dataclass(frozen=True)
class Tuner:
    """Teaches networks on some of the ``examples``, brought to ``size``, each for ``epochs`` on its part of the cores.

    In each epoch another ``share`` of them is seen.
    """

    examples: Sequence[Example]
    size: int
    epochs: int
    share: float
    seed: int
    shared: Shared

    def __call__(self, rows: NDArray[np.int64], whitening: Whitening, places: Places) -> TunedNetwork:
        """Teach a network on the pictures ``rows``, of which some are good and some bad, from heads taught on them."""
        labels = np.array([each.bad for each in self.examples], np.float32)
        network = TunedNetwork(whitening, places)
        steps = max(1, int(len(rows) * self.share) // _BATCH)
        bad = labels[rows].mean()
        weights = np.where(labels == 1, 0.5 / bad, 0.5 / (1 - bad)).astype(np.float32)

        def batches(epoch: int) -> Iterator[_Batch]:
            order = np.random.default_rng((self.seed, epoch)).permutation(rows)
            for step in range(steps):
                chosen = order[step * _BATCH : (step + 1) * _BATCH]
                looks = [self._look(row, epoch) for row in chosen.tolist()]
                yield _Batch(
                    torch.from_numpy(np.stack([picture for picture, _ in looks])),
                    torch.from_numpy(labels[chosen]),
                    torch.from_numpy(weights[chosen]),
                    tuple(mask for _, mask in looks),
                )

        options = FitOptions(
            self.epochs,
            steps,
            learning_rate=_RATE,
            weight_decay=1e-2,
            warm_up=0.1,
            average=0.98,
            seed=self.seed,
            threads=self.shared.next_threads(),
        )
        fit(network, batches, _loss, options, self.shared, label="fine-tuning")
        return network.rounded()

    def _look(self, row: int, epoch: int) -> tuple[Pixels, NDArray[np.float32] | None]:
        """Return a picture turned, moved, relit, softened and compressed by chance; and its mask on the grid."""
        example = self.examples[row]
        random = np.random.default_rng((self.seed, row, epoch, 1))
        pixels = read_picture(example.path)
        mask = None
        if example.bad and example.mask is not None:
            mask = read_mask(example.mask, pixels.shape[:2])
        shown, moved = varied(pixels, mask, random)
        if moved is not None and not moved.any():
            moved = None  # an empty mask, or a defect moved out of the picture, tells of no place
        if moved is not None:
            grid = self.size // 8
            moved = np.asarray(cv2.resize(moved, (grid, grid), interpolation=cv2.INTER_AREA), np.float32)
        return prepare(shown, self.size), moved


class Shared:
    """Shares ``threads`` cores among ``trainings`` that run side by side, and that ``times`` over.

    Their progress is added up: each calls ``label, done, total`` of its own.
    """

    def __init__(self, progress: Progress, trainings: int, times: int, threads: int) -> None:
        self._progress, self._all = progress, trainings * times
        self._trainings, self._threads = trainings, threads
        self._lock = threading.Lock()
        self._begun = self._done = 0

    def next_threads(self) -> int:
        """Return the cores of the training that begins: one, but all of them for one that is left over at the end."""
        with self._lock:
            self._begun += 1
            is_last = self._begun % self._trainings == 0
        return self._threads if is_last and self._trainings % self._threads == 1 else 1

    def __call__(self, label: str, done: int, total: int) -> None:
        """One more batch is done."""
        with self._lock:
            self._done += 1
            self._progress(label, min(self._done, total * self._all), total * self._all)


def varied(
    pixels: Pixels, mask: NDArray[np.float32] | None, random: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32] | None]:
    """Return a picture as another camera, light or pose might have given it, and its mask moved with it."""
    turns, mirrored = int(random.integers(4)), bool(random.random() < 0.5)
    height, width = pixels.shape[:2]
    degrees, scale = random.uniform(-_TURN_DEGREES, _TURN_DEGREES), random.uniform(1 - _ZOOM, 1 + _ZOOM)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), np.float64)
    matrix[:, 2] += random.uniform(-_SHIFT, _SHIFT, 2) * np.array([width, height])

    def moved(array: Pixels | NDArray[np.float32]) -> NDArray[np.generic]:
        laid = cv2.warpAffine(
            array, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        turned = np.rot90(laid, turns)
        return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

    shown = np.asarray(moved(pixels), np.uint8)
    if random.random() < 0.3:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), random.uniform(*_SOFT_PX)), np.uint8)
    greys = 255 * (np.arange(256) / 255) ** np.exp(random.uniform(-_GAMMA, _GAMMA))
    greys = (
        (greys - 128) * random.uniform(1 - _CONTRAST, 1 + _CONTRAST) + 128 + random.uniform(-_LIGHT, _LIGHT)
    )
    shown = np.clip(greys, 0, 255).astype(np.uint8)[shown]
    if random.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(*_QUALITIES))]
        shown = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", shown, quality)[1], cv2.IMREAD_UNCHANGED), np.uint8
        )
    return shown, None if mask is None else np.asarray(moved(mask), np.float32)


@dataclass(frozen=True)
class _Batch:
    """``pictures`` (b, size, size, 3) uint8, ``bad`` (b,) 0 or 1, ``weights`` (b,); masks (grid, grid) of some."""

    pictures: Tensor
    bad: Tensor
    weights: Tensor
    masks: tuple[NDArray[np.float32] | None, ...]


def _loss(network: torch.nn.Module, batch: _Batch) -> Tensor:
    """Cross entropy of pictures, by their places and in all, classes weighted alike; of places where a mask tells."""
    worst, whole, heat = network(batch.pictures)
    loss = heat.new_zeros(())
    for verdict in (worst, worst + whole):
        each = functional.binary_cross_entropy_with_logits(verdict, batch.bad, reduction="none")
        loss = loss + (each * batch.weights).mean()
    known = [number for number, mask in enumerate(batch.masks) if mask is not None]
    if not known:
        return loss
    covered = torch.from_numpy(np.stack([mask for mask in batch.masks if mask is not None]))
    most = covered.amax((1, 2), keepdim=True).clamp(min=1e-3)
    defect = (covered >= torch.minimum(0.99 * most, torch.tensor(_COVERED))).float()
    sound = (covered <= 0).float()
    own = heat[known]
    missed = (functional.softplus(-own) * defect).sum((1, 2)) / defect.sum((1, 2)).clamp(min=1)
    false = (functional.softplus(own) * sound).sum((1, 2)) / sound.sum((1, 2)).clamp(min=1)
    return loss + _MASK_WEIGHT * (missed + false).mean()
