"""Arrays from files of numpy (``.npy``, ``.npz``), which may be anything: bounded in size, and never a pickle."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError, first_line

DAMAGED = (
    ValueError, EOFError, MemoryError, SyntaxError, tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What numpy, which reads headers as Python, and zipfile raise for files that are damaged or none of theirs."""


def read_npz(file: Path | bytes, name: str, max_bytes: int) -> dict[str, NDArray[np.generic]]:
    """Return all arrays of an ``.npz``, none of which holds Python objects. ``name`` is what errors call the file.

    Raises InputError for a file that cannot be read, is damaged, or unpacks to more than ``max_bytes``.
    """
    try:
        source = io.BytesIO(file) if isinstance(file, bytes) else file
        with zipfile.ZipFile(source) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > max_bytes:
            raise InputError(f"{name}: unpacks to {size:,} bytes; at most {max_bytes:,} are read")
        with np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False) as arrays:
            return {key: np.asarray(arrays[key]) for key in arrays.files}
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        raise InputError(f"{name}: is damaged, or no .npz of arrays: {first_line(error)}") from error


def read_npy(content: bytes, name: str, max_bytes: int) -> NDArray[np.generic]:
    """Return the one array of an ``.npy``, whose header is looked at before anything is unpacked.

    Raises InputError for what is damaged, holds Python objects, or says that it is larger than ``max_bytes``.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size > max_bytes:
            raise InputError(f"{name}: holds {size:,} bytes; at most {max_bytes:,} are read")
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    except DAMAGED as error:
        raise InputError(f"{name}: is damaged, or no .npy of numbers: {first_line(error)}") from error
