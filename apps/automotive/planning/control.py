"""Control: the steering that follows a path, and the acceleration that follows a speed profile."""

from __future__ import annotations

import math

import numpy as np

from apps.automotive.messages import Floats, Odometry

LOOK_AHEAD_S = 0.7
SHORTEST_LOOK_AHEAD_M = 4.0
LONGEST_LOOK_AHEAD_M = 18.0
DEAD_TIME_S = 0.2
"""From the odometry to the wheels: the acceleration is taken from the profile this much later."""


def pure_pursuit(x_m: Floats, y_m: Floats, odometry: Odometry, wheelbase_m: float, limit_rad: float) -> float:
    """Return the steering angle towards the path's point one look-ahead away.

    Coulter, "Implementation of the pure pursuit path tracking algorithm", CMU-RI-TR-92-01, at the rear axle. The
    path may be shorter than the look-ahead: then it goes straight on.
    """
    ahead = min(max(odometry.speed_mps * LOOK_AHEAD_S, SHORTEST_LOOK_AHEAD_M), LONGEST_LOOK_AHEAD_M)
    distance = np.hypot(x_m - odometry.x_m, y_m - odometry.y_m)
    far = np.flatnonzero(distance >= ahead)
    i = int(far[0]) if far.size else len(x_m) - 1
    dx, dy = float(x_m[i]) - odometry.x_m, float(y_m[i]) - odometry.y_m
    across = math.cos(odometry.yaw_rad) * dy - math.sin(odometry.yaw_rad) * dx
    squared = dx * dx + dy * dy
    if squared < 0.25:
        return odometry.steering_rad
    steering = math.atan(2.0 * wheelbase_m * across / squared)
    return max(-limit_rad, min(steering, limit_rad))
