"""From the simulated sensors to tracks: a car ahead is followed, by all sensors and by those that are left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.automotive.messages import ObjectKind, Odometry, Tracks
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.loop import detector_model
from apps.automotive.perception.perceive import Perception
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.lidar import Lidar
from apps.automotive.simulation.radar import Radar
from edgeai_core.sample import Sample

MS = 1_000_000
EGO_MPS, CAR_MPS, GAP_M = 12.0, 10.0, 18.0


def drive(
    scene_of, sensors: Sequence[str], seconds: float, until_s: float = 99.0
) -> tuple[Perception, Tracks, float]:
    """Drive behind a slower car with these sensors, which fall silent at ``until_s``; return the last tracks, and
    where the car is in the odometry frame."""
    rng = np.random.default_rng(0)
    devices = {"camera": Camera(rng).render, "lidar": Lidar(rng).scan, "radar": Radar(rng).scan}
    perception = Perception(PerceptionConfig(), (*sensors, "odometry"), detector_model("road"))
    for step in range(round(seconds * 10) + 1):
        time_s = step / 10
        now_ns = (1000 + step * 100) * MS
        x_m, car_m = EGO_MPS * time_s, GAP_M + CAR_MPS * time_s
        scene = scene_of(
            (ObjectKind.CAR, car_m, 0.0, 0.0, CAR_MPS), x_m=x_m, speed_mps=EGO_MPS, time_s=time_s
        )
        ego = Odometry(x_m=x_m, speed_mps=EGO_MPS)
        perception.take("odometry", (Sample(ego, now_ns, now_ns),), now_ns, None)
        for sensor in sensors if time_s < until_s else ():
            perception.take(sensor, (Sample(devices[sensor](scene), now_ns, now_ns),), now_ns, lambda _: True)
    return perception, perception.tracks(now_ns), car_m


@pytest.mark.parametrize("sensors", [("camera", "lidar", "radar"), ("lidar", "radar"), ("lidar",)])
def test_the_car_ahead_is_followed_with_its_place_and_speed(scene_of, sensors) -> None:
    perception, tracks, car_m = drive(scene_of, sensors, 2.0)
    away = np.hypot(tracks.position_m[:, 0] - car_m, tracks.position_m[:, 1])
    best = int(away.argmin())
    assert away[best] < 2.0  # of its rear alone the lidar tells no more
    assert tracks.confirmed[best]
    np.testing.assert_allclose(tracks.velocity_mps[best], [CAR_MPS, 0.0], atol=1.0)
    assert perception.suspects() == ()


def test_tracks_coast_with_growing_doubt_when_every_sensor_is_silent(scene_of) -> None:
    _, before, _ = drive(scene_of, ("lidar", "radar"), 2.0)
    _, after, car_m = drive(scene_of, ("lidar", "radar"), 2.6, until_s=2.05)
    assert len(after.id)
    best = int(np.abs(after.position_m[:, 0] - car_m).argmin())
    assert abs(after.position_m[best, 0] - car_m) < 3.0
    seen = int(np.abs(before.position_m[:, 0] - (GAP_M + 2 * CAR_MPS)).argmin())
    assert after.covariance[best, 0, 0] > before.covariance[seen, 0, 0]


def test_an_empty_road_has_no_confirmed_track_ahead(scene_of) -> None:
    rng = np.random.default_rng(0)
    lidar, radar = Lidar(rng), Radar(rng)
    perception = Perception(PerceptionConfig(), ("lidar", "radar", "odometry"), detector_model("road"))
    for step in range(20):
        now_ns = (1000 + step * 100) * MS
        scene = scene_of(x_m=EGO_MPS * step / 10, speed_mps=EGO_MPS)
        samples = {
            "odometry": Odometry(x_m=scene.x_m, speed_mps=EGO_MPS),
            "lidar": lidar.scan(scene),
            "radar": radar.scan(scene),
        }
        for sensor, data in samples.items():
            perception.take(sensor, (Sample(data, now_ns, now_ns),), now_ns, None)
    tracks = perception.tracks(now_ns)
    ahead = np.abs(tracks.position_m[:, 1]) < 1.5
    assert not (tracks.confirmed & ahead).any()
