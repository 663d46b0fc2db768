"""Picture files and folders: whatever is in them, it is read or refused with a reason, and never hangs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.sensors.folder import FolderSource
from edgeai_core.sensors.picture import Picture, pictures_in, read_picture
from edgeai_core.testing import check_source


def written(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        written(tmp_path / f"{number}.png", np.full((40, 50), 10 * number + 5, np.uint8))
    return tmp_path


def test_grey_colour_and_16_bits_come_as_eight_bits(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (read_picture(written(tmp_path / "g.png", grey)) == grey).all()
    same = np.repeat(grey[..., None], 3, axis=2)
    assert read_picture(written(tmp_path / "c.png", same)).shape == (16, 16)
    colour = same.copy()
    colour[..., 0] = 0
    assert read_picture(written(tmp_path / "k.png", colour)).shape == (16, 16, 3)
    assert (read_picture(written(tmp_path / "d.png", grey.astype(np.uint16) << 8)) == grey).all()
    assert (read_picture(written(tmp_path / "t.png", grey.astype(np.uint16) << 4)) == grey).all(), "12 bits"


def test_pixels_are_read_only(folder: Path) -> None:
    assert not read_picture(folder / "0.png").flags.writeable


@pytest.mark.parametrize("name", ["empty.png", "text.jpg", "cut.png", "cut.jpg"])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 80), np.uint8)
    whole = cv2.imencode(Path(name).suffix, noise)[1].tobytes()
    content = {"empty.png": b"", "text.jpg": b"hello"}.get(name, whole[: len(whole) // 2])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_picture(tmp_path / name)


def test_a_picture_that_states_a_huge_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    raw = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    raw[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bytes(raw))
    with pytest.raises(InputError, match="100000 x 100000"):
        read_picture(tmp_path / "bomb.png")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture"):
        pictures_in(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        pictures_in(tmp_path / "away")


def test_a_folder_keeps_the_contract_of_sources(folder: Path) -> None:
    check_source(lambda: FolderSource("camera", folder, 2.0))


def test_pictures_come_in_order_at_their_pace_and_the_folder_ends(folder: Path) -> None:
    source, clock = FolderSource("camera", folder, 2.0), VirtualClock()
    source.open(clock)
    readings = [source.read(1.0) for _ in range(3)]
    assert [each.data.name for each in readings if each] == ["0.png", "1.png", "2.png"]
    assert [each.time_ns for each in readings if each] == [500_000_000, 1_000_000_000, 1_500_000_000]
    with pytest.raises(EndOfStream):
        source.read(1.0)


def test_a_damaged_file_is_skipped_counted_as_lost_and_named_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "1.png").write_bytes(b"broken")
    source = FolderSource("camera", folder, 2.0)
    source.open(VirtualClock())
    readings = [source.read(1.0) for _ in range(3)]
    assert [each.sequence for each in readings if each] == [1, 3]
    assert [record.getMessage() for record in caplog.records] == ["picture skipped"]
    assert "1.png" in vars(caplog.records[0])["reason"]


def test_a_folder_of_damaged_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    source = FolderSource("camera", tmp_path, 2.0)
    source.open(VirtualClock())
    with pytest.raises(InputError, match="none of 1"):
        source.read(1.0)


def test_a_zip_file_is_a_folder_too(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.glob("*.png")):
            packed.write(path, path.name)
    source = FolderSource("camera", archive, 2.0)
    source.open(VirtualClock())
    first = source.read(1.0)
    assert first is not None
    assert isinstance(first.data, Picture)
    assert first.data.name == "0.png"
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"bad\.zip"):
        FolderSource("camera", tmp_path / "bad.zip", 2.0).check()
