"""The brake's decisions, held to the digit: `make mutants` changes every line of them and expects a failure here."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from apps.automotive.braking.decide import (
    NOTHING,
    RULES,
    TITLES,
    Code,
    Limits,
    Threat,
    Verdict,
    blind,
    can_steer,
    conditions,
    judge,
    required_deceleration,
    safe_distance,
    time_to_collision,
    worst,
)
from edgeai_core.decision import Priority

LIMITS = Limits()
PLAIN = Limits(
    response_s=0.5, own_braking_mps2=8.0, lead_braking_mps2=5.0, own_acceleration_mps2=2.0, margin_m=1.0,
    steer_mps2=4.0, steer_spare_s=0.5, steer_margin_m=0.5,
)  # fmt: skip


def test_the_parameters_are_those_of_the_readme() -> None:
    assert Limits() == Limits(
        response_s=0.3, own_braking_mps2=8.0, lead_braking_mps2=8.0, own_acceleration_mps2=2.0, full_from_mps2=5.5,
        partial_from_mps2=4.5, release_mps2=1.5, partial_mps2=5.0, full_mps2=9.5, blind_mps2=5.0, margin_m=0.8,
        warning_s=2.2, steer_mps2=4.0, steer_spare_s=0.4, steer_margin_m=0.2, moving_mps=1.5,
        oncoming_s=0.8,
    )  # fmt: skip
    assert Threat(1.0, 2.0) == Threat(1.0, 2.0, 0.0, 2.0, False, 0, "radar", -1)
    assert Verdict(0, 0.0, "", math.inf, None) == NOTHING


def test_alerts_wait_and_stay_as_declared() -> None:
    assert {code: (r.raise_after_s, r.clear_after_s, r.latched) for code, r in RULES.items()} == {
        Code.COLLISION_WARNING: (0.1, 1.0, False),
        Code.EMERGENCY_BRAKING: (0.0, 2.0, True),
        Code.BRAKE_BLIND: (0.2, 1.0, False),
        Code.SENSOR_LOST: (0.3, 1.0, False),
    }
    assert set(TITLES) == set(Code)


@pytest.mark.parametrize(
    "wrong",
    [
        {"release_mps2": 0.0},
        {"release_mps2": 4.5},
        {"partial_from_mps2": 5.6},
        {"full_from_mps2": 8.0},
        {"partial_mps2": 0.0},
        {"partial_mps2": 9.6},
        {"response_s": 0.0},
        {"margin_m": 0.0},
        {"warning_s": 0.0},
        {"steer_mps2": 0.0},
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(**wrong)


def test_limits_may_meet_where_that_makes_sense() -> None:
    assert Limits(partial_from_mps2=5.5).partial_from_mps2 == 5.5
    assert Limits(partial_mps2=9.5).partial_mps2 == 9.5
    assert Limits(partial_mps2=0.5).partial_mps2 == 0.5
    assert (
        Limits(release_mps2=0.5, response_s=0.5, margin_m=0.5, warning_s=0.5, steer_mps2=0.5).margin_m == 0.5
    )


def test_the_safe_distance_is_that_of_rss() -> None:
    # 20 m/s behind 10 m/s: (20 + 21)/2 * 0.5 + 21^2/16 - 10^2/10
    assert safe_distance(20.0, 10.0, PLAIN) == pytest.approx(10.25 + 27.5625 - 10.0)
    assert safe_distance(2.0, 30.0, PLAIN) == 0.0
    # Who comes towards the ego brakes for nobody.
    assert safe_distance(20.0, -30.0, PLAIN) == safe_distance(20.0, 0.0, PLAIN) == pytest.approx(37.8125)


def test_the_time_to_collision_of_steady_speeds() -> None:
    assert time_to_collision(20.0, Threat(30.0, 5.0)) == 2.0
    assert time_to_collision(10.0, Threat(30.0, 10.0)) == math.inf
    assert time_to_collision(10.0, Threat(30.0, 12.0)) == math.inf
    assert time_to_collision(10.0, Threat(30.0, -5.0)) == 2.0
    assert time_to_collision(10.0, Threat(-1.0, 0.0)) == 0.0
    assert time_to_collision(10.0, Threat(0.0, 9.0)) == 0.0
    assert time_to_collision(10.0, Threat(-1.0, 10.0)) == math.inf
    assert time_to_collision(10.0, Threat(-1.0, 12.0)) == math.inf
    assert time_to_collision(9.0, Threat(0.5, 0.0)) == pytest.approx(0.5 / 9.0)


def test_the_time_to_collision_of_one_who_brakes() -> None:
    # Equal speeds, 9 m apart, braking 2 m/s^2: 9 = 2 t^2 / 2.
    assert time_to_collision(10.0, Threat(9.0, 10.0, 2.0)) == pytest.approx(3.0)
    # Closing at 4 m/s: 12 = 4 t + t^2.
    assert time_to_collision(14.0, Threat(12.0, 10.0, 2.0)) == pytest.approx(2.0)
    # He stands after 2 s and 10 m; the ego at 5 m/s has 20 m to go.
    assert time_to_collision(5.0, Threat(10.0, 10.0, 5.0)) == pytest.approx(4.0)
    # Just as he comes to stand: both ways of counting agree.
    assert time_to_collision(10.0, Threat(10.0, 10.0, 5.0)) == pytest.approx(2.0)
    assert time_to_collision(0.0, Threat(10.0, 10.0, 5.0)) == math.inf
    # What stands cannot brake, and does not come nearer by it.
    assert time_to_collision(10.0, Threat(10.0, 0.0, 5.0)) == 1.0
    assert time_to_collision(10.0, Threat(10.0, 0.5, 0.5)) == pytest.approx(1.025)
    assert time_to_collision(0.5, Threat(10.0, 10.0, 5.0)) == pytest.approx(40.0)


def test_the_required_deceleration_of_steady_speeds() -> None:
    # 20 m/s towards 10 m/s, 31 m: after 0.5 s 26 m are left, a metre of them stays: 10^2 / (2 * 25).
    assert required_deceleration(20.0, Threat(31.0, 10.0), PLAIN) == pytest.approx(2.0)
    assert required_deceleration(10.0, Threat(10.0, 10.0), PLAIN) == 0.0
    assert required_deceleration(10.0, Threat(10.0, 11.0), PLAIN) == 0.0
    assert required_deceleration(10.0, Threat(-5.0, 11.0), PLAIN) == 0.0
    assert required_deceleration(20.0, Threat(6.0, 10.0), PLAIN) == math.inf
    assert required_deceleration(20.0, Threat(6.5, 10.0), PLAIN) == pytest.approx(100.0)
    assert required_deceleration(20.0, Threat(31.0, -10.0), PLAIN) == pytest.approx(30.0**2 / (2 * 15.0))
    assert required_deceleration(10.5, Threat(31.0, 10.0), PLAIN) == pytest.approx(0.25 / (2 * 29.75))
    # What stands does not brake.
    assert required_deceleration(20.0, Threat(61.0, 0.0, 3.0), PLAIN) == pytest.approx(4.0)
    assert required_deceleration(20.0, Threat(31.0, 10.0, 0.0), PLAIN) == pytest.approx(2.0)


def test_who_drives_no_faster_than_the_one_ahead_owes_no_brake_however_near() -> None:
    assert required_deceleration(10.0, Threat(0.5, 10.0), PLAIN) == 0.0
    assert required_deceleration(0.0, Threat(0.2, 0.5, 1.0), PLAIN) == 0.0
    assert time_to_collision(0.0, Threat(0.0, 0.0, 2.0)) == math.inf


def test_the_required_deceleration_where_both_nearly_agree() -> None:
    # he stands after 0.25 s: within the response
    slow = required_deceleration(10.0, Threat(20.0, 0.5, 2.0), PLAIN)
    assert slow == pytest.approx(100 / (2 * (19.0 + 0.0625 - 5.0)))
    # met while he drives: after the response both close by 12 m/s over 9.6 m, in 1.6 s of the 2.0 s that he drives on
    assert required_deceleration(20.0, Threat(16.1, 10.0, 4.0), PLAIN) == pytest.approx(4 + 144 / 19.2)
    # 0.75 m are left after the response, or a quarter of one
    assert required_deceleration(30.0, Threat(7.0, 20.0, 2.0), PLAIN) == pytest.approx(2 + 121 / 1.5)
    assert required_deceleration(10.0, Threat(1.0, 11.5, 4.0), PLAIN) == pytest.approx(4 + 0.25 / 0.5)


def test_the_required_deceleration_behind_one_who_brakes_to_a_stop() -> None:
    # Both 20 m/s, he brakes by 4 and stands after 5 s and 50 m: 21 - 1 + 50 - 10 m to stop in.
    assert required_deceleration(20.0, Threat(21.0, 20.0, 4.0), PLAIN) == pytest.approx(400 / (2 * 60.0))
    # No room to stop in at all.
    assert required_deceleration(20.0, Threat(1.0, 4.0, 8.0), PLAIN) == math.inf
    assert required_deceleration(20.0, Threat(10.0, 4.0, 8.0), PLAIN) == math.inf
    assert required_deceleration(20.0, Threat(10.5, 4.0, 8.0), PLAIN) == pytest.approx(400 / (2 * 0.5))
    # Slower than he: only his stop counts; who stands needs nothing.
    assert required_deceleration(2.0, Threat(2.0, 10.0, 10.0), PLAIN) == pytest.approx(4 / (2 * 5.0))
    assert required_deceleration(0.0, Threat(2.0, 10.0, 1.0), PLAIN) == 0.0
    assert required_deceleration(0.5, Threat(2.0, 10.0, 1.0), PLAIN) == pytest.approx(0.25 / (2 * 50.75))
    # Exactly as fast as he after the response.
    assert required_deceleration(8.0, Threat(2.0, 10.0, 4.0), PLAIN) == pytest.approx(64 / (2 * 9.5))


def test_the_required_deceleration_behind_one_who_is_met_while_he_still_drives() -> None:
    # Closing 10 + 1 m/s after the response; 17 - 1 - 5 - 0.25 m are left: meets after 2 s, he stands after 10 s.
    expected = 2.0 + 11.0**2 / (2 * 10.75)
    assert required_deceleration(30.0, Threat(17.0, 20.0, 2.0), PLAIN) == pytest.approx(expected)
    # Room used up by the response alone, while he still drives far: stopping in his way would do.
    full = required_deceleration(30.0, Threat(5.0, 20.0, 2.0), PLAIN)
    assert full == math.inf
    # He stands before the response is over: then only his stop counts.
    assert required_deceleration(20.0, Threat(41.0, 2.0, 8.0), PLAIN) == pytest.approx(400 / (2 * 30.25))


def test_steering_helps_where_it_is_quick_enough() -> None:
    # 1.5 m and half a metre at 4 m/s^2 take 1 s, begun in half a second.
    assert can_steer(Threat(0.0, 0.0, aside_m=1.5), 1.51, PLAIN)
    assert not can_steer(Threat(0.0, 0.0, aside_m=1.5), 1.5, PLAIN)
    assert not can_steer(Threat(0.0, 0.0, aside_m=1.5), 1.49, PLAIN)
    assert can_steer(Threat(0.0, 0.0, aside_m=-9.0), 0.51, PLAIN)
    assert not can_steer(Threat(0.0, 0.0, aside_m=-9.0), 0.5, PLAIN)


BEHIND = Threat(30.0, 10.0)  # moves: steering does not count


def _at(required: float, lead: float = 10.0, speed: float = 20.0, **more: float) -> Threat:
    """Return a threat that requires this deceleration of an ego at ``speed``, by the default limits."""
    closing = speed - lead
    return replace(BEHIND, gap_m=closing**2 / (2 * required) + 0.8 + closing * 0.3, speed_mps=lead, **more)  # type: ignore[arg-type]


def test_the_stages_begin_at_their_limits() -> None:
    assert judge(20.0, _at(5.6), LIMITS, braking=False).stage == 3
    assert judge(20.0, _at(5.4), LIMITS, braking=False).stage == 2
    assert judge(20.0, _at(4.6), LIMITS, braking=False).stage == 2
    assert judge(20.0, _at(4.4), LIMITS, braking=False).stage == 1
    full = judge(20.0, _at(6.0), LIMITS, braking=False)
    assert (full.deceleration_mps2, full.reason, full.threat) == (9.5, "required deceleration", _at(6.0))
    partial = judge(20.0, _at(5.0), LIMITS, braking=False)
    assert (partial.deceleration_mps2, partial.reason, partial.threat) == (
        5.0,
        "required deceleration",
        _at(5.0),
    )
    assert partial.time_to_collision_s == pytest.approx(_at(5.0).gap_m / 10.0)


def test_a_limit_belongs_to_the_stage_it_begins() -> None:
    exact = Limits(response_s=0.5, margin_m=1.0, full_from_mps2=5.0, partial_from_mps2=4.0, release_mps2=2.0)
    assert judge(20.0, Threat(16.0, 10.0), exact, braking=False).stage == 3  # 10^2 / (2 * 10)
    assert judge(20.0, Threat(18.5, 10.0), exact, braking=False).stage == 2  # 10^2 / (2 * 12.5)
    assert judge(20.0, Threat(31.0, 10.0), exact, braking=True).stage == 2  # 10^2 / (2 * 25)
    assert judge(20.0, Threat(31.5, 10.0), exact, braking=True).stage == 0


def test_braking_goes_on_until_it_is_over() -> None:
    on = judge(20.0, _at(4.4), LIMITS, braking=True)
    assert (on.stage, on.reason) == (2, "braking until it is over")
    assert on.deceleration_mps2 == pytest.approx(1.2 * 4.4)
    assert on.threat == _at(4.4)
    assert on.time_to_collision_s == pytest.approx(_at(4.4).gap_m / 10.0)
    assert judge(20.0, _at(2.0), LIMITS, braking=True).deceleration_mps2 == 5.0
    assert judge(20.0, _at(1.6), LIMITS, braking=True).stage == 2
    assert judge(20.0, _at(1.4), LIMITS, braking=True).stage == 0
    standing = replace(_at(6.0, lead=0.0, speed=30.0), aside_m=0.5)
    waiting = judge(30.0, standing, replace(LIMITS, full_mps2=6.0), braking=True)
    assert (waiting.stage, waiting.deceleration_mps2) == (2, 6.0)


def test_one_who_comes_in_the_other_lane_keeps_no_brake_on() -> None:
    limits = replace(LIMITS, oncoming_s=99.0)
    steers = replace(limits, steer_mps2=99.0)
    oncoming = _at(5.6, lead=-15.0, speed=15.0)
    assert judge(15.0, oncoming, limits, braking=True).stage < 2
    assert judge(15.0, replace(oncoming, aside_m=50.0), limits, braking=True).stage == 3
    slower = replace(_at(4.0, lead=-15.0, speed=15.0), aside_m=50.0)
    assert judge(15.0, slower, limits, braking=True).stage == 2
    assert judge(15.0, _at(5.0, lead=-1.5, speed=15.0), steers, braking=True).stage == 2
    assert judge(15.0, _at(5.0, lead=-1.6, speed=15.0), steers, braking=True).stage < 2


@pytest.mark.parametrize("braking", [False, True])
def test_who_comes_the_other_way_is_braked_for_only_when_the_contact_is_near(braking: bool) -> None:
    near = Threat(24.0, -15.0, aside_m=50.0)
    assert judge(15.0, near, LIMITS, braking=braking).stage == 3
    assert judge(15.0, replace(near, gap_m=24.1), LIMITS, braking=braking).stage < 2
    assert judge(15.0, replace(near, gap_m=24.1, crosses=True), LIMITS, braking=braking).stage < 2
    slow = Threat(13.3, -1.5, aside_m=50.0)
    assert judge(15.0, slow, LIMITS, braking=braking).stage == 3
    assert judge(15.0, replace(slow, speed_mps=-1.6), LIMITS, braking=braking).stage < 2


def test_what_stands_waits_while_steering_still_helps() -> None:
    standing = _at(5.6, lead=0.0, speed=30.0)
    assert judge(30.0, standing, LIMITS, braking=False).stage < 2
    assert judge(30.0, replace(standing, aside_m=50.0), LIMITS, braking=False).stage == 3
    assert judge(30.0, replace(standing, crosses=True), LIMITS, braking=False).stage == 3
    partly = _at(5.0, lead=0.0, speed=30.0)
    assert judge(30.0, partly, LIMITS, braking=False).stage < 2
    assert judge(30.0, replace(partly, crosses=True), LIMITS, braking=False).stage == 2
    assert judge(30.0, _at(5.6, lead=1.5, speed=30.0), LIMITS, braking=False).stage == 3
    assert judge(30.0, _at(5.6, lead=1.4, speed=30.0), LIMITS, braking=False).stage < 2


def test_a_warning_wants_both_little_time_and_too_little_distance() -> None:
    warned = judge(20.0, Threat(21.0, 10.0), LIMITS, braking=False)
    assert (warned.stage, warned.deceleration_mps2) == (1, 0.0)
    assert warned.reason == "closer than the safe distance, and closing"
    assert warned.threat == Threat(21.0, 10.0)
    assert warned.time_to_collision_s == 2.1
    calm = judge(20.0, Threat(22.5, 10.0), LIMITS, braking=False)
    assert (calm.stage, calm.deceleration_mps2, calm.reason, calm.time_to_collision_s) == (0, 0.0, "", 2.25)
    assert calm.threat == Threat(22.5, 10.0)
    # 2.2 s to the digit is not less than 2.2 s.
    assert judge(20.0, Threat(22.0, 10.0), LIMITS, braking=False).stage == 0
    # Enough distance: 3 m/s behind 1.6 m/s need 1.6 m.
    assert judge(3.0, Threat(2.5, 1.6), LIMITS, braking=False).stage == 0
    # Little time because he brakes, though he is the faster one: no warning before the ego closes in.
    assert (
        judge(
            10.0,
            Threat(3.0, 10.5, 1.6),
            replace(LIMITS, full_from_mps2=7.9, partial_from_mps2=7.8),
            braking=False,
        ).stage
        == 0
    )
    assert (
        judge(
            10.0,
            Threat(3.0, 10.0, 1.6),
            replace(LIMITS, full_from_mps2=7.9, partial_from_mps2=7.8),
            braking=False,
        ).stage
        == 0
    )


def test_the_safe_distance_itself_is_safe() -> None:
    exact = safe_distance(20.0, 19.0, PLAIN)
    loose = replace(PLAIN, warning_s=1000.0)
    assert judge(20.0, Threat(exact, 19.0), loose, braking=False).stage == 0
    assert judge(20.0, Threat(exact - 0.01, 19.0), loose, braking=False).stage == 1


def test_the_gravest_threat_decides() -> None:
    near, far = _at(6.0), _at(1.0)
    assert worst(20.0, [far, near, far], LIMITS, braking=False).threat == near
    assert worst(20.0, [], LIMITS, braking=False) == NOTHING
    hard, soft = _at(4.4), _at(4.3)
    assert worst(20.0, [soft, hard], LIMITS, braking=True).threat == hard
    assert worst(20.0, [hard, soft], LIMITS, braking=True).threat == hard
    soon, late = _at(7.0), _at(6.0)
    assert worst(20.0, [late, soon], LIMITS, braking=False).threat == soon
    assert worst(20.0, [soon, late], LIMITS, braking=False).threat == soon


def test_of_two_equally_grave_ones_the_first_is_named() -> None:
    one, two = replace(_at(6.0), track=1), replace(_at(6.0), track=2)
    assert worst(20.0, [one, two], LIMITS, braking=False).threat == one


@pytest.mark.parametrize("broken", [Threat(math.nan, 0.0), Threat(5.0, math.nan), Threat(math.inf, 0.0)])
def test_threats_that_are_not_numbers_decide_nothing(broken: Threat) -> None:
    assert worst(20.0, [broken], LIMITS, braking=False) == NOTHING
    assert worst(20.0, [broken, _at(6.0)], LIMITS, braking=False).stage == 3


@pytest.mark.parametrize("record", [LIMITS, Threat(5.0, 0.0), NOTHING], ids=lambda each: type(each).__name__)
def test_limits_threats_and_verdicts_cannot_be_changed_on_the_way(record: object) -> None:
    with pytest.raises(FrozenInstanceError):
        record.reason = ""  # type: ignore[attr-defined]


def test_a_threat_is_no_young_one_unless_it_is_said_to_be() -> None:
    assert not Threat(5.0, 0.0).young


def test_blindness_brakes() -> None:
    assert blind(LIMITS) == Verdict(2, 5.0, "nothing tells what is ahead", math.inf)


def test_conditions_name_the_stage_and_its_evidence() -> None:
    assert conditions(NOTHING, (), "ego") == ()
    (warning,) = conditions(judge(20.0, Threat(21.0, 10.0), LIMITS, braking=False), (), "ego")
    assert (warning.code, warning.priority, warning.subject) == (
        Code.COLLISION_WARNING,
        Priority.MEDIUM,
        "ego",
    )
    for required in (5.0, 6.0):
        (braking,) = conditions(judge(20.0, _at(required), LIMITS, braking=False), (), "ego")
        assert (braking.code, braking.priority) == (Code.EMERGENCY_BRAKING, Priority.HIGH)
    threat = Threat(10.04, 0.0, source="tracks")
    (exact,) = conditions(Verdict(3, 9.54, "why", 1.234, threat), (), "ego")
    assert exact.evidence == {
        "reason": "why", "deceleration_mps2": 9.5, "time_to_collision_s": 1.23, "gap_m": 10.0, "source": "tracks",
    }  # fmt: skip
    (endless,) = conditions(Verdict(3, 9.5, "why", math.inf, threat), (), "ego")
    assert endless.evidence["time_to_collision_s"] == 99.0


def test_a_brake_that_sees_nothing_says_so() -> None:
    (condition,) = conditions(blind(LIMITS), (), "ego")
    assert (condition.code, condition.priority) == (Code.BRAKE_BLIND, Priority.HIGH)
    assert condition.evidence == {"reason": "nothing tells what is ahead", "deceleration_mps2": 5.0}


def test_each_sensor_that_is_lost_is_named() -> None:
    lost = conditions(NOTHING, ("radar", "lidar"), "ego")
    assert [(each.code, each.subject, each.priority) for each in lost] == [
        (Code.SENSOR_LOST, "ego/radar", Priority.MEDIUM),
        (Code.SENSOR_LOST, "ego/lidar", Priority.MEDIUM),
    ]
    assert lost[0].evidence == {"sensor": "radar"}
    assert len(conditions(blind(LIMITS), ("radar",), "ego")) == 2
    assert len(conditions(Verdict(1, 0.0, "", 1.0, Threat(1.0, 1.0)), ("radar",), "ego")) == 2
