"""The brake over time, on radar scans, lidar points and tracks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.automotive.braking.brake import Brake
from apps.automotive.braking.cases import cases
from apps.automotive.braking.corridor import Corridor, corridor
from apps.automotive.braking.decide import Limits
from apps.automotive.braking.driving import approach
from apps.automotive.braking.fuse import track_threats
from apps.automotive.braking.radar import MOUNT_M, RadarTargets
from apps.automotive.config import VehicleConfig
from apps.automotive.messages import (
    BrakeStage,
    ObjectKind,
    Odometry,
    PointCloud,
    RadarScan,
    Tracks,
    no_tracks,
)
from edgeai_core.errors import InputError

VEHICLE = VehicleConfig()
MS = 1_000_000
EGO = Odometry(speed_mps=14.0)


def scan(*targets: tuple[float, float, float], ego: Odometry = EGO, jitter: int = 0) -> RadarScan:
    """Return detections of (distance from the bumper, aside, speed over ground along the road)."""
    table = np.array(targets, np.float64).reshape(-1, 3)
    x, y = table[:, 0] + VEHICLE.front_m - MOUNT_M, table[:, 1]
    r, azimuth = np.hypot(x, y), np.arctan2(y, x)
    rate = table[:, 2] * np.cos(azimuth) - ego.speed_mps * np.cos(azimuth)
    return RadarScan(r + 1e-9 * jitter, azimuth, rate, np.full(len(r), 10.0))


def points(gap_m: float) -> PointCloud:
    """Return the back of a car ``gap_m`` ahead."""
    y, z = np.meshgrid(np.linspace(-0.8, 0.8, 9), np.linspace(0.4, 1.4, 6))
    xyz = np.stack([np.full(y.size, gap_m + VEHICLE.front_m), y.ravel(), z.ravel()], axis=1).astype(
        np.float32
    )
    return PointCloud(xyz, np.ones(len(xyz), np.float32))


def track(x: float, y: float, vx: float = 0.0, vy: float = 0.0, kind: ObjectKind = ObjectKind.CAR) -> Tracks:
    """Return one track, by its middle from the rear axle of an ego at the origin."""
    size = (0.5, 0.6, 1.75) if kind is ObjectKind.PEDESTRIAN else (4.5, 1.8, 1.5)
    return Tracks(
        0, EGO, np.array([7]), np.array([kind], np.int8), np.array([[x, y]]), np.array([[vx, vy]]), np.zeros(1),
        np.zeros(1), np.array([size]), np.zeros((1, 4, 4)), np.ones(1), np.ones(1, bool), np.ones(1),
    )  # fmt: skip


def fed(brake: Brake, gap_m: float, its_mps: float, *, scans: int = 8, aside_m: float = 0.0) -> int:
    """Give the brake scans of one thing, 50 ms apart, that ends ``gap_m`` ahead; return the last moment."""
    brake.push_odometry(EGO)
    for number in range(scans):
        left_s = 0.05 * (scans - 1 - number)
        gap = gap_m + (EGO.speed_mps - its_mps) * left_s
        brake.push_radar(number * 50 * MS, scan((gap, aside_m, its_mps), jitter=number))
    return (scans - 1) * 50 * MS


def new() -> Brake:
    return Brake(VEHICLE, Limits())


def test_a_slower_car_is_braked_for_on_radar_alone() -> None:
    brake = new()
    now_ns = fed(brake, 10.0, 4.0)
    command = brake.judge(now_ns)
    assert command.stage is BrakeStage.FULL
    assert command.evidence_ns == now_ns
    assert brake.lost(now_ns) == ("lidar", "tracks")


def test_what_stands_wants_a_second_sensor_where_there_is_one() -> None:
    brake = new()
    now_ns = fed(brake, 12.0, 0.0)
    assert brake.judge(now_ns).stage is BrakeStage.FULL  # the radar is all there is
    brake = new()
    now_ns = fed(brake, 12.0, 0.0)
    brake.push_tracks(no_tracks(now_ns, EGO))
    assert brake.judge(now_ns).stage is BrakeStage.NONE  # perception is well, and sees nothing there
    brake.push_lidar(now_ns, points(12.0))
    assert brake.judge(now_ns).stage is BrakeStage.FULL


def test_a_detection_that_is_seen_once_or_twice_brakes_nothing() -> None:
    brake = new()
    assert brake.judge(fed(brake, 8.0, 4.0, scans=2)).stage is BrakeStage.NONE


def test_what_is_beside_the_path_brakes_nothing() -> None:
    brake = new()
    now_ns = fed(brake, 10.0, 4.0, aside_m=2.5)
    assert brake.judge(now_ns).stage is BrakeStage.NONE


def test_in_a_bend_the_path_bends() -> None:
    bend = Corridor(0.02, 3.65, 0.95)
    along, beside = bend.to_path(np.array([30.0]), np.array([50.0 - math.sqrt(50.0**2 - 30.0**2)]))
    assert float(beside[0]) == pytest.approx(0.0, abs=1e-9)
    assert float(along[0]) == pytest.approx(50.0 * math.asin(0.6))
    mirrored = Corridor(-0.02, 3.65, 0.95).to_path(np.array([30.0]), np.array([-10.0]))
    assert float(mirrored[1][0]) == pytest.approx(0.0, abs=1e-9)
    assert corridor(replace(EGO, yaw_rate_radps=0.28), VEHICLE).curvature_1pm == pytest.approx(0.02)
    slow = corridor(Odometry(speed_mps=0.2, steering_rad=0.1), VEHICLE)
    assert slow.curvature_1pm == pytest.approx(math.tan(0.1) / 2.8)


def test_a_pedestrian_who_will_cross_is_braked_for_before_being_in_the_path() -> None:
    brake = new()
    brake.push_odometry(EGO)
    brake.push_tracks(track(18.0, -2.0, 0.0, 1.8, ObjectKind.PEDESTRIAN))
    assert brake.judge(10 * MS).stage is BrakeStage.FULL
    standing = new()
    standing.push_odometry(EGO)
    standing.push_tracks(track(18.0, -2.0, 0.0, 0.0, ObjectKind.PEDESTRIAN))
    assert standing.judge(10 * MS).stage is BrakeStage.NONE


def test_a_track_of_perception_is_named_in_the_command() -> None:
    brake = new()
    brake.push_odometry(EGO)
    brake.push_tracks(track(14.0, 0.0, 4.0))
    command = brake.judge(10 * MS)
    assert (command.stage, command.track, command.evidence_ns) == (BrakeStage.FULL, 7, 0)


def test_without_any_sensor_it_brakes() -> None:
    brake = new()
    brake.push_odometry(EGO)
    command = brake.judge(10 * MS)
    assert (command.stage, command.reason) == (BrakeStage.PARTIAL, "nothing tells what is ahead")
    fed_brake = new()
    now_ns = fed(fed_brake, 100.0, 14.0)
    assert fed_brake.judge(now_ns).stage is BrakeStage.NONE
    assert fed_brake.judge(now_ns + 400 * MS).stage is BrakeStage.PARTIAL


def test_a_radar_that_repeats_itself_is_no_radar() -> None:
    brake = new()
    brake.push_odometry(EGO)
    for number in range(6):
        brake.push_radar(number * 50 * MS, scan((40.0, 0.0, 14.0)))
    assert "radar" in brake.lost(250 * MS)
    assert brake.judge(250 * MS).stage is BrakeStage.PARTIAL


def test_values_that_are_not_numbers_do_no_harm() -> None:
    brake = new()
    brake.push_odometry(EGO)
    nan = np.full(3, np.nan)
    for number in range(8):
        good = scan((10.0 + 10 * 0.05 * (7 - number), 0.0, 4.0), jitter=number)
        mixed = RadarScan(
            *(np.concatenate([nan, getattr(good, name)]) for name in RadarScan.__dataclass_fields__)
        )
        brake.push_radar(number * 50 * MS, mixed)
    brake.push_lidar(350 * MS, PointCloud(np.full((5, 3), np.nan, np.float32), np.zeros(5, np.float32)))
    broken = track(30.0, 0.0)
    brake.push_tracks(replace(broken, time_ns=350 * MS, position_m=np.full((1, 2), np.nan)))
    assert brake.judge(350 * MS).stage is BrakeStage.FULL
    with pytest.raises(InputError, match="odometry"):
        brake.push_odometry(Odometry(speed_mps=math.nan))


@pytest.mark.parametrize("count", [0, 500])
def test_no_track_and_five_hundred_tracks_are_judged(count: int) -> None:
    brake = new()
    brake.push_odometry(EGO)
    rng = np.random.default_rng(1)
    many = Tracks(
        0, EGO, np.arange(count), np.ones(count, np.int8), rng.uniform(-100, 100, (count, 2)),
        rng.normal(0, 5, (count, 2)), np.zeros(count), np.zeros(count), np.ones((count, 3)), np.zeros((count, 4, 4)),
        np.ones(count), np.ones(count, bool), np.ones(count),
    )  # fmt: skip
    brake.push_tracks(many)
    assert math.isfinite(brake.judge(10 * MS).deceleration_mps2)


def test_braking_holds_for_a_moment_when_its_reason_is_lost_from_sight() -> None:
    brake = new()
    now_ns = fed(brake, 10.0, 4.0)
    assert brake.judge(now_ns).stage is BrakeStage.FULL
    for number in range(1, 6):
        brake.push_radar(now_ns + number * 50 * MS, scan((100.0 + number, 3.0, 14.0), jitter=number))
    assert brake.judge(now_ns + 300 * MS).stage is BrakeStage.FULL
    for number in range(6, 14):
        brake.push_radar(now_ns + number * 50 * MS, scan((100.0 + number, 3.0, 14.0), jitter=number))
    assert brake.judge(now_ns + 600 * MS).stage is BrakeStage.NONE


def test_a_car_that_stands_needs_no_brake() -> None:
    brake = new()
    now_ns = fed(brake, 3.0, 4.0)
    brake.push_odometry(Odometry(speed_mps=0.0))
    assert brake.judge(now_ns).stage is BrakeStage.NONE


def test_radar_targets_keep_the_speed_and_braking_of_what_they_see() -> None:
    targets = RadarTargets()
    gap, its = 40.0, 14.0
    for number in range(30):
        targets.push(number * 50 * MS, scan((gap, 0.3, its), jitter=number), EGO)
        gap += (its - EGO.speed_mps) * 0.05 - 4.0 * 0.05**2 / 2
        its -= 4.0 * 0.05
    seen = targets.now(29 * 50 * MS, EGO)
    assert len(seen.x_m) == 1
    assert float(seen.speed_mps[0]) == pytest.approx(its + 0.2, abs=0.3)
    assert float(seen.acceleration_mps2[0]) == pytest.approx(-4.0, abs=0.8)


@pytest.mark.parametrize("table", ["CCRs", "CCRb"])
@pytest.mark.parametrize("tracks", [True, False])
def test_one_approach_of_each_kind_at_50_kmh_is_avoided(table: str, tracks: bool) -> None:
    case = next(each for each in cases(40) if each.table == table and each.speed_kmh == 50)
    assert approach(case.scenario, 1, tracks="truth" if tracks else "none").contact_kmh is None


def several(*tracks: Tracks, age_s: tuple[float, ...], deviation: float = 0.1) -> Tracks:
    """Return tracks in one, with these ages and a deviation of place and speed."""
    columns = {
        name: np.concatenate([getattr(each, name) for each in tracks])
        for name in ("id", "kind", "position_m", "velocity_mps", "yaw_rad", "yaw_rate_radps", "size_m",
                     "existence", "confirmed")
    }  # fmt: skip
    covariance = np.repeat((np.eye(4) * deviation**2)[None], len(tracks), axis=0)
    return replace(tracks[0], **columns, covariance=covariance, age_s=np.array(age_s))


def found(tracks: Tracks) -> list[tuple[float, float]]:
    """Return gap and speed of the threats of tracks."""
    threats = track_threats(tracks, corridor(EGO, VEHICLE), EGO, 0)
    return [(round(each.gap_m, 1), each.speed_mps) for each in threats]


def test_a_track_counts_when_its_place_and_speed_are_known() -> None:
    car = track(30.0, 0.0, 5.0)
    assert len(found(several(car, age_s=(0.2,)))) == 1
    assert found(several(car, age_s=(0.2,), deviation=4.0)) == []


def test_a_young_track_brakes_where_another_sensor_sees_it_too_or_none_is_left() -> None:
    young = replace(track(6.0, 0.5, 4.0), age_s=np.array([0.2]))
    lonely, contradicted, agreed = new(), new(), new()
    for brake in (lonely, contradicted, agreed):
        brake.push_odometry(EGO)
        brake.push_tracks(young)
    contradicted.push_lidar(0, PointCloud(np.zeros((0, 3), np.float32), np.zeros(0, np.float32)))
    agreed.push_lidar(0, points(0.2))
    assert lonely.judge(10 * MS).stage is BrakeStage.FULL
    assert contradicted.judge(10 * MS).stage is BrakeStage.NONE
    assert agreed.judge(10 * MS).stage is BrakeStage.FULL


def test_near_by_the_lidar_must_see_what_a_track_says_is_in_the_path_but_not_who_will_cross_it() -> None:
    beside = replace(track(6.9, -2.2, 0.6, 1.4, ObjectKind.UNKNOWN), yaw_rad=np.array([1.2]))
    walker = track(14.0, -1.6, 0.0, 1.8, ObjectKind.PEDESTRIAN)
    stages = {}
    for name, seen in (("beside", beside), ("walker", walker)):
        for cloud in (None, PointCloud(np.zeros((0, 3), np.float32), np.zeros(0, np.float32))):
            brake = new()
            fed(brake, 90.0, 14.0)
            if cloud is not None:
                brake.push_lidar(350 * MS, cloud)
            brake.push_tracks(replace(seen, time_ns=350 * MS))
            stages[name, cloud is not None] = brake.judge(350 * MS).stage
    assert stages["beside", False] is BrakeStage.FULL
    assert stages["beside", True] is BrakeStage.NONE
    assert stages["walker", True] is BrakeStage.FULL


def test_one_who_may_well_be_standing_does_not_cross() -> None:
    post = track(24.0, -2.4, 0.0, 1.5, ObjectKind.PEDESTRIAN)
    assert len(found(several(post, age_s=(0.7,), deviation=0.5))) == 1
    assert found(several(post, age_s=(0.7,), deviation=0.65)) == []


def test_what_is_young_or_hardly_known_does_not_come_over_from_the_side() -> None:
    beside = track(12.0, -2.6, 1.0, 3.0)
    walker = track(20.0, -3.0, 0.0, 1.6, ObjectKind.PEDESTRIAN)
    turned = replace(beside, yaw_rad=np.array([1.3]))
    assert found(several(turned, age_s=(0.2,))) == []
    assert found(several(walker, age_s=(0.2,))) == []
    assert found(several(walker, age_s=(1.0,))) != []


def test_an_echo_inside_an_older_car_is_none_but_a_person_or_a_car_beside_it_is_one() -> None:
    lead, echo = track(30.0, 0.0, 14.0), track(29.0, 0.8, 0.2)
    assert found(several(lead, echo, age_s=(5.0, 0.6))) == [(24.1, 14.0)]
    walker = track(29.0, 0.8, 0.0, 0.0, ObjectKind.PEDESTRIAN)
    assert len(found(several(lead, walker, age_s=(5.0, 0.6)))) == 2
    parked, standing = track(29.0, 2.9, 0.0), track(30.0, 0.0, 0.0)
    assert len(found(several(parked, standing, age_s=(5.0, 0.6)))) == 1


@given(
    curvature=st.floats(-0.05, 0.05).filter(lambda k: abs(k) > 1e-4),
    along=st.floats(-10.0, 60.0),
    beside=st.floats(-4.0, 4.0),
)
def test_along_a_bend_to_either_side_ahead_is_ahead_and_left_is_left(
    curvature: float, along: float, beside: float
) -> None:
    turn = along * curvature
    x = math.sin(turn) / curvature - beside * math.sin(turn)
    y = (1.0 - math.cos(turn)) / curvature + beside * math.cos(turn)
    found = Corridor(curvature, VEHICLE.front_m, 0.95).to_path(np.array([x]), np.array([y]))
    assert found[0][0] == pytest.approx(along, abs=1e-6)
    assert found[1][0] == pytest.approx(beside, abs=1e-6)
