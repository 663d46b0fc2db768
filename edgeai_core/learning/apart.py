"""Features set apart by part: weights that all parts share beside weights of each part's own.

One linear decision cannot be right for parts that fail in unlike ways: what the one teaches it the other pays for. So
the features of a sample stand twice, once for all parts and once in the place of its part, and zeros in the places of
the others; what is learnt of them is a common decision and what each part adds to it. Source: H. Daumé III,
Frustratingly Easy Domain Adaptation, ACL 2007. Which part a sample is, is told by the nearest mean of those learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adapter, Floats
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.rehearsal import RehearsalMemory

MAX_PARTS = 16
"""Each has weights of its own in the model and a place of its own in every sample that is rehearsed."""


@dataclass(frozen=True)
class Parts:
    """``centre`` and ``scale`` (d,) bring features to one spread; ``means`` (parts, d) are of each part, so scaled."""

    centre: Floats
    scale: Floats
    means: Floats

    def __post_init__(self) -> None:
        d = self.centre.shape[-1]
        shapes = (self.centre.shape, self.scale.shape, self.means.shape[1:])
        if shapes != ((d,),) * 3 or not 1 <= len(self.means) <= MAX_PARTS:
            raise InputError(f"parts of shapes {shapes}; there may be {MAX_PARTS} of one number of features")
        if (
            not all(np.isfinite(each).all() for each in (self.centre, self.means))
            or not (self.scale > 0).all()
        ):
            raise InputError("parts whose means, centre or scale are not finite")

    def __len__(self) -> int:
        return len(self.means)

    @property
    def size(self) -> int:
        """How many features a sample has before it is spread."""
        return len(self.centre)

    @classmethod
    def first(
        cls,
        learnt: Samples,
        centre: NDArray[np.floating] | None = None,
        scale: NDArray[np.floating] | None = None,
    ) -> Parts:
        """Return the one part known at the beginning; centre and scale are its samples' where none are given."""
        if not len(learnt):
            raise InputError("every part needs samples to be known by")
        middle = np.asarray(learnt.features.mean(axis=0) if centre is None else centre, np.float32)
        spread = np.asarray(learnt.features.std(axis=0) + 1e-3 if scale is None else scale, np.float32)
        return cls(middle, spread, ((learnt.features - middle) / spread).mean(axis=0, keepdims=True))

    def and_one(self, learnt: Samples) -> Parts:
        """Return them with one part more, as the samples learnt from show it. Raises InputError for too many."""
        if not len(learnt):
            raise InputError("every part needs samples to be known by")
        if len(self) == MAX_PARTS:
            raise InputError(f"{MAX_PARTS} parts are learnt; for more teach a model of its own")
        mean = self._scaled(learnt.features).mean(axis=0, keepdims=True)
        return replace(self, means=np.concatenate([self.means, mean]))

    def tell(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the number of the part (n,) whose mean is nearest to each row of ``features`` (n, d)."""
        z = self._scaled(features)
        apart = (self.means**2).sum(axis=1) - 2 * z @ self.means.T
        return np.asarray(apart.argmin(axis=1), np.int64)

    def wide(self, features: NDArray[np.floating]) -> Floats:
        """Return (n, (1 + parts) * d) of ``features`` (n, d): those of all, then a place for each part."""
        z, numbers = self._scaled(features), self.tell(features)
        n, d = z.shape
        wide = np.zeros((n, 1 + len(self.means), d), np.float32)
        wide[:, 0] = z
        wide[np.arange(n), 1 + numbers] = z
        return wide.reshape(n, -1)

    def spread(self, samples: Samples) -> Samples:
        """Return samples with their features ``wide``."""
        return replace(samples, features=self.wide(samples.features))

    def spread_memory(self, memory: RehearsalMemory, seed: int = 0) -> RehearsalMemory:
        """Return a memory of the same samples, spread."""
        kept = memory.arrays()
        wide = self.wide(np.asarray(kept["memory_features"], np.float32))
        return RehearsalMemory.of({**kept, "memory_features": wide}, memory.capacity, seed)

    def begun(self, weight: NDArray[np.floating], bias: NDArray[np.floating], seed: int = 0) -> Adapter:
        """Return an adapter on spread features that decides for all parts by ``weight`` (d, k) and ``bias`` (k,)."""
        wide = np.zeros(((1 + len(self)) * self.size, weight.shape[1]), np.float32)
        wide[: self.size] = weight
        return Adapter.around(wide, bias, seed=seed)

    def grown(self, adapter: Adapter, before: Parts, learnt: Samples) -> Adapter:
        """Return the adapter of the parts ``before`` with a place for the one more that there is now.

        It begins with the weights of the part that most samples of the new one were taken for, so that it decides as
        before.
        """
        d = self.size
        if (len(self), adapter.size) != (len(before) + 1, (1 + len(before)) * d):
            raise InputError(
                f"an adapter of {adapter.size} features does not grow to {len(self)} parts of {d}"
            )
        like = 1 + int(np.bincount(before.tell(learnt.features), minlength=len(before)).argmax())
        own = slice(like * d, (like + 1) * d)
        rank = adapter.down.shape[1]
        return Adapter(
            np.concatenate([adapter.centre, adapter.centre[own]]),
            np.concatenate([adapter.scale, adapter.scale[own]]),
            np.concatenate([adapter.down, adapter.down[own]]),
            np.concatenate([adapter.up, np.zeros((rank, d), np.float32)], axis=1),
            np.concatenate([adapter.weight, adapter.weight[own]]),
            adapter.bias,
        )

    def folded(self, adapter: Adapter) -> tuple[Floats, Floats]:
        """Return ``matrix`` (parts, d, k) and ``offset`` (k,): ``z @ matrix[part] + offset`` are the logits.

        ``z`` are features less the centre over the scale. This is all that a model needs at work.
        """
        matrix, offset = adapter.folded()
        blocks = matrix.reshape(1 + len(self), self.size, adapter.classes)
        return blocks[:1] + blocks[1:], offset

    def arrays(self) -> dict[str, Floats]:
        """Return all arrays by name: what a checkpoint keeps."""
        return {f"parts_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Parts:
        """Make them of what ``arrays`` gave. Raises InputError where one is missing or does not fit."""
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if f"parts_{name}" not in arrays]
        if missing:
            raise InputError(f"no parts: {', '.join(missing)} missing")
        return cls(*(np.asarray(arrays[f"parts_{name}"], np.float32) for name in names))

    def _scaled(self, features: NDArray[np.floating]) -> Floats:
        rows = np.asarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.size:
            raise InputError(f"features of shape {rows.shape} where (n, {self.size}) is wanted")
        return np.asarray((rows - self.centre) / self.scale, np.float32)
