"""The part of a model that learns on a device: an adaptation layer and a head on the features of a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Floats = NDArray[np.float32]

RANK = 8
"""Of the adaptation layer: so few directions of the features may be bent (E. Hu et al., LoRA, ICLR 2022)."""

TRAINED = ("down", "up", "weight", "bias")


@dataclass(frozen=True)
class Adapter:
    """Features of d numbers -> logits of k classes.

    ``z = (x - centre) / scale``, ``h = z + (z down) up``, ``logits = h weight + bias``. ``centre`` and ``scale``
    (d,) stay as they are; ``down`` (d, rank), ``up`` (rank, d), ``weight`` (d, k) and ``bias`` (k,) are learnt.
    All of it is linear, so ``folded`` gives the one matrix that an exported model needs: adapting costs nothing
    at run time.
    """

    centre: Floats
    scale: Floats
    down: Floats
    up: Floats
    weight: Floats
    bias: Floats

    def __post_init__(self) -> None:
        d, k = self.weight.shape if self.weight.ndim == 2 else (0, 0)
        rank = self.down.shape[-1]
        wanted = {
            "centre": (d,), "scale": (d,), "down": (d, rank), "up": (rank, d), "weight": (d, k), "bias": (k,),
        }  # fmt: skip
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise InputError(f"an adapter's {name} of shape {array.shape} holds no finite {shape}")
        if d < 1 or k < 2 or not (self.scale > 0).all():
            raise InputError(
                f"an adapter from {d} features to {k} classes; it takes one feature and two classes"
            )

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.bias)

    @property
    def size(self) -> int:
        """How many features it takes."""
        return len(self.centre)

    def logits(self, features: NDArray[np.floating]) -> Floats:
        """Return (n, k) for ``features`` (n, d). Raises InputError for another shape."""
        z = self.scaled(features)
        return np.asarray((z + (z @ self.down) @ self.up) @ self.weight + self.bias, np.float32)

    def scaled(self, features: NDArray[np.floating]) -> Floats:
        """Return the features brought to the spread of those it was begun with."""
        rows = np.asarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.size:
            raise InputError(f"features of shape {rows.shape} where (n, {self.size}) is wanted")
        return np.asarray((rows - self.centre) / self.scale, np.float32)

    def folded(self) -> tuple[Floats, Floats]:
        """Return ``matrix`` (d, k) and ``offset`` (k,): ``features @ matrix + offset`` are the logits."""
        matrix = (self.weight + self.down @ (self.up @ self.weight)) / self.scale[:, None]
        return matrix.astype(np.float32), (self.bias - self.centre @ matrix).astype(np.float32)

    def arrays(self) -> dict[str, Floats]:
        """Return all arrays by name: what a checkpoint keeps."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Adapter:
        """Make one of what ``arrays`` gave. Raises InputError where one is missing or does not fit."""
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise InputError(f"no adapter: {', '.join(missing)} missing")
        return cls(**{name: np.asarray(arrays[name], np.float32) for name in names})

    @classmethod
    def fresh(cls, features: NDArray[np.floating], classes: int, rank: int = RANK, seed: int = 0) -> Adapter:
        """Return one that says nothing yet, scaled to ``features`` (n, d)."""
        centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
        d = features.shape[1]
        return cls.around(np.zeros((d, classes)), np.zeros(classes), rank, seed, centre, scale)

    @classmethod
    def around(
        cls,
        weight: NDArray[np.floating],
        bias: NDArray[np.floating],
        rank: int = RANK,
        seed: int = 0,
        centre: NDArray[np.floating] | None = None,
        scale: NDArray[np.floating] | None = None,
    ) -> Adapter:
        """Return one that begins exactly as a network's own last layer, ``weight`` (d, k) and ``bias`` (k,)."""
        d = len(weight)
        down = np.random.default_rng(seed).normal(0, 1 / np.sqrt(d), (d, rank))
        single = [
            np.asarray(each, np.float32)
            for each in (
                np.zeros(d) if centre is None else centre, np.ones(d) if scale is None else scale,
                down, np.zeros((rank, d)), weight, bias,
            )
        ]  # fmt: skip
        return cls(*single)


@dataclass(frozen=True)
class Adam:
    """The optimiser (D. Kingma and J. Ba, ICLR 2015), with decay of weights apart from the gradient (AdamW)."""

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    first: float = 0.9
    second: float = 0.999

    def begin(self, adapter: Adapter) -> Callable[[Adapter, Mapping[str, Floats]], Adapter]:
        """Return a step: adapter and gradients -> adapter. The step keeps the moments."""
        mean = {name: np.zeros_like(getattr(adapter, name)) for name in TRAINED}
        square = {name: np.zeros_like(getattr(adapter, name)) for name in TRAINED}
        steps = 0

        def step(now: Adapter, gradients: Mapping[str, Floats]) -> Adapter:
            nonlocal steps
            steps += 1
            moved = {}
            for name in TRAINED:
                gradient, value = gradients[name], getattr(now, name)
                mean[name] += (1 - self.first) * (gradient - mean[name])
                square[name] += (1 - self.second) * (gradient * gradient - square[name])
                away = mean[name] / (1 - self.first**steps)
                away /= np.sqrt(square[name] / (1 - self.second**steps)) + 1e-8
                decay = 0.0 if name == "bias" else self.weight_decay
                moved[name] = (value - self.learning_rate * (away + decay * value)).astype(np.float32)
            return replace(now, **moved)

        return step


def gradients_of(
    adapter: Adapter, features: NDArray[np.floating], labels: NDArray[np.integer], weights: Floats
) -> tuple[float, dict[str, Floats]]:
    """Return the weighted mean cross-entropy of ``labels`` (n,) and its gradients by the names in ``TRAINED``."""
    z = adapter.scaled(features)
    narrow = z @ adapter.down
    h = z + narrow @ adapter.up
    logits = h @ adapter.weight + adapter.bias
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    rows = np.arange(len(labels))
    loss = float((weights * (np.log(total[:, 0]) - logits[rows, labels])).sum() / weights.sum())
    shares[rows, labels] -= 1
    error = shares * (weights / weights.sum())[:, None]
    back = error @ adapter.weight.T
    found = {
        "weight": h.T @ error,
        "bias": error.sum(axis=0),
        "up": narrow.T @ back,
        "down": z.T @ (back @ adapter.up.T),
    }
    return loss, {name: np.asarray(each, np.float32) for name, each in found.items()}
