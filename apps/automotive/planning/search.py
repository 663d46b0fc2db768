"""Could it have been avoided? A search from a scenario's start that knows what everybody else will do.

Reachable sets over a grid of place, speed and lateral place, with constant controls for half a second; others drive
as they did in the drive that ended in a collision. Who runs into the ego from behind does not count: others would
have seen it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Floats

DT_S = 0.1
HOLD = 5
CONTROLS_MPS2 = (-8.0, -4.0, -1.5, 0.0, 1.5)
LATERAL_MPS = (-1.2, 0.0, 1.2)
GRID = (1.0, 0.5, 0.4)
"""States nearer together than this (m, m/s, m) are one state."""
MARGIN_M = 0.15


def avoidable(
    start: tuple[float, float, float], others: Floats, lane_width_m: float, lanes: int, vehicle: VehicleConfig
) -> bool:
    """Return whether any sequence of controls from ``start`` (s and d of the rear axle, speed) survives.

    ``others`` (times, objects, 4) are their middles' s and d, length and width every 0.1 s, to the collision.
    """
    states = np.array([start])
    lowest, highest = (
        -0.5 * lane_width_m + vehicle.width_m / 2,
        (lanes - 0.5) * lane_width_m - vehicle.width_m / 2,
    )
    lowest, highest = min(lowest, start[1]), max(highest, start[1])
    a, lateral = np.meshgrid(CONTROLS_MPS2, LATERAL_MPS)
    controls = np.stack([a.ravel(), lateral.ravel()], axis=1)

    def survivors(states: Floats, chosen: Floats, future: Floats) -> Floats:
        alive = np.ones(len(states), bool)
        for now in future:
            speed = np.maximum(states[:, 2] + chosen[:, 0] * DT_S, 0.0)
            states[:, 0] += (speed + states[:, 2]) / 2 * DT_S
            sideways = np.clip(chosen[:, 1], -0.3 * speed, 0.3 * speed) * DT_S
            states[:, 1] = np.clip(states[:, 1] + sideways, lowest, highest)
            states[:, 2] = speed
            alive &= ~_hits(states, now, vehicle)
        return states[alive]

    # most collisions are avoided by one control from beginning to end, a stop for instance: that is quickly tried
    if len(survivors(np.repeat(states, len(controls), axis=0), controls, others[1:])):
        return True
    for first in range(1, len(others), HOLD):
        grown, chosen = np.repeat(states, len(controls), axis=0), np.tile(controls, (len(states), 1))
        states = _thin(survivors(grown, chosen, others[first : first + HOLD]))
        if not len(states):
            return False
    return True


def _hits(states: Floats, others: Floats, vehicle: VehicleConfig) -> NDArray[np.bool_]:
    middle = states[:, 0] + vehicle.middle_m
    ahead = others[None, :, 0] - middle[:, None]
    along = np.abs(ahead) < (vehicle.length_m + others[None, :, 2]) / 2 + MARGIN_M
    beside = (
        np.abs(others[None, :, 1] - states[:, 1, None])
        < (vehicle.width_m + others[None, :, 3]) / 2 + MARGIN_M
    )
    from_behind = ahead < -vehicle.length_m / 2
    return np.asarray((along & beside & ~from_behind).any(axis=1))


def _thin(states: Floats) -> Floats:
    keys = np.round(states / np.array(GRID)).astype(np.int64)
    _, first = np.unique(keys, axis=0, return_index=True)
    return np.asarray(states[np.sort(first)])
