"""What goes into a model and comes out of it, held against the card: once at load, quickly at every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeai_core.errors import ModelError
from edgeai_core.runners.card import TensorSpec

VARIES = "varies"


class InputCheck:
    """Holds the inputs of every call against the card's specification of them."""

    def __init__(self, specs: tuple[TensorSpec, ...]) -> None:
        self._specs = specs
        self._wanted = tuple((spec.name, np.dtype(spec.dtype)) for spec in specs)
        self._tied = _tied_dimensions(specs)
        fixed = [_whole(spec) for spec in specs]
        self._known = [each for each in fixed if each is not None] if None not in fixed else []

    def fits(self, inputs: Mapping[str, np.ndarray]) -> bool:
        """Return whether names, dtypes and shapes are the card's, and dimensions of one name are alike.

        It is called at every inference, of which the smallest takes 15 us: hence the plain loop, and shapes that
        are those of the call before are not looked at again.
        """
        if len(inputs) != len(self._wanted):
            return False
        shapes = []
        for name, dtype in self._wanted:
            array = inputs.get(name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                return False
            shapes.append(array.shape)
        if shapes == self._known:
            return True
        if not self._shapes_fit(shapes):
            return False
        self._known = shapes  # one assignment: another thread finds the old list or the new one
        return True

    def refusal(self, inputs: Mapping[str, object]) -> str:
        """Say what came and what is wanted."""
        came = ", ".join(
            f"{name} {value.dtype}[{', '.join(map(str, value.shape))}]"
            if isinstance(value, np.ndarray)
            else f"{name} of type {type(value).__name__}"
            for name, value in inputs.items()
        )
        return f"inputs are {came or 'none'} where the card wants {', '.join(map(str, self._specs))}"

    def _shapes_fit(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        if not all(_matches(shape, spec.shape) for shape, spec in zip(shapes, self._specs, strict=True)):
            return False
        return all(len({shapes[which][axis] for which, axis in places}) == 1 for places in self._tied)


@dataclass(frozen=True)
class Found:
    """A tensor as an engine describes it: numpy's name of its dtype, and a number for each fixed dimension."""

    dtype: str
    shape: tuple[object, ...]


def check_tensors(
    model: Path, side: str, found: Mapping[str, Found], specs: tuple[TensorSpec, ...], *, exact: bool = True
) -> None:
    """Raise ModelError where the engine's ``side`` ("input", "output") is not the card's.

    Without ``exact`` an engine may know fewer dimensions than the card: of those it knows none may differ.
    """
    if found.keys() != {spec.name for spec in specs}:
        raise ModelError(
            f"{model}: the model's {side}s are {sorted(found)}, the card's {sorted(s.name for s in specs)}"
        )
    for spec in specs:
        tensor = found[spec.name]
        has = tuple(size if isinstance(size, int) else VARIES for size in tensor.shape)
        stated = tuple(size if isinstance(size, int) else VARIES for size in spec.shape)
        fits = has == stated or (
            not exact
            and len(has) == len(stated)
            and all(a == b or VARIES in (a, b) for a, b in zip(has, stated, strict=True))
        )
        if not fits or tensor.dtype != spec.dtype:
            sizes = ", ".join(map(str, tensor.shape))
            raise ModelError(
                f"{model}: the model's {side} is {spec.name} {tensor.dtype}[{sizes}], the card's {spec}"
            )


def check_outputs(model: Path, outputs: Mapping[str, np.ndarray], specs: tuple[TensorSpec, ...]) -> None:
    """Raise ModelError where what an engine gave is of another dtype or shape than the card's."""
    for spec in specs:
        array = outputs[spec.name]
        if array.dtype != np.dtype(spec.dtype) or not _matches(array.shape, spec.shape):
            raise ModelError(
                f"{model}: the engine gives {spec.name} {array.dtype}{list(array.shape)}, the card says {spec}"
            )


def zeros(specs: tuple[TensorSpec, ...]) -> dict[str, np.ndarray]:
    """Return inputs of nothing but zeros; dimensions that may vary are 1."""
    return {
        spec.name: np.zeros([size if isinstance(size, int) else 1 for size in spec.shape], spec.dtype)
        for spec in specs
    }


def noise(specs: tuple[TensorSpec, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs to time a model with: standard normal numbers, or whole ones; what may vary is 1."""
    generator = np.random.default_rng(seed)
    made = {}
    for spec in specs:
        shape = [size if isinstance(size, int) else 1 for size in spec.shape]
        kind = np.dtype(spec.dtype).kind
        if kind == "f":
            made[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
        else:
            high = {"b": 2, "i": 100, "u": 200}[kind]
            made[spec.name] = generator.integers(0, high, shape).astype(spec.dtype)
    return made


def _whole(spec: TensorSpec) -> tuple[int, ...] | None:
    """Return the shape where all of it is fixed."""
    fixed = tuple(size for size in spec.shape if isinstance(size, int))
    return fixed if len(fixed) == len(spec.shape) else None


def _matches(shape: tuple[int, ...], stated: tuple[int | str, ...]) -> bool:
    return len(shape) == len(stated) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(shape, stated, strict=True)
    )


def _tied_dimensions(specs: tuple[TensorSpec, ...]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the places, as (number of the input, axis), of each dimension's name that stands in more than one."""
    places: dict[str, list[tuple[int, int]]] = {}
    for number, spec in enumerate(specs):
        for axis, size in enumerate(spec.shape):
            if isinstance(size, str):
                places.setdefault(size, []).append((number, axis))
    return tuple(tuple(at) for at in places.values() if len(at) > 1)
