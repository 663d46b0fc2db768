"""Features set apart by part: weights that all parts share beside weights of each part's own.

One linear decision cannot be right for parts that fail in unlike ways: what the one teaches it the other pays for. So
the features of a sample stand twice, once for all parts and once in the place of its part, and zeros in the places of
the others; what is learnt of them is a common decision and what each part adds to it. Source: H. Daumé III,
Frustratingly Easy Domain Adaptation, ACL 2007. Which part a sample is, is told by the nearest mean of those learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.learning.continual import Samples


@dataclass(frozen=True)
class Parts:
    """``centre`` and ``scale`` (d,) bring features to one spread; ``means`` (parts, d) are of each part, so scaled."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    means: NDArray[np.float32]

    @classmethod
    def of(cls, learnt: Sequence[Samples]) -> Parts:
        """Return parts as the samples learnt from each show them; the first, known best, gives centre and scale."""
        if not learnt or not all(len(each) for each in learnt):
            raise InputError("every part needs samples to be known by")
        first = learnt[0].features
        centre = np.asarray(first.mean(axis=0), np.float32)
        scale = np.asarray(first.std(axis=0) + 1e-3, np.float32)
        means = [((each.features - centre) / scale).mean(axis=0) for each in learnt]
        return cls(centre, scale, np.asarray(means, np.float32))

    def tell(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the number of the part (n,) whose mean is nearest to each row of ``features`` (n, d)."""
        z = self._scaled(features)
        apart = (z**2).sum(axis=1)[:, None] - 2 * z @ self.means.T + (self.means**2).sum(axis=1)
        return np.asarray(apart.argmin(axis=1), np.int64)

    def spread(self, samples: Samples) -> Samples:
        """Return samples whose features (n, d) became (n, (1 + parts) * d): those of all, then a place for each."""
        z, numbers = self._scaled(samples.features), self.tell(samples.features)
        n, d = z.shape
        wide = np.zeros((n, 1 + len(self.means), d), np.float32)
        wide[:, 0] = z
        wide[np.arange(n), 1 + numbers] = z
        return replace(samples, features=wide.reshape(n, -1))

    def _scaled(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        rows = np.asarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.centre):
            raise InputError(f"features of shape {rows.shape} where (n, {len(self.centre)}) is wanted")
        return np.asarray((rows - self.centre) / self.scale, np.float32)
