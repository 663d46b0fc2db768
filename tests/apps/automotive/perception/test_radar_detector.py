"""Radar: the ego's own motion is taken out, what moves is told from what stands, and an object is one point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from apps.automotive.messages import ObjectKind, Odometry, RadarScan
from apps.automotive.perception.detections import RadarMount
from apps.automotive.perception.radar import RadarDetector, _connected
from apps.automotive.simulation.radar import Radar, RadarModel


def scan_of(*rows: tuple[float, float, float, float]) -> RadarScan:
    return RadarScan(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


@given(st.floats(-5, 40), st.floats(-0.6, 0.6), st.floats(-1.0, 1.0))
def test_a_standing_thing_stands_whatever_the_ego_does(speed: float, yaw_rate: float, azimuth: float) -> None:
    mount = RadarMount()
    velocity = np.array([speed, yaw_rate * mount.position_m[0]])
    rate = -float(velocity @ [np.cos(azimuth), np.sin(azimuth)])
    ego = Odometry(speed_mps=speed, yaw_rate_radps=yaw_rate)
    points = RadarDetector(mount).detect(scan_of((30.0, azimuth, rate, 5.0)), ego)
    assert points.range_rate_mps == pytest.approx([0.0], abs=1e-9)
    assert points.moving.tolist() == [False]


def test_the_speed_of_what_moves_is_its_own() -> None:
    ego = Odometry(speed_mps=20.0)
    points = RadarDetector().detect(scan_of((40.0, 0.0, -12.0, 10.0)), ego)
    assert points.range_rate_mps == pytest.approx([8.0])
    assert points.moving.tolist() == [True]


def test_detections_of_one_object_are_one_point_among_them_nearest_to_the_strongest() -> None:
    rows = [
        (30.0, 0.0, -5.0, 10.0),
        (31.0, 0.02, -5.2, 4.0),
        (30.5, -0.02, -4.9, 4.0),
        (60.0, 0.3, -5.0, 10.0),
    ]
    points = RadarDetector().detect(scan_of(*rows), Odometry())
    order = np.argsort(points.range_m)
    assert points.range_m[order] == pytest.approx([30.25, 60.0], abs=0.05)
    assert points.azimuth_rad[order][0] == pytest.approx(0.0, abs=0.01)


def test_two_that_pass_each_other_are_two() -> None:
    points = RadarDetector().detect(scan_of((30.0, 0.0, -5.0, 10.0), (30.5, 0.02, 6.0, 10.0)), Odometry())
    assert len(points.range_m) == 2


def test_an_empty_scan_and_nan_give_nothing_and_a_flood_is_bounded() -> None:
    detector = RadarDetector()
    assert len(detector.detect(scan_of(), Odometry()).range_m) == 0
    assert len(detector.detect(scan_of((np.nan, 0, 0, 0), (20, np.nan, 0, 0)), Odometry()).range_m) == 0
    rng = np.random.default_rng(0)
    flood = rng.uniform([1, -1, -30, 0], [150, 1, 30, 20], (5000, 4))
    assert len(detector.detect(scan_of(*map(tuple, flood)), Odometry()).range_m) <= 512


def test_a_simulated_car_comes_out_with_the_speed_it_drives(scene_of) -> None:
    radar = Radar(np.random.default_rng(0), RadarModel(clutter=0, edge_clutter=0))
    scene = scene_of((ObjectKind.CAR, 30.0, 3.5, 0.0, 9.0), speed_mps=17.0)
    rates = [
        rate
        for _ in range(40)
        for rate in RadarDetector().detect(radar.scan(scene), Odometry(speed_mps=17.0)).range_rate_mps
    ]
    assert np.median(rates) == pytest.approx(9.0 * np.cos(0.13), abs=0.3)


@given(st.integers(1, 30), st.floats(0, 0.3), st.integers(0, 1000))
def test_groups_are_the_connected_components_of_who_is_near_whom(count: int, share: float, seed: int) -> None:
    near = np.random.default_rng(seed).random((count, count)) < share
    near |= near.T | np.eye(count, dtype=bool)
    assert _connected(near).tolist() == connected_components(csr_matrix(near), directed=False)[1].tolist()
