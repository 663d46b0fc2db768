"""Vibration in ``.npz``: our own layout, and that of the bearing data of Case Western Reserve University."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.recording import GRAVITY_MPS2, Block, Recording
from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError

MAX_UNPACKED_BYTES = 1 << 30
"""A file that unpacks to more is refused before it is read."""

BLOCK_S = 0.1


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read all arrays of a file, none of which may hold Python objects. Raises InputError."""
    return read_npz(path, str(path), MAX_UNPACKED_BYTES)


def open_npz(path: Path) -> Recording:
    """Open a recording.

    Ours: ``vibration`` (bursts, n, channels) integers, ``scale_mps2`` a step, ``rate_hz``, ``play_s``, and any of
    ``rpm``, ``temperature_c``, ``pressure_bar``, ``current_a``, ``hours`` (bursts,). CWRU: ``de`` (n,) steps of
    ``de_scale`` g, ``fs`` and ``rpm``. Raises InputError for anything else.
    """
    arrays = read_arrays(path)
    if "de" in arrays:
        return _cwru(path, arrays)
    if "vibration" not in arrays:
        raise InputError(
            f"{path}: holds neither `vibration` nor `de`; it has {', '.join(sorted(arrays)[:20])}"
        )
    vibration = arrays["vibration"]
    if vibration.ndim != 3 or vibration.dtype.kind not in "if" or not vibration.size:
        raise InputError(
            f"{path}: `vibration` is {vibration.dtype} {vibration.shape}, not (bursts, n, channels)"
        )
    bursts = len(vibration)
    scale = number(path, arrays, "scale_mps2")
    rate_hz, play_s = number(path, arrays, "rate_hz"), number(path, arrays, "play_s", 1.0)
    slow: dict[str, NDArray[np.float64]] = {}
    for name in ("rpm", "temperature_c", "pressure_bar", "current_a", "hours"):
        if name in arrays:
            if arrays[name].shape != (bursts,) or arrays[name].dtype.kind not in "if":
                raise InputError(f"{path}: `{name}` must hold one number for each of {bursts} bursts")
            slow[name] = arrays[name].astype(np.float64)

    def blocks() -> Iterator[Block]:
        for burst in range(bursts):
            values = {name: float(column[burst]) for name, column in slow.items()}
            yield Block((vibration[burst] * scale).astype(np.float32), values, play_s)

    channels = tuple(f"channel {each + 1}" for each in range(vibration.shape[2]))
    simulated = bool(number(path, arrays, "simulated", 0.0))
    return Recording(path.stem, rate_hz, channels, blocks(), bursts=True, simulated=simulated)


def write_npz(path: Path, blocks: list[Block], rate_hz: float, *, play_s: float, simulated: bool) -> None:
    """Write bursts of one length in our layout, to 16 bits of the largest value."""
    vibration = np.stack([block.vibration for block in blocks])
    scale = float(np.abs(vibration).max()) / 32767
    arrays: dict[str, NDArray[np.generic]] = {
        "vibration": np.round(vibration / scale).astype(np.int16),
        "scale_mps2": np.array(scale),
        "rate_hz": np.array(rate_hz),
        "play_s": np.array(play_s),
        "simulated": np.array(simulated),
    }
    for name in blocks[0].slow:
        arrays[name] = np.array([round(block.slow[name], 3) for block in blocks])
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def number(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], name: str, default: float | None = None
) -> float:
    """Return a scalar of the file. Raises InputError where it is missing or no finite number."""
    if name not in arrays:
        if default is not None:
            return default
        raise InputError(f"{path}: `{name}` is missing")
    value = arrays[name]
    if value.size != 1 or value.dtype.kind not in "iufb" or not math.isfinite(float(value.reshape(()))):
        raise InputError(f"{path}: `{name}` is no finite number")
    return float(value.reshape(()))


def _cwru(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> Recording:
    steps = arrays["de"]
    if steps.ndim != 1 or steps.dtype.kind not in "if" or not len(steps):
        raise InputError(f"{path}: `de` is {steps.dtype} {steps.shape}, not samples (n,)")
    rate_hz, rpm = number(path, arrays, "fs"), number(path, arrays, "rpm", 0.0)
    scale = number(path, arrays, "de_scale") * GRAVITY_MPS2
    size = max(1, round(rate_hz * BLOCK_S))

    def blocks() -> Iterator[Block]:
        for first in range(0, len(steps), size):
            piece = (steps[first : first + size].astype(np.float64) * scale).astype(np.float32)
            yield Block(piece[:, None], {"rpm": rpm} if rpm > 0 else {})

    return Recording(path.stem, rate_hz, ("drive end",), blocks())
