"""Calls of a model from outside, to calibrate and judge with: arrays, or a folder of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.optimize.examples import PICTURES, read_arrays, read_picture
from edgeai_core.runners.card import TensorSpec

T = TypeVar("T")

FEWEST = 8
"""Half of them calibrate, half judge: with fewer nothing can be said of either."""

MOST = 2000

_SIDE = 224


@dataclass(frozen=True)
class Samples:
    """``calls``: the model's inputs by name, one sample each. ``labels`` (n,) class numbers, or None."""

    calls: tuple[dict[str, NDArray[np.generic]], ...]
    labels: NDArray[np.int64] | None
    origin: str

    @property
    def digest(self) -> str:
        """SHA-256 of all arrays."""
        digest = hashlib.sha256()
        for call in self.calls:
            for name, array in sorted(call.items()):
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def rows(self, rows: Sequence[int]) -> Samples:
        """Return some of the samples."""
        labels = None if self.labels is None else self.labels[list(rows)]
        return Samples(tuple(self.calls[row] for row in rows), labels, self.origin)


def read_samples(
    path: Path,
    inputs: Sequence[TensorSpec],
    *,
    mean: float = 0.0,
    std: float = 255.0,
    side: int | None = None,
    limit: int = MOST,
) -> Samples:
    """Read samples for a model with these ``inputs``.

    An ``.npz`` has an array (n, ...) for each input by its name, or one named ``inputs`` for a model with one input;
    ``labels`` (n,), class numbers, if they are known. An ``.npy`` is the one input. A folder holds pictures, at any
    depth: they become (value - mean) / std, values from 0 to 255, squeezed to the input's size (``side`` pixels where
    the model leaves it open). Of more than ``limit`` every so-manieth is taken.
    Raises InputError that says what does not fit, also for fewer than ``FEWEST`` samples.
    """
    if path.is_dir():
        samples = _from_pictures(path, inputs, mean, std, side, limit)
    elif path.suffix in (".npz", ".npy"):
        samples = _from_arrays(path, inputs, limit)
    else:
        problem = (
            "does not exist"
            if not path.exists()
            else "is neither a folder of pictures nor an .npz or .npy file"
        )
        raise InputError(f"{path}: {problem}")
    if len(samples.calls) < FEWEST:
        raise InputError(
            f"{path}: holds {len(samples.calls)} sample(s); half of them calibrate and half judge, so {FEWEST} are the "
            "fewest, and 100 or more are better"
        )
    return samples


def _from_pictures(
    path: Path, inputs: Sequence[TensorSpec], mean: float, std: float, side: int | None, limit: int
) -> Samples:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] not in (1, 3):
        wanted = ", ".join(map(str, inputs))
        raise InputError(
            f"{path}: pictures fit an input (n, 1 or 3, height, width); this model takes {wanted}"
        )
    if not std > 0:
        raise InputError(f"std must be above 0, not {std}")
    (spec,) = inputs
    height, width = (size if isinstance(size, int) else side or _SIDE for size in spec.shape[2:])
    if height != width:
        raise InputError(f"{path}: pictures become squares, and this model takes {spec}; give arrays (.npz)")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES)
    calls = []
    for file in _thinned(files, limit):
        planes = read_picture(file, height, int(spec.shape[1])) * np.float32(255.0)
        calls.append({spec.name: ((planes - mean) / std).astype(spec.dtype)[None]})
    return Samples(tuple(calls), None, path.name)


def _from_arrays(path: Path, inputs: Sequence[TensorSpec], limit: int) -> Samples:
    arrays = read_arrays(path)
    if len(inputs) == 1 and inputs[0].name not in arrays and "inputs" in arrays:
        arrays[inputs[0].name] = arrays["inputs"]
    missing = [spec.name for spec in inputs if spec.name not in arrays]
    if missing:
        raise InputError(
            f"{path}: has no array for {', '.join(missing)}; it holds {', '.join(sorted(arrays))}"
        )
    counts = {arrays[spec.name].shape[0] if arrays[spec.name].ndim else 0 for spec in inputs}
    if len(counts) > 1:
        raise InputError(f"{path}: the arrays hold different numbers of samples: {sorted(counts)}")
    (count,) = counts
    rows = _thinned(range(count), limit)
    calls = [{spec.name: _fitting(path, spec, arrays[spec.name][row]) for spec in inputs} for row in rows]
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise InputError(f"{path}: labels must be one whole number for each sample, the class's")
    known = None if labels is None else np.asarray(labels[list(rows)], dtype=np.int64)
    return Samples(tuple(calls), known, path.name)


def _fitting(path: Path, spec: TensorSpec, sample: NDArray[np.generic]) -> NDArray[np.generic]:
    for shaped in (sample[None], sample):
        fits = len(shaped.shape) == len(spec.shape) and all(
            isinstance(wanted, str) or wanted == size
            for wanted, size in zip(spec.shape, shaped.shape, strict=True)
        )
        if fits:
            made = np.ascontiguousarray(shaped.astype(spec.dtype))
            if made.dtype.kind == "f" and not np.isfinite(made).all():
                raise InputError(f"{path}: a sample of {spec.name} holds what is not a number")
            return made
    raise InputError(
        f"{path}: a sample of {spec.name} has shape {list(sample.shape)}; the model takes {spec}"
    )


def _thinned(rows: Sequence[T], limit: int) -> Sequence[T]:
    return (
        rows if len(rows) <= limit else [rows[round(place)] for place in np.linspace(0, len(rows) - 1, limit)]
    )
