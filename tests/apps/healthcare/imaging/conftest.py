"""Made pictures of nobody, as files of every kind that the reader takes."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from apps.healthcare.imaging.preprocess import Grey


def phantom(height: int = 240, width: int = 300, seed: int = 0) -> Grey:
    """A bright ellipse with two dark ones in it, on black, with some noise: a chest, seen from far away."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((height, width), np.uint8)
    cv2.ellipse(
        canvas, (width // 2, height // 2), (width * 2 // 5, height * 9 // 20), 0, 0, 360, 190, cv2.FILLED
    )
    for side in (-1, 1):
        centre = (width // 2 + side * width // 6, height // 2)
        cv2.ellipse(canvas, centre, (width // 9, height // 4), 0, 0, 360, 60, cv2.FILLED)
    noise = rng.normal(0, 6, canvas.shape) * (canvas > 0)
    return np.asarray(np.clip(canvas + noise, 0, 255), dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])


def jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture)[1])


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def dicom() -> Callable[..., bytes]:
    """Return a maker of DICOM files, with any field given."""
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def make(pixels: np.ndarray, **fields: object) -> bytes:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["made"])
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3
        bits = pixels.dtype.itemsize * 8
        values: dict[str, object] = {
            "PatientName": "Doe^Jane",
            "PatientID": "4711",
            "PatientBirthDate": "19700101",
            "Modality": "DX",
            "Rows": pixels.shape[-3 if colour else -2],
            "Columns": pixels.shape[-2 if colour else -1],
            "SamplesPerPixel": 3 if colour else 1,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "BitsAllocated": bits,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            "PixelData": pixels.tobytes(),
            **({"PlanarConfiguration": 0} if colour else {}),
            **fields,
        }
        for name, value in values.items():
            if value is not None:
                setattr(dataset, name, value)
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        return stream.getvalue()

    return make
