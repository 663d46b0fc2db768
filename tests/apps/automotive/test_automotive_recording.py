"""What people see of a recorded drive: every message of the loops has a place in Foxglove."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from apps.automotive import messages
from apps.automotive.messages import (
    BrakeCommand,
    BrakeStage,
    CameraImage,
    Odometry,
    Plan,
    PointCloud,
    RadarScan,
    Route,
    Tracks,
    no_tracks,
)
from apps.automotive.recording import channels
from edgeai_core.recording.foxglove import schema_json
from edgeai_core.recording.shown import Shown

NOW_NS = 1_700_000_000_500_000_000
ONES = np.ones(2)
TWO_TRACKS = Tracks(
    5, Odometry(3.0, 4.0, np.pi / 2), np.array([7, 8]), np.array([1, 3], np.int8),
    np.array([[10.0, 2.0], [20.0, -3.0]]),
    np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([0.0, np.pi]), ONES, np.array([[4.5, 1.8, 1.5], [0.5, 0.5, 1.7]]),
    np.zeros((2, 4, 4)), ONES, np.array([True, False]), ONES, ("lidar",),
)  # fmt: skip
VALUES: list[Any] = [
    CameraImage(np.zeros((48, 64, 3), np.uint8)),
    PointCloud(np.ones((50_000, 3), np.float32), np.ones(50_000, np.float32)),
    PointCloud(np.zeros((0, 3), np.float32), np.zeros(0, np.float32)),
    RadarScan(10 * ONES, 0 * ONES, -5 * ONES, ONES),
    Odometry(1.0, 2.0, 0.5, 8.0),
    Route(np.arange(5.0), np.zeros(5), 3.5, 1, 0, 13.9),
    TWO_TRACKS,
    no_tracks(),
    Plan(1, "follow", "gap", ONES, ONES, ONES, ONES, ONES, 0.0, -1.0, 1200),
    BrakeCommand(2_000_000, BrakeStage.FULL, 9.0, "time to collision", 7, 0.8, 1_000_000),
    BrakeCommand(1, BrakeStage.NONE, 0.0),
]


def shown(value: Any) -> dict[str, Shown]:
    return dict(channels()[type(value)](value, NOW_NS))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_message_becomes_json_with_the_fields_of_its_schema(value: Any) -> None:
    for each in shown(value).values():
        message = json.loads(json.dumps(each.message, allow_nan=False))
        properties = schema_json(each.schema).get("properties")
        if properties is not None:
            assert set(message) == set(properties)
        if "timestamp" in message:
            assert message["timestamp"] == {"sec": 1_700_000_000, "nsec": 500_000_000}


def test_no_message_of_the_app_is_left_out() -> None:
    own = {
        each for each in vars(messages).values()
        if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == messages.__name__
    }  # fmt: skip
    assert set(channels()) == own


def test_tracks_stand_where_they_are_turned_as_they_are_and_faint_while_unsure() -> None:
    seen = shown(TWO_TRACKS)
    (entity,) = seen["boxes"].message["entities"]
    car, pedestrian = entity["cubes"]
    assert entity["frame_id"] == "odometry"
    assert car["pose"]["position"] == {"x": 10.0, "y": 2.0, "z": 0.75}
    assert pedestrian["pose"]["orientation"]["z"] == pytest.approx(1.0)
    assert car["color"]["a"] > pedestrian["color"]["a"]
    assert [text["text"] for text in entity["texts"]] == ["7 car 5.0 m/s", "8 pedestrian 0.0 m/s"]
    assert seen["ego"].message["translation"] == {"x": 3.0, "y": 4.0, "z": 0.0}
    assert seen[""].message["sensors_lost"] == "lidar"


def test_a_large_cloud_is_thinned_and_named_a_preview_and_its_bytes_are_its_points() -> None:
    cloud = shown(VALUES[1])[""]
    assert cloud.lossy
    data = np.frombuffer(base64.b64decode(cloud.message["data"]), "<f4").reshape(-1, 4)
    assert len(data) <= 20_000
    assert (data == 1).all()
    assert cloud.message["point_stride"] == 16
    assert not shown(VALUES[3])[""].lossy


def test_a_brake_that_intervenes_is_a_line_of_the_log_and_one_that_does_not_is_none() -> None:
    assert "full 9.0 m/s2: time to collision" in shown(VALUES[9])["log"].message["message"]
    assert "log" not in shown(VALUES[10])
