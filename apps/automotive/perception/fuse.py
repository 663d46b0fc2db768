"""Fusion of camera, lidar, radar and odometry into tracks, each measurement at the time it was made.

The state of a track is x, y, vx, vy, turn rate, acceleration, yaw, length, width, height in the odometry frame, under
two ways of moving: constant velocity, and constant turn rate and acceleration.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind, Odometry, Tracks, no_tracks
from apps.automotive.odometry import driven_on, elsewhere
from apps.automotive.perception.agreement import Agreement
from apps.automotive.perception.detections import CameraDetections, LidarBoxes, RadarPoints
from apps.automotive.perception.scans import (
    LENGTH,
    STATES,
    YAW,
    FusionConfig,
    camera_scan,
    lidar_scan,
    radar_scan,
)
from edgeai_core.errors import InputError
from edgeai_core.fusion.history import History
from edgeai_core.fusion.imm import ModelSet
from edgeai_core.fusion.motion import ConstantTurn
from edgeai_core.fusion.tracker import Association, Scan, Tracker, TrackTable

Floats = NDArray[np.float64]

_POST_M, _POST_MPS = 0.42, 0.4
"""What is thinner than people are and stands is a post, whatever a camera takes it for, until it moves."""

_HEADING_RAD = 0.35
"""A path known no better than this (one standard deviation) tells no heading."""

__all__ = ["Fusion", "FusionConfig"]


class Fusion:
    """Timed detections of several sensors in, tracks out.

    Measurements may come in any order: one that is older than what has been used already is put in its place by
    filtering anew from the state before it, as far back as ``memory_s``. Rows that hold no finite numbers are left out.
    """

    def __init__(self, config: FusionConfig | None = None) -> None:
        self.config = config or FusionConfig()
        self._numbers: dict[int, int] = {}
        self._next_number = 1
        self._refused = 0
        self._begin(0)

    def _begin(self, since_ns: int) -> None:
        """Know nothing of any place; what was measured before ``since_ns`` is of another one."""
        c = self.config
        statics = (0.05**2, 0.02**2, 0.02**2, 0.02**2)
        motions = (
            ConstantTurn(0.5, 0.02, 0.5, statics, turns=False, accelerates=False, rides=YAW),
            ConstantTurn(0.5, 0.05, 4.0, statics, rides=YAW),
        )
        tracker = Tracker(ModelSet(motions, ((0.0, 0.3), (0.5, 0.0))), STATES, c.lifecycle, len(ObjectKind))
        self._history = History(tracker, c.memory_s)
        self._agreement = Agreement(c.camera_false)
        self._odometry: list[tuple[int, Odometry]] = []
        self._epoch_ns: int | None = None
        self._since_ns = since_ns

    @property
    def refused(self) -> int:
        """How many scans came too late to be used."""
        return self._refused + self._history.refused

    def push_odometry(self, time_ns: int, odometry: Odometry) -> None:
        """Take where the ego was at ``time_ns``. Raises InputError where that is no finite place.

        Where odometry has begun anew, somewhere else, everything that was tracked is forgotten.
        """
        if not np.isfinite([odometry.x_m, odometry.y_m, odometry.yaw_rad, odometry.speed_mps]).all():
            raise InputError("odometry: position, yaw or speed is no finite number")
        if self._odometry and time_ns > self._odometry[-1][0] and elsewhere(self._odometry[-1][1], odometry):
            self._refused += self._history.refused
            self._begin(time_ns)
        at = bisect_right(self._odometry, time_ns, key=lambda each: each[0])
        self._odometry.insert(at, (time_ns, odometry))
        horizon_ns = self._odometry[-1][0] - round((self.config.memory_s + 1.0) * 1e9)
        if self._odometry[0][0] < horizon_ns:
            del self._odometry[: bisect_right(self._odometry, horizon_ns, key=lambda each: each[0])]

    def push_camera(self, time_ns: int, detections: CameraDetections) -> None:
        """Take the boxes of a picture exposed at ``time_ns``."""
        self._push(time_ns, camera_scan(self.config, self._ego(time_ns), self._time_s(time_ns), detections))

    def push_lidar(self, time_ns: int, boxes: LidarBoxes) -> None:
        """Take the boxes of a laser scan at ``time_ns``."""
        self._push(time_ns, lidar_scan(self.config, self._ego(time_ns), self._time_s(time_ns), boxes))

    def push_radar(self, time_ns: int, points: RadarPoints) -> None:
        """Take the detections of a radar scan at ``time_ns``."""
        self._push(time_ns, radar_scan(self.config, self._ego(time_ns), self._time_s(time_ns), points))

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
        yaw = np.where((speed > 1.5) & (drift < _HEADING_RAD * speed), heading, mean[:, YAW])
        kind = np.argmax(table.classes, axis=1)
        kind = np.where(table.classes.max(axis=1) > 0.4, kind, ObjectKind.UNKNOWN)
        thin = mean[:, LENGTH : LENGTH + 2].max(axis=1) < _POST_M
        post = (kind == ObjectKind.PEDESTRIAN) & thin & (speed < _POST_MPS)
        kind = np.where(post, ObjectKind.UNKNOWN, kind)
        return Tracks(
            now_ns, ego, self._named(table), kind.astype(np.int8), mean[:, :2], velocity, yaw, mean[:, 4],
            np.maximum(mean[:, LENGTH:], 0.2), covariance[:, :4, :4], table.existence, table.confirmed,
            table.time_s - table.born_s, self.suspects(),
        )  # fmt: skip

    def suspects(self) -> tuple[str, ...]:
        """Return the sensors (``camera``, ``lidar``, ``radar``) whose measurements the others contradict: not used."""
        return self._agreement.suspects()

    def at_odds(self) -> tuple[str, ...]:
        """Return the sensors of which one was wrong from the start; they are used."""
        return self._agreement.at_odds()

    def _push(self, time_ns: int, scan: Scan) -> None:
        if time_ns < self._since_ns:
            self._refused += 1
            return
        table = self._history.at(scan.time_s) if scan.sensor.name in self.suspects() else None
        if table is not None:
            went: Association | None = self._history.tracker.update(table, scan)[1]
        else:
            went = self._history.push(scan)
        after = self._history.table if table is None else table
        if went is not None and after is not None:
            ego = self._ego(time_ns)
            self._agreement.note(scan, went, after, (ego.x_m, ego.y_m), used=table is None)

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
        return driven_on(last, (time_ns - stamp_ns) / 1e9)

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
