"""Detections of camera, lidar and radar as scans for the tracker: what each measures, sees, misses and makes up.

The state of a track is x, y, vx, vy, turn rate, acceleration, yaw, length, width, height in the odometry frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind, Odometry
from apps.automotive.perception.detections import (
    CameraDetections,
    CameraMount,
    LidarBoxes,
    RadarMount,
    RadarPoints,
)
from edgeai_core.fusion.observation import BearingBox, Polar, Position, Shape
from edgeai_core.fusion.tracker import Lifecycle, Scan, Sensor

Floats = NDArray[np.float64]

YAW, LENGTH, _WIDTH, _HEIGHT, STATES = 6, 7, 8, 9, 10
_SHAPE = Shape(YAW, LENGTH, _WIDTH)

_SIZES = {
    ObjectKind.UNKNOWN: ((3.0, 1.5, 1.6), (1.5, 0.6, 0.5)),
    ObjectKind.CAR: ((4.4, 1.8, 1.5), (0.5, 0.15, 0.15)),
    ObjectKind.TRUCK: ((8.5, 2.5, 3.2), (3.0, 0.2, 0.5)),
    ObjectKind.PEDESTRIAN: ((0.6, 0.6, 1.72), (0.15, 0.15, 0.12)),
    ObjectKind.CYCLIST: ((1.8, 0.6, 1.72), (0.2, 0.15, 0.12)),
}
"""Length, width and height of road users, m, and their standard deviations: what is known before it is measured."""

_BEHIND_M, _HIDDEN = 4.0, 0.2
"""What lies so much farther in the same direction is hidden, and seen so much more seldom."""

_CONFUSION = 0.85
"""How often a camera names a road user rightly; the rest is spread over the other kinds."""


@dataclass(frozen=True)
class FusionConfig:
    """Where the sensors sit, how good they are, and how far the past is kept for what comes late.

    Deviations are one standard deviation. ``*_false`` count false detections of a whole scan, ``*_new`` new objects.
    """

    camera: CameraMount = field(default_factory=CameraMount)
    radar: RadarMount = field(default_factory=RadarMount)
    memory_s: float = 0.6
    camera_bearing_rad: float = 0.006
    camera_depression_rad: float = 0.008
    camera_height_share: float = 0.12
    camera_width_share: float = 0.35
    camera_edge_px: float = 2.5
    camera_edge_share: float = 0.07
    camera_detection: float = 0.7
    camera_range_m: float = 90.0
    camera_false: float = 0.5
    lidar_position_m: float = 0.3
    lidar_yaw_rad: float = 0.25
    lidar_size_m: float = 0.4
    lidar_detection: float = 0.8
    lidar_range_m: float = 60.0
    lidar_false: float = 8.0
    radar_range_m: float = 0.6
    radar_azimuth_rad: float = 0.012
    radar_rate_mps: float = 0.25
    radar_detection: float = 0.6
    radar_false: float = 10.0
    new_per_scan: float = 0.3
    lifecycle: Lifecycle = field(default_factory=lambda: Lifecycle(30.0, 0.95, 0.02, 2.0))


def camera_scan(config: FusionConfig, ego: Odometry, time_s: float, detections: CameraDetections) -> Scan:
    """Return the boxes of a picture, exposed when the ego was at ``ego``, as a scan."""
    mount, c = config.camera, config
    x, y = _placed(ego, mount.position_m[0], mount.position_m[1])
    box = np.asarray(detections.box_px, dtype=np.float64).reshape(-1, 4)
    good = np.isfinite(box).all(axis=1) & (box[:, 3] > box[:, 1]) & np.isfinite(detections.score)
    box, kind, score = (
        box[good],
        np.asarray(detections.kind)[good].astype(np.int64),
        detections.score[good],
    )
    across = (mount.centre_px[0] - (box[:, 0] + box[:, 2]) / 2) / mount.focal_px
    foot = np.arctan((box[:, 3] - mount.centre_px[1]) / mount.focal_px) + mount.pitch_rad
    tall = (box[:, 3] - box[:, 1]) / mount.focal_px
    # both are measured along the axis; along the ray the distance is longer by the ray's slant
    slant = np.sqrt(1 + across**2)
    left, right = (np.arctan((mount.centre_px[0] - box[:, side]) / mount.focal_px) for side in (0, 2))
    wide = np.log(np.maximum(left - right, 1e-3))
    measured = np.column_stack(
        [(left + right) / 2, np.arctan(np.tan(foot) / slant), np.log(tall / slant), wide, kind]
    )
    columns = mount.size_px[0]
    half = np.arctan(max(mount.centre_px[0], columns - mount.centre_px[0]) / mount.focal_px)
    view = BearingBox(
        x, y, mount.position_m[2], ego.yaw_rad,
        (c.camera_bearing_rad, c.camera_depression_rad, c.camera_height_share, c.camera_width_share),
        _HEIGHT, *_unseen(ObjectKind.UNKNOWN), shape=_SHAPE, edge_rad=c.camera_edge_px / mount.focal_px,
        edge_share=c.camera_edge_share,
    )  # fmt: skip
    sees = _sector(x, y, ego.yaw_rad, half, c.camera_range_m, c.camera_detection)
    space = 2 * half * 0.3 * 3.0 * 3.0
    sensor = Sensor(
        "camera", _Camera(view), sees, c.camera_false / space, c.new_per_scan / space, bit=1, repeats=True
    )
    sure = np.clip(score, 0.02, 0.98)
    return Scan(
        time_s,
        sensor,
        measured,
        np.log(sure / (1 - sure)),
        _CLASSES[np.clip(kind, 0, 4)],
    )


def lidar_scan(config: FusionConfig, ego: Odometry, time_s: float, boxes: LidarBoxes) -> Scan:
    """Return the boxes of a laser scan, made when the ego was at ``ego``, as a scan."""
    c = config
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    centre = np.asarray(boxes.centre_m, dtype=np.float64).reshape(-1, 3)
    size = np.asarray(boxes.size_m, dtype=np.float64).reshape(-1, 3)
    x = ego.x_m + cos * centre[:, 0] - sin * centre[:, 1]
    y = ego.y_m + sin * centre[:, 0] + cos * centre[:, 1]
    measured = np.column_stack([x, y, boxes.yaw_rad + ego.yaw_rad, size])
    good = np.isfinite(measured).all(axis=1)
    begin, unknown = _unseen(ObjectKind.UNKNOWN)
    view = Position(
        (0, 1, YAW, LENGTH, _WIDTH, _HEIGHT),
        (c.lidar_position_m, c.lidar_position_m, c.lidar_yaw_rad, *(c.lidar_size_m,) * 3),
        begin, unknown, half_turn=2,
    )  # fmt: skip
    sees = _sector(ego.x_m, ego.y_m, ego.yaw_rad, np.pi, c.lidar_range_m, c.lidar_detection)
    space = np.pi * c.lidar_range_m**2
    sensor = Sensor("lidar", view, sees, c.lidar_false / space, c.new_per_scan / space, bit=2)
    evidence = np.clip(np.log(np.maximum(boxes.points, 1) / 10.0), -1.5, 1.5)
    return Scan(time_s, sensor, measured[good], evidence[good])


def radar_scan(config: FusionConfig, ego: Odometry, time_s: float, points: RadarPoints) -> Scan:
    """Return the detections of a radar scan, made when the ego was at ``ego``, as a scan."""
    c, mount = config, config.radar
    x, y = _placed(ego, *mount.position_m)
    yaw = ego.yaw_rad + mount.yaw_rad
    measured = np.column_stack([points.range_m, points.azimuth_rad, points.range_rate_mps])
    good = np.isfinite(measured).all(axis=1) & (measured[:, 0] > 0)
    deviation = (c.radar_range_m, c.radar_azimuth_rad, c.radar_rate_mps)
    view = Polar(x, y, yaw, deviation, *_unseen(ObjectKind.UNKNOWN), shape=_SHAPE)
    half = mount.field_of_view_rad
    sees = _sector(x, y, yaw, half, mount.max_range_m, c.radar_detection)
    space = mount.max_range_m * 2 * half * 40.0
    sensor = Sensor("radar", view, sees, c.radar_false / space, c.new_per_scan / space, bit=4, repeats=True)
    # what stands still is mostly no road user: such returns hold up tracks, but hardly start one
    evidence = np.where(points.moving, 0.0, -2.0)
    return Scan(time_s, sensor, measured[good], evidence[good])


@dataclass(frozen=True)
class _Camera:
    """Boxes with their kind: what is born of one has the size of its kind."""

    view: BearingBox

    @property
    def gated(self) -> int:
        return self.view.gated

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        return self.view.predict(mean)

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        return self.view.innovation(measured[..., :4], predicted)

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        mean = np.zeros((len(measured), STATES))
        covariance = np.zeros((len(measured), STATES, STATES))
        for kind in np.unique(measured[:, 4]).astype(int).tolist():
            rows = measured[:, 4] == kind
            begin, unknown = _unseen(ObjectKind(kind) if kind in _SIZES else ObjectKind.UNKNOWN)
            mean[rows], covariance[rows] = replace(self.view, begin=begin, unknown=unknown).birth(
                measured[rows]
            )
        return mean, covariance


def _unseen(kind: ObjectKind) -> tuple[tuple[float, ...], tuple[float, ...]]:
    size, deviation = _SIZES[kind]
    return (0.0,) * 7 + size, (10.0, 10.0, 8.0, 8.0, 0.2, 1.5, 1.8, *deviation)


def _class_likelihoods() -> Floats:
    """Return (observed kind, true kind) likelihoods relative to chance; an observed UNKNOWN says nothing."""
    kinds = len(ObjectKind)
    table = np.full((kinds, kinds), (1 - _CONFUSION) / (kinds - 1))
    np.fill_diagonal(table, _CONFUSION)
    table *= kinds
    table[ObjectKind.UNKNOWN] = 1.0
    return table


_CLASSES = _class_likelihoods()


def _placed(ego: Odometry, ahead_m: float, left_m: float) -> tuple[float, float]:
    cos, sin = float(np.cos(ego.yaw_rad)), float(np.sin(ego.yaw_rad))
    return ego.x_m + cos * ahead_m - sin * left_m, ego.y_m + sin * ahead_m + cos * left_m


def _sector(
    x: float, y: float, yaw: float, half_rad: float, range_m: float, detection: float
) -> Callable[[Floats], Floats]:
    """Return the probability that a sensor sees a state: as declared within its sector, beyond hardly ever.

    Of what lies behind something nearer it sees a fifth of that.
    """

    def sees(mean: Floats) -> Floats:
        dx, dy = mean[:, 0] - x, mean[:, 1] - y
        away, bearing = np.hypot(dx, dy), np.arctan2(dy, dx)
        off = np.abs(np.mod(bearing - yaw + np.pi, 2 * np.pi) - np.pi)
        within = (away < range_m) & (off < half_rad)
        turn = mean[:, YAW] - bearing
        half = (np.abs(np.sin(turn)) * mean[:, LENGTH] + np.abs(np.cos(turn)) * mean[:, _WIDTH]) / 2
        aside = np.abs(np.mod(bearing[:, None] - bearing + np.pi, 2 * np.pi) - np.pi)
        behind = (aside * away < half) & (away[:, None] > away + _BEHIND_M)
        share = np.where(behind.any(axis=1), _HIDDEN, 1.0)
        return np.where(within, share * detection, 0.02)

    return sees
