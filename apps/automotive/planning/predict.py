"""Where obstacles will be: as they move now, and at their worst, both as boxes along the route that grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import Floats, ObjectKind
from apps.automotive.planning.candidates import TIMES_S
from apps.automotive.planning.preprocess import Obstacles

SETTLES_S = 1.2
"""A vehicle's sideways speed dies away with this time constant: most end in the middle of a lane."""
MARGIN_S_M = 0.8
MARGIN_D_M = 0.3
MARGIN_WITHIN_S = 1.0
"""Margins are wished, not owed: who is nearer than that already has so long to get away."""
MOST_GROWTH_S_M = 3.0
MOST_GROWTH_D_M = 0.8

WORST_BRAKING_MPS2 = 8.0
"""How hard one ahead may brake (RSS: b_max of the front vehicle; Shalev-Shwartz et al. 2017)."""
WORST_WALK_MPS = 1.8
WORST_WALK_REACH_M = 3.5
WORST_CUT_IN_MPS = 1.8
LEAVES_MPS = 0.5
"""One who moves away from the ego's lane faster than this does not mean to come over."""
SURPRISE_S = 0.3
"""Nobody changes its mind within this time."""


@dataclass(frozen=True)
class Futures:
    """Boxes over time, (times, obstacles): middle along and beside the route, half extents, speed along it."""

    s_m: Floats
    d_m: Floats
    half_s_m: Floats
    half_d_m: Floats
    speed_mps: Floats


def nominal(obstacles: Obstacles, acceleration_mps2: Floats) -> Futures:
    """Return what happens where everybody goes on: ``acceleration_mps2`` (obstacles,) until it stands.

    Extents grow by one standard deviation of what is known, within bounds.
    """
    t = TIMES_S[:, None]
    s, v = _along(obstacles, np.minimum(acceleration_mps2, 0.0), t)
    straight = obstacles.walks | (np.abs(obstacles.lateral_mps) > np.abs(obstacles.speed_mps))
    drift = np.where(straight, t, SETTLES_S * (1.0 - np.exp(-t / SETTLES_S)))
    d = obstacles.d_m + obstacles.lateral_mps * drift
    soon = np.clip(0.2 + 0.8 * t / MARGIN_WITHIN_S, 0.0, 1.0)
    grow_s = np.sqrt(obstacles.sigma_s_m**2 + (obstacles.sigma_speed_mps * t) ** 2)
    grow_d = np.sqrt(obstacles.sigma_d_m**2 + (obstacles.sigma_lateral_mps * drift) ** 2)
    return Futures(
        s,
        d,
        obstacles.half_length_m + soon * (MARGIN_S_M + np.minimum(grow_s, MOST_GROWTH_S_M)),
        obstacles.half_width_m + soon * (MARGIN_D_M + np.minimum(grow_d, MOST_GROWTH_D_M)),
        v,
    )


def worst(obstacles: Obstacles, lane_d_m: float) -> Futures:
    """Return the worst that must be reckoned with while the ego brakes.

    Vehicles ahead brake as hard as they can; those in the next lane come over towards ``lane_d_m`` instead; people
    may walk towards it at once. Extents keep their margins and grow by what is not known of the place.
    """
    t = TIMES_S[:, None]
    late = np.maximum(t - SURPRISE_S, 0.0)
    away = lane_d_m - obstacles.d_m
    walks = obstacles.walks
    vehicle = ~walks & ((obstacles.kind != ObjectKind.UNKNOWN) | (np.abs(obstacles.speed_mps) > 1.0))
    with_us = vehicle & (obstacles.speed_mps > 1.0)
    beside = (
        with_us
        & (np.abs(away) > 2.2)
        & (np.abs(away) < 5.0)
        & (obstacles.lateral_mps * np.sign(away) > -LEAVES_MPS)
    )
    brakes = with_us & ~beside
    braking = np.where(brakes, -WORST_BRAKING_MPS2, 0.0)
    s, v = _along(obstacles, np.where(walks, -3.0 * (obstacles.speed_mps > 0), braking), t)
    d = obstacles.d_m + obstacles.lateral_mps * SETTLES_S * (1.0 - np.exp(-t / SETTLES_S))
    over = np.sign(away) * np.minimum(
        np.maximum(WORST_CUT_IN_MPS, np.abs(obstacles.lateral_mps)) * late, np.abs(away)
    )
    d = np.where(beside, obstacles.d_m + over, d)
    walk = np.minimum(np.maximum(WORST_WALK_MPS, np.abs(obstacles.lateral_mps)) * late, WORST_WALK_REACH_M)
    reach = np.where(walks, walk / 2, 0.0)
    d = np.where(walks, obstacles.d_m + np.sign(away) * reach, d)
    return Futures(
        s,
        d,
        obstacles.half_length_m + MARGIN_S_M + np.minimum(obstacles.sigma_s_m, MOST_GROWTH_S_M),
        obstacles.half_width_m + MARGIN_D_M + np.minimum(obstacles.sigma_d_m, MOST_GROWTH_D_M) + reach,
        v,
    )


def _along(obstacles: Obstacles, acceleration_mps2: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return place and speed along the route over time, (times, obstacles); who brakes stops and stays."""
    v0 = obstacles.speed_mps
    slows = (acceleration_mps2 < -1e-6) & (v0 > 0)
    a = np.where(slows, acceleration_mps2, 0.0)
    stops_at = np.where(slows, v0 / np.where(slows, -a, 1.0), np.inf)
    driven = np.minimum(t, stops_at)
    return obstacles.s_m + v0 * driven + a / 2 * driven**2, np.where(t < stops_at, v0 + a * driven, 0.0)
