"""Golden vectors: inputs with the outputs they must give, kept beside a model and checked on every engine."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import Golden, read_limited, write_whole
from edgeai_core.runners.parity import differences
from edgeai_core.runners.runner import Runner

MAX_GOLDEN_BYTES = 64 << 20
"""The most that a file of golden vectors may hold, packed or unpacked."""


@dataclass(frozen=True)
class GoldenVector:
    """One call of a model: its inputs, and the outputs its source gave."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


def write_golden(path: Path, vectors: Sequence[GoldenVector], atol: float, rtol: float) -> Golden:
    """Write the vectors as ``.npz`` and return what the card says of them.

    The outputs should come from the model's source (the network as trained), not from the file they check.
    Raises ModelError without a vector, and for arrays that hold Python objects.
    """
    if not vectors:
        raise ModelError(f"{path}: golden vectors need at least one call of the model")
    arrays: dict[str, Any] = {}
    for number, vector in enumerate(vectors):
        for side, named in (("input", vector.inputs), ("output", vector.outputs)):
            for name, array in named.items():
                if np.asarray(array).dtype.hasobject:
                    raise ModelError(f"{path}: golden {side} {name} holds objects, not numbers")
                arrays[f"{number}.{side}.{name}"] = np.asarray(array)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    write_whole(path, packed.getvalue())
    return Golden(path.name, hashlib.sha256(packed.getvalue()).hexdigest(), atol, rtol)


def read_golden(path: Path, golden: Golden) -> list[GoldenVector]:
    """Read the vectors that a card names.

    Raises ModelError where the file is missing, is not the card's, is too large or holds something else.
    """
    raw = read_limited(path, MAX_GOLDEN_BYTES, "file of golden vectors")
    if hashlib.sha256(raw).hexdigest() != golden.digest:
        raise ModelError(f"{path}: the golden vectors are not those of the card (their digest differs)")
    found: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    try:
        for key, array in read_npz(
            raw, f"{path}: cannot be read as golden vectors", MAX_GOLDEN_BYTES
        ).items():
            number, side, name = key.split(".", 2)
            found.setdefault(int(number), ({}, {}))[("input", "output").index(side)][name] = array
    except InputError as error:
        raise ModelError(str(error)) from error
    except ValueError as error:
        raise ModelError(f"{path}: cannot be read as golden vectors: {error}") from error
    if not found:
        raise ModelError(f"{path}: holds no golden vector")
    return [GoldenVector(inputs, outputs) for _, (inputs, outputs) in sorted(found.items())]


def check_golden(runner: Runner, vectors: Sequence[GoldenVector], golden: Golden) -> None:
    """Run every vector. Raises ModelError that names the output farthest off where the engine disagrees."""
    name = f"model {runner.card.name} {runner.card.version}"
    for number, vector in enumerate(vectors):
        where = f"{name}, golden vector {number}"
        found = differences(runner.run(vector.inputs), vector.outputs, golden.atol, golden.rtol, where)
        for worst in found:
            if worst.tolerances > 1:
                raise ModelError(
                    f"{where}: this engine disagrees with the model's source: {worst} "
                    f"(atol {golden.atol:g}, rtol {golden.rtol:g})"
                )
