"""Radar targets, lidar sector and tracks -> threats: what is, or will be, in the ego's path, from each by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.automotive.braking.corridor import Corridor
from apps.automotive.braking.decide import Threat
from apps.automotive.braking.radar import Targets
from apps.automotive.messages import Floats, ObjectKind, Odometry, PointCloud, Tracks

SIDE_MARGIN_M = 0.1
LOWEST_EXISTENCE = 0.7
CROSSING_MPS, CROSSING_SIGMA = 0.6, 2.5
"""Who crosses moves so fast across the road, and so many standard deviations of what is known of that."""
CROSSING_WITHIN_S = 2.5
SETTLED_S = 0.4
SETTLED_MPS = 1.0
"""A younger track, or one known no better across the road, has no sideways speed that one could stop a car for."""
KNOWN_MPS, KNOWN_M = 3.0, 0.7
"""A track whose speed along the road, or place across it, is known no better (one deviation) is none to brake for."""
TWIN_M, TWIN_S, TWIN_MPS = 3.0, 0.5, 3.0
"""A vehicle so near to one that is older by so much, at another speed, is an echo of it: two bodies cannot be there."""
LOWEST_BRAKING_MPS2 = 1.5
"""A deceleration smaller than this is noise of the estimate."""
FARTHEST_M, LONGEST_M = 130.0, 30.0
"""Gaps beyond this matter to nobody; no road user is longer than that, and moves so far while a track is fresh."""
STANDS_MPS = 2.0
AGREE_M = 3.0
"""Two sensors mean one thing where their gaps differ by less."""
LIDAR_BIN_M = 0.5
LIDAR_POINTS = 4
LIDAR_TALL_M = 0.4
LIDAR_NEAR_M, LIDAR_SURE_M = 45.0, 20.0
"""So far it looks, and so far nothing in the path escapes it, not even someone on foot."""


def radar_threats(targets: Targets, path: Corridor, time_ns: int) -> list[Threat]:
    """Return confirmed targets whose skin lies in the corridor."""
    if not len(targets.x_m):
        return []
    along, beside = path.to_path(targets.x_m, targets.y_m)
    inside = np.abs(beside) < path.half_width_m + SIDE_MARGIN_M
    inside &= along > path.front_m - 1.0
    return [
        Threat(
            float(along[i]) - path.front_m,
            float(targets.speed_mps[i]),
            _noticed(-float(targets.acceleration_mps2[i])),
            path.half_width_m + 0.3 + _reach(targets, i, along, beside) - abs(float(beside[i])),
            evidence_ns=time_ns,
            source="radar",
        )
        for i in np.flatnonzero(inside).tolist()
    ]


def _reach(targets: Targets, i: int, along: Floats, beside: Floats) -> float:
    """Return how far the body that target ``i`` belongs to reaches over the middle, by its other reflections."""
    same = (np.abs(along - along[i]) < 3.0) & (np.abs(targets.speed_mps - targets.speed_mps[i]) < 1.5)
    side = beside[same & (np.abs(beside) < 3.0)]
    return float(np.ptp(side)) / 2 if len(side) > 1 else 0.0


def lidar_threat(cloud: PointCloud, path: Corridor, time_ns: int) -> Threat | None:
    """Return the nearest thing in the corridor that stands tall enough; the lidar tells no speed: it counts as 0.

    So it is used near by and at low speed only where it agrees with nothing that moves; the caller pairs it.
    """
    xyz = np.asarray(cloud.xyz_m, np.float64)
    xyz = xyz[np.isfinite(xyz).all(axis=1)]
    if not len(xyz):
        return None
    along, beside = path.to_path(xyz[:, 0], xyz[:, 1])
    inside = (
        (np.abs(beside) < path.half_width_m) & (along > path.front_m) & (along < path.front_m + LIDAR_NEAR_M)
    )
    inside &= xyz[:, 2] > 0.3
    if inside.sum() < LIDAR_POINTS:
        return None
    along, height, side = along[inside], xyz[inside, 2], beside[inside]
    bins = ((along - path.front_m) / LIDAR_BIN_M).astype(np.int64)
    for which in np.unique(bins).tolist():
        near = (bins == which) | (bins == which + 1)
        if near.sum() >= LIDAR_POINTS and np.ptp(height[near]) >= LIDAR_TALL_M:
            gap = float(along[near].min()) - path.front_m
            aside = path.half_width_m + float(np.ptp(side[near])) / 2 - abs(float(side[near].mean()))
            return Threat(gap, 0.0, 0.0, aside, evidence_ns=time_ns, source="lidar")
    return None


def track_threats(tracks: Tracks, path: Corridor, odometry: Odometry, time_ns: int) -> list[Threat]:
    """Return tracks that are in the corridor, or cross into it by the time the ego is there."""
    usable = np.isfinite(tracks.position_m).all(axis=1) & np.isfinite(tracks.velocity_mps).all(axis=1)
    usable &= (tracks.existence > LOWEST_EXISTENCE) & tracks.confirmed
    if not usable.any():
        return []
    offset = tracks.position_m - (odometry.x_m, odometry.y_m)
    cos, sin = np.cos(odometry.yaw_rad), np.sin(odometry.yaw_rad)
    ahead = cos * offset[:, 0] + sin * offset[:, 1]
    which = np.flatnonzero(usable & (ahead > -LONGEST_M) & (ahead < FARTHEST_M + LONGEST_M))
    if not which.size:
        return []
    age_s = min(max((time_ns - tracks.time_ns) * 1e-9, 0.0), 0.5)
    velocity = tracks.velocity_mps[which]
    away = offset[which]
    vx, vy = cos * velocity[:, 0] + sin * velocity[:, 1], cos * velocity[:, 1] - sin * velocity[:, 0]
    covariance = tracks.covariance[which]
    sideways = _deviation(covariance[:, 2:, 2:], -sin, cos)
    settled = (tracks.age_s[which] > SETTLED_S) & (sideways < SETTLED_MPS)
    known = _deviation(covariance[:, 2:, 2:], cos, sin) < KNOWN_MPS
    known &= _deviation(covariance[:, :2, :2], -sin, cos) < KNOWN_M
    known &= ~_echoes(tracks, which, cos, sin)
    # until then nothing moves sideways, and what is longer than wide lies along the road
    vy = np.where(settled, vy, 0.0)
    x = cos * away[:, 0] + sin * away[:, 1] + vx * age_s
    y = cos * away[:, 1] - sin * away[:, 0] + vy * age_s
    turn = np.where(settled, np.nan_to_num(tracks.yaw_rad[which]) - odometry.yaw_rad, 0.0)
    size = np.nan_to_num(tracks.size_m[which], nan=1.0)
    half_along = (size[:, 0] * np.abs(np.cos(turn)) + size[:, 1] * np.abs(np.sin(turn))) / 2
    half_beside = (size[:, 0] * np.abs(np.sin(turn)) + size[:, 1] * np.abs(np.cos(turn))) / 2
    along, beside = path.to_path(x, y)
    heading = along * path.curvature_1pm
    speed, across = vx * np.cos(heading) + vy * np.sin(heading), vy * np.cos(heading) - vx * np.sin(heading)
    gap = along - half_along - path.front_m
    closing = np.maximum(odometry.speed_mps - speed, 0.1)
    arrives_s = np.clip(gap / closing, 0.0, CROSSING_WITHIN_S)
    kind = tracks.kind[which]
    people = (kind == ObjectKind.PEDESTRIAN) | (kind == ObjectKind.CYCLIST)
    crosses = people & settled & (np.abs(across) > np.maximum(CROSSING_MPS, CROSSING_SIGMA * sideways))
    crosses &= gap / closing < CROSSING_WITHIN_S
    leaves_s = (along + half_along - path.front_m + 4.6) / closing
    edge = path.half_width_m + SIDE_MARGIN_M + half_beside
    then = beside + across * arrives_s
    later = beside + across * np.minimum(leaves_s, CROSSING_WITHIN_S)
    # Between front and tail it sweeps from `then` to `later`: a threat where that meets the corridor.
    sweeps = (np.minimum(then, later) < edge + 0.2) & (np.maximum(then, later) > -edge - 0.2)
    inside = np.where(crosses, sweeps, np.abs(beside) < edge)
    inside &= known & (along + half_along > path.front_m) & (gap < FARTHEST_M)
    return [
        Threat(
            max(float(gap[i]), 0.0), float(speed[i]), 0.0,
            path.half_width_m + float(half_beside[i]) - abs(float(beside[i])), bool(crosses[i]),
            tracks.time_ns, "tracks", int(tracks.id[which[i]]), not bool(settled[i]),
        )
        for i in np.flatnonzero(inside).tolist()
    ]  # fmt: skip


def _deviation(covariance: Floats, x: float, y: float) -> Floats:
    """Return the standard deviations (n,) along the direction (x, y) of covariances (n, 2, 2)."""
    p = covariance
    variance = x * x * p[:, 0, 0] + 2 * x * y * p[:, 0, 1] + y * y * p[:, 1, 1]
    return np.sqrt(np.maximum(np.nan_to_num(variance, nan=np.inf), 0.0))


def _echoes(tracks: Tracks, which: NDArray[np.intp], cos: float, sin: float) -> NDArray[np.bool_]:
    """Return which vehicles lie inside an older one of another speed: mostly a sensor's second look at it."""
    place, age_s, speed = tracks.position_m[which], tracks.age_s[which], tracks.velocity_mps[which]
    away = place[None] - place[:, None]
    along, beside = away @ np.array([cos, sin]), away @ np.array([-sin, cos])
    inside = (np.abs(along) < TWIN_M) & (np.abs(beside) < TWIN_M / 2)
    other = np.hypot(*(speed[None] - speed[:, None]).transpose(2, 0, 1)) > TWIN_MPS
    kind = tracks.kind[which]
    body = (kind != ObjectKind.PEDESTRIAN) & (kind != ObjectKind.CYCLIST)
    older = (age_s > age_s[:, None] + TWIN_S) & body & body[:, None]
    return np.asarray((inside & other & older).any(axis=1))


def merged(
    radar: list[Threat],
    tracks: list[Threat],
    lidar: Threat | None,
    *,
    alone: bool = False,
    looked: bool = False,
) -> list[Threat]:
    """Return all threats, those that stand only where two sensors say so, and young tracks likewise.

    A radar sees manhole covers, rails and bridges as things that stand: such a target counts where a track or the
    lidar's sector has something there too. What passes close by gives young tracks that dart sideways: such a one
    counts where radar or lidar has something in the path there; and so near that a lidar that has ``looked`` surely
    sees it, does every track that is said to be in the path already: boxes are turned and displaced by what passes
    beside. With ``alone`` there is one sensor left, which is believed. The lidar's threat takes the speed of what it
    agrees with; where nobody else sees anything near it, it counts as standing.
    """
    sector = [lidar] if lidar is not None else []
    believed = [
        each
        for each in radar
        if abs(each.speed_mps) > STANDS_MPS
        or alone
        or any(_agree(each, other) for other in (*tracks, *sector))
    ]
    tracks = [
        each
        for each in tracks
        if alone
        or not (each.young or (looked and not each.crosses and each.gap_m < LIDAR_SURE_M))
        or any(_agree(each, other) for other in (*radar, *sector))
    ]
    threats = [*believed, *tracks]
    if lidar is None:
        return threats
    fits = [each for each in threats if _agree(each, lidar)]
    if not fits:
        return [*threats, lidar]
    best = min(fits, key=lambda each: abs(each.gap_m - lidar.gap_m))
    both = Threat(
        min(best.gap_m, lidar.gap_m), best.speed_mps, best.braking_mps2, max(best.aside_m, lidar.aside_m), best.crosses,
        min(best.evidence_ns, lidar.evidence_ns), f"{best.source} and lidar", best.track,
    )  # fmt: skip
    return [*threats, both]


def _agree(one: Threat, other: Threat) -> bool:
    return abs(one.gap_m - other.gap_m) < AGREE_M


def _noticed(braking_mps2: float) -> float:
    return braking_mps2 if braking_mps2 > LOWEST_BRAKING_MPS2 else 0.0
