"""KITTI folders, made here with a known scene: pictures, scans, poses and their calibration; and bad ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.kitti_drive import KittiDrive
from apps.automotive.perception.loop import perception_loop, perception_sources
from apps.automotive.perception.sources import FrameSource, VideoSource, kitti_sources
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.testing import check_source

CALIBRATION = """P2: 700 0 300 0 0 700 100 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27
"""


def ground(height_m: float = 1.73, pitch: float = 0.0) -> np.ndarray:
    """A flat road under the lidar, and a wall 20 m ahead."""
    x, y = np.meshgrid(np.linspace(3, 24, 60), np.linspace(-7, 7, 40))
    road = np.stack([x.ravel(), y.ravel(), -height_m + pitch * x.ravel(), 0 * x.ravel()], axis=1)
    wall = np.array([[20.0, each, -0.5, 0.5] for each in np.linspace(-1, 1, 9)])
    return np.concatenate([road, wall]).astype("<f4")


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A flat drive of three frames, the second scan packed."""
    for name in ("image_02", "velodyne_fov"):
        (tmp_path / name).mkdir()
    for number in range(3):
        cv2.imwrite(
            str(tmp_path / "image_02" / f"{number:010d}.jpg"), np.full((200, 600, 3), 40 * number, np.uint8)
        )
        raw = ground().tobytes()
        if number == 1:
            (tmp_path / "velodyne_fov" / f"{number:010d}.bin.gz").write_bytes(gzip.compress(raw))
        else:
            (tmp_path / "velodyne_fov" / f"{number:010d}.bin").write_bytes(raw)
    (tmp_path / "calib.txt").write_text(CALIBRATION)
    return tmp_path


def test_a_flat_folder_is_played_in_order_ten_times_a_second(drive: Path) -> None:
    camera, lidar, poses = kitti_sources(KittiDrive(drive))
    assert poses is None
    assert lidar is not None
    clock = VirtualClock(5_000_000_000)
    camera.open(clock)
    readings = [camera.read(1.0) for _ in range(3)]
    assert [each.time_ns for each in readings if each] == [5_000_000_000, 5_100_000_000, 5_200_000_000]
    assert [round(float(each.data.pixels.mean())) for each in readings if each] == [0, 40, 80]
    with pytest.raises(EndOfStream):
        camera.read(1.0)
    lidar.open(VirtualClock())
    assert [len(reading.data.xyz_m) for reading in (lidar.read(1.0) for _ in range(3)) if reading] == [
        2409
    ] * 3


def test_sources_keep_their_contract(drive: Path) -> None:
    kitti = KittiDrive(drive)
    check_source(lambda: kitti_sources(kitti)[0])
    check_source(lambda: FrameSource("lidar", kitti.times_s(kitti.scans), kitti.scan))


def test_points_come_in_the_vehicle_frame_with_the_ground_at_zero_even_where_the_lidar_tilts(
    drive: Path,
) -> None:
    for path in (drive / "velodyne_fov").iterdir():
        path.unlink()
    for number in range(3):
        (drive / "velodyne_fov" / f"{number:010d}.bin").write_bytes(ground(1.65, pitch=0.02).tobytes())
    xyz = KittiDrive(drive).scan(0).xyz_m
    assert np.abs(xyz[:2400, 2]).max() < 0.02
    assert xyz[2400:, 0] == pytest.approx(np.full(9, 20.76), abs=0.1)


def test_the_calibration_takes_points_to_the_pixels_they_are_seen_at(drive: Path) -> None:
    kitti = KittiDrive(drive)
    mount = kitti.camera_mount()
    assert mount.focal_px == pytest.approx(700)
    assert mount.position_m == pytest.approx((0.76 + 0.27, 0.0, 1.73 - 0.08), abs=1e-3)
    assert mount.size_px == (600, 200)
    point = np.array([21.03, 1.0, 1.65, 1.0])
    pixel = kitti.to_camera @ point
    assert pixel[:2] / pixel[2] == pytest.approx([300 - 700 / 20, 100], abs=0.5)


def test_the_layout_of_the_raw_data_with_time_stamps_and_poses(drive: Path, tmp_path: Path) -> None:
    raw = tmp_path / "2011_09_26" / "drive_0001_sync"
    stamps = "".join(f"2011-09-26 13:02:25.{part}\n" for part in ("100000000", "200500000", "300000000"))
    for name, source in (("image_02", "image_02"), ("velodyne_points", "velodyne_fov")):
        (raw / name / "data").mkdir(parents=True)
        for path in (drive / source).iterdir():
            (raw / name / "data" / path.name).write_bytes(path.read_bytes())
        (raw / name / "timestamps.txt").write_text(stamps)
    (raw / "oxts" / "data").mkdir(parents=True)
    (raw / "oxts" / "timestamps.txt").write_text(stamps)
    for number in range(3):
        values = np.zeros(30)
        values[[0, 1, 5, 8, 14, 19]] = [49.0, 8.0 + number * 1e-5, 0.0, 7.3, 0.5, 0.02]
        (raw / "oxts" / "data" / f"{number:010d}.txt").write_text(" ".join(map(str, values)))
    (raw.parent / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 700 0 300 0 0 700 100 0 0 0 1 0\n"
    )
    (raw.parent / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n")
    kitti = KittiDrive(raw)
    assert kitti.times_s(kitti.pictures) == pytest.approx([0, 0.1005, 0.2], abs=1e-6)
    odometry = kitti.odometry(2)
    assert odometry.speed_mps == 7.3
    assert odometry.yaw_rate_radps == 0.02
    assert odometry.x_m == pytest.approx(2e-5 * np.pi / 180 * 6_378_137 * np.cos(np.radians(49)), rel=1e-6)
    assert odometry.y_m == pytest.approx(0.0, abs=1e-6)
    assert kitti.camera_mount().focal_px == pytest.approx(700)
    config = PerceptionConfig(source="kitti", path=raw)
    assert [each.source for each in perception_loop(config).inputs] == ["camera", "lidar", "odometry"]
    assert [source.name for source in perception_sources(config)] == ["camera", "lidar", "odometry"]


def test_a_folder_that_is_no_drive_is_refused_with_the_reason(tmp_path: Path, drive: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        KittiDrive(tmp_path / "nothing")
    with pytest.raises(InputError, match="no pictures"):
        KittiDrive(drive / "velodyne_fov")
    (drive / "calib.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(InputError, match="calibration P2 of 12 numbers"):
        _ = KittiDrive(drive).to_camera


def test_damaged_files_are_refused_by_name(drive: Path) -> None:
    kitti = KittiDrive(drive)
    (drive / "image_02" / "0000000001.jpg").write_bytes(b"no picture")
    (drive / "velodyne_fov" / "0000000002.bin").write_bytes(b"\0" * 17)
    (drive / "velodyne_fov" / "0000000001.bin.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"0000000001\.jpg"):
        kitti.picture(1)
    for number in (1, 2):
        with pytest.raises(InputError, match=f"000000000{number}"):
            kitti.scan(number)


def test_a_recording_that_repeats_goes_on_without_a_jump_in_time() -> None:
    source = FrameSource("camera", np.array([0.0, 0.1, 0.2]), lambda number: number, repeat=True)
    source.open(VirtualClock())
    readings = [source.read(1.0) for _ in range(7)]
    assert [each.data for each in readings if each] == [0, 1, 2, 0, 1, 2, 0]
    assert np.diff([each.time_ns for each in readings if each]) == pytest.approx(np.full(6, 1e8))


def test_a_video_is_played_at_its_own_rate_and_a_file_that_is_none_is_a_sensor_error(tmp_path: Path) -> None:
    path = tmp_path / "road.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for number in range(5):
        writer.write(np.full((48, 64, 3), 50 * number, np.uint8))
    writer.release()
    source = VideoSource(path)
    source.open(VirtualClock())
    readings = [reading for reading in (source.read(1.0) for _ in range(5)) if reading is not None]
    assert {reading.data.pixels.shape for reading in readings} == {(48, 64, 3)}
    times = [reading.time_ns for reading in readings]
    with pytest.raises(EndOfStream):
        source.read(1.0)
    source.close()
    assert times == [0, 40_000_000, 80_000_000, 120_000_000, 160_000_000]
    for bad in (tmp_path / "none.avi", tmp_path / "empty.avi"):
        if bad.name == "empty.avi":
            bad.write_bytes(b"")
        with pytest.raises(SensorError, match=bad.name):
            VideoSource(bad).open(VirtualClock())
