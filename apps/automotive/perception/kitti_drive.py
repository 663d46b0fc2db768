"""KITTI raw drives: pictures, laser scans and, where they are, poses; with the calibration that joins them."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import CameraImage, Floats, Odometry, PointCloud
from apps.automotive.perception.detections import CameraMount
from edgeai_core.errors import InputError

VELODYNE_M = (0.76, 0.0, 1.73)
"""Where KITTI's lidar sits in the vehicle frame (Geiger et al., IJRR 2013, figure 3): ahead of the rear axle, above
the ground."""

MAX_SCAN_BYTES = 64 << 20
_PICTURES = ("*.jpg", "*.jpeg", "*.png")
_SCANS = ("*.bin", "*.bin.gz")


@dataclass(frozen=True)
class Frames:
    """The files of one sensor, in order, with the time of each in seconds from the start of the drive."""

    files: tuple[Path, ...]
    time_s: Floats


class KittiDrive:
    """A folder of one drive, in the layout of the raw data (``image_02/data``, ``velodyne_points/data``,
    ``oxts/data``, each with its ``timestamps.txt``) or flat (``image_02``, ``velodyne_fov``, ``calib.txt``).

    ``rate_hz`` holds where there are no time stamps. Raises InputError for a folder without pictures or
    calibration.
    """

    def __init__(self, folder: Path, rate_hz: float = 10.0) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.folder = folder
        self._rate_hz = rate_hz
        self.pictures = self._frames(("image_02", "image_2"), _PICTURES)
        self.scans = self._frames(("velodyne_points", "velodyne_fov", "velodyne"), _SCANS)
        self.poses = self._frames(("oxts",), ("*.txt",))
        if not self.pictures.files:
            raise InputError(
                f"{folder}: no pictures in image_02 or image_02/data; name the folder of one KITTI drive"
            )
        self._zero_s = min(
            each.time_s[0] for each in (self.pictures, self.scans, self.poses) if len(each.time_s)
        )

    def times_s(self, frames: Frames) -> Floats:
        """Return the times of frames from the first of any sensor."""
        return np.asarray(frames.time_s - self._zero_s)

    @cached_property
    def to_camera(self) -> Floats:
        """The (3, 4) matrix from homogeneous points of the vehicle frame to homogeneous pixels of image_02."""
        table = _calibration(self.folder)
        rectify, velodyne = np.eye(4), np.eye(4)
        rectify[:3, :3] = table["R0_rect"].reshape(3, 3)
        velodyne[:3] = table["Tr_velo_to_cam"].reshape(3, 4)
        return np.asarray(table["P2"].reshape(3, 4) @ rectify @ velodyne @ np.linalg.inv(self.to_vehicle))

    @cached_property
    def to_vehicle(self) -> Floats:
        """The (4, 4) matrix from the lidar's frame to the vehicle frame: levelled by the ground of the first scan."""
        matrix = np.eye(4)
        matrix[:3, 3] = VELODYNE_M
        if not self.scans.files:
            return matrix
        level = _ground(_points(self.scans.files[0])[:, :3])
        if level is None:
            return matrix
        normal, height_m = level
        ahead = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
        ahead /= np.linalg.norm(ahead)
        matrix[:3, :3] = np.stack([ahead, np.cross(normal, ahead), normal])
        matrix[2, 3] = height_m
        return matrix

    def camera_mount(self) -> CameraMount:
        """Return the camera as fusion knows it: KITTI's is rectified and looks ahead but for its pitch."""
        lens, turn, place = cv2.decomposeProjectionMatrix(self.to_camera)[:3]
        lens = lens / lens[2, 2]
        x, y, z = (place[:3] / place[3]).ravel()
        rows, columns = self.picture(0).pixels.shape[:2]
        return CameraMount(
            focal_px=float(lens[0, 0]),
            centre_px=(float(lens[0, 2]), float(lens[1, 2])),
            size_px=(columns, rows),
            position_m=(float(x), float(y), float(z)),
            pitch_rad=float(-np.arcsin(turn[2, 2])),
        )

    def picture(self, number: int) -> CameraImage:
        """Read a picture. Raises InputError where it is none."""
        path = self.pictures.files[number]
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise InputError(f"{path}: no picture that can be read")
        pixels.flags.writeable = False
        return CameraImage(np.asarray(pixels, dtype=np.uint8))

    def scan(self, number: int) -> PointCloud:
        """Read a scan into the vehicle frame. Raises InputError where it is cut short or too large."""
        table = _points(self.scans.files[number])
        turn = self.to_vehicle.astype(np.float32)
        xyz = table[:, :3] @ turn[:3, :3].T + turn[:3, 3]
        shine = np.ascontiguousarray(table[:, 3])
        xyz.flags.writeable = shine.flags.writeable = False
        return PointCloud(xyz, shine)

    def odometry(self, number: int) -> Odometry:
        """Read a record of the inertial unit: speed and yaw rate; the pose is from its first latitude and longitude.

        Raises InputError where it is no such record.
        """
        east, north, yaw, values = self._placed(number)
        x0, y0, yaw0, _ = self._origin
        cos, sin = np.cos(yaw0), np.sin(yaw0)
        return Odometry(
            x_m=float(cos * (east - x0) + sin * (north - y0)),
            y_m=float(cos * (north - y0) - sin * (east - x0)),
            yaw_rad=float((yaw - yaw0 + np.pi) % (2 * np.pi) - np.pi),
            speed_mps=float(values[8]),
            yaw_rate_radps=float(values[19]),
            acceleration_mps2=float(values[14]),
        )

    @cached_property
    def _origin(self) -> tuple[float, float, float, Floats]:
        return self._placed(0)

    def _placed(self, number: int) -> tuple[float, float, float, Floats]:
        """Return east and north in metres (Mercator, scaled at the first latitude, as KITTI's kit does), and yaw."""
        values = self._record(number)
        scale = np.cos(np.radians(self._record(0)[0]))
        radius_m = 6_378_137.0
        east = scale * radius_m * np.radians(values[1])
        north = scale * radius_m * np.log(np.tan(np.pi / 4 + np.radians(values[0]) / 2))
        return float(east), float(north), float(values[5]), values

    def _record(self, number: int) -> Floats:
        path = self.poses.files[number]
        try:
            values = np.array(path.read_text(encoding="ascii").split(), dtype=np.float64)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no record of numbers ({error})") from error
        if len(values) < 25 or not np.isfinite(values[:25]).all():
            raise InputError(f"{path}: {len(values)} numbers where a record of oxts has 30")
        return values

    def _frames(self, folders: tuple[str, ...], patterns: tuple[str, ...]) -> Frames:
        for name in folders:
            top = self.folder / name
            data = top / "data" if (top / "data").is_dir() else top
            files = sorted(
                path for pattern in patterns for path in data.glob(pattern) if path.name != "timestamps.txt"
            )
            if files:
                stamps = top / "timestamps.txt"
                return Frames(
                    tuple(files), _stamps(stamps, len(files)) if stamps.is_file() else self._even(files)
                )
        return Frames((), np.zeros(0))

    def _even(self, files: list[Path]) -> Floats:
        """Number files by their names, so that a missing one leaves a gap."""
        numbers = [re.sub(r"\D", "", path.name.split(".")[0]) for path in files]
        if all(numbers):
            return np.array([int(number) for number in numbers], dtype=np.float64) / self._rate_hz
        return np.arange(len(files)) / self._rate_hz


def _calibration(folder: Path) -> dict[str, Floats]:
    """Read ``calib.txt``, or the raw data's two files, here or in the folder above (a day's)."""
    table: dict[str, Floats] = {}
    for place in (folder, folder.parent):
        for name in ("calib.txt", "calib_cam_to_cam.txt", "calib_velo_to_cam.txt"):
            if (place / name).is_file():
                table.update(_rows(place / name))
    if "R_rect_00" in table:
        table.setdefault("R0_rect", table["R_rect_00"])
        table.setdefault("P2", table.get("P_rect_02", np.zeros(0)))
    if "Tr_velo_to_cam" not in table and "R" in table and "T" in table:
        velodyne = np.column_stack([table["R"].reshape(3, 3), table["T"].reshape(3, 1)])
        table["Tr_velo_to_cam"] = velodyne.ravel()
    for name, count in (("P2", 12), ("R0_rect", 9), ("Tr_velo_to_cam", 12)):
        if name not in table or len(table[name]) != count:
            raise InputError(
                f"{folder}: no calibration {name} of {count} numbers in calib.txt, here or one folder up"
            )
    return table


def _rows(path: Path) -> dict[str, Floats]:
    rows = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines()[:100]:
        name, colon, rest = line.partition(":")
        try:
            values = np.array(rest.split(), dtype=np.float64)
        except ValueError:
            continue  # a date
        if colon and len(values):
            rows[name.strip()] = values
    return rows


def _points(path: Path) -> NDArray[np.float32]:
    """Read the points of a scan, (n, 4): x, y, z, reflectance."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(MAX_SCAN_BYTES + 1)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(raw) > MAX_SCAN_BYTES or len(raw) % 16:
        raise InputError(f"{path}: {len(raw)} bytes; a scan has 16 a point and at most {MAX_SCAN_BYTES}")
    return np.frombuffer(raw, dtype="<f4").reshape(-1, 4)


def _stamps(path: Path, count: int) -> Floats:
    """Read ``2011-09-26 13:02:25.594360375`` line by line, to the nanosecond that strptime does not know."""
    times = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines()[:count]:
        whole, _, part = line.strip().partition(".")
        try:
            moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").timestamp()
            times.append(moment + float(f"0.{part or 0}"))
        except ValueError as error:
            raise InputError(f"{path}: {line!r} is no time stamp") from error
    if len(times) != count or (np.diff(times) <= 0).any():
        raise InputError(f"{path}: {len(times)} rising time stamps are needed for {count} files")
    return np.array(times)


def _ground(xyz_m: NDArray[np.float32]) -> tuple[Floats, float] | None:
    """Return the normal of the road near the car and the lidar's height over it; None where there is no road.

    Least squares on low points within 25 m, five times over with what lies off the plane left out.
    """
    near = (
        (np.abs(xyz_m[:, 1]) < 8)
        & (xyz_m[:, 0] > 2)
        & (xyz_m[:, 0] < 25)
        & (np.abs(xyz_m[:, 2] + 1.73) < 0.6)
    )
    points = xyz_m[near].astype(np.float64)
    plane = np.array([0.0, 0.0, -VELODYNE_M[2]])
    for limit in (0.4, 0.25, 0.15, 0.1, 0.1):
        off = points[:, 2] - points[:, :2] @ plane[:2] - plane[2]
        fitting = points[np.abs(off) < limit]
        if len(fitting) < 200:
            return None
        design = np.column_stack([fitting[:, :2], np.ones(len(fitting))])
        plane = np.linalg.lstsq(design, fitting[:, 2], rcond=None)[0]
    normal = np.array([-plane[0], -plane[1], 1.0])
    length = float(np.linalg.norm(normal))
    return normal / length, float(-plane[2] / length)
