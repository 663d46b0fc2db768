"""A study's bytes -> one grey picture as a person reads it, or the reason why not. Files are known by content."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.preprocess import Grey
from edgeai_core.arrayfile import DAMAGED
from edgeai_core.errors import InputError, first_line

MAX_FILE_BYTES = 64 << 20
MAX_PIXELS = 64_000_000
MIN_SIDE = 48
"""A smaller picture shows too little to be judged; networks see 224 pixels."""

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""Width 1500, level -600: the lung window in which chest CT is read, and in which the network was taught."""

_COLOURED_LEVELS = 24
_COLOURED_SHARE = 0.03
"""More than this share of pixels with so different planes is a colour picture; an arrow or a caption is less."""


class Reason(StrEnum):
    """Why a study is refused; the words are for programs, the message of ``Refused`` for people."""

    TOO_LARGE = "TOO_LARGE"
    TOO_SMALL = "TOO_SMALL"
    EMPTY = "EMPTY"
    UNREADABLE = "UNREADABLE"
    UNSUPPORTED = "UNSUPPORTED"
    MULTI_FRAME = "MULTI_FRAME"
    COLOUR = "COLOUR"
    FOREIGN = "FOREIGN"
    OTHER_MODALITY = "OTHER_MODALITY"
    TURNED = "TURNED"
    CUT = "CUT"


class Refused(InputError):  # noqa: N818 - what happened to the study, in words
    """A study that is not judged. The message says what is wrong and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """One picture: ``grey`` (height, width) uint8, white as a person sees it; nothing in it names a patient.

    ``modality`` is what the file says it is (xray, ct, mri), None where it says nothing.
    ``notes`` tell what was done on reading: the window, an inversion, a burned-in caption that may name somebody.
    """

    grey: Grey
    format: str
    modality: str | None = None
    notes: tuple[str, ...] = ()


def read_picture(content: bytes) -> Picture:
    """Read DICOM, PNG, JPEG or NPY. Raises Refused; MissingExtraError where DICOM needs the extra ``dicom``."""
    if not content:
        raise Refused(Reason.EMPTY, "the file is empty")
    if len(content) > MAX_FILE_BYTES:
        raise too_large(len(content))
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _decoded(content, "PNG", _png_size(content))
    if content.startswith(b"\xff\xd8\xff"):
        return _decoded(content, "JPEG", _jpeg_size(content))
    if content.startswith(b"\x93NUMPY"):
        return _npy(content)
    if content[128:132] == b"DICM" or content[:2] in (b"\x08\x00", b"\x02\x00"):
        from apps.healthcare.imaging.dicom import read_dicom

        return read_dicom(content)
    raise Refused(
        Reason.UNREADABLE, f"this is {_looks_like(content)}, not DICOM, PNG, JPEG or NPY; export it as one"
    )


def too_large(size_bytes: int) -> Refused:
    """Return the refusal of a file over the limit."""
    return Refused(
        Reason.TOO_LARGE,
        f"the file has {size_bytes / 2**20:.0f} MiB, more than the {MAX_FILE_BYTES >> 20} MiB that one picture may "
        "have; send a single picture, not a series",
    )


def grey_of(planes: NDArray[np.generic]) -> Grey:
    """Return (height, width) from (height, width) or (height, width, 1, 3 or 4) bytes. Raises Refused for colour."""
    if planes.ndim == 2:
        return np.ascontiguousarray(planes, dtype=np.uint8)
    if planes.shape[2] == 1:
        return np.ascontiguousarray(planes[:, :, 0], dtype=np.uint8)
    colours = planes[:, :, :3].astype(np.int16)
    apart = np.ptp(colours, axis=2)
    if float((apart > _COLOURED_LEVELS).mean()) > _COLOURED_SHARE:
        raise Refused(
            Reason.COLOUR,
            "this is a colour picture; films and slices are grey: send the original, no photograph of it",
        )
    return np.asarray(colours.mean(axis=2).round(), dtype=np.uint8)


def check_size(height: int, width: int) -> None:
    """Raise Refused for a picture that is too small, or larger than may be unpacked."""
    if height < 1 or width < 1:
        raise Refused(Reason.EMPTY, f"the picture has {width} x {height} pixels")
    if height * width > MAX_PIXELS:
        raise Refused(
            Reason.TOO_LARGE,
            f"the picture has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million",
        )
    if min(height, width) < MIN_SIDE:
        raise Refused(
            Reason.TOO_SMALL, f"the picture has {width} x {height} pixels; it needs {MIN_SIDE} a side"
        )


def stretched(values: NDArray[np.generic], low: float, high: float) -> Grey:
    """Return grey levels from 0 at ``low`` to 255 at ``high``."""
    scaled = (values.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(scaled, 0, 255).round(), dtype=np.uint8)


def levels_of(values: NDArray[np.generic]) -> tuple[Grey, str]:
    """Bring measured values of unknown meaning to grey levels; say how.

    Values down to -500 and below are Hounsfield units of a CT, seen in the lung window; anything else is
    stretched from its 0.5th to its 99.5th percentile.
    """
    if float(values.min()) <= -500 and float(values.max()) > -500:
        return stretched(
            values, *LUNG_WINDOW_HU
        ), "Hounsfield units in the lung window (level -600, width 1500)"
    low, high = (float(each) for each in np.percentile(values.astype(np.float64), (0.5, 99.5)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return stretched(values, low, high), f"stretched from {low:.4g} to {high:.4g}"


def _decoded(content: bytes, kind: str, size: tuple[int, int]) -> Picture:
    check_size(*size)
    try:
        planes = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise Refused(Reason.UNREADABLE, f"the {kind} is damaged: {error.err}") from error
    if planes is None:
        raise Refused(Reason.UNREADABLE, f"the {kind} is damaged; send it again")
    notes: tuple[str, ...] = ()
    if planes.dtype != np.uint8:
        planes, how = levels_of(np.asarray(planes))
        notes = (how,)
    return Picture(grey_of(np.asarray(planes)), kind, notes=notes)


def _npy(content: bytes) -> Picture:
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        if dtype.hasobject or dtype.kind not in "buif":
            raise Refused(Reason.UNSUPPORTED, f"the array holds {dtype}, not numbers")
        _check_shape(shape)
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (*DAMAGED, OSError) as error:
        raise Refused(Reason.UNREADABLE, f"the NPY file is damaged: {first_line(error)}") from error
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refused(Reason.UNREADABLE, "the array holds values that are not numbers; fill them first")
    if array.dtype == np.uint8:
        return Picture(grey_of(array), "NPY")
    if array.ndim == 3:
        array = array.mean(axis=2)
    grey, how = levels_of(array)
    return Picture(grey, "NPY", notes=(how,))


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 3 and shape[2] not in (1, 3, 4):
        raise Refused(
            Reason.MULTI_FRAME, f"the array has the shape {shape}; send one picture, (height, width)"
        )
    if len(shape) not in (2, 3):
        raise Refused(Reason.UNSUPPORTED, f"the array has the shape {shape}; a picture is (height, width)")
    check_size(shape[0], shape[1])


def _png_size(content: bytes) -> tuple[int, int]:
    if len(content) < 33 or b"IEND" not in content[-64:]:
        raise Refused(Reason.UNREADABLE, "the PNG is cut off; send it again")
    width, height = struct.unpack(">II", content[16:24])
    return height, width


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Read height and width from the frame header (ITU-T T.81, B.2.2) before anything is unpacked."""
    if b"\xff\xd9" not in content[-1024:]:
        raise Refused(Reason.UNREADABLE, "the JPEG is cut off; send it again")
    place = 2
    while place + 9 < len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return height, width
        place += 1 if marker == 0xFF else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    raise Refused(Reason.UNREADABLE, "the JPEG is damaged: it has no frame header")


def _looks_like(content: bytes) -> str:
    head = content[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page (a log-in page, perhaps, that was saved in place of the file)"
    for start, what in (
        (b"%pdf", "a PDF"),
        (b"pk\x03\x04", "a ZIP archive"),
        (b"gif8", "a GIF"),
        (b"riff", "a WebP"),
    ):
        if head.startswith(start):
            return what
    return "a text file" if re.fullmatch(rb"[\t\n\r\x20-\x7e]+", head) else "a file of an unknown kind"
