"""What candidates cost, by name, and what they risk: arrays over (sides, speeds)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.config import VehicleConfig
from apps.automotive.messages import Floats
from apps.automotive.planning import predict
from apps.automotive.planning.candidates import STEP_S, TIMES_S, Profiles, Sides
from apps.automotive.planning.check import Contacts, Motion, beside, level
from apps.automotive.planning.preprocess import Obstacles, Situation

FAILSAFE_BRAKING_MPS2 = 6.5
"""The brake that must be enough at the worst: less than the brake gives, for roads are wet."""
FAILSAFE_FROM = 2  # index of TIMES_S: until the next plan has reached the wheels, this one is driven
FAILSAFE_BUILD_UP_S = 0.15

STANDSTILL_GAP_M = 3.0

WEIGHTS = {
    "progress": 1.0, "comfort": 0.012, "sway": 0.03, "place": 0.10, "lane": 0.04, "change": 0.12, "headway": 0.25,
    "closeness": 0.25, "exposure": 0.05,
}  # fmt: skip


@dataclass(frozen=True)
class Wishes:
    """What costs are measured against: the speed and headway that are wished, and the lane that was meant."""

    speed_mps: float
    headway_s: float
    lane: int


def costs(
    now: Situation, wishes: Wishes, futures: predict.Futures, speeds: Profiles, lateral: Sides, moves: Motion,
    contacts: Contacts, vehicle: VehicleConfig,
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """Return the weighted costs by name; ``contacts`` are those with ``futures``."""
    top = wishes.speed_mps
    lanes, count = len(lateral.length_m), len(speeds.s_m)
    v, a = speeds.speed_mps, speeds.acceleration_mps2
    late = np.abs(top - v).mean(axis=1) / top
    jerk = np.diff(a, axis=1) / STEP_S
    rough = (a**2).mean(axis=1) + 0.3 * np.minimum(jerk**2, 100.0).mean(axis=1)
    sway = (moves.lateral_mps2[:, :, 2:] ** 2).mean(axis=2).astype(np.float64)
    width = now.route.lane_width_m
    off = lateral.target_m - lateral.lane * width
    place = off**2 + 0.02 * (lateral.length_m / max(now.speed_mps, 2.0))
    change = np.abs(lateral.lane - wishes.lane).astype(np.float64)
    same = np.ones((lanes, count))
    return {
        "progress": WEIGHTS["progress"] * late[None] * same,
        "comfort": WEIGHTS["comfort"] * rough[None] * same,
        "sway": WEIGHTS["sway"] * sway,
        "place": WEIGHTS["place"] * place[:, None] * same,
        "lane": WEIGHTS["lane"] * np.abs(lateral.lane)[:, None] * same,
        "change": WEIGHTS["change"] * change[:, None] * same,
        "headway": WEIGHTS["headway"] * _headway(wishes, futures, speeds, moves, vehicle),
        "closeness": WEIGHTS["closeness"] * _closeness(futures, speeds, moves, contacts, vehicle),
    }


def exposure(
    now: Situation, obstacles: Obstacles, speeds: Profiles, lateral: Sides, vehicle: VehicleConfig
) -> NDArray[np.float64]:
    """Return how fast a hard brake a moment later would still hit somebody at the worst, (sides, speeds)."""
    ahead = obstacles.take(obstacles.s_m + obstacles.half_length_m > vehicle.middle_m)
    count = len(speeds.s_m)
    if not len(ahead.id):
        return np.zeros((len(lateral.length_m), count))
    s, v = _brake_after(speeds, FAILSAFE_FROM)
    futures = predict.worst(ahead, now.d_m)
    contacts = level(s, np.zeros_like(v), futures, vehicle)
    contacts = contacts.take(v[contacts.profile, contacts.time] > 0.5)
    d, slope, _ = lateral.at(s[contacts.profile, contacts.time])
    hits = beside(contacts, d, slope, futures, vehicle)
    fast = v[contacts.profile, contacts.time]
    return np.asarray(contacts.reduce(hits * fast[None], count, np.maximum), np.float64)


def harm(
    contacts: Contacts, hits: NDArray[np.bool_], speeds: Profiles, futures: predict.Futures
) -> NDArray[np.float64]:
    """Return the square of how fast each pair runs into what it first meets, and a little for how soon."""
    count = len(speeds.s_m)
    i, t, o = contacts.profile, contacts.time, contacts.obstacle
    early = (len(TIMES_S) - t).astype(np.float32)
    first = contacts.reduce(np.where(hits, early[None], np.float32(0.0)), count, np.maximum)
    meets = hits & (first[:, i] == early[None])
    closing = (speeds.speed_mps[i, t] - futures.speed_mps[t, o]) ** 2
    worst = contacts.reduce(meets * closing[None], count, np.maximum)
    return np.asarray(worst + 0.1 * first, np.float64)


def _headway(
    wishes: Wishes, futures: predict.Futures, speeds: Profiles, moves: Motion, vehicle: VehicleConfig
) -> NDArray[np.float64]:
    """Return the mean share of the wished gap that is missing, (sides, speeds)."""
    every = slice(1, None, 3)
    s, v = speeds.s_m[:, every], speeds.speed_mps[:, every]
    some = predict.Futures(
        futures.s_m[every], futures.d_m[every], futures.half_s_m[every], futures.half_d_m[every],
        futures.speed_mps[every],
    )  # fmt: skip
    wish = STANDSTILL_GAP_M + wishes.headway_s * v
    contacts = level(s, np.zeros_like(v), some, vehicle, ahead_m=wish)
    ahead = some.s_m[contacts.time, contacts.obstacle] > s[contacts.profile, contacts.time] + vehicle.middle_m
    contacts = contacts.take(ahead)
    i, t, o = contacts.profile, contacts.time, contacts.obstacle
    gap = some.s_m[t, o] - some.half_s_m[t, o] - s[i, t] - vehicle.front_m
    closing = np.maximum(v[i, t] - some.speed_mps[t, o], 0.0)
    missing = np.clip(1.0 - gap / wish[i, t], 0.0, 1.5) ** 2 * (1.0 + 0.2 * closing)
    d, slope = contacts.of(moves.d_m[:, :, every]), contacts.of(moves.slope[:, :, every])
    hits = beside(contacts, d, slope, some, vehicle)
    missing_sum = contacts.reduce(hits * missing[None], len(s), np.add)
    return np.asarray(missing_sum / s.shape[1], np.float64)


def _closeness(
    futures: predict.Futures, speeds: Profiles, moves: Motion, contacts: Contacts, vehicle: VehicleConfig
) -> NDArray[np.float64]:
    """Return how near pairs pass beside others, the faster the dearer, (sides, speeds)."""
    i, t, o = contacts.profile, contacts.time, contacts.obstacle
    away = np.abs(moves.d_m[:, i, t] - futures.d_m[t, o]) - futures.half_d_m[t, o] - vehicle.width_m / 2
    fast = np.abs(speeds.speed_mps[i, t] - futures.speed_mps[t, o]) / 10.0
    near = np.clip(1.0 - away / 0.9, 0.0, 1.0) ** 2 * fast[None]
    return np.asarray(contacts.reduce(near, len(speeds.s_m), np.add) / len(TIMES_S), np.float64)


def _brake_after(profiles: Profiles, index: int) -> tuple[Floats, Floats]:
    """Return place and speed of profiles that are driven to time ``index`` and then braked hard."""
    t = np.maximum(TIMES_S - TIMES_S[index] - FAILSAFE_BUILD_UP_S, 0.0)
    build_up = np.clip(TIMES_S - TIMES_S[index], 0.0, FAILSAFE_BUILD_UP_S)
    s0, v0 = profiles.s_m[:, index, None], np.maximum(profiles.speed_mps[:, index, None], 0.0)
    driven = np.minimum(t, v0 / FAILSAFE_BRAKING_MPS2)
    s = s0 + v0 * build_up + v0 * driven - FAILSAFE_BRAKING_MPS2 / 2 * driven**2
    v = v0 - FAILSAFE_BRAKING_MPS2 * driven
    before = TIMES_S[index] >= TIMES_S
    return np.where(before, profiles.s_m, s), np.where(before, profiles.speed_mps, v)
