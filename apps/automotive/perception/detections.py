"""What the detectors of perception hand to fusion: one record per sensor, arrays over detections.

Frames are those of ``apps.automotive.messages``: the vehicle frame has its origin on the ground under the middle of
the rear axle, x forward, y left, z up. Every array has one row for each detection and may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CameraDetections:
    """Boxes in one picture.

    ``box_px`` (n, 4) is left, top, right, bottom in pixels of the undistorted picture; ``kind`` (n,) holds values of
    ``ObjectKind``; ``score`` (n,) is the detector's confidence, 0 to 1.
    """

    box_px: Floats
    kind: NDArray[np.int8]
    score: Floats


@dataclass(frozen=True)
class LidarBoxes:
    """Upright boxes around clusters of laser returns.

    ``centre_m`` (n, 3) is the middle of the box in the vehicle frame; ``size_m`` (n, 3) length, width and height;
    ``yaw_rad`` (n,) the direction of the length, known up to half a turn; ``points`` (n,) how many returns it holds.
    """

    centre_m: Floats
    size_m: Floats
    yaw_rad: Floats
    points: NDArray[np.int64]


@dataclass(frozen=True)
class RadarPoints:
    """Radar detections in the radar's polar frame (0 azimuth along its axis), compensated for the ego's motion.

    ``range_rate_mps`` (n,) is the target's own radial velocity over the ground: measured range rate plus the ego's
    velocity along the line of sight; 0 for what stands, negative for what drives towards the radar. ``moving`` (n,)
    marks what does not stand.
    """

    range_m: Floats
    azimuth_rad: Floats
    range_rate_mps: Floats
    moving: NDArray[np.bool_]


@dataclass(frozen=True)
class CameraMount:
    """A pinhole camera that looks ahead: ``position_m`` in the vehicle frame, ``pitch_rad`` positive downwards."""

    focal_px: float = 1000.0
    centre_px: tuple[float, float] = (640.0, 360.0)
    size_px: tuple[int, int] = (1280, 720)
    position_m: tuple[float, float, float] = (1.5, 0.0, 1.4)
    pitch_rad: float = 0.0


@dataclass(frozen=True)
class RadarMount:
    """A radar: ``position_m`` (x, y) in the vehicle frame, ``yaw_rad`` of its axis, half its field of view."""

    position_m: tuple[float, float] = (3.7, 0.0)
    yaw_rad: float = 0.0
    field_of_view_rad: float = 1.05
    max_range_m: float = 150.0
