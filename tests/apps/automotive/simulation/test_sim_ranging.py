"""The simulated lidar, radar and odometry measure the scene, with the errors that they declare."""

from __future__ import annotations

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind
from apps.automotive.simulation.lidar import Lidar, LidarModel
from apps.automotive.simulation.odometry import OdometryModel, OdometrySensor
from apps.automotive.simulation.radar import Radar, RadarModel

EXACT = LidarModel(range_noise_m=0.0, lost_near=0.0, lost_far=0.0)
QUIET = RadarModel(clutter=0.0, edge_clutter=0.0, ghost=0.0)


def test_points_lie_on_the_ground_or_on_the_surface_of_a_box(scene_of) -> None:
    cloud = Lidar(np.random.default_rng(0), EXACT).scan(scene_of((ObjectKind.CAR, 15.0, 2.0, 0.4, 0.0)))
    xyz = cloud.xyz_m.astype(float)
    cos, sin = np.cos(0.4), np.sin(0.4)
    local = np.abs((xyz[:, :2] - [15.0, 2.0]) @ np.array([[cos, -sin], [sin, cos]])) - [2.25, 0.9]
    on_side = (np.abs(local.max(axis=1)) < 0.01) & (xyz[:, 2] < 1.51)
    on_top = (np.abs(xyz[:, 2] - 1.5) < 0.01) & (local.max(axis=1) < 0.01)
    on_ground = np.abs(xyz[:, 2]) < 0.01
    assert (on_side | on_top | on_ground).all()
    assert on_side.sum() > 100


def test_nothing_is_measured_behind_a_box(scene_of) -> None:
    lidar = Lidar(np.random.default_rng(0), EXACT)
    both = lidar.scan(
        scene_of((ObjectKind.TRUCK, 15.0, 0.0, 0.0, 0.0), (ObjectKind.CAR, 30.0, 0.0, 0.0, 0.0))
    )
    hidden = (
        (np.abs(both.xyz_m[:, 0] - 30) < 2.5) & (np.abs(both.xyz_m[:, 1]) < 0.9) & (both.xyz_m[:, 2] > 0.1)
    )
    assert hidden.sum() == 0


def test_noise_and_lost_returns_are_those_of_the_model(scene_of) -> None:
    noisy = Lidar(np.random.default_rng(0), LidarModel(range_noise_m=0.05, lost_near=0.2, lost_far=0.2)).scan(
        scene_of()
    )
    exact = Lidar(np.random.default_rng(0), EXACT).scan(scene_of())
    assert len(noisy.xyz_m) == pytest.approx(0.8 * len(exact.xyz_m), rel=0.03)
    away = noisy.xyz_m - np.array([1.2, 0.0, 1.85])
    depression = -away[:, 2] / np.linalg.norm(away, axis=1)
    error = noisy.xyz_m[:, 2] / depression
    assert error.std() == pytest.approx(0.05, rel=0.05)


def test_an_empty_scene_without_ground_in_reach_is_an_empty_cloud(scene_of) -> None:
    up = LidarModel(lowest_rad=0.05, highest_rad=0.2)
    assert len(Lidar(np.random.default_rng(0), up).scan(scene_of()).xyz_m) == 0


def test_a_car_ahead_is_measured_with_its_range_azimuth_and_closing_speed(scene_of) -> None:
    radar = Radar(np.random.default_rng(0), QUIET)
    scene = scene_of((ObjectKind.CAR, 33.7, 3.5, 0.0, 10.0), speed_mps=20.0)
    scans = [radar.scan(scene) for _ in range(60)]
    range_m, azimuth, rate = (
        np.concatenate([getattr(scan, name) for scan in scans])
        for name in ("range_m", "azimuth_rad", "range_rate_mps")
    )
    assert len(range_m) > 60
    assert np.median(range_m) == pytest.approx(np.hypot(27.75, 3.5), abs=1.0)
    assert np.median(azimuth) == pytest.approx(np.arctan2(3.5, 27.75), abs=0.03)
    assert np.median(rate) == pytest.approx(-10.0 * np.cos(0.12), abs=0.3)


def test_a_pedestrian_far_away_is_missed_more_often_than_a_truck(scene_of) -> None:
    def seen(kind: ObjectKind) -> float:
        radar = Radar(np.random.default_rng(0), QUIET)
        return float(
            np.mean([len(radar.scan(scene_of((kind, 80.0, 0.0, 0.0, 0.0))).range_m) > 0 for _ in range(80)])
        )

    assert seen(ObjectKind.TRUCK) > 0.95
    assert seen(ObjectKind.PEDESTRIAN) < 0.3


def test_what_the_radar_cannot_resolve_is_one_detection(scene_of) -> None:
    close = RadarModel(
        clutter=0,
        edge_clutter=0,
        ghost=0,
        range_resolution_m=50,
        azimuth_resolution_rad=3,
        range_rate_resolution_mps=50,
    )
    scan = Radar(np.random.default_rng(0), close).scan(
        scene_of((ObjectKind.CAR, 20.0, 0.0, 0.0, 0.0), (ObjectKind.CAR, 24.0, 3.5, 0.0, 0.0))
    )
    assert len(scan.range_m) == 1


def test_clutter_and_ghosts_come_as_often_as_declared(scene_of) -> None:
    radar = Radar(np.random.default_rng(0), RadarModel(clutter=3.0, edge_clutter=0.0))
    assert np.mean([len(radar.scan(scene_of()).range_m) for _ in range(300)]) == pytest.approx(3.0, abs=0.4)


def test_odometry_without_errors_follows_the_truth_and_with_them_drifts(scene_of) -> None:
    def drive(model: OdometryModel) -> tuple[float, OdometrySensor]:
        sensor = OdometrySensor(np.random.default_rng(0), model)
        for step in range(501):  # a quarter circle to the left in 5 s
            time_s = step / 100
            turned = np.pi / 2 * time_s / 5
            radius = 10.0 / (np.pi / 10)
            last = sensor.read(
                scene_of(
                    x_m=5.0 + radius * np.sin(turned), y_m=radius * (1 - np.cos(turned)), yaw_rad=turned,
                    speed_mps=10.0, yaw_rate_radps=np.pi / 10, time_s=time_s,
                )
            )  # fmt: skip
        return float(np.hypot(last.x_m - radius, last.y_m - radius)), sensor

    exact, sensor = drive(OdometryModel(0, 0, 0, 0, 0))
    assert exact < 0.06
    # a place seen from the ego lies in the odometry frame where the ego believes to be
    radius = 10.0 / (np.pi / 10)
    np.testing.assert_allclose(
        sensor.to_odometry(np.array([[5.0 + radius, radius]])), [[radius, radius]], atol=0.06
    )
    assert drive(OdometryModel())[0] > exact


def test_a_standing_car_is_known_to_stand(scene_of) -> None:
    sensor = OdometrySensor(np.random.default_rng(0))
    reads = [sensor.read(scene_of(speed_mps=0.0, time_s=at / 100)) for at in range(10)]
    assert {(each.speed_mps, each.x_m) for each in reads} == {(0.0, 0.0)}
