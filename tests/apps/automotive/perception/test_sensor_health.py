"""Sensors that are silent, frozen, late or blind are noticed, and healthy ones are not accused."""

from __future__ import annotations

import numpy as np
import pytest

from apps.automotive.messages import CameraImage, Odometry, PointCloud, RadarScan, no_tracks
from apps.automotive.perception.decide import Code, decide, unusable
from apps.automotive.perception.health import Limits, SensorHealth, Trouble, blind
from edgeai_core.vision.quality import picture_quality

MS = 1_000_000
rng = np.random.default_rng(0)


def picture() -> CameraImage:
    return CameraImage(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))


def health() -> SensorHealth:
    return SensorHealth(Limits(silent_s=0.2, late_s=0.15))


def test_a_sensor_that_never_spoke_or_fell_silent_is_lost_until_it_speaks_again() -> None:
    watched = health()
    assert watched.troubles(0) == (Trouble.LOST,)
    watched.note(0, 10 * MS, picture())
    assert watched.troubles(100 * MS) == ()
    assert watched.troubles(250 * MS) == (Trouble.LOST,)
    watched.note(260 * MS, 270 * MS, picture())
    assert watched.troubles(300 * MS) == ()


@pytest.mark.parametrize(
    "data",
    [
        picture(),
        PointCloud(rng.random((200, 3), dtype=np.float32), np.zeros(200, np.float32)),
        RadarScan(*rng.random((4, 5))),
        Odometry(speed_mps=12.0, yaw_rate_radps=0.01, x_m=3.0),
    ],
)
def test_data_that_repeat_themselves_are_frozen(data: object) -> None:
    watched = health()
    for step in range(5):
        watched.note(step * 50 * MS, step * 50 * MS, data)
    assert watched.troubles(210 * MS) == (Trouble.FROZEN,)


@pytest.mark.parametrize(
    "data",
    [
        PointCloud(np.zeros((0, 3), np.float32), np.zeros(0, np.float32)),
        RadarScan(*np.zeros((4, 0))),
        Odometry(speed_mps=0.0),
    ],
)
def test_an_empty_scan_and_a_standing_car_may_repeat_themselves(data: object) -> None:
    watched = health()
    for step in range(9):
        watched.note(step * 50 * MS, step * 50 * MS, data)
    assert watched.troubles(410 * MS) == ()


def test_data_that_come_200_ms_late_are_late_and_not_lost() -> None:
    watched = health()
    for step in range(5):
        watched.note(step * 50 * MS, step * 50 * MS + 200 * MS, picture())
    assert watched.troubles(400 * MS) == (Trouble.LATE,)
    assert watched.troubles(450 * MS) == (Trouble.LATE,)
    assert watched.troubles(3000 * MS) == (Trouble.LOST,)


def test_a_single_late_reading_is_no_trouble() -> None:
    watched = health()
    watched.note(0, 300 * MS, picture())
    watched.note(290 * MS, 300 * MS, picture())
    assert watched.troubles(310 * MS) == ()


def test_a_covered_lens_is_blind() -> None:
    covered = picture_quality(np.zeros((60, 80, 3), np.uint8))
    assert blind(covered)
    assert not blind(picture_quality(picture().pixels))
    watched = health()
    for step in range(3):
        watched.note(step * 50 * MS, step * 50 * MS, picture())
        watched.note_quality(covered)
    assert watched.troubles(120 * MS) == (Trouble.BLIND,)


def test_each_trouble_is_a_condition_of_its_sensor() -> None:
    troubles = {"camera": (Trouble.FROZEN, Trouble.LATE), "lidar": (), "radar": (Trouble.LOST,)}
    decision = decide(no_tracks(), troubles, ("lidar",), 0, "ego")
    found = {(condition.code, condition.subject) for condition in decision.conditions or ()}
    assert found == {
        (Code.SENSOR_FROZEN, "ego/camera"),
        (Code.SENSOR_LATE, "ego/camera"),
        (Code.SENSOR_LOST, "ego/radar"),
        (Code.SENSOR_CONTRADICTED, "ego/lidar"),
    }


def test_well_sensors_and_a_whole_loop_have_no_condition() -> None:
    assert decide(no_tracks(), {"camera": (), "lidar": ()}, (), 0, "ego").conditions == ()


def test_degradation_is_said_and_blindness_of_all_sensors_is_urgent() -> None:
    decision = decide(no_tracks(), {"camera": (Trouble.LOST,), "odometry": ()}, (), 2, "ego")
    by_code = {condition.code: condition for condition in decision.conditions or ()}
    assert "fourth" in by_code[Code.PERCEPTION_DEGRADED].title
    assert by_code[Code.PERCEPTION_BLIND].priority == "high"
    partly = decide(no_tracks(), {"camera": (Trouble.LOST,), "radar": ()}, (), 0, "ego")
    assert Code.PERCEPTION_BLIND not in {condition.code for condition in partly.conditions or ()}


def test_late_data_can_be_used_and_frozen_ones_cannot() -> None:
    assert not unusable((Trouble.LATE,))
    assert unusable((Trouble.FROZEN,))
