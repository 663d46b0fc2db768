"""Arrays in a file that runs no code when it is read: NumPy's .npz with pickling refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError

_ABOUT = "about.json"
MAX_CHECKPOINT_BYTES = 1 << 30


def save_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], about: Mapping[str, object]) -> None:
    """Write named arrays and a JSON description of them, whole or not at all (a rename ends the write)."""
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise InputError(f"{path}: array {name!r} holds Python objects; a checkpoint takes numbers only")
    plain[_ABOUT] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **plain)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_arrays(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, object]]:
    """Read what ``save_arrays`` wrote; raises InputError for any other, too large or damaged file."""
    try:
        arrays = read_npz(path, f"{path}: not a checkpoint of this program: it", MAX_CHECKPOINT_BYTES)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: not a checkpoint of this program ({error})") from error
    if not isinstance(about, dict):
        raise InputError(f"{path}: not a checkpoint of this program (its description is no object)")
    return arrays, about
