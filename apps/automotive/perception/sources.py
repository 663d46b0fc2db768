"""Where perception's data come from: KITTI folders, video files and cameras. The simulation comes over streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np

from apps.automotive.messages import CameraImage, Floats, Odometry, PointCloud
from apps.automotive.perception.kitti_drive import Frames, KittiDrive
from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.sample import Reading

T = TypeVar("T")


class FrameSource(Generic[T]):
    """Plays recorded frames: each comes when its time, counted from ``open``, has come on the loop's clock.

    ``time_s`` (frames,) rises; ``repeat`` begins anew after the last, one mean step later.
    """

    def __init__(self, name: str, time_s: Floats, load: Callable[[int], T], *, repeat: bool = False) -> None:
        if not len(time_s):
            raise ValueError(f"source {name!r} has no frame to play")
        self._name = name
        self._time_ns = np.rint(np.asarray(time_s) * 1e9).astype(np.int64)
        self._load = load
        self._repeat = repeat
        span_ns = int(self._time_ns[-1] - self._time_ns[0])
        self._round_ns = span_ns + span_ns // max(1, len(time_s) - 1) if span_ns else 1_000_000_000
        self._clock: Clock | None = None
        self._start_ns = self._given = 0

    @property
    def name(self) -> str:
        """The name that inputs refer to."""
        return self._name

    def open(self, clock: Clock) -> None:
        """Begin with the first frame."""
        self._clock, self._start_ns, self._given = clock, clock.now_ns(), 0

    def read(self, timeout_s: float) -> Reading[T] | None:
        """Return the next frame when it is due. Raises EndOfStream after the last, InputError for a damaged one."""
        if self._clock is None:
            raise SensorError(f"source {self._name!r} is read before it is opened")
        rounds, number = divmod(self._given, len(self._time_ns))
        if rounds and not self._repeat:
            raise EndOfStream(f"{self._name}: the recording is over")
        due_ns = self._start_ns + rounds * self._round_ns + int(self._time_ns[number])
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            return None
        data = self._load(number)
        self._given += 1
        return Reading(data, time_ns=due_ns, sequence=self._given - 1)

    def close(self) -> None:
        """Nothing is held open."""
        self._clock = None


class VideoSource:
    """A video file at its own rate, or a camera (``/dev/video0``) as it comes.

    A camera that gives nothing within OpenCV's own time-out fails, and is opened again by its reader.
    """

    def __init__(self, path: Path, *, rate_hz: float = 30.0, repeat: bool = False) -> None:
        self._path, self._fallback_hz, self._repeat = path, rate_hz, repeat
        self._device = str(path).startswith("/dev/video")
        self._capture: cv2.VideoCapture | None = None
        self._clock: Clock | None = None
        self._due_ns = self._period_ns = 0
        self._given = self._of_round = 0

    @property
    def name(self) -> str:
        """The name that inputs refer to."""
        return "camera"

    def open(self, clock: Clock) -> None:
        """Open the file or device. Raises SensorError where it cannot be."""
        if not self._path.exists():
            raise SensorError(f"{self._path}: no such {'camera' if self._device else 'file'}")
        self._capture = self._opened()
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        sound = np.isfinite(rate_hz) and 1.0 <= rate_hz <= 240.0
        self._period_ns = round(1e9 / (rate_hz if sound else self._fallback_hz))
        self._clock, self._due_ns, self._given, self._of_round = clock, clock.now_ns(), 0, 0

    def read(self, timeout_s: float) -> Reading[CameraImage] | None:
        """Return the next picture. Raises EndOfStream after a file's last, SensorError where a camera fails."""
        if self._capture is None or self._clock is None:
            raise SensorError(f"{self._path}: read before it is opened")
        if not self._device:
            patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
            self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
            if self._due_ns > patience_ns:
                return None
        good, pixels = self._capture.read()
        if not good and not self._device and self._repeat and self._of_round:
            self._capture.release()
            self._capture = self._opened()
            self._of_round = 0
            good, pixels = self._capture.read()
        if not good:
            if self._device:
                raise SensorError(f"{self._path}: the camera gives no picture")
            if not self._given:
                raise SensorError(f"{self._path}: no video that can be read")
            raise EndOfStream(f"{self._path}: the video is over")
        time_ns = self._clock.now_ns() if self._device else self._due_ns
        self._due_ns += self._period_ns
        self._given += 1
        self._of_round += 1
        picture = np.asarray(pixels, dtype=np.uint8)
        picture.flags.writeable = False
        return Reading(CameraImage(picture), time_ns=time_ns, sequence=self._given - 1)

    def close(self) -> None:
        """Let go of the file or device."""
        if self._capture is not None:
            self._capture.release()
        self._capture = self._clock = None

    def _opened(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SensorError(f"{self._path}: cannot be opened as a video")
        return capture


def kitti_sources(
    drive: KittiDrive, *, repeat: bool = False
) -> tuple[FrameSource[CameraImage], FrameSource[PointCloud] | None, FrameSource[Odometry] | None]:
    """Return the sources of a drive: camera, and lidar and odometry where the drive has them."""

    def times(frames: Frames) -> Floats:
        return drive.times_s(frames)

    camera = FrameSource("camera", times(drive.pictures), drive.picture, repeat=repeat)
    lidar = FrameSource("lidar", times(drive.scans), drive.scan, repeat=repeat) if drive.scans.files else None
    poses = (
        FrameSource("odometry", times(drive.poses), drive.odometry, repeat=repeat)
        if drive.poses.files
        else None
    )
    return camera, lidar, poses
