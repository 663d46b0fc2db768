"""A picture, and how one is read from a file that may be anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})

MAX_FILE_BYTES = 64 << 20
MAX_PIXELS = 64 << 20
"""Larger pictures are refused before they are unpacked."""


@dataclass(frozen=True)
class Picture:
    """One picture: ``pixels`` is (height, width) grey or (height, width, 3) blue, green, red; uint8, read-only.

    ``name`` says where it is from: a file's name, a camera's. ``simulated``: no camera ever saw it.
    """

    pixels: NDArray[np.uint8]
    name: str = ""
    simulated: bool = False


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files in a folder and below it, in the order of their names.

    Raises InputError where there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InputError(f"{folder}: no picture in it ({', '.join(sorted(SUFFIXES))})")
    return found


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a picture file as ``decode_picture`` does. Raises InputError."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes; a picture has at most {MAX_FILE_BYTES}")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_picture(raw, str(path))


def decode_picture(raw: bytes, name: str) -> NDArray[np.uint8]:
    """Return the pixels of a packed picture, grey where all its channels agree; 16 bits are brought to 8.

    Of deeper pictures the upper 8 bits count, of 10, 12 or 16 by the brightest pixel. Transparency is dropped.
    Raises InputError, which says ``name``, for what is no picture, is damaged, or too large.
    """
    import cv2
    import numpy as np

    if not raw:
        raise InputError(f"{name}: the file is empty")
    width, height = _stated_size(raw)
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width} x {height} pixels; a picture has at most {MAX_PIXELS}")
    cv2.utils.logging.setLogLevel(0)  # what is wrong with a file is said here, once
    try:
        pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or not pixels.size:
        raise InputError(f"{name}: not a picture, or a damaged one")
    return frozen(_grey_if_grey(_eight_bits(pixels, name)))


def frozen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the array, contiguous and read-only."""
    import numpy as np

    whole = np.ascontiguousarray(pixels)
    whole.flags.writeable = False
    return whole


def _eight_bits(pixels: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    import numpy as np

    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype != np.uint16:
        raise InputError(f"{name}: pixels of {pixels.dtype}; pictures of 8 or 16 bits can be judged")
    top = int(np.asarray(pixels, np.uint16).max())
    shift = 8 if top >= 4096 else 4 if top >= 1024 else 2 if top >= 256 else 0
    return np.asarray(np.asarray(pixels, np.uint16) >> shift, np.uint8)


def _grey_if_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        return pixels[..., 0]
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., 1:3]).all():
        return pixels[..., 0]
    return pixels[..., :3] if pixels.ndim == 3 else pixels


def _stated_size(raw: bytes) -> tuple[int, int]:
    """Return (width, height) that a PNG or JPEG file states, before it is unpacked; (0, 0) for other formats."""
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    if raw[:2] == b"\xff\xd8":
        place = 2
        while place + 9 < len(raw) and raw[place] == 0xFF:
            if raw[place + 1] in _FRAMES:
                return int.from_bytes(raw[place + 7 : place + 9], "big"), int.from_bytes(
                    raw[place + 5 : place + 7], "big"
                )
            place += 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    return 0, 0


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's start-of-frame markers (ITU-T T.81, table B.1)."""
