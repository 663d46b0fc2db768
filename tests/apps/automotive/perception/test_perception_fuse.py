"""Fusion of camera, lidar and radar on simulated traffic with truth, whole and with a sensor that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind, Odometry
from apps.automotive.perception.detections import CameraDetections, LidarBoxes, RadarPoints
from apps.automotive.perception.fuse import Fusion
from apps.automotive.perception.scenarios import SCENARIOS, Moment, Scenario, play
from edgeai_core.errors import InputError

FOLLOWING = replace(SCENARIOS[0], seconds=4.5)
CROSSING = next(replace(each, seconds=3.0) for each in SCENARIOS if each.name == "crossing")


def errors_m(moments: list[Moment], from_s: float = 1.5) -> np.ndarray:
    """Distance of each truth to the nearest confirmed track, at most 4 m."""
    values = []
    for moment in moments:
        if moment.time_s >= from_s:
            place = moment.position_m[moment.confirmed]
            for truth in moment.truth:
                near = np.hypot(*(place - truth[:2]).T).min() if len(place) else np.inf
                values.append(min(4.0, near))
    return np.array(values)


@pytest.mark.parametrize("scenario", [FOLLOWING, CROSSING], ids=lambda each: each.name)
def test_three_sensors_know_better_than_the_best_of_them(scenario: Scenario) -> None:
    fused = errors_m(list(play(scenario, 1)))
    alone = [errors_m(list(play(scenario, 1, (name,)))) for name in ("camera", "lidar", "radar")]
    assert np.sqrt(np.mean(fused**2)) < min(np.sqrt(np.mean(each**2)) for each in alone)
    assert fused.max() < 2.0


def test_tracks_keep_their_numbers_and_nothing_else_is_confirmed() -> None:
    moments = list(play(FOLLOWING, 2))
    numbers = {tuple(moment.id[moment.confirmed].tolist()) for moment in moments if moment.time_s > 2}
    assert len(numbers) == 1
    assert len(next(iter(numbers))) == 2
    assert moments[-1].suspects == ()


@pytest.mark.parametrize("sensor", ["camera", "lidar", "radar"])
def test_a_shifted_sensor_is_named_and_the_car_ahead_is_not_lost(sensor: str) -> None:
    moments = list(play(FOLLOWING, 3, faults={sensor: "shifted"}))
    named = [moment.suspects for moment in moments if moment.time_s > 2.5]
    assert named.count((sensor,)) > len(named) / 2
    assert set(named) <= {(), (sensor,)}
    ahead = [np.hypot(*(m.position_m[m.confirmed] - m.truth[0, :2]).T).min() for m in moments if m.time_s > 2]
    assert np.median(ahead) < 0.8


def test_a_camera_that_sees_little_is_no_liar() -> None:
    moments = list(play(FOLLOWING, 3, faults={"camera": "weak"}))
    assert {moment.suspects for moment in moments} == {()}


def test_a_late_measurement_changes_nothing_but_when_it_was_known() -> None:
    def run(order: list[int]) -> np.ndarray:
        fusion = Fusion()
        fusion.push_odometry(0, Odometry(speed_mps=10.0))
        for k in order:
            box = LidarBoxes(
                np.array([[20.0 + 0.2 * k, 0, 0.7]]), np.array([[4.4, 1.8, 1.5]]), np.zeros(1), np.array([40])
            )
            fusion.push_lidar(10**8 * k, box)
        return fusion.tracks(10**9).position_m

    assert run([0, 1, 2, 3, 4, 5]) == pytest.approx(run([0, 1, 3, 2, 5, 4]))


def test_nothing_and_nonsense_are_survived() -> None:
    fusion = Fusion()
    assert len(fusion.tracks(0).id) == 0
    none = np.zeros(0)
    fusion.push_camera(1, CameraDetections(np.zeros((0, 4)), np.zeros(0, np.int8), none))
    fusion.push_lidar(2, LidarBoxes(np.zeros((0, 3)), np.zeros((0, 3)), none, np.zeros(0, np.int64)))
    fusion.push_radar(3, RadarPoints(none, none, none, np.zeros(0, np.bool_)))
    bad = np.full(500, np.nan)
    fusion.push_radar(4, RadarPoints(bad, bad, bad, np.ones(500, np.bool_)))
    fusion.push_lidar(
        5, LidarBoxes(np.full((2, 3), np.nan), np.ones((2, 3)), np.zeros(2), np.ones(2, np.int64))
    )
    fusion.push_camera(6, CameraDetections(np.full((3, 4), np.inf), np.ones(3, np.int8), np.ones(3)))
    rng = np.random.default_rng(0)
    many = rng.uniform(-50, 50, (500, 3))
    fusion.push_lidar(10**8, LidarBoxes(many, np.ones((500, 3)), np.zeros(500), np.full(500, 20)))
    assert np.isfinite(fusion.tracks(2 * 10**8).position_m).all()
    with pytest.raises(InputError, match="odometry"):
        fusion.push_odometry(7, Odometry(x_m=float("nan")))


def test_a_camera_alone_knows_a_person_from_a_car() -> None:
    fusion = Fusion()
    for k in range(12):
        # at 15 m: a person 1.75 m tall, and a car beside it
        boxes = np.array([[700.0, 375.0, 735.0, 492.0], [400.0, 392.0, 520.0, 492.0]])
        kinds = np.array([ObjectKind.PEDESTRIAN, ObjectKind.CAR], np.int8)
        fusion.push_camera(33_000_000 * k, CameraDetections(boxes, kinds, np.array([0.9, 0.9])))
    tracks = fusion.tracks(33_000_000 * 12)
    assert sorted(tracks.kind[tracks.confirmed].tolist()) == [ObjectKind.CAR, ObjectKind.PEDESTRIAN]
    person = np.argmax(tracks.kind == ObjectKind.PEDESTRIAN)
    assert tracks.position_m[person, 0] == pytest.approx(12.5, abs=2.0)
    assert tracks.position_m[person, 1] < 0  # right of the middle
