"""What may come as a study: every kind of file is read as a person would see it, or refused with a reason."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.imaging import pictures
from apps.healthcare.imaging.pictures import Reason, Refused, read_picture
from tests.apps.healthcare.imaging.conftest import jpeg, npy, phantom, png


def refusal(content: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        read_picture(content)
    return caught.value


@pytest.mark.parametrize("write", [png, jpeg, npy])
def test_png_jpeg_and_npy_give_the_picture_they_hold(write: Callable[[np.ndarray], bytes]) -> None:
    picture = phantom()
    read = read_picture(write(picture))
    assert read.grey.shape == picture.shape
    assert np.abs(read.grey.astype(int) - picture).mean() < 3


def test_a_grey_picture_saved_in_colour_is_read_and_a_colour_one_is_refused() -> None:
    grey = phantom()
    assert np.array_equal(read_picture(png(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))).grey, grey)
    colourful = cv2.applyColorMap(grey, cv2.COLORMAP_JET)
    assert refusal(jpeg(colourful)).reason is Reason.COLOUR


def test_a_small_coloured_arrow_does_not_make_a_film_a_colour_picture() -> None:
    marked = cv2.cvtColor(phantom(), cv2.COLOR_GRAY2BGR)
    cv2.arrowedLine(marked, (20, 20), (60, 60), (0, 255, 255), 2)
    assert read_picture(png(marked)).grey.shape == (240, 300)


def test_sixteen_bits_are_stretched_and_hounsfield_units_are_seen_in_the_lung_window() -> None:
    deep = phantom().astype(np.uint16) * 16
    assert read_picture(png(deep)).grey.max() == 255
    hounsfield = np.full((100, 120), -1000, np.int16)
    hounsfield[:, 60:] = -600
    hounsfield[:, 90:] = 400
    read = read_picture(npy(hounsfield))
    assert [int(read.grey[0, x]) for x in (0, 70, 100)] == [60, 128, 255]
    assert "lung window" in read.notes[0]


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", Reason.EMPTY, "empty"),
        (b"<!DOCTYPE html><html>log in</html>", Reason.UNREADABLE, "web page"),
        (b"%PDF-1.7 ...", Reason.UNREADABLE, "a PDF"),
        (b"PK\x03\x04....", Reason.UNREADABLE, "ZIP"),
        (b"hello there", Reason.UNREADABLE, "text file"),
        (b"\x00\x01\x02\x03" * 50, Reason.UNREADABLE, "unknown kind"),
        (png(phantom())[:-20], Reason.UNREADABLE, "cut off"),
        (jpeg(phantom())[:-900], Reason.UNREADABLE, "cut off"),
        (png(phantom(20, 30)), Reason.TOO_SMALL, "30 x 20"),
        (npy(np.zeros((3, 100, 100), np.uint8)), Reason.MULTI_FRAME, "one picture"),
        (npy(np.zeros(100, np.uint8)), Reason.UNSUPPORTED, "shape"),
        (npy(np.full((99, 99), np.nan)), Reason.UNREADABLE, "not numbers"),
        (npy(np.zeros((99, 99), np.complex64)), Reason.UNSUPPORTED, "complex64"),
        (npy(phantom())[:-50], Reason.UNREADABLE, "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(content: bytes, reason: Reason, says: str) -> None:
    found = refusal(content)
    assert found.reason is reason
    assert says in str(found)


def test_an_array_of_objects_is_never_unpickled() -> None:
    array = np.empty((64, 64), dtype=object)
    assert refusal(npy(array)).reason is Reason.UNSUPPORTED


def test_a_picture_that_would_unpack_to_gigabytes_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    )
    assert refusal(bomb).reason is Reason.TOO_LARGE


def test_a_file_over_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 1000)
    assert refusal(png(phantom())).reason is Reason.TOO_LARGE


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([png(phantom(80, 90)), jpeg(phantom(80, 90)), npy(phantom(80, 90))]),
    st.integers(0, 4000),
    st.binary(min_size=1, max_size=40),
)
def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(
    content: bytes, at: int, junk: bytes
) -> None:
    at %= len(content)
    try:
        read = read_picture(content[:at] + junk + content[at + len(junk) :])
    except Refused:
        return
    assert read.grey.dtype == np.uint8
    assert read.grey.ndim == 2


class TestDicom:
    """DICOM: the rules of PS3.3, and nothing of the patient."""

    def test_pixels_come_and_no_name_number_or_date(self, dicom: Callable[..., bytes]) -> None:
        picture = phantom()
        read = read_picture(dicom(picture))
        assert read.modality == "xray"
        assert np.corrcoef(read.grey.ravel(), picture.ravel())[0, 1] > 0.99
        assert not any(word in repr(read) for word in ("Doe", "4711", "1970"))

    def test_monochrome1_is_inverted(self, dicom: Callable[..., bytes]) -> None:
        picture = phantom()
        usual = read_picture(dicom(picture)).grey
        inverted = read_picture(dicom(255 - picture, PhotometricInterpretation="MONOCHROME1"))
        assert np.abs(inverted.grey.astype(int) - usual).mean() < 3
        assert "MONOCHROME1: inverted" in inverted.notes

    def test_ct_is_seen_in_the_lung_window_by_its_rescale_slope(self, dicom: Callable[..., bytes]) -> None:
        stored = np.full((80, 80), 424, np.int16)
        content = dicom(
            stored, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400
        )
        assert int(read_picture(content).grey[0, 0]) == 128

    def test_a_film_is_shown_in_its_own_window(self, dicom: Callable[..., bytes]) -> None:
        slope = np.tile(np.arange(0, 4000, 20, dtype=np.uint16), (80, 1))
        read = read_picture(dicom(slope, WindowCenter=2000, WindowWidth=1000))
        assert read.grey[0, 60] < 5
        assert read.grey[0, 140] > 250
        assert 100 < read.grey[0, 100] < 156

    @pytest.mark.parametrize(
        ("fields", "reason", "says"),
        [
            ({"Modality": "US"}, Reason.FOREIGN, "US"),
            ({"BodyPartExamined": "HAND"}, Reason.FOREIGN, "HAND"),
            ({"ViewPosition": "LL"}, Reason.FOREIGN, "lateral"),
            ({"NumberOfFrames": 2}, Reason.MULTI_FRAME, "2 frames"),
            ({"PixelData": None}, Reason.EMPTY, "no Pixel Data"),
            ({"Rows": 0}, Reason.EMPTY, "300 x 0"),
            ({"Rows": 60_000, "Columns": 60_000}, Reason.TOO_LARGE, "60000"),
            ({"PixelData": b"\0" * 100}, Reason.UNREADABLE, "damaged"),
        ],
    )
    def test_what_is_not_read_is_refused_with_the_reason(
        self, dicom: Callable[..., bytes], fields: dict[str, object], reason: Reason, says: str
    ) -> None:
        found = refusal(dicom(phantom(), **fields))
        assert found.reason is reason
        assert says in str(found)

    def test_a_colour_photograph_in_dicom_is_refused(self, dicom: Callable[..., bytes]) -> None:
        colourful = np.ascontiguousarray(cv2.applyColorMap(phantom(), cv2.COLORMAP_JET))
        assert refusal(dicom(colourful)).reason is Reason.COLOUR

    def test_a_text_burned_in_is_told_of(self, dicom: Callable[..., bytes]) -> None:
        assert "burned in" in read_picture(dicom(phantom(), BurnedInAnnotation="YES")).notes[0]

    def test_every_cut_of_a_file_is_refused_or_read_and_never_a_traceback(
        self, dicom: Callable[..., bytes]
    ) -> None:
        content = dicom(phantom(64, 64))
        for size in range(0, len(content) - 1, 211):
            refusal(content[:size])

    def test_files_of_pydicom_are_read_or_refused(self) -> None:
        files = pytest.importorskip(
            "pydicom.data", reason="the extra dicom is not installed"
        ).get_testdata_files()
        read: dict[str, str] = {}
        for path in map(Path, files):
            if path.is_file() and path.stat().st_size < 1_000_000:
                try:
                    read[path.name] = read_picture(path.read_bytes()).modality or "not said"
                except Refused as refused:
                    read[path.name] = refused.reason.value
        assert read["CT_small.dcm"] == "ct"
        assert {read[f"MR_small{kind}.dcm"] for kind in ("", "_RLE", "_implicit", "_bigendian")} == {"mri"}
        assert read["MR_truncated.dcm"] == "UNREADABLE"
        assert read["SC_rgb_rle_2frame.dcm"] == read["rtplan.dcm"] == "FOREIGN"
