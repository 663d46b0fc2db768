"""All of perception between arrivals and tracks: detectors, fusion, and the health of the sensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apps.automotive.messages import CameraImage, Odometry, PointCloud, RadarScan, Tracks
from apps.automotive.perception.camera import CameraDetector
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.detections import CameraDetections, CameraMount, RadarMount
from apps.automotive.perception.fuse import Fusion, FusionConfig
from apps.automotive.perception.health import LIMITS, SensorHealth, Trouble, blind
from apps.automotive.perception.lidar import LidarDetector
from apps.automotive.perception.radar import RadarDetector
from edgeai_core.runners.open import open_runner
from edgeai_core.sample import Sample
from edgeai_core.vision.quality import picture_quality

_QUALITY_EVERY = 6  # pictures: a lens is not covered for a single one
_EDGE = 0.006  # of a picture's width
_REMEMBERED = 100  # readings of odometry: a second of them


class Perception:
    """Takes readings in as they come, each at the time of its measurement; ``sensors`` names those that it has."""

    def __init__(self, config: PerceptionConfig, sensors: Sequence[str], model: tuple[Path, Path]) -> None:
        self.camera_mount, self.radar_mount = camera_mount(config), radar_mount(config)
        self.health = {sensor: SensorHealth(LIMITS[sensor]) for sensor in sensors}
        self.picture: CameraImage | None = None
        self.boxes: CameraDetections | None = None
        self._camera = CameraDetector(open_runner(*model, threads=config.threads))
        self._lidar = LidarDetector()
        self._radar = RadarDetector(self.radar_mount)
        self._fusion = Fusion(FusionConfig(camera=self.camera_mount, radar=self.radar_mount))
        self._odometry: deque[tuple[int, Odometry]] = deque(maxlen=_REMEMBERED)
        self._taken_ns = dict.fromkeys(sensors, -1)
        self._pictures = 0
        self._blind = False

    def warm_up(self) -> None:
        """Run everything once on nothing: a first cycle would pay for imports and caches with its deadline."""
        width, height = self.camera_mount.size_px
        picture = np.zeros((height, width, 3), dtype=np.uint8)
        self._camera.detect(picture)
        picture_quality(picture)
        grid = np.mgrid[5:25:40j, -5:5:20j, 0:1:2j].reshape(3, -1).T.astype(np.float32)
        cloud = PointCloud(grid, np.zeros(len(grid), dtype=np.float32))
        one = np.ones(1)
        scan = RadarScan(20 * one, 0 * one, one, one)
        middle = np.array([[0.45 * width, 0.45 * height, 0.55 * width, 0.55 * height]])
        boxes = CameraDetections(middle, np.ones(1, dtype=np.int8), one)
        scratch = Fusion(FusionConfig(camera=self.camera_mount, radar=self.radar_mount))
        for time_ns in (0, 50_000_000, 100_000_000):
            scratch.push_odometry(time_ns, Odometry())
            scratch.push_lidar(time_ns, self._lidar.detect(cloud))
            scratch.push_radar(time_ns, self._radar.detect(scan, Odometry()))
            scratch.push_camera(time_ns, boxes)
            scratch.tracks(time_ns)
            scratch.suspects()

    def take(
        self, sensor: str, samples: Sequence[Sample[Any]], now_ns: int, detect: Callable[[int], bool] | None
    ) -> None:
        """Take in what has come from a sensor; what was taken before is passed over.

        ``detect`` says of a picture's number whether the detector looks at it; None: at none, and none is counted.
        """
        for sample in samples:
            if sample.received_ns <= self._taken_ns[sensor] or (sensor == "camera" and detect is None):
                continue
            self._taken_ns[sensor] = sample.received_ns
            if isinstance(sample.data, Odometry) and not _sound(sample.data):
                continue  # as good as nothing: it will count as lost
            health = self.health[sensor]
            health.note(sample.time_ns, sample.received_ns, sample.data)
            if Trouble.FROZEN in health.troubles(now_ns):
                continue  # old data with a new stamp would hold tracks still that move
            self._push(sample.time_ns, sample.data, detect)

    def tracks(self, now_ns: int, lost: tuple[str, ...] = ()) -> Tracks:
        """Return all tracks as of ``now_ns``, with the names of the sensors that cannot be relied on."""
        return replace(self._fusion.tracks(now_ns), sensors_lost=lost)

    def suspects(self) -> tuple[str, ...]:
        """Return the sensors that the others contradict, and that are not used."""
        return self._fusion.suspects()

    def at_odds(self) -> tuple[str, ...]:
        """Return the sensors that contradict each other since they began; they are used."""
        return self._fusion.at_odds()

    def _push(self, time_ns: int, data: object, detect: Callable[[int], bool] | None) -> None:
        match data:
            case Odometry():
                self._odometry.append((time_ns, data))
                self._fusion.push_odometry(time_ns, data)
            case PointCloud():
                self._fusion.push_lidar(time_ns, self._lidar.detect(data))
            case RadarScan():
                self._fusion.push_radar(time_ns, self._radar.detect(data, self._ego_at(time_ns)))
            case CameraImage() if detect is not None:
                self._look(time_ns, data, detect)

    def _look(self, time_ns: int, image: CameraImage, detect: Callable[[int], bool]) -> None:
        number, self._pictures = self._pictures, self._pictures + 1
        if "odometry" not in self.health:  # seen from a car whose motion nobody tells
            self._fusion.push_odometry(time_ns, Odometry())
        health = self.health["camera"]
        if number % _QUALITY_EVERY == 0:
            quality = picture_quality(image.pixels)
            health.note_quality(quality)
            self._blind = blind(quality)
        self.picture = image
        if self._blind:
            self.boxes = None  # what a network sees in the dark is not there
            return
        if not detect(number):
            return
        self.boxes = self._camera.detect(image.pixels)
        self._fusion.push_camera(time_ns, _whole(self.boxes, image.pixels.shape[1]))

    def _ego_at(self, time_ns: int) -> Odometry:
        """Return the odometry measured nearest to a moment."""
        if not self._odometry:
            return Odometry()
        return min(self._odometry, key=lambda each: abs(each[0] - time_ns))[1]


def camera_mount(config: PerceptionConfig) -> CameraMount:
    """Return how the camera is mounted: as configured, or as a KITTI drive's calibration says."""
    if config.source == "kitti" and config.path is not None:
        from apps.automotive.perception.kitti_drive import KittiDrive

        return KittiDrive(config.path, config.rate_hz).camera_mount()
    camera = config.camera
    centre = (
        (camera.width_px - 1) / 2 if camera.centre_x_px is None else camera.centre_x_px,
        (camera.height_px - 1) / 2 if camera.centre_y_px is None else camera.centre_y_px,
    )
    size = (camera.width_px, camera.height_px)
    return CameraMount(camera.focal_px, centre, size, (camera.x_m, camera.y_m, camera.z_m), camera.pitch_rad)


def radar_mount(config: PerceptionConfig) -> RadarMount:
    """Return how the radar is mounted."""
    radar = config.radar
    return RadarMount((radar.x_m, radar.y_m), radar.yaw_rad, radar.field_of_view_rad, radar.max_range_m)


def _whole(boxes: CameraDetections, width_px: int) -> CameraDetections:
    """Leave out boxes that the picture's left or right edge cuts: their middle and size are not the object's."""
    edge_px = _EDGE * width_px
    inside = (boxes.box_px[:, 0] > edge_px) & (boxes.box_px[:, 2] < width_px - 1 - edge_px)
    return CameraDetections(boxes.box_px[inside], boxes.kind[inside], boxes.score[inside])


def _sound(odometry: Odometry) -> bool:
    return all(np.isfinite(value) for value in vars(odometry).values())
