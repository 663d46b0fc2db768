"""Channels from the simulated sensors: delays, and every failure on demand."""

from __future__ import annotations

import numpy as np
import pytest

from apps.automotive.messages import CameraImage, Odometry, PointCloud, RadarScan
from apps.automotive.simulation.failures import Arrival, Channel, Failure, FailureKind


def run(
    data: list[object], *failures: Failure, sensor: str = "radar", delay_s: float = 0.0
) -> list[Arrival[object]]:
    """Push data ten times a second and collect what arrives within ten more seconds."""
    channel: Channel[object] = Channel(sensor, np.random.default_rng(0), delay_s=delay_s, failures=failures)
    out = []
    for step, each in enumerate(data):
        channel.push(step / 10, each)
        out += channel.due(step / 10)
    return out + channel.due(len(data) / 10 + 10)


SCANS = [RadarScan(*(np.full(3, float(at)) for _ in range(4))) for at in range(40)]


def test_a_healthy_channel_only_delays() -> None:
    arrived = run(list(SCANS), delay_s=0.05)
    assert [each.data for each in arrived] == SCANS
    assert all(each.arrives_s - each.time_s == pytest.approx(0.05) for each in arrived)


def test_a_lost_sensor_is_silent_while_it_is_lost_and_no_other_sensor_is() -> None:
    failure = Failure("radar", FailureKind.LOST, from_s=1.0, until_s=2.0)
    times = [each.time_s for each in run(list(SCANS), failure)]
    assert all(not 1.0 <= time_s < 2.0 for time_s in times)
    assert len(times) == 30
    assert len(run(list(SCANS), Failure("lidar", FailureKind.LOST))) == 40


def test_a_frozen_sensor_repeats_itself_with_new_stamps() -> None:
    arrived = run(list(SCANS), Failure("radar", FailureKind.FROZEN, from_s=1.0))
    assert {id(each.data) for each in arrived[10:]} == {id(SCANS[9])}
    assert [each.time_s for each in arrived] == pytest.approx([at / 10 for at in range(40)])


def test_late_data_keep_the_stamp_of_their_measurement_and_their_order() -> None:
    arrived = run(
        list(SCANS), Failure("radar", FailureKind.LATE, 0.2), Failure("radar", FailureKind.JITTER, 0.5)
    )
    assert all(each.arrives_s - each.time_s >= 0.2 for each in arrived)
    assert [each.time_s for each in arrived] == sorted(each.time_s for each in arrived)
    assert [each.arrives_s for each in arrived] == sorted(each.arrives_s for each in arrived)


def test_dropouts_lose_their_share() -> None:
    assert 10 <= len(run(list(SCANS), Failure("radar", FailureKind.DROPOUT, 0.5))) <= 30


@pytest.mark.parametrize("kind", [FailureKind.BIAS, FailureKind.NOISE])
@pytest.mark.parametrize(
    ("sensor", "data", "field"),
    [
        ("camera", CameraImage(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5), "pixels"),
        ("lidar", PointCloud(np.ones((5, 3), np.float32), np.ones(5, np.float32)), "xyz_m"),
        ("radar", SCANS[20], "range_m"),
        ("odometry", Odometry(speed_mps=3.0), "yaw_rate_radps"),
    ],
)
def test_bias_and_noise_change_what_is_measured_and_leave_the_original_alone(
    kind: FailureKind, sensor: str, data: object, field: str
) -> None:
    before = np.array(getattr(data, field), copy=True)
    arrived = run([data], Failure(sensor, kind, 2.0), sensor=sensor)
    assert not np.array_equal(getattr(arrived[0].data, field), before)
    assert np.array_equal(getattr(data, field), before)
    assert type(arrived[0].data) is type(data)
