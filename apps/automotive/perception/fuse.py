"""Fusion of camera, lidar, radar and odometry into tracks, each measurement at the time it was made.

The state of a track is x, y, vx, vy, turn rate, acceleration, yaw, length, width, height in the odometry frame, under
two ways of moving: constant velocity, and constant turn rate and acceleration.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind, Odometry, Tracks, no_tracks
from apps.automotive.perception.detections import (
    CameraDetections,
    CameraMount,
    LidarBoxes,
    RadarMount,
    RadarPoints,
)
from edgeai_core.errors import InputError
from edgeai_core.fusion.consistency import Corroboration, SensorHealth
from edgeai_core.fusion.history import History
from edgeai_core.fusion.imm import ModelSet
from edgeai_core.fusion.motion import ConstantTurn
from edgeai_core.fusion.observation import BearingBox, Polar, Position, Shape
from edgeai_core.fusion.tracker import Association, Lifecycle, Scan, Sensor, Tracker, TrackTable

Floats = NDArray[np.float64]

_YAW, _LENGTH, _WIDTH, _HEIGHT, _STATES = 6, 7, 8, 9, 10
_SHAPE = Shape(_YAW, _LENGTH, _WIDTH)

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

_SURELY = 0.3
"""What a sensor sees more often than this it should see."""

_HEADING_RAD = 0.35
"""A path known no better than this (one standard deviation) tells no heading."""

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
    camera_edge_px: float = 2.5
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


class Fusion:
    """Timed detections of several sensors in, tracks out.

    Measurements may come in any order: one that is older than what has been used already is put in its place by
    filtering anew from the state before it, as far back as ``memory_s``. Rows that hold no finite numbers are left out.
    """

    def __init__(self, config: FusionConfig | None = None) -> None:
        self.config = c = config or FusionConfig()
        statics = (0.05**2, 0.02**2, 0.02**2, 0.02**2)
        motions = (
            ConstantTurn(0.5, 0.02, 0.5, statics, turns=False, accelerates=False, rides=_YAW),
            ConstantTurn(0.5, 0.05, 4.0, statics, rides=_YAW),
        )
        tracker = Tracker(ModelSet(motions, ((0.0, 0.3), (0.5, 0.0))), _STATES, c.lifecycle, len(ObjectKind))
        self._history = History(tracker, c.memory_s)
        self._health = {name: SensorHealth(k) for name, k in (("camera", 3), ("lidar", 2), ("radar", 3))}
        # posts are no road users: a camera that passes over what the others see must see something else to be wrong
        self._company = {name: Corroboration(0.5 if name == "camera" else 0.0) for name in self._health}
        self._sensors: dict[str, Sensor] = {}
        self._odometry: list[tuple[int, Odometry]] = []
        self._numbers: dict[int, int] = {}
        self._next_number = 1
        self._epoch_ns: int | None = None

    @property
    def refused(self) -> int:
        """How many scans came too late to be used."""
        return self._history.refused

    def push_odometry(self, time_ns: int, odometry: Odometry) -> None:
        """Take where the ego was at ``time_ns``. Raises InputError where that is no finite place."""
        if not np.isfinite([odometry.x_m, odometry.y_m, odometry.yaw_rad, odometry.speed_mps]).all():
            raise InputError("odometry: position, yaw or speed is no finite number")
        at = bisect_right(self._odometry, time_ns, key=lambda each: each[0])
        self._odometry.insert(at, (time_ns, odometry))
        horizon_ns = self._odometry[-1][0] - round((self.config.memory_s + 1.0) * 1e9)
        if self._odometry[0][0] < horizon_ns:
            del self._odometry[: bisect_right(self._odometry, horizon_ns, key=lambda each: each[0])]

    def push_camera(self, time_ns: int, detections: CameraDetections) -> None:
        """Take the boxes of a picture exposed at ``time_ns``."""
        mount, c = self.config.camera, self.config
        ego = self._ego(time_ns)
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
        measured = np.column_stack(
            [np.arctan(across), np.arctan(np.tan(foot) / slant), np.log(tall / slant), kind]
        )
        columns = mount.size_px[0]
        half = np.arctan(max(mount.centre_px[0], columns - mount.centre_px[0]) / mount.focal_px)
        view = BearingBox(
            x, y, mount.position_m[2], ego.yaw_rad,
            (c.camera_bearing_rad, c.camera_depression_rad, c.camera_height_share),
            _HEIGHT, *_unseen(ObjectKind.UNKNOWN), shape=_SHAPE, edge_rad=c.camera_edge_px / mount.focal_px,
        )  # fmt: skip
        sees = _sector(x, y, ego.yaw_rad, half, c.camera_range_m, c.camera_detection)
        space = 2 * half * 0.3 * 3.0
        sensor = Sensor(
            "camera", _Camera(view), sees, c.camera_false / space, c.new_per_scan / space, bit=1, repeats=True
        )
        sure = np.clip(score, 0.02, 0.98)
        self._push(
            Scan(
                self._time_s(time_ns),
                sensor,
                measured,
                np.log(sure / (1 - sure)),
                _CLASSES[np.clip(kind, 0, 4)],
            )
        )

    def push_lidar(self, time_ns: int, boxes: LidarBoxes) -> None:
        """Take the boxes of a laser scan at ``time_ns``."""
        c = self.config
        ego = self._ego(time_ns)
        cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
        centre = np.asarray(boxes.centre_m, dtype=np.float64).reshape(-1, 3)
        size = np.asarray(boxes.size_m, dtype=np.float64).reshape(-1, 3)
        x = ego.x_m + cos * centre[:, 0] - sin * centre[:, 1]
        y = ego.y_m + sin * centre[:, 0] + cos * centre[:, 1]
        measured = np.column_stack([x, y, boxes.yaw_rad + ego.yaw_rad, size])
        good = np.isfinite(measured).all(axis=1)
        begin, unknown = _unseen(ObjectKind.UNKNOWN)
        view = Position(
            (0, 1, _YAW, _LENGTH, _WIDTH, _HEIGHT),
            (c.lidar_position_m, c.lidar_position_m, c.lidar_yaw_rad, *(c.lidar_size_m,) * 3),
            begin, unknown, half_turn=2,
        )  # fmt: skip
        sees = _sector(ego.x_m, ego.y_m, ego.yaw_rad, np.pi, c.lidar_range_m, c.lidar_detection)
        space = np.pi * c.lidar_range_m**2
        sensor = Sensor("lidar", view, sees, c.lidar_false / space, c.new_per_scan / space, bit=2)
        evidence = np.clip(np.log(np.maximum(boxes.points, 1) / 10.0), -1.5, 1.5)
        self._push(Scan(self._time_s(time_ns), sensor, measured[good], evidence[good]))

    def push_radar(self, time_ns: int, points: RadarPoints) -> None:
        """Take the detections of a radar scan at ``time_ns``."""
        c, mount = self.config, self.config.radar
        ego = self._ego(time_ns)
        x, y = _placed(ego, *mount.position_m)
        yaw = ego.yaw_rad + mount.yaw_rad
        measured = np.column_stack([points.range_m, points.azimuth_rad, points.range_rate_mps])
        good = np.isfinite(measured).all(axis=1) & (measured[:, 0] > 0)
        deviation = (c.radar_range_m, c.radar_azimuth_rad, c.radar_rate_mps)
        view = Polar(x, y, yaw, deviation, *_unseen(ObjectKind.UNKNOWN), shape=_SHAPE)
        half = mount.field_of_view_rad
        sees = _sector(x, y, yaw, half, mount.max_range_m, c.radar_detection)
        space = mount.max_range_m * 2 * half * 40.0
        sensor = Sensor(
            "radar", view, sees, c.radar_false / space, c.new_per_scan / space, bit=4, repeats=True
        )
        # what stands still is mostly no road user: such returns hold up tracks, but hardly start one
        evidence = np.where(points.moving, 0.0, -2.0)
        self._push(Scan(self._time_s(time_ns), sensor, measured[good], evidence[good]))

    def tracks(self, now_ns: int) -> Tracks:
        """Return all tracks that probably exist, predicted to ``now_ns``, in the odometry frame."""
        ego = self._ego(now_ns)
        table = self._history.at(self._time_s(now_ns))
        if table is None:
            return no_tracks(now_ns, ego, self.suspects())
        table = table.take(table.existence >= 0.2)
        mean, covariance = table.belief.moments()
        velocity = mean[:, 2:4]
        # yaw follows the path where there is one, else the box; a box alone does not tell front from rear
        speed = np.hypot(velocity[:, 0], velocity[:, 1])
        heading = np.arctan2(velocity[:, 1], velocity[:, 0])
        across = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
        drift = np.sqrt(np.einsum("ni,nij,nj->n", across, covariance[:, 2:4, 2:4], across))
        yaw = np.where((speed > 1.5) & (drift < _HEADING_RAD * speed), heading, mean[:, _YAW])
        kind = np.argmax(table.classes, axis=1)
        kind = np.where(table.classes.max(axis=1) > 0.4, kind, ObjectKind.UNKNOWN)
        return Tracks(
            now_ns, ego, self._named(table), kind.astype(np.int8), mean[:, :2], velocity, yaw, mean[:, 4],
            np.maximum(mean[:, _LENGTH:], 0.2), covariance[:, :4, :4], table.existence, table.confirmed,
            table.time_s - table.born_s, self.suspects(),
        )  # fmt: skip

    def suspects(self) -> tuple[str, ...]:
        """Return the sensors (``camera``, ``lidar``, ``radar``) whose measurements the others contradict.

        Where two are at odds with the tracks and the third is not, the tracks follow the third: it is the suspect. Two
        sensors alone cannot tell which of them is wrong. What a suspect measures is not used until it agrees again.
        """
        odd = [name for name, health in self._health.items() if health.contradicted()]
        if len(odd) == 2:
            odd = [name for name, health in self._health.items() if name not in odd and health.known]
        return tuple(odd) if len(odd) == 1 else ()

    def at_odds(self) -> tuple[str, ...]:
        """Return the sensors that hardly ever see what the others agree on: one of them was wrong from the start.

        They are used all the same, for which of two that contradict each other is wrong nobody knows.
        """
        return tuple(name for name, company in self._company.items() if company.contradicted())

    def _push(self, scan: Scan) -> None:
        name = scan.sensor.name
        self._sensors[name] = scan.sensor
        table = self._history.at(scan.time_s) if name in self.suspects() else None
        if table is not None:
            went: Association | None = self._history.tracker.update(table, scan)[1]
        else:
            went = self._history.push(scan)
        if went is None:
            return
        self._health[name].record(scan.time_s, went.expected, went.shared_nis, went.shared)
        after = self._history.table if table is None else table
        if after is not None and len(self._sensors) == len(self._health):
            rows = went.row[(went.row >= 0) & (went.row < len(after))]
            self._note_company(scan, after, rows, suspect=table is not None)

    def _note_company(self, scan: Scan, table: TrackTable, rows: NDArray[np.intp], *, suspect: bool) -> None:
        """Note whether a sensor sees what the others agree on, of the sure tracks that all should see.

        ``rows`` are the tracks that it met in this scan. A suspect's scans make no tracks of its own.
        """
        mean = table.belief.moments()[0]
        sure, met = table.confirmed.copy(), np.zeros(len(mean), np.bool_)
        met[rows] = True
        for sensor in self._sensors.values():
            sees = sensor.detection
            sure &= (sees(mean) if callable(sees) else np.full(len(mean), sees)) > _SURELY
        rest = sum(sensor.bit for sensor in self._sensors.values()) - scan.sensor.bit
        agreed = sure & ((table.seen_by & rest) == rest)
        together, missed = int((agreed & met).sum()), int((agreed & ~met).sum())
        alone = missed if suspect else int((sure & (table.seen_by == scan.sensor.bit)).sum())
        self._company[scan.sensor.name].record(scan.time_s, together, missed, alone)

    def _time_s(self, time_ns: int) -> float:
        """Seconds since the first stamp: small numbers, so that none of a stamp's digits is lost."""
        if self._epoch_ns is None:
            self._epoch_ns = time_ns
        return (time_ns - self._epoch_ns) / 1e9

    def _ego(self, time_ns: int) -> Odometry:
        """Where the ego was: between two odometry messages, or driven on from the last one."""
        if not self._odometry:
            return Odometry()
        at = bisect_right(self._odometry, time_ns, key=lambda each: each[0])
        stamp_ns, last = self._odometry[max(at - 1, 0)]
        dt_s = (time_ns - stamp_ns) / 1e9
        turned = last.yaw_rate_radps * dt_s
        middle = last.yaw_rad + turned / 2
        return replace(
            last,
            x_m=last.x_m + last.speed_mps * dt_s * float(np.cos(middle)),
            y_m=last.y_m + last.speed_mps * dt_s * float(np.sin(middle)),
            yaw_rad=last.yaw_rad + turned,
        )

    def _named(self, table: TrackTable) -> NDArray[np.int64]:
        """Return small numbers for people, each given at a track's first appearance and kept."""
        ids = table.id.tolist()
        for each in ids:
            if each not in self._numbers:
                self._numbers[each] = self._next_number
                self._next_number += 1
        if len(self._numbers) > 4096:
            self._numbers = {each: self._numbers[each] for each in ids}
        return np.array([self._numbers[each] for each in ids], np.int64)


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
        return self.view.innovation(measured[..., :3], predicted)

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        mean = np.zeros((len(measured), _STATES))
        covariance = np.zeros((len(measured), _STATES, _STATES))
        for kind in np.unique(measured[:, 3]).astype(int).tolist():
            rows = measured[:, 3] == kind
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
        turn = mean[:, _YAW] - bearing
        half = (np.abs(np.sin(turn)) * mean[:, _LENGTH] + np.abs(np.cos(turn)) * mean[:, _WIDTH]) / 2
        aside = np.abs(np.mod(bearing[:, None] - bearing + np.pi, 2 * np.pi) - np.pi)
        behind = (aside * away < half) & (away[:, None] > away + _BEHIND_M)
        share = np.where(behind.any(axis=1), _HIDDEN, 1.0)
        return np.where(within, share * detection, 0.02)

    return sees
