"""Dead reckoning: where the ego is a little later, and whether it was put somewhere else."""

from __future__ import annotations

import math
from dataclasses import replace

from apps.automotive.messages import Odometry

FARTHEST_M, WITHIN_S = 15.0, 0.5
"""No car is so far from where it was half a second before: its odometry has begun anew, and it stands elsewhere."""


def driven_on(odometry: Odometry, passed_s: float) -> Odometry:
    """Return where the ego is ``passed_s`` later at the same speed and yaw rate."""
    turned = odometry.yaw_rate_radps * passed_s
    middle = odometry.yaw_rad + turned / 2
    return replace(
        odometry,
        x_m=odometry.x_m + odometry.speed_mps * passed_s * math.cos(middle),
        y_m=odometry.y_m + odometry.speed_mps * passed_s * math.sin(middle),
        yaw_rad=odometry.yaw_rad + turned,
    )


def elsewhere(before: Odometry, after: Odometry) -> bool:
    """Return whether two readings of half a second cannot be of one drive: what was known of places is void."""
    fastest_mps = max(before.speed_mps, after.speed_mps, 0.0)
    return math.hypot(after.x_m - before.x_m, after.y_m - before.y_m) > FARTHEST_M + WITHIN_S * fastest_mps
