"""Candidates: speed profiles over time and lateral profiles over distance, all pairs of them at once as arrays.

Polynomials: Werling, Ziegler, Kammel and Thrun, "Optimal trajectory generation for dynamic street scenarios in a
Frenet frame", ICRA 2010: quartics to a speed, quintics to a place, so that acceleration has no jumps. Lateral
profiles are polynomials of the distance driven, not of time: so a car that stops does not slide sideways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats

STEP_S = 0.25
HORIZON_S = 6.0
TIMES_S: Floats = np.arange(0.0, HORIZON_S + 1e-9, STEP_S)

SPEEDS = 10
SPEED_WITHIN_S = (2.0, 3.5, 6.0)
FOLLOW_WITHIN_S = (2.5, 4.0, 6.0)
STOPS_MPS2 = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
SIDE_WITHIN_S = (2.0, 3.5, 5.5)
OWN_OFFSETS_M = (0.0, -0.3, 0.3, -0.6, 0.6, -0.85, 0.85, -0.15, 0.15)
PLACES = 9
"""Places aside, in all lanes together: the own lane has what the others leave."""
OTHER_OFFSETS_M = (0.0, 0.4)
SHORTEST_SIDE_M = 9.0

_LONGEST_SIDE_M = SIDE_WITHIN_S[-1] * 70.0  # no car is faster
_FINE = 4  # stops are integrated at a quarter of the step
_COMFORT_JERK = 4.0
_HARD_JERK = 25.0

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Profiles:
    """Speed profiles over ``TIMES_S``: distance from the start, speed and acceleration, (profiles, times).

    ``stop`` marks those that brake to a standstill and stay there; ``kinds`` says of each what it is.
    """

    s_m: Floats
    speed_mps: Floats
    acceleration_mps2: Floats
    stop: NDArray[np.bool_]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Sides:
    """Lateral profiles: ``coefficients`` (profiles, 6) of d over the distance driven, up to ``length_m``.

    ``target_m`` is where they end, ``lane`` the lane of that place, 0 being the route's and 1 the one to its left.
    """

    coefficients: Floats
    length_m: Floats
    target_m: Floats
    lane: NDArray[np.int64]

    def at(self, driven_m: Floats) -> tuple[Singles, Singles, Singles]:
        """Return d and its first and second derivative by distance, (sides, *driven_m.shape), as float32.

        Counted in shares of the length: beyond 1 the derivatives are 0 by themselves, for there the profile ends.
        """
        shape = (len(self.length_m), *(1,) * driven_m.ndim)
        length = self.length_m.astype(np.float32).reshape(shape)
        share = driven_m.astype(np.float32)[None] / length
        np.minimum(share, np.float32(1.0), out=share)
        c = (
            (self.coefficients * self.length_m[:, None] ** np.arange(6))
            .astype(np.float32)
            .T.reshape(6, *shape)
        )
        return (
            _horner(c, share),
            _horner([k * c[k] / length for k in range(1, 6)], share),
            _horner([k * (k - 1) * c[k] / length**2 for k in range(2, 6)], share),
        )

    def place_at(self, chosen: int, driven_m: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the same of one profile, in double precision."""
        s = np.minimum(driven_m, self.length_m[chosen])
        c = self.coefficients[chosen][::-1]
        on = driven_m < self.length_m[chosen]
        first, second = np.polyder(c), np.polyder(c, 2)
        return np.polyval(c, s), np.polyval(first, s) * on, np.polyval(second, s) * on


def speed_profiles(
    speed_mps: float,
    acceleration_mps2: float,
    *,
    top_mps: float,
    braking_mps2: float,
    places: tuple[tuple[float, float], ...] = (),
) -> Profiles:
    """Return all speed profiles: to a speed, to a standstill, and to ``places`` (distance now, and how fast it moves).

    The last profile is the hardest stop, ``braking_mps2``: a safe stop is always among the candidates.
    """
    speeds, within = np.meshgrid(np.linspace(0.0, top_mps, SPEEDS), SPEED_WITHIN_S)
    to_speed = _quartics(speed_mps, acceleration_mps2, speeds.ravel(), within.ravel())
    kinds = ["keep a speed"] * speeds.size
    parts = [to_speed]
    goals = [(s + v * t, v, t) for s, v in places for t in FOLLOW_WITHIN_S]
    if goals:
        s, v, t = np.array(goals).T
        parts.append(_quintics(speed_mps, acceleration_mps2, s, v, t))
        kinds += ["follow" if speed > 0.5 else "stop before it" for _, speed, _ in goals]
    parts.append(stops(speed_mps, acceleration_mps2, (*STOPS_MPS2, braking_mps2)))
    kinds += ["stop"] * (len(STOPS_MPS2) + 1)
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    stop = np.array([kind == "stop" for kind in kinds])
    return Profiles(joined[0], joined[1], joined[2], stop, tuple(kinds))


def stops(
    speed_mps: float, acceleration_mps2: float, brakings_mps2: tuple[float, ...]
) -> tuple[Floats, Floats, Floats]:
    """Return profiles that brake with a bounded jerk and hold: the harder the brake, the quicker it is there."""
    t = np.arange(0.0, HORIZON_S + 1e-9, STEP_S / _FINE)
    braking = np.asarray(brakings_mps2)[:, None]
    jerk = np.where(braking > 4.0, _HARD_JERK, _COMFORT_JERK)
    start = min(acceleration_mps2, 1.0)
    a = np.where(
        -braking < start, np.maximum(start - jerk * t, -braking), np.minimum(start + jerk * t, -braking)
    )
    dt = STEP_S / _FINE
    v = speed_mps + np.concatenate(
        [np.zeros_like(braking), np.cumsum((a[:, 1:] + a[:, :-1]) / 2 * dt, axis=1)], axis=1
    )
    a = np.where(v > 0.0, a, 0.0)
    v = np.maximum(v, 0.0)
    s = np.concatenate([np.zeros_like(braking), np.cumsum((v[:, 1:] + v[:, :-1]) / 2 * dt, axis=1)], axis=1)
    return s[:, ::_FINE], v[:, ::_FINE], a[:, ::_FINE]


def sides(
    d_m: float,
    slope: float,
    bend_1pm: float,
    speed_mps: float,
    *,
    lane_width_m: float,
    lanes_left: int,
    lanes_right: int,
    driven: tuple[float, float] | None = None,
) -> Sides:
    """Return all lateral profiles from d with its derivatives by distance: to places in every lane one may use.

    ``driven`` is how far the end of the profile that is being driven lies ahead, and its place aside: going on with
    it is the last candidate, or else each cycle would begin a change of lanes anew and none would be half done.
    """
    targets, lanes = [], []
    here = int(np.clip(round(d_m / lane_width_m), -lanes_right, lanes_left))
    near = [lane for lane in range(-lanes_right, lanes_left + 1) if abs(lane - here) <= 1]
    own = PLACES - len(OTHER_OFFSETS_M) * (len(near) - 1)
    for lane in near:
        offsets = OWN_OFFSETS_M[:own] if lane == here else OTHER_OFFSETS_M
        targets += [lane * lane_width_m + offset for offset in offsets]
        lanes += [lane] * len(offsets)
    target, within = np.meshgrid(targets, SIDE_WITHIN_S)
    lane_of = np.broadcast_to(np.array(lanes, np.int64), target.shape).ravel()
    length = np.maximum(within.ravel() * max(speed_mps, 2.0), SHORTEST_SIDE_M)
    goal = target.ravel()
    if driven is not None and SHORTEST_SIDE_M <= driven[0] <= _LONGEST_SIDE_M:
        lane = round(driven[1] / lane_width_m)
        if lane in near:
            length, goal = np.append(length, driven[0]), np.append(goal, driven[1])
            lane_of = np.append(lane_of, lane)
    return Sides(_quintic_over(length, d_m, slope, bend_1pm, goal), length, goal, lane_of)


def _horner(coefficients: Sequence[Singles] | Singles, x: Singles) -> Singles:
    """Return the polynomials with these coefficients, lowest first, at ``x``: in place, for these arrays are large."""
    result: Singles = coefficients[-1] * x
    for c in coefficients[-2:0:-1]:
        result += c
        result *= x
    result += coefficients[0]
    return result


def _quartics(v0: float, a0: float, v1: Floats, t1: Floats) -> tuple[Floats, Floats, Floats]:
    dv, da = v1 - v0 - a0 * t1, -a0
    c4 = (t1 * da / 2 - dv) / (2 * t1**3)
    c3 = (da - 12 * c4 * t1**2) / (6 * t1)
    t = np.minimum(TIMES_S, t1[:, None])
    beyond = TIMES_S - t
    c3, c4 = c3[:, None], c4[:, None]
    s = v0 * t + a0 / 2 * t**2 + c3 * t**3 + c4 * t**4 + v1[:, None] * beyond
    v = v0 + a0 * t + 3 * c3 * t**2 + 4 * c4 * t**3
    a = (a0 + 6 * c3 * t + 12 * c4 * t**2) * (beyond == 0)
    return s, v, a


def _quintics(v0: float, a0: float, s1: Floats, v1: Floats, t1: Floats) -> tuple[Floats, Floats, Floats]:
    """Return profiles that are at ``s1`` with speed ``v1`` at ``t1``, and go on at that speed."""
    c = _quintic_over(t1, 0.0, v0, a0, s1, v1)[:, :, None]
    t = np.minimum(TIMES_S, t1[:, None])
    beyond = TIMES_S - t
    s = ((((c[:, 5] * t + c[:, 4]) * t + c[:, 3]) * t + c[:, 2]) * t + c[:, 1]) * t + v1[:, None] * beyond
    v = (((5 * c[:, 5] * t + 4 * c[:, 4]) * t + 3 * c[:, 3]) * t + 2 * c[:, 2]) * t + c[:, 1]
    a = (((20 * c[:, 5] * t + 12 * c[:, 4]) * t + 6 * c[:, 3]) * t + 2 * c[:, 2]) * (beyond == 0)
    return s, v, a


def _quintic_over(
    length: Floats, x0: float, v0: float, a0: float, x1: Floats, v1: Floats | float = 0.0
) -> Floats:
    """Return coefficients, lowest first, of the quintics from (x0, v0, a0) to (x1, v1, 0) over ``length``."""
    end = x1 - (x0 + v0 * length + a0 / 2 * length**2)
    slope = v1 - (v0 + a0 * length)
    bend = -a0
    c3 = (10 * end - 4 * slope * length + 0.5 * bend * length**2) / length**3
    c4 = (-15 * end + 7 * slope * length - bend * length**2) / length**4
    c5 = (6 * end - 3 * slope * length + 0.5 * bend * length**2) / length**5
    same = np.ones_like(length)
    return np.stack([x0 * same, v0 * same, a0 / 2 * same, c3, c4, c5], axis=1)
