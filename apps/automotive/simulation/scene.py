"""The truth at one moment: where the ego is, what is around it, and the road. What sensors look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats


@dataclass(frozen=True)
class Road:
    """Lanes as polylines in the ground frame, all from right to left.

    ``centre_lines_m``: one (points, 2) array per lane; ``borders_m``: one more, the lines between the lanes and
    the two edges. All run in the direction of travel.
    """

    centre_lines_m: tuple[Floats, ...]
    borders_m: tuple[Floats, ...]
    lane_width_m: float
    speed_limit_mps: float


@dataclass(frozen=True)
class Scene:
    """The ego (origin under the middle of its rear axle) and all objects (middle of the box on the ground).

    Positions and angles are in the ground frame. Arrays are over objects: ``id`` int64, ``kind`` int8 by
    ``ObjectKind``, the others float64. A speed is along the object's own heading.
    """

    time_s: float
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    yaw_rate_radps: float
    acceleration_mps2: float
    object_id: NDArray[np.int64]
    object_kind: NDArray[np.int8]
    object_x_m: Floats
    object_y_m: Floats
    object_yaw_rad: Floats
    object_speed_mps: Floats
    object_yaw_rate_radps: Floats
    object_length_m: Floats
    object_width_m: Floats
    object_height_m: Floats
    road: Road

    def object_positions_m(self) -> Floats:
        """Return the objects' middles in the vehicle frame, (objects, 2)."""
        dx, dy = self.object_x_m - self.x_m, self.object_y_m - self.y_m
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=1)

    def object_velocities_mps(self) -> Floats:
        """Return the objects' velocities over ground along the axes of the vehicle frame, (objects, 2)."""
        heading = self.object_yaw_rad - self.yaw_rad
        direction = np.stack([np.cos(heading), np.sin(heading)], axis=1)
        return np.asarray(self.object_speed_mps[:, None] * direction)
