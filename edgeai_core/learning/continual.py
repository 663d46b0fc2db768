"""Learning from a stream that changes without forgetting what came before: new samples beside rehearsed old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import EdgeAIError, InputError
from edgeai_core.learning.adapter import Adam, Adapter, gradients_of
from edgeai_core.learning.rehearsal import RehearsalMemory

BATCH = 32
REHEARSED = 32
"""Old samples beside the new ones of every update."""

MAX_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Samples:
    """What is learnt from or judged on: ``features`` (n, d), ``labels`` (n,) from 0, ``groups`` (n,): whose they are.

    A group (a patient, a part) is never on both sides of a split.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.features.ndim != 2 or not len(self.features) == n == len(self.groups):
            raise InputError(
                f"features of shape {self.features.shape} with {n} labels and {len(self.groups)} groups"
            )
        if n > MAX_SAMPLES:
            raise InputError(f"{n} samples; at most {MAX_SAMPLES} are learnt from at once")
        bad = ~np.isfinite(self.features).all(axis=1)
        if bad.any():
            raise InputError(
                f"{int(bad.sum())} of {n} samples hold numbers that are not finite; leave them out"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, which: NDArray[np.generic]) -> Samples:
        """Return some of them."""
        return Samples(self.features[which], self.labels[which], self.groups[which])

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Return several as one."""
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.groups for part in parts]),
        )


@dataclass(frozen=True)
class LearnOptions:
    """How to learn: ``passes`` over the samples, in updates of ``batch`` new and ``rehearsed`` old ones.

    ``balanced`` gives every class of the new samples the same weight.
    """

    passes: int = 20
    batch: int = BATCH
    rehearsed: int = REHEARSED
    adam: Adam = field(default_factory=Adam)
    balanced: bool = True
    seed: int = 0


def learn(
    adapter: Adapter, samples: Samples, options: LearnOptions, memory: RehearsalMemory | None = None
) -> Adapter:
    """Return the adapter after it learnt from ``samples``; with a ``memory``, old ones are rehearsed in every update.

    Without a memory this is plain fine-tuning. The memory is read here, and never written: what was learnt from
    is offered to it afterwards, by ``remember``. Raises InputError for labels that the adapter does not know.
    """
    if not len(samples):
        raise InputError("no samples to learn from")
    if samples.labels.min() < 0 or samples.labels.max() >= adapter.classes:
        raise InputError(
            f"labels from {samples.labels.min()} to {samples.labels.max()}; there are {adapter.classes} classes"
        )
    weights = _weights(samples.labels, adapter.classes, balanced=options.balanced)
    step = options.adam.begin(adapter)
    for rows in _batches(len(samples), options):
        features, labels, weight = samples.features[rows], samples.labels[rows], weights[rows]
        if memory is not None and options.rehearsed:
            old, old_labels = memory.draw(options.rehearsed)
            # New and old count alike, however unlike their number and the weights of their classes.
            weight = np.concatenate([weight / weight.sum(), np.full(len(old), 1 / len(old))])
            features, labels = np.concatenate([features, old]), np.concatenate([labels, old_labels])
        loss, gradients = gradients_of(adapter, features, labels, weight.astype(np.float32))
        if not np.isfinite(loss):
            raise EdgeAIError(f"the loss became {loss}; lower the rate of learning")
        adapter = step(adapter, gradients)
    return adapter


def remember(memory: RehearsalMemory, samples: Samples, first_key: int) -> None:
    """Offer samples to a memory under keys of their own: ``first_key`` plus the label of each."""
    order = np.random.default_rng(len(samples)).permutation(len(samples))
    memory.add(samples.features[order], samples.labels[order], first_key + samples.labels[order])


def accuracy(adapter: Adapter, samples: Samples) -> float:
    """Return the balanced accuracy: the mean over the classes that occur of the share of each that is right."""
    return balanced_accuracy(adapter.logits(samples.features).argmax(axis=1), samples.labels)


def balanced_accuracy(called: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the mean over the classes in ``labels`` of the share that is called right; nan without any."""
    shares = [float((called[labels == each] == each).mean()) for each in np.unique(labels)]
    return float(np.mean(shares)) if shares else float("nan")


def _weights(labels: NDArray[np.int64], classes: int, *, balanced: bool) -> NDArray[np.float32]:
    if not balanced:
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=classes)
    each = len(labels) / np.maximum(counts, 1) / (counts > 0).sum()
    return np.asarray(each[labels], np.float32)


def _batches(n: int, options: LearnOptions) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(options.seed)
    for _ in range(options.passes):
        order = random.permutation(n)
        for start in range(0, n, options.batch):
            yield order[start : start + options.batch]
