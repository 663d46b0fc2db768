"""What the detector is taught: which cell answers for which box, and how wrong its answer is.

Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from apps.automotive.perception.network import STRIDES, RoadDetector, cells
from apps.automotive.perception.pictures import INPUT_PX, Pictures

REACH = {8: (0.0, 56.0), 16: (36.0, 120.0), 32: (88.0, 1e9)}
"""Which boxes a stride answers for, by their longer side in pixels; two strides share what lies between."""

CENTRE_STRIDES = 1.5
"""A cell answers for a box whose middle is no further than so many strides (FCOS, Tian et al., 2019)."""


@dataclass(frozen=True)
class Batch:
    """``images`` (n, 3, rows, columns); ``box_px`` (n, cells, 4) and ``kind`` (n, cells): -1 none, -2 not judged."""

    images: Tensor
    box_px: Tensor
    kind: Tensor


class Lessons:
    """Batches of pictures with their targets; flipped and brightened at random, the same for the same seed."""

    def __init__(self, pictures: Pictures, batch: int, seed: int) -> None:
        self._pictures, self._batch, self._seed = pictures, batch, seed
        width, height = INPUT_PX
        middles, strides = cells(height, width)
        self._middles, self._strides = middles.numpy().T.astype(np.float64), strides.numpy()[0]
        count = len(pictures.pixels)
        self._boxes = [pictures.boxes[pictures.boxes[:, 0] == at] for at in range(count)]
        self._ignored = [pictures.ignored[pictures.ignored[:, 0] == at] for at in range(count)]
        self.steps = count // batch

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Give the batches of an epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._pictures.pixels))
        for step in range(self.steps):
            chosen = order[step * self._batch : (step + 1) * self._batch]
            yield self._lesson(chosen, rng)

    def _lesson(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        images = self._pictures.pixels[chosen].astype(np.float32)
        boxes, kinds = [], []
        width = INPUT_PX[0]
        for place, at in enumerate(chosen):
            wanted, ignored = self._boxes[at].copy(), self._ignored[at].copy()
            if rng.random() < 0.5:
                images[place] = images[place, :, ::-1]
                for rows in (wanted, ignored):
                    rows[:, [2, 4]] = width - 1 - rows[:, [4, 2]]
            images[place] *= np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.05, 3))
            box, kind = self._targets(wanted, ignored)
            boxes.append(box)
            kinds.append(kind)
        pixels = np.ascontiguousarray(np.clip(images, 0, 255).transpose(0, 3, 1, 2))
        return Batch(
            torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(np.stack(boxes).astype(np.float32)),
            torch.from_numpy(np.stack(kinds)),
        )

    def _targets(
        self, wanted: NDArray[np.float64], ignored: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return a box and a kind for every cell."""
        box, kind = np.zeros((len(self._middles), 4)), np.full(len(self._middles), -1, dtype=np.int64)
        for row in ignored:
            kind[self._inside(row[2:])] = -2
        sizes = (wanted[:, 4:] - wanted[:, 2:4]).max(axis=1)
        for at in np.argsort(-sizes):  # the smaller box wins a cell
            corners, size = wanted[at, 2:], sizes[at]
            middle = (corners[:2] + corners[2:]) / 2
            away = np.abs(self._middles - middle).max(axis=1)
            answers = np.zeros(len(kind), dtype=bool)
            for stride in STRIDES:
                low, high = REACH[stride]
                if low <= size < high:
                    level = self._strides == stride
                    near = level & (away <= CENTRE_STRIDES * stride) & self._inside(corners)
                    if not near.any():
                        near = level & (away == away[level].min())
                    answers |= near
            box[answers], kind[answers] = corners, int(wanted[at, 1]) - 1
        return box, kind

    def _inside(self, corners: NDArray[np.float64]) -> NDArray[np.bool_]:
        inside = (self._middles >= corners[:2]) & (self._middles <= corners[2:])
        return np.asarray(inside.all(axis=1))


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Varifocal loss on scores (Zhang et al., 2021: the target is the overlap), GIoU on boxes (Rezatofighi, 2019)."""
    assert isinstance(network, RoadDetector)
    distances, logits = network.raw(batch.images)
    answers = batch.kind >= 0
    low = network.middles[None] - distances[:, :2]
    high = network.middles[None] + distances[:, 2:]
    found = torch.cat([low, high], dim=1).transpose(1, 2)[answers]
    iou, giou = _overlaps(found, batch.box_px[answers])
    quality = torch.zeros_like(logits).transpose(1, 2)
    places = torch.nonzero(answers)
    quality[places[:, 0], places[:, 1], batch.kind[answers]] = iou.detach().clamp(0.1, 1.0)
    quality = quality.transpose(1, 2)
    judged = (batch.kind != -2)[:, None].to(logits.dtype)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    weight = torch.where(quality > 0, quality, 0.75 * torch.sigmoid(logits.detach()) ** 2)
    count = max(1, int(answers.sum()))
    return (weight * entropy * judged).sum() / count * 2.0 + 2.0 * (1 - giou).sum() / count


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and GIoU of pairs of boxes (n, 4)."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)
