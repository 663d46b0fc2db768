"""Simulated traffic at the level of detections: truth, and what sensors with fusion's declared noise would give.

This is a simulation. It has no pictures, points or echoes: it is for checking fusion by itself, where the truth about
position, velocity and noise is known exactly. How detectors behave on real input it cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind, Odometry
from apps.automotive.perception.detections import CameraDetections, LidarBoxes, RadarPoints
from apps.automotive.perception.fuse import Fusion, FusionConfig

Floats = NDArray[np.float64]

STEP_S = 0.01


@dataclass(frozen=True)
class Actor:
    """A road user: where it starts, and from when on it accelerates and turns how."""

    kind: ObjectKind
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    size_m: tuple[float, float, float] = (4.4, 1.8, 1.5)
    moves: tuple[tuple[float, float, float], ...] = ()
    """(from second, acceleration m/s^2, turn rate rad/s), in order."""

    def drive(self, seconds: float, rng: np.random.Generator, wander_psd: float) -> Floats:
        """Return x, y, vx, vy, yaw (steps, 5); the velocity wanders by white-noise acceleration on top."""
        state = np.array([self.x_m, self.y_m, self.speed_mps, self.yaw_rad])
        extra = np.zeros(2)
        rows = np.empty((round(seconds / STEP_S) + 1, 5))
        kicks = rng.normal(0.0, np.sqrt(wander_psd * STEP_S), (len(rows), 2))
        for i in range(len(rows)):
            x, y, speed, yaw = state
            velocity = speed * np.array([np.cos(yaw), np.sin(yaw)]) + extra
            rows[i] = x, y, velocity[0], velocity[1], yaw
            push, turn = 0.0, 0.0
            for start_s, acceleration, rate in self.moves:
                if i * STEP_S >= start_s:
                    push, turn = acceleration, rate
            state = np.array(
                [
                    x + velocity[0] * STEP_S,
                    y + velocity[1] * STEP_S,
                    max(0.0, speed + push * STEP_S),
                    yaw + turn * STEP_S,
                ]
            )
            extra = extra + kicks[i]
        return rows


@dataclass(frozen=True)
class Scenario:
    """A name, the ego (its first actor) and others, and how long it lasts."""

    name: str
    ego: Actor
    others: tuple[Actor, ...]
    seconds: float = 8.0


@dataclass(frozen=True)
class Moment:
    """What fusion gave at a time, beside the truth (objects, 4): x, y, vx, vy of everything."""

    time_s: float
    truth: Floats
    position_m: Floats
    velocity_mps: Floats
    covariance: Floats
    confirmed: NDArray[np.bool_]
    id: NDArray[np.int64]
    suspects: tuple[str, ...]


_CAR, _PERSON, _BIKE, _TRUCK = ObjectKind.CAR, ObjectKind.PEDESTRIAN, ObjectKind.CYCLIST, ObjectKind.TRUCK
_EGO = Actor(_CAR, 0.0, 0.0, 0.0, 14.0)

SCENARIOS = (
    Scenario("following", _EGO, (Actor(_CAR, 30, 0, 0, 14), Actor(_CAR, 55, 3.5, 0, 15))),
    Scenario("braking ahead", _EGO, (Actor(_CAR, 45, 0, 0, 14, moves=((3.0, -5.0, 0.0),)),), 6.0),
    Scenario("cut-in", _EGO, (Actor(_CAR, 25, 3.5, 0, 16, moves=((2.0, 0, -0.12), (3.0, 0, 0.12), (4.0, 0, 0))),)),
    Scenario("oncoming", _EGO, (Actor(_CAR, 85, 3.5, np.pi, 13), Actor(_TRUCK, 60, -3.5, 0, 12, (9, 2.5, 3.3))), 4.0),
    Scenario(
        "crossing", Actor(_CAR, 0, 0, 0, 6.0),
        (Actor(_PERSON, 40, -6, np.pi / 2, 1.4, (0.6, 0.6, 1.75)), Actor(_BIKE, 45, 8, -np.pi / 2, 4, (1.8, 0.6, 1.7))),
        5.0,
    ),
    Scenario(
        "curve", Actor(_CAR, 0, 0, 0, 12, moves=((1.0, 0, 0.12),)),
        (Actor(_CAR, 25, 0, 0, 12, moves=((0.0, 0, 0.12),)),), 6.0,
    ),
    Scenario("standing", _EGO, (Actor(_CAR, 70, 0, 0, 0), Actor(_CAR, 75, 3.5, 0, 0)), 4.0),
)  # fmt: skip


def play(
    scenario: Scenario,
    seed: int,
    sensors: tuple[str, ...] = ("camera", "lidar", "radar"),
    config: FusionConfig | None = None,
    faults: dict[str, str] | None = None,
    wander_psd: float = 0.3,
) -> Iterator[Moment]:
    """Run fusion over a scenario and give what it says every 0.1 s.

    Camera 30 Hz, lidar 10 Hz, radar 20 Hz, delivered 60, 80 and 30 ms late. ``faults`` by sensor, from second 2 on:
    ``shifted`` (lidar 2 m, radar 3 m, camera 3 degrees), ``noisy`` (five times), ``frozen``, ``late`` (200 ms, without
    a word of it); of the camera also ``weak`` (it sees a fifth of what it declares).
    """
    c = config or FusionConfig()
    rng = np.random.default_rng(seed)
    ego = scenario.ego.drive(scenario.seconds, rng, 0.0)
    others = np.stack([each.drive(scenario.seconds, rng, wander_psd) for each in scenario.others])
    fusion = Fusion(c)
    makers = {"camera": (_camera, 1 / 30, 0.06), "lidar": (_lidar, 0.1, 0.08), "radar": (_radar, 0.05, 0.03)}
    events: list[tuple[float, int, str, object, float]] = []
    for order, (name, (make, period_s, delay_s)) in enumerate(makers.items()):
        if name not in sensors:
            continue
        fault, kept = (faults or {}).get(name, ""), None
        for number in range(1, int(scenario.seconds / period_s)):
            at_s = number * period_s
            bad = fault if at_s >= 2.0 else ""
            seen_s = at_s - 0.2 if bad == "late" else at_s
            i = round(seen_s / STEP_S)
            data = make(c, ego[i], others[:, i], scenario.others, rng, bad)
            kept = data if bad != "frozen" or kept is None else kept
            events.append((at_s + delay_s, order, name, kept, at_s))
    events += [
        (k * 0.02, -1, "odometry", _odometry(ego, k * 0.02), k * 0.02)
        for k in range(int(scenario.seconds / 0.02))
    ]
    events += [(k * 0.1, 9, "look", None, k * 0.1) for k in range(1, int(scenario.seconds / 0.1))]
    for now_s, _, name, data, at_s in sorted(events, key=lambda each: each[:3]):
        if name == "look":
            tracks = fusion.tracks(_ns(now_s))
            yield Moment(
                now_s, others[:, round(now_s / STEP_S), :4], tracks.position_m, tracks.velocity_mps,
                tracks.covariance, tracks.confirmed, tracks.id, tracks.sensors_lost,
            )  # fmt: skip
        else:
            getattr(fusion, f"push_{name}")(_ns(at_s), data)


def _ns(time_s: float) -> int:
    return round(time_s * 1e9) + 1_000_000_000


def _odometry(ego: Floats, at_s: float) -> Odometry:
    x, y, vx, vy, yaw = ego[round(at_s / STEP_S)]
    later = ego[min(round(at_s / STEP_S) + 1, len(ego) - 1), 4]
    return Odometry(x, y, yaw, float(np.hypot(vx, vy)), (later - yaw) / STEP_S)


def _relative(ego: Floats, others: Floats, place: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return positions from a sensor's place in the vehicle's axes, and their bearings."""
    cos, sin = np.cos(ego[4]), np.sin(ego[4])
    off = others[:, :2] - ego[:2]
    local = np.column_stack([cos * off[:, 0] + sin * off[:, 1], cos * off[:, 1] - sin * off[:, 0]]) - place
    return local, np.arctan2(local[:, 1], local[:, 0])


def _near(others: Floats, sizes: Floats, bearing: Floats, yaw: float) -> Floats:
    turn = others[:, 4] - yaw - bearing
    return 0.5 * (np.abs(sizes[:, 0] * np.cos(turn)) + np.abs(sizes[:, 1] * np.sin(turn)))


def _lidar(
    c: FusionConfig,
    ego: Floats,
    others: Floats,
    actors: tuple[Actor, ...],
    rng: np.random.Generator,
    bad: str,
) -> LidarBoxes:
    local, _ = _relative(ego, others, (0.0, 0.0))
    sizes = np.array([each.size_m for each in actors])
    seen = (np.hypot(*local.T) < c.lidar_range_m) & (rng.random(len(local)) < c.lidar_detection)
    noise = 5.0 if bad == "noisy" else 1.0
    centre = (
        local[seen]
        + rng.normal(0, noise * c.lidar_position_m, (seen.sum(), 2))
        + (2.0 if bad == "shifted" else 0.0)
    )
    size = np.maximum(sizes[seen] + rng.normal(0, 0.5 * c.lidar_size_m, (seen.sum(), 3)), 0.2)
    yaw = others[seen, 4] - ego[4] + rng.normal(0, 0.6 * c.lidar_yaw_rad, seen.sum())
    extra = rng.poisson(c.lidar_false)
    false = rng.uniform(-c.lidar_range_m, c.lidar_range_m, (extra, 2))
    xy = np.concatenate([centre, false])
    box = np.concatenate([size, rng.uniform(0.3, 2.0, (extra, 3))])
    turns = np.concatenate([yaw, rng.uniform(-1.5, 1.5, extra)])
    points = np.concatenate([np.full(seen.sum(), 40), np.full(extra, 8)])
    return LidarBoxes(np.column_stack([xy, box[:, 2] / 2]), box, turns, points)


def _radar(
    c: FusionConfig,
    ego: Floats,
    others: Floats,
    actors: tuple[Actor, ...],
    rng: np.random.Generator,
    bad: str,
) -> RadarPoints:
    local, bearing = _relative(ego, others, c.radar.position_m)
    sizes = np.array([each.size_m for each in actors])
    within = (np.hypot(*local.T) < c.radar.max_range_m) & (np.abs(bearing) < c.radar.field_of_view_rad)
    seen = within & (rng.random(len(local)) < c.radar_detection)
    place = local + (sum(_reflection(others[:, 4] - ego[4], sizes, bearing, rng) for _ in range(2)) / 2)
    r, bearing = np.hypot(*place.T), np.arctan2(place[:, 1], place[:, 0])
    world = bearing + ego[4]
    rate = np.cos(world) * others[:, 2] + np.sin(world) * others[:, 3]
    n, noise = int(seen.sum()), 5.0 if bad == "noisy" else 1.0
    extra = rng.poisson(c.radar_false)
    ranges = r + (3.0 if bad == "shifted" else 0.0)
    range_m = np.r_[
        ranges[seen] + rng.normal(0, noise * c.radar_range_m, n), rng.uniform(3, c.radar.max_range_m, extra)
    ]
    half = c.radar.field_of_view_rad
    azimuth = np.r_[
        bearing[seen] + rng.normal(0, noise * c.radar_azimuth_rad, n), rng.uniform(-half, half, extra)
    ]
    moving_false = rng.random(extra) < 0.3
    rates = np.r_[
        rate[seen] + rng.normal(0, noise * c.radar_rate_mps, n),
        np.where(moving_false, rng.uniform(-20, 20, extra), 0.0),
    ]
    return RadarPoints(np.maximum(range_m, 0.5), azimuth, rates, np.abs(rates) > 0.6)


def _reflection(yaw: Floats, sizes: Floats, bearing: Floats, rng: np.random.Generator) -> Floats:
    """Return places (n, 2) off the middles, one each, anywhere on the end or the side that is seen along a bearing."""
    ahead = np.column_stack([np.cos(yaw), np.sin(yaw)])
    left = np.column_stack([-ahead[:, 1], ahead[:, 0]])
    half, turn = sizes[:, :2] / 2, yaw - bearing
    end, side = half[:, 1] * np.abs(np.cos(turn)), half[:, 0] * np.abs(np.sin(turn))
    aside = rng.random(len(yaw)) * (end + side) < side
    along, across = rng.uniform(-1, 1, (2, len(yaw))) * half.T
    along = np.where(aside, along, -np.sign(np.cos(turn)) * half[:, 0])
    across = np.where(aside, np.sign(np.sin(turn)) * half[:, 1], across)
    place: Floats = along[:, None] * ahead + across[:, None] * left
    return place


def _camera(
    c: FusionConfig,
    ego: Floats,
    others: Floats,
    actors: tuple[Actor, ...],
    rng: np.random.Generator,
    bad: str,
) -> CameraDetections:
    mount = c.camera
    local, bearing = _relative(ego, others, mount.position_m[:2])
    sizes = np.array([each.size_m for each in actors])
    near = np.hypot(*local.T) - _near(others, sizes, bearing, ego[4])
    half = np.arctan(mount.centre_px[0] / mount.focal_px)
    within = (near > 2.0) & (near < c.camera_range_m) & (np.abs(bearing) < half)
    seen = within & (rng.random(len(near)) < c.camera_detection * (0.2 if bad == "weak" else 1.0))
    n, noise = int(seen.sum()), 5.0 if bad == "noisy" else 1.0
    azimuth = (
        bearing[seen] + rng.normal(0, noise * c.camera_bearing_rad, n) + (0.052 if bad == "shifted" else 0.0)
    )
    foot = np.arctan2(mount.position_m[2], near[seen]) + rng.normal(0, noise * c.camera_depression_rad, n)
    tall = sizes[seen, 2] / near[seen] * np.exp(rng.normal(0, noise * c.camera_height_share, n))
    slant = 1 / np.cos(azimuth)
    u = mount.centre_px[0] - mount.focal_px * np.tan(azimuth)
    bottom = mount.centre_px[1] + mount.focal_px * np.tan(foot) * slant
    top = bottom - mount.focal_px * tall * slant
    wide = mount.focal_px * sizes[seen, 1] / near[seen]
    kind = np.array([int(each.kind) for each in actors], np.int8)[seen]
    extra = rng.poisson(c.camera_false)
    corner = rng.uniform([100, mount.centre_px[1] - 20], [1100, mount.centre_px[1] + 40], (extra, 2))
    false = np.column_stack([corner, corner + rng.uniform(20, 120, (extra, 2))])
    box = np.concatenate([np.column_stack([u - wide / 2, top, u + wide / 2, bottom]), false])
    kinds = np.concatenate([kind, rng.integers(1, 5, extra).astype(np.int8)])
    score = np.concatenate([rng.uniform(0.5, 0.95, n), rng.uniform(0.2, 0.6, extra)])
    return CameraDetections(box, kinds, score)
