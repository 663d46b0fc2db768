"""Stills of traffic for training: roads, road users and things of every kind, at random."""

from __future__ import annotations

import numpy as np

from apps.automotive.messages import Floats, ObjectKind
from apps.automotive.simulation.optics import CameraGeometry
from apps.automotive.simulation.scene import Road, Scene

SIZES_M = {
    ObjectKind.CAR: ((3.6, 5.1), (1.65, 2.0), (1.35, 1.85)),
    ObjectKind.TRUCK: ((5.5, 14.0), (2.2, 2.55), (2.6, 3.9)),
    ObjectKind.PEDESTRIAN: ((0.4, 0.7), (0.5, 0.7), (1.2, 1.95)),
    ObjectKind.CYCLIST: ((1.6, 1.9), (0.5, 0.7), (1.6, 1.9)),
    ObjectKind.UNKNOWN: ((0.4, 2.5), (0.4, 1.5), (0.4, 1.4)),
}
"""Length, width and height of road users, each from and to; unknown are boxes and rubbish on the road."""

FAR_M = 90.0


def random_geometry(rng: np.random.Generator) -> CameraGeometry:
    """Return a camera that is mounted somewhere else, with another lens."""
    return CameraGeometry(
        focal_px=float(np.exp(rng.uniform(np.log(380), np.log(680)))),
        position_m=(rng.uniform(0.8, 2.2), rng.uniform(-0.2, 0.2), rng.uniform(1.15, 1.9)),
        pitch_rad=rng.uniform(-0.02, 0.07),
    )


def random_road(rng: np.random.Generator) -> Road:
    """Return a road through the origin, along x there, straight or bent."""
    bend = rng.normal(0, 0.004) if rng.random() < 0.7 else 0.0
    lanes, width_m = int(rng.integers(1, 5)), rng.uniform(2.9, 3.8)
    right = int(rng.integers(0, lanes))
    along = np.arange(-20.0, 200.0, 2.0)
    heading = bend * along * np.clip(along / 60, -1, 1)
    line = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * 2.0, axis=0)
    line -= line[np.argmin(np.abs(along))]
    beside = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    offsets = width_m * (np.arange(lanes) - right)
    centre_lines = tuple(line + beside * offset for offset in offsets)
    edges = [*(offsets - width_m / 2), offsets[-1] + width_m / 2]
    return Road(centre_lines, tuple(line + beside * edge for edge in edges), width_m, rng.uniform(8, 36))


def random_scene(rng: np.random.Generator) -> Scene:
    """Return a still: traffic in the lanes, parked and crossing cars, people on and beside the road."""
    road = random_road(rng)
    rows: list[tuple[float, ...]] = []
    dense = rng.uniform(0.2, 1.0)
    for _ in range(rng.poisson(10 * dense)):
        kind = ObjectKind.CAR if rng.random() < 0.72 else ObjectKind.TRUCK
        x, y, yaw = _on(road.centre_lines_m[rng.integers(len(road.centre_lines_m))], rng)
        yaw += np.pi * (rng.random() < 0.35) + rng.normal(0, 0.04)
        _add(rows, rng, kind, x, y + rng.normal(0, 0.3), yaw, rng.uniform(0, 25))
    for _ in range(rng.poisson(5 * dense)):
        x, y, yaw = _on(road.borders_m[-1 if rng.random() < 0.5 else 0], rng)
        y += (1.0 if y > 0 else -1.0) * rng.uniform(0.9, 6.0)
        kind = ObjectKind.CAR if rng.random() < 0.85 else ObjectKind.TRUCK
        turned = rng.choice([0.0, np.pi, np.pi / 2, rng.uniform(-np.pi, np.pi)], p=[0.45, 0.25, 0.15, 0.15])
        _add(rows, rng, kind, x, y, yaw + turned, 0.0)
    for kind, count in ((ObjectKind.PEDESTRIAN, 6), (ObjectKind.CYCLIST, 4), (ObjectKind.UNKNOWN, 1.5)):
        for _ in range(rng.poisson(count * dense)):
            x = 4 + (FAR_M / 2 - 4) * rng.random() ** 1.5
            y = rng.uniform(-0.6, 0.6) * x + rng.normal(0, 2)
            yaw = rng.uniform(-np.pi, np.pi) if rng.random() < 0.6 else rng.choice([0.0, np.pi])
            _add(rows, rng, kind, x, y, yaw, rng.uniform(0, 1.8 if kind is ObjectKind.PEDESTRIAN else 6))
    table = np.array(rows).reshape(-1, 8).T
    return Scene(
        time_s=rng.uniform(0, 100),
        x_m=0.0,
        y_m=rng.normal(0, 0.3),
        yaw_rad=rng.normal(0, 0.04),
        speed_mps=10.0,
        yaw_rate_radps=0.0,
        acceleration_mps2=0.0,
        object_id=rng.integers(0, 1 << 30, table.shape[1]),
        object_kind=table[0].astype(np.int8),
        object_x_m=table[1],
        object_y_m=table[2],
        object_yaw_rad=table[3],
        object_speed_mps=table[4],
        object_yaw_rate_radps=np.zeros(table.shape[1]),
        object_length_m=table[5],
        object_width_m=table[6],
        object_height_m=table[7],
        road=road,
    )


def _on(line: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a place on a line, near places more often, and the line's heading there."""
    reach = 6 + (FAR_M - 6) * rng.random() ** 1.4
    at = min(int(np.argmin(np.abs(line[:, 0] - reach))), len(line) - 2)
    along = line[at + 1] - line[at]
    return float(line[at, 0]), float(line[at, 1]), float(np.arctan2(along[1], along[0]))


def _add(
    rows: list[tuple[float, ...]],
    rng: np.random.Generator,
    kind: ObjectKind,
    x_m: float,
    y_m: float,
    yaw_rad: float,
    speed_mps: float,
) -> None:
    """Add an object where there is room for it, in front of the ego's bonnet."""
    length, width, height = (rng.uniform(*limits) for limits in SIZES_M[kind])
    reach = np.hypot(length, width) / 2
    if np.hypot(x_m - 1.4, y_m) < reach + 2.6:
        return
    for _, x, y, _, _, other_length, other_width, _ in rows:
        gap = 0.6 * (reach + np.hypot(other_length, other_width) / 2)
        if np.hypot(x - x_m, y - y_m) < gap:
            return
    rows.append((float(kind), x_m, y_m, yaw_rad, speed_mps, length, width, height))
