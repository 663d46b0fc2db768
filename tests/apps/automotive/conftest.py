"""Scenes for the tests of sensors and perception."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind
from apps.automotive.simulation.scene import Road, Scene

SIZES_M = {
    ObjectKind.CAR: (4.5, 1.8, 1.5),
    ObjectKind.TRUCK: (9.0, 2.5, 3.4),
    ObjectKind.PEDESTRIAN: (0.5, 0.6, 1.75),
    ObjectKind.CYCLIST: (1.8, 0.6, 1.75),
}

SceneOf = Callable[..., Scene]


def straight_road(lanes: int = 3, width_m: float = 3.5) -> Road:
    """A straight road along x, whose second lane is that of the ego."""
    x = np.arange(-30.0, 300.0, 2.0)
    centres = tuple(np.stack([x, 0 * x + width_m * (at - 1)], axis=1) for at in range(lanes))
    borders = tuple(np.stack([x, 0 * x + width_m * (at - 1.5)], axis=1) for at in range(lanes + 1))
    return Road(centres, borders, width_m, 30.0)


@pytest.fixture
def scene_of() -> SceneOf:
    """Make a scene: objects as (kind, x, y, yaw, speed), the ego at the origin unless told otherwise."""
    road = straight_road()

    def make(
        *objects: tuple[ObjectKind, float, float, float, float],
        x_m: float = 0.0,
        y_m: float = 0.0,
        yaw_rad: float = 0.0,
        speed_mps: float = 15.0,
        yaw_rate_radps: float = 0.0,
        time_s: float = 0.0,
    ) -> Scene:
        table = np.array([each[1:] for each in objects], dtype=np.float64).reshape(-1, 4)
        sizes = np.array([SIZES_M[each[0]] for each in objects], dtype=np.float64).reshape(-1, 3)
        return Scene(
            time_s, x_m, y_m, yaw_rad, speed_mps, yaw_rate_radps, 0.0,
            np.arange(len(objects)) + 1, np.array([each[0] for each in objects], dtype=np.int8),
            table[:, 0], table[:, 1], table[:, 2], table[:, 3], np.zeros(len(objects)),
            sizes[:, 0], sizes[:, 1], sizes[:, 2], road,
        )  # fmt: skip

    return make
