"""Fusion of camera, lidar, radar and odometry into tracks, each measurement at the time it was made."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.automotive.messages import Odometry, Tracks
from apps.automotive.perception.detections import (
    CameraDetections,
    CameraMount,
    LidarBoxes,
    RadarMount,
    RadarPoints,
)


@dataclass(frozen=True)
class FusionConfig:
    """Where the sensors sit, and how far the past is kept for what comes late."""

    camera: CameraMount = field(default_factory=CameraMount)
    radar: RadarMount = field(default_factory=RadarMount)
    memory_s: float = 0.6


class Fusion:
    """Timed detections of several sensors in, tracks out.

    Measurements may come in any order: one that is older than what has been used already is put in its place by
    filtering anew from the state before it, as far back as ``memory_s``.
    """

    def __init__(self, config: FusionConfig | None = None) -> None:
        self.config = config or FusionConfig()

    def push_odometry(self, time_ns: int, odometry: Odometry) -> None:
        """Take where the ego was at ``time_ns``."""
        raise NotImplementedError

    def push_camera(self, time_ns: int, detections: CameraDetections) -> None:
        """Take the boxes of a picture exposed at ``time_ns``."""
        raise NotImplementedError

    def push_lidar(self, time_ns: int, boxes: LidarBoxes) -> None:
        """Take the boxes of a laser scan at ``time_ns``."""
        raise NotImplementedError

    def push_radar(self, time_ns: int, points: RadarPoints) -> None:
        """Take the detections of a radar scan at ``time_ns``."""
        raise NotImplementedError

    def tracks(self, now_ns: int) -> Tracks:
        """Return all tracks, predicted to ``now_ns``, in the odometry frame."""
        raise NotImplementedError

    def suspects(self) -> tuple[str, ...]:
        """Return the sensors (``camera``, ``lidar``, ``radar``) whose measurements the others contradict."""
        raise NotImplementedError
