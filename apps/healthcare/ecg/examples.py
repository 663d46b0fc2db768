"""Training examples: windows drawn so that neither long records nor common rhythms drown the rest.

Needs torch (extra ``train``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, OTHER, VF, VT
from apps.healthcare.ecg.augment import REACH, Augmentation
from apps.healthcare.ecg.rhythm import CLASSES, LONG, RATE_HZ, SHORT
from apps.healthcare.ecg.scores import HOP
from apps.healthcare.ecg.windows import (
    APART_SHARE,
    KINDS,
    POSITIVE_SHARE,
    SLOW_VT,
    UNLABELLED,
    Record,
    shares,
)

BATCH = 128
BATCHES_PER_EPOCH = 94

GRID = round(0.5 * RATE_HZ)
"""Windows are drawn around starts half a second apart."""

DRAWN = {OTHER: 0.52, VT: 0.17, VF: 0.17, ASYSTOLE: 0.05, NOISE: 0.09}
"""How often each class is drawn. Within a class a record counts by the square root of its windows."""

MALIGNANT_WEIGHT = 1.5
"""A record with VF or VT is drawn so much more often: its other windows are the hardest."""

ONE_LEAD_SHARE = 0.4
"""How often only one of the two leads is shown, so that one is enough."""

SMOOTHING = 0.05
NOISE_WEIGHT = 0.5
"""Under ``(NOISE`` the earlier rhythm goes on, and may be seen: its label teaches half as much."""


@dataclass(frozen=True)
class Batch:
    """Windows, (batch, 2, 500) mV, which leads are absent, and per window length the target shares and weights."""

    ecg: Tensor
    absent: Tensor
    targets: tuple[Tensor, Tensor]
    weights: tuple[Tensor, Tensor]


class Examples:
    """The windows of some records (their first two leads), drawn and augmented anew in every epoch."""

    def __init__(
        self, records: Sequence[Record], seed: int, held: Mapping[str, NDArray[np.bool_]] | None = None
    ) -> None:
        """``held``: by record, which of its windows (one for every ``HOP``) no example may begin in."""
        self._seed = seed
        self._trace = np.concatenate([two_leads(record.trace) for record in records])
        self._kinds = np.concatenate([record.kinds for record in records])
        self._starts, self._chance = _drawing(records, held or {})
        self._augment = Augmentation(_noisy_stretches(records), seed)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield an epoch's batches; together with the seed its number decides what is drawn."""
        random = np.random.default_rng((self._seed, epoch))
        for _ in range(BATCHES_PER_EPOCH):
            starts = random.choice(self._starts, BATCH, p=self._chance) + random.integers(0, GRID, BATCH)
            yield self._batch(starts, random)

    def _batch(self, starts: NDArray[np.intp], random: np.random.Generator) -> Batch:
        reach = starts[:, None] + np.arange(LONG - REACH, LONG)
        long_target, long_weight = self._target(starts, LONG)
        short_target, short_weight = self._target(starts + LONG - SHORT, SHORT)
        pace = _paces(self._kinds[reach], random)
        delicate = torch.from_numpy(long_target[:, 1:3].sum(1) > 0)
        windows = torch.from_numpy(np.ascontiguousarray(self._trace[reach].transpose(0, 2, 1)))
        ecg, heavy = self._augment(windows, torch.from_numpy(pace), delicate)
        for target in (long_target, short_target):
            target[heavy.numpy()] = np.eye(len(CLASSES))[CLASSES.index(NOISE)]
        absent = np.zeros((len(starts), 2), dtype=bool)
        one = random.random(len(starts)) < ONE_LEAD_SHARE
        absent[one, random.integers(0, 2, int(one.sum()))] = True
        return Batch(
            ecg,
            torch.from_numpy(absent),
            (torch.from_numpy(long_target), torch.from_numpy(short_target)),
            (torch.from_numpy(long_weight), torch.from_numpy(short_weight)),
        )

    def _target(
        self, starts: NDArray[np.intp], samples: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The classes' shares, and what a window counts: nothing where it is mixed, for borders are vague."""
        inside = self._kinds[starts[:, None] + np.arange(samples)]
        share = np.stack([(inside == kind).mean(1) for kind in range(len(KINDS))], 1).astype(np.float32)
        target = _as_classes(share)
        vfvt = target[:, CLASSES.index(VF)] + target[:, CLASSES.index(VT)]
        mixed = (vfvt > 0) & (vfvt < POSITIVE_SHARE)
        weight = np.where(mixed | (share[:, KINDS.index(UNLABELLED)] > APART_SHARE), 0.0, 1.0)
        weight = np.where(target[:, CLASSES.index(NOISE)] > 0.5, weight * NOISE_WEIGHT, weight)
        return target / np.maximum(target.sum(1, keepdims=True), 1e-6), weight.astype(np.float32)


def rhythm_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of both windows against smoothed shares, weighted."""
    total = torch.zeros(())
    for logits, target, weight in zip(
        network(batch.ecg, batch.absent), batch.targets, batch.weights, strict=False
    ):
        smooth = target * (1 - SMOOTHING) + SMOOTHING / len(CLASSES)
        total = total - ((smooth * functional.log_softmax(logits, 1)).sum(1) * weight).mean()
    return total


def two_leads(trace: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two leads of a trace, (samples, 2); a lone lead stands for both."""
    return trace[:, :2] if trace.shape[1] >= 2 else np.repeat(trace, 2, axis=1)


def _as_classes(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of ``KINDS`` -> shares of ``CLASSES``: by the definition slow VT is not VT, so it is other."""
    target = share[:, : len(CLASSES)].copy()
    target[:, CLASSES.index(OTHER)] += share[:, KINDS.index(SLOW_VT)]
    return target


def _paces(kinds: NDArray[np.int8], random: np.random.Generator) -> NDArray[np.float32]:
    """How much faster each window, (windows, REACH) of kinds, shall run.

    Half of them a tenth slower or faster, for hearts and recorders' clocks differ; fibrillation, which has a
    wide range of frequencies, a fifth.
    """
    width = np.where((kinds == CLASSES.index(VF)).all(1), 0.2, 0.09)
    there = random.random(len(kinds)) < 0.5
    return (1 + there * width * random.uniform(-1, 1, len(kinds))).astype(np.float32)


def _drawing(
    records: Sequence[Record], held: Mapping[str, NDArray[np.bool_]]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The starts that windows are drawn around, in the records laid end to end, and each one's chance."""
    starts, chances, classes = [], [], []
    offset = 0
    for record in records:
        own = np.arange(REACH - LONG, max(len(record.trace) - LONG - GRID, REACH - LONG), GRID)
        if record.name in held:
            own = own[~held[record.name][own // HOP]]
        kind = _class_of_windows(record.kinds, own)
        weight = MALIGNANT_WEIGHT if np.isin(kind, [CLASSES.index(VT), CLASSES.index(VF)]).any() else 1.0
        count = np.bincount(kind + 1, minlength=len(CLASSES) + 1)[1:]
        chance = np.where(kind >= 0, weight / np.sqrt(np.maximum(count[kind], 1)), 0.0)
        starts.append(own + offset)
        chances.append(chance)
        classes.append(kind)
        offset += len(record.trace)
    start, chance, kind = np.concatenate(starts), np.concatenate(chances), np.concatenate(classes)
    for i, name in enumerate(CLASSES):
        total = chance[kind == i].sum()
        if total > 0:
            chance[kind == i] *= DRAWN[name] / total
    return start, chance / chance.sum()


def _class_of_windows(kinds: NDArray[np.int8], starts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The class that a window is drawn for; -1: not drawn. One whose second half is VF/VT is drawn for that half."""
    long = shares(kinds, starts, LONG)
    short = _as_classes(shares(kinds, starts + LONG - SHORT, SHORT))
    target = _as_classes(long)
    vf, vt, asystole, noise = (CLASSES.index(name) for name in (VF, VT, ASYSTOLE, NOISE))
    vfvt = target[:, vf] + target[:, vt]
    malignant = (vfvt >= POSITIVE_SHARE) | (short[:, vf] + short[:, vt] >= POSITIVE_SHARE)
    kind = np.full(len(starts), CLASSES.index(OTHER))
    kind[target[:, asystole] > 0.5] = asystole
    kind[target[:, noise] > 0.5] = noise
    kind[malignant] = np.where(target[malignant, vt] > target[malignant, vf], vt, vf)
    kind[(vfvt > 0) & ~malignant] = -1
    kind[long[:, KINDS.index(UNLABELLED)] > APART_SHARE] = -1
    return kind


def _noisy_stretches(records: Sequence[Record]) -> list[NDArray[np.float32]]:
    stretches = []
    for record in records:
        noisy = np.concatenate([[0], record.kinds == KINDS.index(NOISE), [0]])
        edges = np.flatnonzero(np.diff(noisy))
        stretches += [record.trace[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return stretches
