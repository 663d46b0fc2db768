"""What the loops of the automotive app tell each other: arrays and plain values in SI units.

Axes are those of ISO 8855. The *vehicle* frame has its origin on the ground under the middle of the rear axle,
x forward, y left, z up. The *odometry* frame is fixed to the ground where the drive began, x along the first
heading; tracks, routes and plans are in it, so that nobody has to compensate for the ego's motion twice.
Angles are radians, counter-clockwise from above. Times are of the loop's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


START_WITHIN_S = 15.0
"""So long after its own start a loop waits for the others' first data; processes load models meanwhile."""


class ObjectKind(IntEnum):
    """What a road user or thing is."""

    UNKNOWN = 0
    CAR = 1
    TRUCK = 2
    PEDESTRIAN = 3
    CYCLIST = 4


@dataclass(frozen=True)
class CameraImage:
    """One picture: ``pixels`` (rows, columns, 3), uint8, blue, green, red."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class PointCloud:
    """Laser returns: ``xyz_m`` (points, 3), float32, in the vehicle frame; ``reflectance`` (points,) 0 to 1."""

    xyz_m: NDArray[np.float32]
    reflectance: NDArray[np.float32]


@dataclass(frozen=True)
class RadarScan:
    """Radar detections (each an array of float64) in the sensor's polar frame, 0 azimuth ahead.

    ``range_rate_mps`` is measured, not compensated for the ego: negative for what comes nearer.
    ``rcs_dbsm`` is the radar cross-section in decibels over a square metre.
    """

    range_m: Floats
    azimuth_rad: Floats
    range_rate_mps: Floats
    rcs_dbsm: Floats


@dataclass(frozen=True)
class Odometry:
    """Where the ego believes it is, in the odometry frame, and how it moves."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
    speed_mps: float = 0.0
    yaw_rate_radps: float = 0.0
    acceleration_mps2: float = 0.0
    steering_rad: float = 0.0


@dataclass(frozen=True)
class Route:
    """The road to follow: a centre line of the lane to keep, and the lanes beside it.

    ``x_m``, ``y_m`` (points,) run along the reference lane. ``lanes_left`` and ``lanes_right`` count the
    lanes that may be used beside it.
    """

    x_m: Floats
    y_m: Floats
    lane_width_m: float
    lanes_left: int
    lanes_right: int
    speed_limit_mps: float


@dataclass(frozen=True)
class Tracks:
    """Perception's output: what is around, in the odometry frame, at ``time_ns``.

    Arrays are over tracks. ``position_m`` (tracks, 2) is the middle of the box on the ground, ``velocity_mps``
    (tracks, 2), ``size_m`` (tracks, 3) length, width and height; ``covariance`` (tracks, 4, 4) of position and
    velocity; ``existence`` is the probability that there is something; ``confirmed`` marks what may be acted on.
    ``sensors_lost`` names sensors that are silent, frozen or contradicted by the others.
    """

    time_ns: int
    ego: Odometry
    id: NDArray[np.int64]
    kind: NDArray[np.int8]
    position_m: Floats
    velocity_mps: Floats
    yaw_rad: Floats
    yaw_rate_radps: Floats
    size_m: Floats
    covariance: NDArray[np.float64]
    existence: Floats
    confirmed: NDArray[np.bool_]
    age_s: Floats
    sensors_lost: tuple[str, ...] = ()


def no_tracks(time_ns: int = 0, ego: Odometry | None = None, lost: tuple[str, ...] = ()) -> Tracks:
    """Return tracks of nothing at all."""
    none = np.zeros(0)
    return Tracks(
        time_ns, ego or Odometry(), np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros((0, 2)), np.zeros((0, 2)),
        none, none, np.zeros((0, 3)), np.zeros((0, 4, 4)), none, np.zeros(0, np.bool_), none, lost,
    )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Planning's output: a trajectory in the odometry frame, and the control that follows it now.

    ``at_s`` (points,) counts from ``time_ns``. ``reason`` says which cost or constraint decided.
    """

    time_ns: int
    manoeuvre: str
    reason: str
    at_s: Floats
    x_m: Floats
    y_m: Floats
    yaw_rad: Floats
    speed_mps: Floats
    steering_rad: float
    acceleration_mps2: float
    candidates: int = 0
    safe_stop: bool = False


class BrakeStage(StrEnum):
    """How hard the brake intervenes."""

    NONE = "none"
    WARN = "warn"
    PARTIAL = "partial"
    FULL = "full"


@dataclass(frozen=True)
class BrakeCommand:
    """Braking's output: the deceleration it demands at least (positive), and what it stands on.

    ``evidence_ns`` is when the oldest evidence behind it was measured. It can only take authority away: the
    actuator applies the stronger of this and of the plan.
    """

    time_ns: int
    stage: BrakeStage
    deceleration_mps2: float
    reason: str = ""
    track: int = -1
    time_to_collision_s: float = float("inf")
    evidence_ns: int = 0
