"""Tracks of cars from the boxes of one detector, frame by frame: what a lidar detector gives, with ids and velocities.

The state of a car is position, velocity, size and yaw in a frame that stands still, or in the sensor's own where its
motion is not known; then the accelerations must make up for it. The parameters are physical and few. They describe the
detector (PointRCNN on KITTI) and cars, and were chosen on whole plateaus, not at peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.fusion.imm import ModelSet
from edgeai_core.fusion.motion import ConstantVelocity
from edgeai_core.fusion.observation import wrap_half
from edgeai_core.fusion.tracker import Lifecycle, Scan, Sensor, Tracker

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BoxTrackerSettings:
    """What the detector and the cars are like."""

    position_m: float = 0.25
    """Standard deviation of a detected middle on the ground; 0.1 m in height, as everything stands on a road."""
    height_m: float = 0.1
    length_m: float = 0.3
    width_m: float = 0.1
    yaw_rad: float = 0.15
    acceleration_psd: float = 8.0
    """Density of white-noise acceleration on the ground, m^2/s^3: 0.9 m/s of change in a frame of 0.1 s."""
    speed_mps: float = 10.0
    """Standard deviation of the velocity of a car that was just seen for the first time."""
    detection: float = 0.8
    clutter_density: float = 2e-4
    """False boxes in a frame, per square metre, were all scores alike; new cars likewise."""
    birth_density: float = 2e-4
    score_slope: float = 0.7
    score_middle: float = 2.9
    """Logistic calibration of the score: at the middle one box in two is a car."""
    lifetime_s: float = 30.0
    drop: float = 0.01
    coast_s: float = 1.0


@dataclass(frozen=True)
class TrackedBoxes:
    """Tracks after a frame: ``id`` (n,), ``box`` (n, 7), ``confidence`` (n,) on the detector's scale of scores.

    ``source`` (n,) is the row of the detection that each was updated with, or -1 where it coasts.
    """

    id: NDArray[np.int64]
    box: Floats
    confidence: Floats
    source: NDArray[np.intp]
    velocity_mps: Floats
    existence: Floats


class BoxTracker:
    """Boxes and scores in, tracks out; one instance per recording."""

    def __init__(self, settings: BoxTrackerSettings | None = None, frame_s: float = 0.1) -> None:
        self.settings = s = settings or BoxTrackerSettings()
        self._frame_s = frame_s
        view = _BoxView(s)
        self._sensor = Sensor("boxes", view, s.detection, s.clutter_density, s.birth_density)
        motion = ConstantVelocity(
            3, (s.acceleration_psd, s.acceleration_psd, 0.1), (0.01**2, 0.01**2, 0.01**2, 0.05**2)
        )
        life = Lifecycle(s.lifetime_s, 0.95, s.drop, s.coast_s)
        self._tracker = Tracker(ModelSet((motion,)), 10, life)
        self._table = self._tracker.empty(0.0)
        self._id, self._score = self._table.id, np.zeros(0)

    def step(self, time_s: float, box: Floats, score: Floats) -> TrackedBoxes:
        """Take the boxes (n, 7) of a frame, with scores (n,); return all tracks, those that coast too.

        Cars do not stand in each other: of two whose middles are nearer than their mean width only the better is given.
        """
        s = self.settings
        evidence = s.score_slope * (score - s.score_middle)
        table = self._tracker.predict(self._table, time_s)
        self._table, went = self._tracker.update(table, Scan(time_s, self._sensor, box, evidence))
        table = self._table
        mean = table.belief.mean[:, 0]
        source = np.full(len(table), -1, np.intp)
        source[went.row[went.row >= 0]] = np.nonzero(went.row >= 0)[0]
        # numbers only grow, so the tracks that were there before are found by bisection
        held = np.zeros(len(table))
        held[source >= 0] = score[source[source >= 0]]
        coasting = source < 0
        held[coasting] = self._score[np.searchsorted(self._id, table.id[coasting])]
        self._id, self._score = table.id, held
        # each frame without a detection costs what the declared rates say, on the scale of scores
        missed = np.round((time_s - table.seen_s) / self._frame_s)
        confidence = held + missed * np.log1p(-s.detection) / s.score_slope
        boxes = mean[:, [0, 1, 2, 6, 7, 8, 9]]
        keep = self._alone(boxes, table.log_odds + 5.0 * (source >= 0) + 1e-6 * (table.seen_s - table.born_s))
        return TrackedBoxes(
            table.id[keep],
            boxes[keep],
            confidence[keep],
            source[keep],
            mean[keep, 3:6],
            table.existence[keep],
        )

    def _alone(self, boxes: Floats, rank: Floats) -> NDArray[np.bool_]:
        dx = boxes[:, None, 0] - boxes[None, :, 0]
        dy = boxes[:, None, 1] - boxes[None, :, 1]
        reach = (boxes[:, None, 4] + boxes[None, :, 4]) / 2
        beaten = (dx * dx + dy * dy < reach * reach) & (rank[:, None] < rank[None, :])
        return np.asarray(~beaten.any(axis=1))


class _BoxView:
    """A box is seen as it is: x, y (which decide what belongs together), z, size and yaw up to half a turn."""

    gated = 2

    def __init__(self, s: BoxTrackerSettings) -> None:
        deviation = np.array(
            [s.position_m, s.position_m, s.height_m, s.length_m, s.width_m, s.width_m, s.yaw_rad]
        )
        self._r = np.diag(deviation**2)
        self._h = np.zeros((7, 10))
        self._h[np.arange(7), [0, 1, 2, 6, 7, 8, 9]] = 1.0
        speed = np.array([s.speed_mps, s.speed_mps, 0.5])
        self._born = np.diag(np.r_[deviation[:3], speed, deviation[3:]] ** 2)

    def predict(self, mean: Floats) -> tuple[Floats, Floats, Floats]:
        return mean[:, [0, 1, 2, 6, 7, 8, 9]], self._h, self._r

    def innovation(self, measured: Floats, predicted: Floats) -> Floats:
        off = measured - predicted
        off[..., 6] = wrap_half(off[..., 6])
        return off

    def birth(self, measured: Floats) -> tuple[Floats, Floats]:
        mean = np.zeros((len(measured), 10))
        mean[:, [0, 1, 2, 6, 7, 8, 9]] = measured
        return mean, np.repeat(self._born[None], len(measured), axis=0)
