"""DICOM -> one grey picture (extra ``dicom``). Only pixels and technical fields leave this file: no name, no number."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import numpy as np

from apps.healthcare.imaging.pictures import (
    LUNG_WINDOW_HU,
    Picture,
    Reason,
    Refused,
    check_size,
    grey_of,
    levels_of,
    stretched,
)
from apps.healthcare.imaging.preprocess import Grey
from edgeai_core.errors import MissingExtraError

MODALITIES = {"CR": "xray", "DX": "xray", "RG": "xray", "CT": "ct", "MR": "mri"}
"""DICOM PS3.3 C.7.3.1.1.1, the defined terms of Modality (0008,0060) that are read here."""

_BODY_PARTS = {
    "xray": ("CHEST", "THORAX", "LUNG", "PORT CHEST"),
    "ct": ("CHEST", "THORAX", "LUNG"),
    "mri": ("HEAD", "BRAIN", "SKULL"),
}
_LATERAL = ("LL", "RL")


def read_dicom(content: bytes) -> Picture:
    """Read one frame as it is meant to be shown. Raises Refused, and MissingExtraError without pydicom.

    CT is seen in the lung window, by its rescale slope and intercept (PS3.3 C.11.1); films and MR in the window of
    the file (C.11.2), else stretched. MONOCHROME1 is inverted, so that white is dense. Names, numbers and dates are
    never looked at, so nothing of them can be told on.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError(
            "reading DICOM needs the extra `dicom`: pip install 'edgeai[dicom]'"
        ) from error
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what it has to say of a file is in our refusal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(content), force=True)
            return _picture(dataset)
        except Refused:
            raise
        except Exception as error:  # a parser of foreign bytes may raise anything
            raise Refused(Reason.UNREADABLE, f"the DICOM file is damaged: {_first_line(error)}") from error


def _picture(dataset: Any) -> Picture:
    modality, notes = _declared(dataset)
    if "PixelData" not in dataset:
        raise Refused(Reason.EMPTY, "the DICOM file holds no picture (no Pixel Data); send the image itself")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise Refused(
            Reason.MULTI_FRAME, f"the DICOM file holds {frames} frames; send the one that is to be judged"
        )
    check_size(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    pixels = _pixels(dataset)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return Picture(grey_of(_to_rgb(dataset, pixels, photometric)), "DICOM", modality, tuple(notes))
    if pixels.ndim != 2:
        raise Refused(Reason.UNSUPPORTED, f"{photometric} with pixels of the shape {pixels.shape}")
    grey, how = _shown(dataset, pixels, modality)
    notes.append(how)
    if photometric == "MONOCHROME1" and modality != "ct":
        grey = np.asarray(255 - grey, dtype=np.uint8)
        notes.append("MONOCHROME1: inverted")
    return Picture(grey, "DICOM", modality, tuple(notes))


def _declared(dataset: Any) -> tuple[str | None, list[str]]:
    """Return what the file says it is, and refuse what it says is no picture that is read here."""
    stated = str(dataset.get("Modality") or "").strip().upper()
    modality = MODALITIES.get(stated)
    if stated and modality is None:
        raise Refused(
            Reason.FOREIGN,
            f"the DICOM file is of modality {stated}; read are {', '.join(sorted(MODALITIES))}",
        )
    part = str(dataset.get("BodyPartExamined") or "").strip().upper()
    if modality and part and not any(each in part for each in _BODY_PARTS[modality]):
        raise Refused(Reason.FOREIGN, f"the DICOM file shows the body part {part[:40]}; {modality} is read of "
                      f"{_BODY_PARTS[modality][0].lower()}")  # fmt: skip
    if modality == "xray" and str(dataset.get("ViewPosition") or "").strip().upper() in _LATERAL:
        raise Refused(Reason.FOREIGN, "a lateral film; frontal ones (PA, AP) are read")
    notes = []
    if str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        notes.append("says that text is burned in: the picture may show a name")
    return modality, notes


def _pixels(dataset: Any) -> np.ndarray:
    from pydicom.uid import UID

    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:  # a bare data set: PS3.10 wants a header, PS3.5 A.1 gives the default
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
        syntax = dataset.file_meta.TransferSyntaxUID
    if not UID(syntax).is_transfer_syntax:
        raise Refused(
            Reason.UNSUPPORTED, f"the DICOM file names the transfer syntax {str(syntax)[:64]}, which is none"
        )
    try:
        return np.asarray(dataset.pixel_array)
    except (NotImplementedError, RuntimeError) as error:
        if (
            "missing" in str(error)
            or "unsupported" in str(error).lower()
            or isinstance(error, NotImplementedError)
        ):
            raise Refused(
                Reason.UNSUPPORTED,
                f"no decoder here for the transfer syntax {UID(syntax).name}; pip install 'edgeai[dicom]' brings "
                "python-gdcm, which reads JPEG, JPEG-LS and JPEG 2000",
            ) from error
        raise


def _shown(dataset: Any, pixels: np.ndarray, modality: str | None) -> tuple[Grey, str]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = np.asarray(apply_modality_lut(pixels, dataset))
    if modality == "ct":
        low, high = LUNG_WINDOW_HU
        return stretched(values, low, high), "Hounsfield units in the lung window (level -600, width 1500)"
    if "WindowWidth" in dataset or "VOILUTSequence" in dataset:
        shown = np.asarray(apply_voi_lut(values, dataset), dtype=np.float32)
        if float(np.ptp(shown)) > 0:
            return stretched(shown, float(shown.min()), float(shown.max())), "in the window of the file"
    return levels_of(np.maximum(values, 0) if modality == "mri" else values)


def _to_rgb(dataset: Any, pixels: np.ndarray, photometric: str) -> np.ndarray:
    from pydicom.pixels.processing import apply_color_lut, convert_color_space

    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    elif photometric in ("YBR_RCT", "YBR_ICT"):  # JPEG 2000's own; its decoders give RGB (PS3.5, 8.2.4)
        pass
    elif photometric.startswith("YBR") and pixels.ndim == 3:
        pixels = convert_color_space(pixels, photometric, "RGB")
    elif photometric != "RGB":
        raise Refused(Reason.UNSUPPORTED, f"the photometric interpretation {photometric} is not read")
    wide = np.asarray(pixels)
    return wide if wide.dtype == np.uint8 else stretched(wide, float(wide.min()), float(wide.max()))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
