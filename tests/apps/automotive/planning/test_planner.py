"""What the planner promises: always an answer, one that can be driven, and a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from apps.automotive.config import PlanningConfig, VehicleConfig
from apps.automotive.messages import ObjectKind, Odometry, Route, Tracks, no_tracks
from apps.automotive.path import Path
from apps.automotive.planning.candidates import TIMES_S, sides, speed_profiles
from apps.automotive.planning.control import pure_pursuit
from apps.automotive.planning.decide import Tier
from apps.automotive.planning.driving import drive
from apps.automotive.planning.planner import Planned, Planner
from apps.automotive.planning.preprocess import situation
from edgeai_core.errors import InputError

VEHICLE = VehicleConfig()


def route(lanes_left: int = 0, lanes_right: int = 0, limit_mps: float = 15.0) -> Route:
    x = np.arange(-60.0, 400.0, 2.0)
    return Route(x, np.zeros_like(x), 3.5, lanes_left, lanes_right, limit_mps)


def tracks(*things: tuple[float, float, float, float, ObjectKind]) -> Tracks:
    """Return tracks of (x, y, vx, vy, kind)."""
    n = len(things)
    table = np.array([each[:4] for each in things]).reshape(n, 4)
    sizes = {
        ObjectKind.CAR: (4.5, 1.8, 1.5),
        ObjectKind.PEDESTRIAN: (0.5, 0.6, 1.75),
        ObjectKind.UNKNOWN: (0.3, 0.3, 1.4),
    }
    return Tracks(
        0, Odometry(), np.arange(n), np.array([each[4] for each in things], np.int8), table[:, :2], table[:, 2:],
        np.zeros(n), np.zeros(n), np.array([sizes[each[4]] for each in things]).reshape(n, 3),
        np.broadcast_to(np.diag([0.04] * 4), (n, 4, 4)), np.ones(n), np.ones(n, bool), np.ones(n),
    )  # fmt: skip


def plan(
    seen: Tracks | None = None, *, way: Route | None = None, ego: Odometry | None = None, cycles: int = 1
) -> Planned:
    planner = Planner(PlanningConfig(), VEHICLE)
    for cycle in range(cycles):
        planned = planner.plan(cycle * 100_000_000, ego or Odometry(speed_mps=12.0), way or route(), seen)
    return planned


def test_on_an_empty_road_it_drives_at_the_limit_in_the_middle_of_its_lane() -> None:
    planned = plan(no_tracks())
    assert planned.tier is Tier.SAFE
    assert planned.plan.speed_mps[-1] == pytest.approx(15.0, abs=0.5)
    assert abs(planned.plan.y_m[-1]) < 0.05
    assert not planned.plan.safe_stop


@pytest.mark.parametrize("lanes", [(0, 0), (1, 0), (1, 1), (0, 2), (3, 3)])
def test_a_thousand_candidates_are_checked_on_every_road(lanes: tuple[int, int]) -> None:
    assert plan(no_tracks(), way=route(*lanes)).candidates >= 1000


def test_a_standing_car_ahead_is_stopped_for_where_there_is_no_other_lane() -> None:
    planned = plan(tracks((45.0, 0.0, 0.0, 0.0, ObjectKind.CAR)))
    assert planned.plan.speed_mps[-1] < 5.0
    assert planned.plan.x_m[-1] + VEHICLE.front_m < 45.0 - 2.25
    assert planned.plan.reason.startswith(("constraint", "cost"))


def test_a_standing_car_is_passed_in_the_next_lane_where_that_is_free() -> None:
    planned = plan(tracks((60.0, 0.0, 0.0, 0.0, ObjectKind.CAR)), way=route(lanes_left=1))
    assert planned.plan.manoeuvre == "lane change to the left"
    assert planned.plan.y_m.max() > 2.0


def test_the_next_lane_is_not_taken_where_somebody_comes_up_in_it() -> None:
    fast = (-22.0, 3.5, 25.0, 0.0, ObjectKind.CAR)
    planned = plan(tracks((60.0, 0.0, 0.0, 0.0, ObjectKind.CAR), fast), way=route(lanes_left=1))
    assert planned.plan.y_m[TIMES_S <= 1.5].max() < 0.8


def test_a_pedestrian_who_steps_out_is_braked_for() -> None:
    planned = plan(tracks((24.0, -2.6, 0.0, 1.5, ObjectKind.PEDESTRIAN)))
    assert planned.plan.acceleration_mps2 < -2.0


def test_a_track_whose_speed_nobody_knows_yet_stops_no_car() -> None:
    car = tracks((25.0, 0.0, 0.0, 0.0, ObjectKind.CAR))
    vague = np.diag([0.1, 0.1, 9.0, 9.0])[None]
    young = replace(car, age_s=np.array([0.1]), covariance=vague)
    free, stopped = plan(no_tracks()).plan.speed_mps[-1], plan(car).plan.speed_mps[-1]
    assert stopped < free - 5.0
    assert plan(young).plan.speed_mps[-1] == free
    assert plan(replace(young, age_s=np.array([0.6]))).plan.speed_mps[-1] < free - 5.0
    assert plan(replace(young, covariance=car.covariance)).plan.speed_mps[-1] == stopped


def uncertain(seen: Tracks, *, place_m: float = 0.2, speed_mps: float = 0.2) -> Tracks:
    """Return tracks whose place and speed are known no better than this, in both directions."""
    variances = np.diag([place_m**2] * 2 + [speed_mps**2] * 2)
    return replace(seen, covariance=np.broadcast_to(variances, (len(seen.id), 4, 4)))


def test_an_oncoming_car_whose_lane_is_not_known_yet_stops_no_car() -> None:
    comes = tracks((90.0, 0.6, -20.0, 0.0, ObjectKind.CAR))
    assert plan(comes).tier is not Tier.SAFE or plan(comes).plan.speed_mps[-1] < 8.0
    vague = plan(uncertain(comes, place_m=1.2))
    assert vague.tier is Tier.SAFE
    assert vague.plan.speed_mps[-1] > 12.0


def test_the_sideways_speed_of_a_post_that_may_as_well_stand_stops_no_car() -> None:
    post = tracks((30.0, -3.2, 0.0, 1.4, ObjectKind.UNKNOWN))
    assert plan(uncertain(post, speed_mps=1.0)).plan.speed_mps[-1] > 12.0
    crosses = plan(uncertain(post, speed_mps=0.2)).plan
    assert crosses.speed_mps.min() < 10.0 or np.abs(crosses.y_m).max() > 0.5


def test_a_sideways_speed_counts_by_how_well_it_is_known_for_who_drives_along_the_road() -> None:
    way = route(lanes_left=1)
    drifts = tracks((25.0, 3.5, 12.0, -1.5, ObjectKind.CAR))

    def believed_mps(speed_mps: float) -> float:
        seen = uncertain(drifts, speed_mps=speed_mps)
        found = situation(Path(way.x_m, way.y_m), way, Odometry(speed_mps=12.0), seen, VEHICLE)
        return float(found.obstacles.lateral_mps[0])

    assert believed_mps(0.1) == pytest.approx(-1.5, abs=0.02)
    assert believed_mps(1.0) == pytest.approx(-0.75)
    assert believed_mps(4.0) == pytest.approx(0.0, abs=0.1)


def test_one_behind_in_the_next_lane_who_seems_to_come_over_is_not_braked_for() -> None:
    drifts = tracks((-14.0, 2.8, 24.0, -1.2, ObjectKind.CAR))
    planned = plan(drifts, way=route(lanes_left=1))
    assert planned.tier is Tier.SAFE
    assert planned.plan.speed_mps[-1] > 12.0


def test_a_track_that_is_not_confirmed_is_no_obstacle() -> None:
    car = tracks((45.0, 0.0, 0.0, 0.0, ObjectKind.CAR))
    assert plan(replace(car, confirmed=np.zeros(1, np.bool_))).plan.speed_mps[-1] > 12.0


def test_one_who_follows_behind_is_not_fled_from() -> None:
    planned = plan(tracks((-8.0, 0.0, 14.0, 0.0, ObjectKind.CAR)))
    assert planned.tier is Tier.SAFE
    assert planned.plan.acceleration_mps2 > -1.0


def test_where_nothing_is_free_it_still_answers_with_the_hardest_brake() -> None:
    wall = tracks(*((9.0, y, 0.0, 0.0, ObjectKind.CAR) for y in (-1.5, 0.0, 1.5)))
    planned = plan(wall)
    assert planned.tier is Tier.COLLISION
    assert planned.plan.safe_stop
    assert planned.plan.acceleration_mps2 < -6.0
    assert "least harm" in planned.plan.reason


def test_a_car_that_creeps_is_stopped_where_the_profile_stands_before_the_brake_can_bite() -> None:
    planned = plan(tracks((6.9, 0.0, 0.0, 0.0, ObjectKind.CAR)), ego=Odometry(speed_mps=0.5))
    assert planned.plan.speed_mps[2] < 0.05
    assert planned.plan.acceleration_mps2 <= -1.0


@pytest.mark.parametrize("count", [0, 500])
def test_no_track_and_five_hundred_tracks_give_a_plan(count: int) -> None:
    rng = np.random.default_rng(3)
    many = [(x, y, 5.0, 0.0, ObjectKind.CAR) for x, y in rng.uniform((-50, -20), (300, 20), (count, 2))]
    assert plan(tracks(*many)).candidates >= 1000


def test_tracks_that_are_not_numbers_do_no_harm() -> None:
    good = tracks((30.0, 0.0, 0.0, 0.0, ObjectKind.CAR))
    for field in ("velocity_mps", "yaw_rad", "size_m", "covariance"):
        broken = replace(good, **{field: np.full_like(np.asarray(getattr(good, field)), np.nan)})
        planned = plan(broken)
        assert math.isfinite(planned.plan.acceleration_mps2)
        assert planned.plan.speed_mps[-1] < 2.0, field  # it still stands there
    nowhere = replace(good, position_m=np.full((1, 2), np.nan))
    assert plan(nowhere).tier is Tier.SAFE


def test_an_odometry_or_route_that_is_no_such_thing_is_refused() -> None:
    with pytest.raises(InputError, match="odometry"):
        plan(ego=Odometry(speed_mps=math.nan))
    with pytest.raises(InputError, match="path"):
        plan(way=replace(route(), x_m=np.full(3, np.nan), y_m=np.zeros(3)))


def test_the_same_cycles_give_the_same_plans() -> None:
    seen = tracks((40.0, 0.2, 3.0, 0.0, ObjectKind.CAR), (20.0, 3.4, 9.0, 0.0, ObjectKind.CAR))
    one, two = (plan(seen, way=route(1), cycles=3).plan for _ in range(2))
    assert one.reason == two.reason
    assert np.array_equal(one.x_m, two.x_m)
    assert one.acceleration_mps2 == two.acceleration_mps2


@pytest.mark.parametrize("speed", [0.0, 0.4, 8.0, 30.0])
@pytest.mark.parametrize("acceleration", [-6.0, 0.0, 2.0])
def test_every_speed_profile_starts_where_the_car_is_and_the_last_is_the_hardest_stop(
    speed: float, acceleration: float
) -> None:
    profiles = speed_profiles(speed, acceleration, top_mps=15.0, braking_mps2=8.5, places=((20.0, 5.0),))
    assert np.allclose(profiles.s_m[:, 0], 0.0)
    assert np.allclose(profiles.speed_mps[:, 0], speed)
    assert profiles.stop[-1]
    last = profiles.speed_mps[-1]
    assert last.min() == 0.0
    stops = profiles.s_m[profiles.stop, -1]
    assert stops[-1] == pytest.approx(stops.min())
    # Speed is the slope of distance: by the trapezium rule, to what its curvature allows.
    driven = np.cumsum(
        (profiles.speed_mps[:, 1:] + profiles.speed_mps[:, :-1]) / 2 * np.diff(TIMES_S), axis=1
    )
    assert np.abs(driven - profiles.s_m[:, 1:]).max() < 0.25


def test_lateral_profiles_begin_as_the_car_lies_and_end_where_they_are_meant_to() -> None:
    found = sides(0.4, 0.02, 0.001, 10.0, lane_width_m=3.5, lanes_left=1, lanes_right=0)
    d, slope, bend = found.at(np.array([0.0]))
    assert np.allclose(d[:, 0], 0.4)
    assert np.allclose(slope[:, 0], 0.02)
    assert np.allclose(bend[:, 0], 0.001, atol=1e-6)
    d, slope, bend = found.at(np.array([500.0]))
    assert np.allclose(d[:, 0], found.target_m, atol=1e-3)
    assert np.abs(slope).max() < 1e-5
    assert np.abs(bend).max() < 1e-5


def test_the_profile_that_is_driven_is_among_the_candidates_until_its_end_is_near() -> None:
    def found(driven: tuple[float, float]) -> list[tuple[float, float]]:
        every = sides(0.4, 0.0, 0.0, 10.0, lane_width_m=3.5, lanes_left=1, lanes_right=0, driven=driven)
        return list(zip(every.length_m.tolist(), every.target_m.tolist(), strict=True))

    assert found((14.0, 3.9))[-1] == (14.0, 3.9)
    usual = len(found((3.0, 3.9)))  # too near to steer for
    assert len(found((14.0, 3.9))) == usual + 1
    assert len(found((14.0, -3.5))) == usual  # no lane there
    assert len(found((500.0, 3.9))) == usual  # of another place: no profile is as long


def test_a_change_of_lanes_once_begun_is_brought_to_its_end_though_the_one_ahead_brakes() -> None:
    assert drive(360).collision is None


def test_pure_pursuit_steers_towards_the_path() -> None:
    x = np.linspace(0.0, 40.0, 41)
    ego = Odometry(speed_mps=10.0)
    assert pure_pursuit(x, np.zeros_like(x), ego, 2.8, 0.5) == 0.0
    assert pure_pursuit(x, np.full_like(x, 1.0), ego, 2.8, 0.5) > 0.0
    # On a circle the look-ahead gives the circle's own steering.
    angle = np.linspace(0.0, 1.0, 400)
    exact = pure_pursuit(50 * np.sin(angle), 50 * (1 - np.cos(angle)), ego, 2.8, 0.5)
    assert exact == pytest.approx(math.atan(2.8 / 50), rel=0.02)
    assert pure_pursuit(x, x, ego, 2.8, 0.1) == 0.1
