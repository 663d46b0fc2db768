"""A rehearsal memory: a bounded, fair sample of everything that was ever learnt from, to be learnt from again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

CAPACITY = 1000
"""Samples that are remembered."""


class RehearsalMemory:
    """At most ``capacity`` features with their labels and keys, sampled from all that ``add`` was given.

    Within one key every sample has had the same chance to stay (reservoir sampling: J. Vitter, ACM TOMS 11(1), 1985).
    Keys share the memory as evenly as they can: a new sample takes the place of one of the largest key's
    (A. Chrysakis and M.-F. Moens, ICML 2020). With one key for everything it is a plain reservoir. The key is
    what must not be crowded out: a class, a part, or both.
    """

    def __init__(self, capacity: int = CAPACITY, seed: int = 0) -> None:
        if capacity < 1:
            raise InputError(f"a memory of {capacity} samples; it holds at least one")
        self.capacity = capacity
        self._random = np.random.default_rng(seed)
        self._rows: dict[int, list[tuple[NDArray[np.float32], int]]] = {}
        self._seen: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def counts(self) -> dict[int, int]:
        """Return how many samples of each key are remembered."""
        return {key: len(rows) for key, rows in self._rows.items()}

    def add(
        self, features: NDArray[np.floating], labels: NDArray[np.integer], key: NDArray[np.integer]
    ) -> None:
        """Offer ``features`` (n, d) with ``labels`` (n,) and ``key`` (n,), in the order in which they came."""
        if not len(features) == len(labels) == len(key):
            raise InputError(f"{len(features)} samples with {len(labels)} labels and {len(key)} keys")
        for row, label, own in zip(
            np.asarray(features, np.float32), labels.tolist(), key.tolist(), strict=True
        ):
            self._offer(row.copy(), int(label), int(own))

    def draw(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return ``count`` samples, (count, d) and (count,), every key with the same chance. InputError where empty."""
        keys = sorted(self._rows)
        if not keys:
            raise InputError("nothing is remembered yet: there is nothing to rehearse")
        drawn = []
        for number in self._random.integers(0, len(keys), count):
            rows = self._rows[keys[number]]
            drawn.append(rows[self._random.integers(0, len(rows))])
        return np.stack([row for row, _ in drawn]), np.array([label for _, label in drawn], np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps: features in half precision, labels, keys and how many were seen of each."""
        kept = [(row, label, key) for key, rows in self._rows.items() for row, label in rows]
        return {
            "memory_features": np.stack([row for row, _, _ in kept]).astype(np.float16),
            "memory_labels": np.array([label for _, label, _ in kept], np.int64),
            "memory_keys": np.array([key for _, _, key in kept], np.int64),
            "memory_seen": np.array(sorted(self._seen.items()), np.int64).reshape(-1, 2),
        }

    @classmethod
    def of(
        cls, arrays: Mapping[str, NDArray[Any]], capacity: int = CAPACITY, seed: int = 0
    ) -> RehearsalMemory:
        """Go on with what ``arrays`` gave. Raises InputError where it is none of that, or more than fits."""
        memory = cls(capacity, seed)
        try:
            rows = np.asarray(arrays["memory_features"], np.float32)
            labels, keys = (np.asarray(arrays[f"memory_{name}"], np.int64) for name in ("labels", "keys"))
            seen = {int(key): int(count) for key, count in arrays["memory_seen"]}
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"no rehearsal memory: {error}") from error
        if (
            rows.ndim != 2
            or not len(rows) == len(labels) == len(keys) <= capacity
            or not np.isfinite(rows).all()
        ):
            raise InputError(f"no rehearsal memory of at most {capacity} samples: shape {rows.shape}")
        for row, label, key in zip(rows, labels.tolist(), keys.tolist(), strict=True):
            memory._rows.setdefault(key, []).append((row, label))
        memory._seen = {key: max(seen.get(key, 0), count) for key, count in memory.counts().items()}
        return memory

    def _offer(self, row: NDArray[np.float32], label: int, key: int) -> None:
        own = self._rows.setdefault(key, [])
        dropped = self._seen.get(key, 0) > len(own)
        self._seen[key] = self._seen.get(key, 0) + 1
        if len(self) < self.capacity:
            own.append((row, label))
            return
        most = max(len(rows) for rows in self._rows.values())
        if not dropped and len(own) < most:  # all of this key is remembered: it may still grow
            largest = [each for each, rows in sorted(self._rows.items()) if len(rows) == most]
            rows = self._rows[largest[self._random.integers(0, len(largest))]]
            rows.pop(self._random.integers(0, len(rows)))
            own.append((row, label))
        elif self._random.random() < len(own) / self._seen[key]:
            own[self._random.integers(0, len(own))] = (row, label)
