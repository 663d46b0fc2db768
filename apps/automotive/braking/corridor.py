"""The ego's path for the next seconds: an arc of the curvature it drives now, as wide as the car."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Floats, Odometry

LARGEST_CURVATURE_1PM = 0.2
SLOWEST_MPS = 1.0
"""Below it the yaw rate says nothing about the path: steering does."""


@dataclass(frozen=True)
class Corridor:
    """``curvature_1pm`` of the rear axle's arc; ``front_m`` from the rear axle to the bumper; half the car's width."""

    curvature_1pm: float
    front_m: float
    half_width_m: float

    def to_path(self, x_m: Floats, y_m: Floats) -> tuple[Floats, Floats]:
        """Return distance along the arc and to its left of points in the vehicle frame."""
        k = self.curvature_1pm
        if abs(k) < 1e-5:
            return x_m, y_m
        away = np.hypot(x_m, 1.0 / k - y_m)
        angle = np.arctan2(x_m, (1.0 / k - y_m) * np.sign(k))
        return angle / abs(k), (1.0 / abs(k) - away) * np.sign(k)


def corridor(odometry: Odometry, vehicle: VehicleConfig) -> Corridor:
    """Return the corridor of this moment."""
    if odometry.speed_mps > SLOWEST_MPS:
        curvature = odometry.yaw_rate_radps / odometry.speed_mps
    else:
        curvature = float(np.tan(odometry.steering_rad)) / vehicle.wheelbase_m
    bounded = min(max(curvature, -LARGEST_CURVATURE_1PM), LARGEST_CURVATURE_1PM)
    return Corridor(bounded, vehicle.front_m, vehicle.width_m / 2)
