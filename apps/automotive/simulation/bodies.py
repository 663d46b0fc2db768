"""What road users and roadside things look like: polygons and limbs in metres, in the object's own frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats, ObjectKind

CORNERS = 8
"""Polygons have at most so many corners; shorter ones repeat their last."""


@dataclass(frozen=True)
class Body:
    """Polygons, corners counter-clockwise seen from outside, in the order in which they are painted.

    ``corners_m`` (n, 8, 3): x forward, y left, z up, from the middle of the box on the ground; ``normals``
    (n, 3) outward; ``colours`` (n, 3) blue, green, red from 0 to 255; ``shine`` (n,): 1 for what gives light of
    its own, 0 for what is lit by the sun.
    """

    corners_m: Floats
    normals: Floats
    colours: Floats
    shine: Floats

    def first(self, count: int) -> Body:
        """Return the body with its first polygons only."""
        return Body(self.corners_m[:count], self.normals[:count], self.colours[:count], self.shine[:count])


@dataclass(frozen=True)
class Limbs:
    """Rounded strokes: ``ends_m`` (n, 2, 3), ``radii_m`` (n,), ``colours`` (n, 3)."""

    ends_m: Floats
    radii_m: Floats
    colours: Floats


def vehicle(kind: ObjectKind, length_m: float, width_m: float, height_m: float, number: int) -> Body:
    """Return a car or truck of that size; its number decides on paint and shape."""
    rng = np.random.default_rng(number)
    paint = _paint(rng)
    parts = _Parts()
    if kind is ObjectKind.TRUCK:
        _truck(parts, length_m, width_m, height_m, paint, rng)
    else:
        _car(parts, length_m, width_m, height_m, paint, rng)
    return parts.body()


def thing(length_m: float, width_m: float, height_m: float, number: int) -> Body:
    """Return a plain box, as an unknown object is painted."""
    parts = _Parts()
    parts.frustum(
        (-length_m / 2, length_m / 2, width_m / 2),
        (-length_m / 2, length_m / 2, width_m / 2),
        0.0,
        height_m,
        np.random.default_rng(number).uniform(60, 170, 3),
    )
    return parts.body()


def building(length_m: float, width_m: float, height_m: float, number: int) -> Body:
    """Return a house with rows of windows on its long sides."""
    rng = np.random.default_rng(number)
    parts = _Parts()
    x, y = length_m / 2, width_m / 2
    wall = np.array([150.0, 160.0, 170.0]) * rng.uniform(0.5, 1.2) + rng.uniform(-25, 25, 3)
    parts.frustum((-x, x, y), (-x, x, y), 0.0, height_m, wall)
    glass = rng.uniform(40, 110) * np.array([1.1, 1.0, 0.9])
    for z in np.arange(1.0, height_m - 1.6, 3.0):
        for left in np.arange(-x + 1.0, x - 2.0, 3.6):
            for side in (-1.0, 1.0):
                parts.rectangle_on_side(left, left + 2.0, z, z + 1.4, side * (y + 0.02), glass)
        for left in np.arange(-y + 1.0, y - 2.0, 3.6):
            for end in (-1.0, 1.0):
                parts.rectangle_on_end(left, left + 2.0, z, z + 1.4, end * (x + 0.02), glass)
    return parts.body()


def pedestrian(height_m: float, phase_rad: float, stride: float, number: int) -> Limbs:
    """Return a walking person: ``phase_rad`` of the gait, ``stride`` from 0 (standing) to 1."""
    rng = np.random.default_rng(number)
    trousers, coat, skin = rng.uniform(15, 150, 3), rng.uniform(10, 230, 3), _skin(rng)
    hip, shoulder, head = 0.5 * height_m, 0.82 * height_m, 0.93 * height_m
    swing = 0.25 * height_m * stride * np.sin(phase_rad)
    broad = 0.11 * height_m
    limbs = [
        ((-swing, 0.04 * height_m, 0.03), (0.0, 0.05 * height_m, hip), 0.045 * height_m, trousers * 0.9),
        ((swing, -0.04 * height_m, 0.03), (0.0, -0.05 * height_m, hip), 0.045 * height_m, trousers),
        ((0.7 * swing, broad, 0.48 * height_m), (0.0, broad, shoulder), 0.03 * height_m, coat * 0.85),
        ((0.0, 0.0, hip), (0.0, 0.0, shoulder), 0.085 * height_m, coat),
        ((-0.7 * swing, -broad, 0.48 * height_m), (0.0, -broad, shoulder), 0.03 * height_m, coat * 0.85),
        ((0.0, 0.0, head), (0.0, 0.0, head + 0.01), 0.062 * height_m, skin),
    ]
    return _limbs(limbs)


def cyclist(length_m: float, height_m: float, phase_rad: float, number: int) -> Limbs:
    """Return a rider on a bicycle; ``phase_rad`` turns the pedals."""
    rng = np.random.default_rng(number)
    trousers, coat, skin, frame = (
        rng.uniform(15, 150, 3),
        rng.uniform(10, 240, 3),
        _skin(rng),
        rng.uniform(10, 200, 3),
    )
    wheel = min(0.34, 0.22 * height_m)
    front, rear = 0.5 * length_m - wheel, -0.5 * length_m + wheel
    saddle = (-0.12 * length_m, 0.0, 0.52 * height_m)
    crank, bar = (-0.02 * length_m, 0.0, 0.9 * wheel), (0.24 * length_m, 0.0, 0.57 * height_m)
    shoulder = (0.08 * length_m, 0.0, 0.8 * height_m)
    limbs = []
    for x in (front, rear):
        turn = np.linspace(0, 2 * np.pi, 11)
        rim = [(x + wheel * np.cos(a), 0.0, wheel + wheel * np.sin(a)) for a in turn]
        limbs += [(a, b, 0.025, np.full(3, 30.0)) for a, b in itertools.pairwise(rim)]
    limbs += [
        ((rear, 0.0, wheel), crank, 0.02, frame),
        (crank, saddle, 0.02, frame),
        (crank, bar, 0.02, frame),
        ((front, 0.0, wheel), bar, 0.02, frame),
    ]
    for side, offset in ((0.09, 0.0), (-0.09, np.pi)):
        angle = phase_rad + offset
        foot = (crank[0] + 0.16 * np.cos(angle), side, crank[2] + 0.16 * np.sin(angle))
        knee = ((foot[0] + saddle[0]) / 2 + 0.18, side, (foot[2] + saddle[2]) / 2 + 0.08)
        limbs += [(foot, knee, 0.055, trousers), (knee, (saddle[0], side, saddle[2]), 0.07, trousers)]
    limbs += [
        (saddle, shoulder, 0.14, coat),
        ((shoulder[0], 0.16, shoulder[2]), (bar[0], 0.2, bar[2]), 0.045, coat * 0.85),
        ((shoulder[0], -0.16, shoulder[2]), (bar[0], -0.2, bar[2]), 0.045, coat * 0.85),
        (
            (shoulder[0] + 0.08, 0.0, 0.92 * height_m),
            (shoulder[0] + 0.08, 0.0, 0.925 * height_m),
            0.115,
            skin,
        ),
    ]
    return _limbs(limbs)


def tree(height_m: float, number: int) -> Limbs:
    """Return a trunk with a crown of a few round tufts."""
    rng = np.random.default_rng(number)
    leaves = np.array([30.0, 80.0, 45.0]) * rng.uniform(0.6, 1.5) + rng.uniform(-12, 12, 3)
    limbs = [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.6 * height_m), 0.03 * height_m, np.array([40.0, 55.0, 70.0])),
    ]
    for _ in range(6):
        x, y = rng.normal(0, 0.13, 2) * height_m
        z = rng.uniform(0.5, 0.85) * height_m
        limbs.append(
            ((x, y, z), (x, y, z + 0.01), rng.uniform(0.14, 0.24) * height_m, leaves * rng.uniform(0.8, 1.15))
        )
    return _limbs(limbs)


def pole(height_m: float, number: int) -> Limbs:
    """Return a lamp post, or a sign on a post where it is low."""
    rng = np.random.default_rng(number)
    grey = np.full(3, rng.uniform(70, 150))
    limbs = [((0.0, 0.0, 0.0), (0.0, 0.0, height_m), 0.06, grey)]
    if height_m > 4:
        limbs.append(((0.0, 0.0, height_m), (0.0, 1.2, height_m + 0.2), 0.05, grey))
    else:
        limbs.append(
            (
                (0.0, 0.0, height_m),
                (0.0, 0.0, height_m + 0.01),
                rng.uniform(0.25, 0.45),
                rng.uniform(30, 240, 3),
            )
        )
    return _limbs(limbs)


class _Parts:
    """Collects polygons in the order in which they are painted."""

    def __init__(self) -> None:
        self.corners: list[NDArray[np.float64]] = []
        self.colours: list[NDArray[np.float64]] = []
        self.shine: list[float] = []

    def polygon(self, corners: list[tuple[float, float, float]], colour: Floats, shine: float = 0.0) -> None:
        padded = corners + [corners[-1]] * (CORNERS - len(corners))
        self.corners.append(np.array(padded, dtype=np.float64))
        self.colours.append(np.asarray(colour, dtype=np.float64))
        self.shine.append(shine)

    def frustum(
        self,
        bottom: tuple[float, float, float],
        top: tuple[float, float, float],
        low_m: float,
        high_m: float,
        colour: Floats,
        ends: Floats | None = None,
    ) -> None:
        """Add a box whose rectangles below and above are (rear x, front x, half width); ``ends`` colours its ends."""
        (b0, b1, bw), (t0, t1, tw) = bottom, top
        ends = colour if ends is None else ends
        self.polygon([(b0, bw, low_m), (b0, -bw, low_m), (t0, -tw, high_m), (t0, tw, high_m)], ends)
        self.polygon([(b1, -bw, low_m), (b1, bw, low_m), (t1, tw, high_m), (t1, -tw, high_m)], ends)
        self.polygon([(b1, bw, low_m), (b0, bw, low_m), (t0, tw, high_m), (t1, tw, high_m)], colour)
        self.polygon([(b0, -bw, low_m), (b1, -bw, low_m), (t1, -tw, high_m), (t0, -tw, high_m)], colour)
        self.polygon([(t0, tw, high_m), (t0, -tw, high_m), (t1, -tw, high_m), (t1, tw, high_m)], colour)

    def rectangle_on_end(
        self, y0: float, y1: float, z0: float, z1: float, x: float, colour: Floats, shine: float = 0.0
    ) -> None:
        """Add a rectangle that faces forward (x above 0) or backward."""
        corners = [(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)]
        self.polygon(corners if x > 0 else corners[::-1], colour, shine)

    def rectangle_on_side(
        self, x0: float, x1: float, z0: float, z1: float, y: float, colour: Floats, shine: float = 0.0
    ) -> None:
        """Add a rectangle that faces left (y above 0) or right."""
        corners = [(x1, y, z0), (x0, y, z0), (x0, y, z1), (x1, y, z1)]
        self.polygon(corners if y > 0 else corners[::-1], colour, shine)

    def wheels(self, xs: tuple[float, ...], y: float, radius_m: float) -> None:
        turn = np.arange(CORNERS) * 2 * np.pi / CORNERS
        for x in xs:
            for side in (1.0, -1.0):
                ring = [
                    (x - side * radius_m * np.cos(a), side * y, radius_m + radius_m * np.sin(a)) for a in turn
                ]
                self.polygon(ring, np.full(3, 25.0))
                hub = [
                    (
                        x - side * 0.5 * radius_m * np.cos(a),
                        side * (y + 0.01),
                        radius_m + 0.5 * radius_m * np.sin(a),
                    )
                    for a in turn
                ]
                self.polygon(hub, np.full(3, 120.0))

    def body(self) -> Body:
        corners = np.stack(self.corners)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return Body(corners, normals, np.stack(self.colours), np.array(self.shine))


def _car(
    parts: _Parts, length: float, width: float, height: float, paint: Floats, rng: np.random.Generator
) -> None:
    x, y = length / 2, width / 2
    clear, waist = 0.13 * height, height * rng.uniform(0.5, 0.6)
    tail = rng.uniform(0.0, 0.22)  # an estate's roof ends at its tail, a saloon's before
    parts.frustum((-x, x, y), (-x, x, 0.97 * y), clear, waist, paint)
    radius = min(0.22 * height, 0.36)
    parts.wheels((-0.31 * length, 0.3 * length), y + 0.01, radius)
    glass = np.array([60.0, 50.0, 42.0]) * rng.uniform(0.5, 1.4)
    rear, front = -x + tail * length + 0.02, x - 0.27 * length
    roof_rear, roof_front = rear + 0.06 * length + 0.2 * tail * length, front - 0.16 * length
    bottom, top = (rear, front, 0.92 * y), (roof_rear, roof_front, 0.74 * y)
    parts.frustum(bottom, top, waist, 0.96 * height, glass)
    parts.frustum(
        (roof_rear, roof_front, 0.76 * y), (roof_rear, roof_front, 0.7 * y), 0.94 * height, height, paint
    )
    lamp, high = 0.22 * y, waist - 0.04 * height
    for side in (-1.0, 1.0):
        inner, outer = sorted((side * (0.95 * y - lamp), side * 0.95 * y))
        red = np.array([25.0, 20.0, rng.uniform(130, 220)])
        parts.rectangle_on_end(inner, outer, high - 0.14 * height, high, -x - 0.01, red, 0.4)
        parts.rectangle_on_end(
            inner, outer, high - 0.18 * height, high - 0.06 * height, x + 0.01, np.full(3, 225.0), 0.5
        )
    parts.rectangle_on_end(-0.26, 0.26, 0.3 * height, 0.37 * height, -x - 0.01, np.full(3, 215.0))
    parts.rectangle_on_end(-0.5 * y, 0.5 * y, 0.27 * height, 0.4 * height, x + 0.01, np.full(3, 40.0))
    parts.rectangle_on_end(-0.96 * y, 0.96 * y, clear, 0.24 * height, -x - 0.012, np.full(3, 45.0))


def _truck(
    parts: _Parts, length: float, width: float, height: float, paint: Floats, rng: np.random.Generator
) -> None:
    x, y = length / 2, width / 2
    cab = min(2.3, 0.35 * length)
    load = _paint(rng) if rng.random() < 0.5 else np.full(3, rng.uniform(150, 235))
    radius = 0.48
    parts.frustum(
        (x - cab, x, 0.96 * y),
        (x - cab, x - 0.1, 0.94 * y),
        0.35,
        0.92 * height * rng.uniform(0.75, 1),
        paint,
    )
    parts.frustum((-x, x - cab - 0.3, 0.8 * y), (-x, x - cab - 0.3, 0.8 * y), 0.45, 1.1, np.full(3, 50.0))
    parts.frustum((-x, x - cab - 0.3, y), (-x, x - cab - 0.3, y), 1.05, height, load, ends=0.9 * load)
    wheels = (-x + 0.9, -x + 2.1, x - 0.5 * cab) if length > 7 else (-x + 1.0, x - 0.5 * cab)
    parts.wheels(wheels, 0.97 * y, radius)
    glass = np.full(3, 45.0)
    parts.rectangle_on_end(-0.85 * y, 0.85 * y, 0.5 * height, 0.68 * height, x + 0.01, glass)
    for side in (-1.0, 1.0):
        parts.rectangle_on_side(
            x - 0.8 * cab, x - 0.25 * cab, 0.5 * height, 0.66 * height, side * (y + 0.01), glass
        )
        inner, outer = sorted((side * 0.6 * y, side * 0.92 * y))
        red = np.array([25.0, 20.0, 190.0])
        parts.rectangle_on_end(inner, outer, 0.75, 1.0, -x - 0.02, red, 0.4)
        parts.rectangle_on_end(inner, outer, 0.6, 0.85, x + 0.02, np.full(3, 225.0), 0.5)
    parts.rectangle_on_end(-0.9 * y, 0.9 * y, 0.45, 0.6, -x - 0.02, np.full(3, 60.0))
    if rng.random() < 0.6:
        parts.rectangle_on_end(-0.02, 0.02, 1.15, height - 0.1, -x - 0.02, 0.6 * load)


def _paint(rng: np.random.Generator) -> Floats:
    """Most cars are white, grey or black; the others have any colour."""
    if rng.random() < 0.6:
        return np.clip(np.full(3, rng.choice([35, 80, 130, 180, 228])) + rng.uniform(-18, 18, 3), 15, 245)
    colour = rng.uniform(15, 110, 3)
    colour[rng.integers(3)] = rng.uniform(120, 220)
    return colour


def _skin(rng: np.random.Generator) -> Floats:
    return np.array([120.0, 145.0, 190.0]) * rng.uniform(0.35, 1.15)


def _limbs(
    limbs: list[tuple[tuple[float, float, float], tuple[float, float, float], float, Floats]],
) -> Limbs:
    return Limbs(
        np.array([[a, b] for a, b, _, _ in limbs], dtype=np.float64),
        np.array([radius for _, _, radius, _ in limbs]),
        np.array([colour for _, _, _, colour in limbs]),
    )
