"""Lidar: what stands on the road is boxed, what is ground is not."""

from __future__ import annotations

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind, PointCloud
from apps.automotive.perception.detections import LidarBoxes
from apps.automotive.perception.lidar import LidarDetector, completed, rectangles
from apps.automotive.simulation.lidar import Lidar


def scan(scene: object, seed: int = 0) -> PointCloud:
    return Lidar(np.random.default_rng(seed)).scan(scene)  # type: ignore[arg-type]


def test_an_empty_road_has_no_boxes(scene_of) -> None:
    assert len(LidarDetector().detect(scan(scene_of())).points) == 0


def test_each_road_user_has_its_box_where_it_stands(scene_of) -> None:
    users = [
        (ObjectKind.CAR, 12.0, 0.0, 0.0, 0.0),
        (ObjectKind.CAR, 18.0, 7.0, 0.6, 0.0),
        (ObjectKind.PEDESTRIAN, 10.0, -5.0, 0.0, 0.0),
        (ObjectKind.CYCLIST, -8.0, 4.0, 0.3, 0.0),
        (ObjectKind.TRUCK, 25.0, -6.0, 0.0, 0.0),
    ]
    scene = scene_of(*users)
    boxes = LidarDetector().detect(scan(scene))
    for index, (_, x, y, _, _) in enumerate(users):
        reach = scene.object_length_m[index] / 2 + 0.3
        assert np.hypot(*(boxes.centre_m[:, :2] - [x, y]).T).min() < reach
    assert len(boxes.points) <= len(users) + 2


def test_a_box_around_two_sides_has_the_direction_of_the_car(scene_of) -> None:
    boxes = LidarDetector().detect(scan(scene_of((ObjectKind.CAR, 14.0, 6.0, -0.3, 0.0))))
    best = int(boxes.points.argmax())
    turned = (boxes.yaw_rad[best] + 0.3 + np.pi / 2) % np.pi - np.pi / 2
    assert abs(turned) < 0.1
    np.testing.assert_allclose(boxes.centre_m[best, :2], [14.0, 6.0], atol=0.4)
    np.testing.assert_allclose(boxes.size_m[best, :2], [4.5, 1.8], atol=0.6)


@pytest.mark.parametrize("kind", [ObjectKind.CAR, ObjectKind.TRUCK])
def test_who_overtakes_stays_in_the_next_lane(scene_of, kind: ObjectKind) -> None:
    for x in np.arange(-12.0, 13.0):
        boxes = LidarDetector().detect(scan(scene_of((kind, x, 3.7, 0.0, 0.0))))
        best = int(boxes.points.argmax())
        assert boxes.centre_m[best, 1] == pytest.approx(3.7, abs=0.3), x


@pytest.mark.parametrize("slope", [-0.05, 0.05])
def test_a_road_that_rises_is_still_ground(scene_of, slope: float) -> None:
    cloud = scan(scene_of())
    xyz = cloud.xyz_m.copy()
    xyz[:, 2] += slope * np.maximum(xyz[:, 0], 0)
    assert len(LidarDetector().detect(PointCloud(xyz, cloud.reflectance)).points) == 0


def test_an_empty_cloud_and_one_of_nothing_but_nan_have_no_boxes() -> None:
    detector = LidarDetector()
    for xyz in (np.zeros((0, 3)), np.full((50, 3), np.nan), np.full((50, 3), np.inf)):
        assert (
            len(detector.detect(PointCloud(xyz.astype(np.float32), np.zeros(len(xyz), np.float32))).points)
            == 0
        )


def test_single_bad_points_change_nothing(scene_of) -> None:
    cloud = scan(scene_of((ObjectKind.CAR, 12.0, 0.0, 0.0, 0.0)))
    bad = np.concatenate([cloud.xyz_m, np.full((9, 3), np.nan, np.float32)])
    clean, dirty = (
        LidarDetector().detect(PointCloud(xyz, np.zeros(len(xyz), np.float32))) for xyz in (cloud.xyz_m, bad)
    )
    np.testing.assert_array_equal(clean.centre_m, dirty.centre_m)


def test_the_car_itself_and_what_hangs_overhead_are_left_out(scene_of) -> None:
    cloud = scan(scene_of())
    own = np.random.default_rng(0).uniform([-1, -0.8, 0.5], [3.5, 0.8, 1.4], (300, 3))
    bridge = np.random.default_rng(0).uniform([20, -5, 4.5], [22, 5, 5.0], (300, 3))
    xyz = np.concatenate([cloud.xyz_m, own, bridge]).astype(np.float32)
    assert len(LidarDetector().detect(PointCloud(xyz, np.zeros(len(xyz), np.float32))).points) == 0


@pytest.mark.parametrize("yaw", np.linspace(-1.4, 1.4, 8))
def test_a_rectangle_is_found_at_any_angle(yaw: float) -> None:
    rng = np.random.default_rng(0)
    along, across = np.linspace(-2, 2, 60), np.linspace(-0.8, 0.8, 30)
    shape = np.concatenate([np.stack([along, 0 * along - 0.8], 1), np.stack([0 * across - 2, across], 1)])
    cos, sin = np.cos(yaw), np.sin(yaw)
    xy = shape @ np.array([[cos, sin], [-sin, cos]]) + [20, 3] + rng.normal(0, 0.01, shape.shape)
    points = np.column_stack([xy, rng.uniform(0, 1, len(xy))]).astype(np.float32)
    box = rectangles(points, np.array([len(points)]))
    assert abs((box.yaw_rad[0] - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.06
    np.testing.assert_allclose(box.size_m[0, :2], [4.0, 1.6], atol=0.15)
    np.testing.assert_allclose(box.centre_m[0, :2], [20, 3], atol=0.1)


@pytest.mark.parametrize("yaw", [0.0, 0.6, np.pi / 2, -0.9])
def test_the_rear_of_a_car_becomes_a_whole_car_behind_it_and_what_was_seen_stays(yaw: float) -> None:
    cos, sin = np.cos(yaw), np.sin(yaw)
    rear = np.array([cos, sin]) * 20.0 + [1.0, 0.0]
    across = np.array([-sin, cos])
    xy = rear + np.linspace(-0.9, 0.9, 40)[:, None] * across
    points = np.column_stack([xy, np.linspace(0.3, 1.4, 40)]).astype(np.float32)
    box = completed(rectangles(points, np.array([40])), (1.0, 0.0))
    assert box.size_m[0, :2] == pytest.approx([4.4, 1.8], abs=0.1)
    np.testing.assert_allclose(box.centre_m[0, :2], rear + np.array([cos, sin]) * 2.2, atol=0.25)
    assert abs((box.yaw_rad[0] - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.1


def test_a_bicycle_seen_from_its_side_and_a_person_are_left_as_they_are() -> None:
    size = np.array([[1.75, 0.3, 1.5], [0.5, 0.4, 1.5]])
    boxes = LidarBoxes(
        np.array([[15.0, 0, 1.0], [15.0, 3, 1.0]]), size, np.array([np.pi / 2, 0.0]), np.array([40, 30])
    )
    left = completed(boxes, (1.0, 0.0))
    np.testing.assert_array_equal(left.size_m, size)
    np.testing.assert_array_equal(left.centre_m, boxes.centre_m)
