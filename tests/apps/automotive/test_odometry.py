"""Dead reckoning: a drive is one drive, and odometry that begins anew is noticed by all who know places by it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apps.automotive.braking.brake import Brake
from apps.automotive.braking.decide import Limits
from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Odometry, no_tracks
from apps.automotive.odometry import driven_on, elsewhere
from apps.automotive.perception.detections import LidarBoxes
from apps.automotive.perception.fuse import Fusion

AT = Odometry(x_m=400.0, y_m=80.0, yaw_rad=1.0, speed_mps=20.0)


@given(st.floats(0, 60), st.floats(-1, 1), st.floats(0, 0.5))
def test_a_car_that_drives_on_is_where_it_was_meant_to_be(
    speed: float, yaw_rate: float, passed_s: float
) -> None:
    before = Odometry(10.0, 5.0, 0.3, speed, yaw_rate)
    assert not elsewhere(before, driven_on(before, passed_s))


def test_where_odometry_begins_anew_perception_forgets_and_takes_nothing_older() -> None:
    fusion = Fusion()
    car = LidarBoxes(np.array([[20.0, 0.0, 0.8]]), np.array([[4.5, 1.8, 1.5]]), np.zeros(1), np.array([200]))
    for step in range(10):
        fusion.push_odometry(step * 100_000_000, driven_on(AT, 0.1 * step))
        fusion.push_lidar(step * 100_000_000, car)
    assert len(fusion.tracks(900_000_000).id)
    fusion.push_odometry(1_000_000_000, Odometry(speed_mps=20.0))
    assert not len(fusion.tracks(1_000_000_000).id)
    fusion.push_lidar(900_000_000, car)
    assert not len(fusion.tracks(1_000_000_000).id)
    assert fusion.refused == 1


def test_the_brake_takes_no_tracks_of_another_place() -> None:
    brake = Brake(VehicleConfig(), Limits())
    brake.push_odometry(AT)
    brake.push_tracks(no_tracks(1_000, AT))
    assert "tracks" not in brake.lost(1_000)
    brake.push_odometry(Odometry(speed_mps=20.0))
    assert "tracks" in brake.lost(1_000)
    brake.push_tracks(no_tracks(2_000, AT))
    assert "tracks" in brake.lost(2_000)
