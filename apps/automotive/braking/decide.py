"""Threats -> brake command: every limit of the brake is here. Formulas, sources and assumptions: README.md beside this.

Plain numbers only, so that every line can be held by a test (`make mutants`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from edgeai_core.decision import Condition, Priority, Rule


class Code(StrEnum):
    """The conditions of this loop."""

    COLLISION_WARNING = "COLLISION_WARNING"
    EMERGENCY_BRAKING = "EMERGENCY_BRAKING"
    BRAKE_BLIND = "BRAKE_BLIND"
    SENSOR_LOST = "BRAKE_SENSOR_LOST"


RULES: Mapping[str, Rule] = {
    Code.COLLISION_WARNING: Rule(raise_after_s=0.1, clear_after_s=1.0),
    Code.EMERGENCY_BRAKING: Rule(clear_after_s=2.0, latched=True),
    Code.BRAKE_BLIND: Rule(raise_after_s=0.2, clear_after_s=1.0),
    Code.SENSOR_LOST: Rule(raise_after_s=0.3, clear_after_s=1.0),
}

TITLES = {
    Code.COLLISION_WARNING: "Collision warning",
    Code.EMERGENCY_BRAKING: "Emergency braking",
    Code.BRAKE_BLIND: "The brake sees nothing, and brakes",
    Code.SENSOR_LOST: "The brake is without one of its sensors",
}


@dataclass(frozen=True)
class Limits:
    """The parameters; README.md says where each comes from. Raises ValueError for limits that contradict each other.

    ``response_s`` passes from evidence to a built-up brake. ``own_braking_mps2`` is what the own brake surely gives,
    ``lead_braking_mps2`` the most that one ahead may brake, ``own_acceleration_mps2`` the most that the ego may gain
    within the response. Full braking begins at a required deceleration of ``full_from_mps2`` and partial at
    ``partial_from_mps2``; braking that has begun ends under ``release_mps2``. ``margin_m`` is what must be left.
    Against what stands or comes, no brake while steering with ``steer_mps2`` still helps ``steer_spare_s`` from now;
    against what comes the other way none before ``oncoming_s`` to the contact: on a road that bends nobody knows
    sooner in whose lane they will meet.
    """

    response_s: float = 0.3
    own_braking_mps2: float = 8.0
    lead_braking_mps2: float = 8.0
    own_acceleration_mps2: float = 2.0
    full_from_mps2: float = 5.5
    partial_from_mps2: float = 4.5
    release_mps2: float = 1.5
    partial_mps2: float = 5.0
    full_mps2: float = 9.5
    blind_mps2: float = 5.0
    margin_m: float = 0.8
    warning_s: float = 2.2
    steer_mps2: float = 4.0
    steer_spare_s: float = 0.4
    steer_margin_m: float = 0.2
    moving_mps: float = 1.5
    oncoming_s: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.release_mps2 < self.partial_from_mps2 <= self.full_from_mps2 < self.own_braking_mps2:
            raise ValueError(
                "0 < release_mps2 < partial_from_mps2 <= full_from_mps2 < own_braking_mps2 must hold"
            )
        if not 0 < self.partial_mps2 <= self.full_mps2:
            raise ValueError("0 < partial_mps2 <= full_mps2 must hold")
        if min(self.response_s, self.margin_m, self.warning_s, self.steer_mps2) <= 0:
            raise ValueError("response_s, margin_m, warning_s and steer_mps2 must be above 0")


@dataclass(frozen=True)
class Threat:
    """Something in, or about to be in, the ego's path.

    ``gap_m`` is from the ego's front along its path, ``speed_mps`` the other's speed along it, ``braking_mps2`` how it
    slows (0 or more). ``aside_m`` is how far the ego would have to move aside to pass it. ``crosses`` says that it
    moves across the path. ``evidence_ns`` is when the oldest evidence of it was measured. ``young`` is what has been
    seen too briefly to be believed where no other sensor sees it.
    """

    gap_m: float
    speed_mps: float
    braking_mps2: float = 0.0
    aside_m: float = 2.0
    crosses: bool = False
    evidence_ns: int = 0
    source: str = "radar"
    track: int = -1
    young: bool = False


@dataclass(frozen=True)
class Verdict:
    """What one threat asks for: stage 0 to 3 (none, warn, partial, full), the deceleration, and why."""

    stage: int
    deceleration_mps2: float
    reason: str
    time_to_collision_s: float
    threat: Threat | None = None


NOTHING = Verdict(0, 0.0, "", math.inf)


def safe_distance(speed_mps: float, lead_mps: float, limits: Limits) -> float:
    """Return the safe distance in m behind one who drives the same way, by RSS (Shalev-Shwartz et al. 2017)."""
    faster = speed_mps + limits.response_s * limits.own_acceleration_mps2
    during = (speed_mps + faster) / 2 * limits.response_s
    own = faster * faster / (2 * limits.own_braking_mps2)
    lead = max(lead_mps, 0.0) ** 2 / (2 * limits.lead_braking_mps2)
    return max(during + own - lead, 0.0)


def time_to_collision(speed_mps: float, threat: Threat) -> float:
    """Return the seconds to contact if both keep speed and braking; infinite where there is none."""
    closing, gap = speed_mps - threat.speed_mps, max(threat.gap_m, 0.0)
    braking = threat.braking_mps2
    if braking > 0.0 and threat.speed_mps > 0.0:
        stands_s = threat.speed_mps / braking
        root = math.sqrt(closing * closing + 2 * braking * gap)
        meets_s = (root - closing) / braking
        if meets_s <= stands_s:
            return meets_s
        rest = gap + threat.speed_mps * stands_s / 2
        return rest / speed_mps if speed_mps > 0.0 else math.inf
    return gap / closing if closing > 0.0 else math.inf


def required_deceleration(speed_mps: float, threat: Threat, limits: Limits) -> float:
    """Return the constant deceleration in m/s^2 that, after the response, just avoids contact with the margin left."""
    closing, braking = speed_mps - threat.speed_mps, threat.braking_mps2
    stands_s = threat.speed_mps / braking if braking > 0.0 and threat.speed_mps > 0.0 else math.inf
    response = limits.response_s
    early = min(response, stands_s)
    room = threat.gap_m - limits.margin_m - closing * response
    if math.isfinite(stands_s):
        room -= braking * early * early / 2
        # The one ahead stands in the end: the ego must stop within the gap and what the other still drives.
        to_stop = threat.gap_m - limits.margin_m + threat.speed_mps * stands_s / 2 - speed_mps * response
        stop = speed_mps * speed_mps / (2 * to_stop) if to_stop > 0.0 else math.inf
        later = closing + braking * early
        if later <= 0.0:
            return stop if speed_mps > 0.0 else 0.0
        match = braking + later * later / (2 * room) if room > 0.0 else math.inf
        return match if 2 * room / later < stands_s - early else stop
    if closing <= 0.0:
        return 0.0
    return closing * closing / (2 * room) if room > 0.0 else math.inf


def can_steer(threat: Threat, time_s: float, limits: Limits) -> bool:
    """Return whether steering aside would still pass the threat, begun ``steer_spare_s`` from now."""
    away = max(threat.aside_m + limits.steer_margin_m, 0.0)
    return math.sqrt(2 * away / limits.steer_mps2) + limits.steer_spare_s < time_s


def judge(speed_mps: float, threat: Threat, limits: Limits, *, braking: bool) -> Verdict:
    """Return what one threat asks for; ``braking`` says that the brake is on already."""
    time_s = time_to_collision(speed_mps, threat)
    required = required_deceleration(speed_mps, threat, limits)
    comes = threat.speed_mps < -limits.moving_mps  # in its own lane, most likely: it keeps no brake on
    waits = threat.speed_mps < limits.moving_mps and not threat.crosses and can_steer(threat, time_s, limits)
    waits |= comes and time_s > limits.oncoming_s
    if required >= limits.full_from_mps2 and not waits:
        return Verdict(3, limits.full_mps2, "required deceleration", time_s, threat)
    if braking and required >= limits.release_mps2 and not (waits and comes):
        deceleration = min(max(limits.partial_mps2, 1.2 * required), limits.full_mps2)
        return Verdict(2, deceleration, "braking until it is over", time_s, threat)
    if required >= limits.partial_from_mps2 and not waits:
        return Verdict(2, limits.partial_mps2, "required deceleration", time_s, threat)
    unsafe = speed_mps > threat.speed_mps and threat.gap_m < safe_distance(
        speed_mps, threat.speed_mps, limits
    )
    if time_s < limits.warning_s and unsafe:
        return Verdict(1, 0.0, "closer than the safe distance, and closing", time_s, threat)
    return Verdict(0, 0.0, "", time_s, threat)


def worst(speed_mps: float, threats: Iterable[Threat], limits: Limits, *, braking: bool) -> Verdict:
    """Return the gravest verdict over all threats: by stage, then by deceleration, then by time."""
    verdict = NOTHING
    for threat in threats:
        if not (math.isfinite(threat.gap_m) and math.isfinite(threat.speed_mps)):
            continue
        other = judge(speed_mps, threat, limits, braking=braking)
        if _rank(other) > _rank(verdict):
            verdict = other
    return verdict


def blind(limits: Limits) -> Verdict:
    """Return the verdict where no sensor tells what is ahead."""
    return Verdict(2, limits.blind_mps2, "nothing tells what is ahead", math.inf)


def conditions(verdict: Verdict, lost: Iterable[str], vehicle: str) -> tuple[Condition, ...]:
    """Return what holds: the stage that is reached, and the sensors that are missing."""
    found = [
        Condition(
            Code.SENSOR_LOST,
            f"{vehicle}/{sensor}",
            Priority.MEDIUM,
            TITLES[Code.SENSOR_LOST],
            {"sensor": sensor},
        )
        for sensor in lost
    ]
    if verdict.stage == 0:
        return tuple(found)
    evidence: dict[str, object] = {
        "reason": verdict.reason,
        "deceleration_mps2": round(verdict.deceleration_mps2, 1),
    }
    if verdict.threat is None:
        return (
            *found,
            Condition(Code.BRAKE_BLIND, vehicle, Priority.HIGH, TITLES[Code.BRAKE_BLIND], evidence),
        )
    evidence |= {
        "time_to_collision_s": round(min(verdict.time_to_collision_s, 99.0), 2),
        "gap_m": round(verdict.threat.gap_m, 1),
        "source": verdict.threat.source,
    }
    code, priority = (
        (Code.COLLISION_WARNING, Priority.MEDIUM)
        if verdict.stage == 1
        else (Code.EMERGENCY_BRAKING, Priority.HIGH)
    )
    return (*found, Condition(code, vehicle, priority, TITLES[code], evidence))


def _rank(verdict: Verdict) -> tuple[int, float, float]:
    return verdict.stage, verdict.deceleration_mps2, -verdict.time_to_collision_s
