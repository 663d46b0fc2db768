"""What stands around the simulated road: sky, texture of the ground, lane marks, trees, poles and houses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from apps.automotive.messages import Floats
from apps.automotive.simulation.bodies import Body, Limbs, building, pole, tree
from apps.automotive.simulation.scene import Road

TEXTURE_PX = 512
TEXTURE_PX_PER_M = 24.0
MARK_WIDTH_M = 0.15
DASH_M, GAP_M = 6.0, 6.0
"""A dash of a lane line and the gap after it."""

_DECOR_EVERY_M = 9.0


@dataclass(frozen=True)
class Decor:
    """Things beside the road, each where it stands: ``x_m``, ``y_m``, ``yaw_rad`` (n,), and how far it reaches."""

    bodies: tuple[Body | Limbs, ...]
    x_m: Floats
    y_m: Floats
    yaw_rad: Floats
    reach_m: Floats


def ground_texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a tile of brightness (TEXTURE_PX square, repeats without a seam) that multiplies colours; 128 is 1."""
    tile = np.zeros((TEXTURE_PX, TEXTURE_PX))
    for sigma, weight in ((0.7, 10.0), (3.0, 8.0), (20.0, 9.0)):
        noise = gaussian_filter(rng.standard_normal(tile.shape), sigma, mode="wrap")
        tile += weight * noise / noise.std()
    return np.clip(128 + tile, 40, 230).astype(np.uint8)


def sky_panorama(rng: np.random.Generator, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return a full turn of sky with clouds and hills, (height, width, 3); its lowest row is the horizon."""
    top = np.array([205.0, 150.0, 90.0]) * rng.uniform(0.55, 1.1)
    low = np.array([230.0, 222.0, 210.0]) * rng.uniform(0.8, 1.05)
    cover = rng.uniform(0.0, 1.0)
    fall = np.linspace(0.0, 1.0, height_px)[:, None, None] ** 1.2
    sky = top + (low - top) * fall + np.zeros((height_px, width_px, 3))
    clouds = gaussian_filter(rng.standard_normal((height_px, width_px)), (7, 24), mode="wrap")
    clouds = np.clip(clouds / clouds.std() * 0.6 + 2 * cover - 1, 0, 1)[..., None]
    sky = sky * (1 - 0.8 * clouds) + 0.8 * clouds * rng.uniform(150, 245)
    hills = gaussian_filter(rng.standard_normal(width_px), 45, mode="wrap")
    hills = height_px * (0.05 + 0.06 * np.clip(hills / hills.std() + 0.6, 0, 3) * rng.uniform(0.3, 1.6))
    wood = np.array([70.0, 85.0, 70.0]) * rng.uniform(0.7, 1.5)
    below = np.arange(height_px)[:, None] > height_px - hills[None, :]
    sky[below] = 0.45 * sky[below] + 0.55 * wood
    return np.clip(sky, 0, 255).astype(np.uint8)


def marks(road: Road) -> tuple[list[Floats], list[Floats]]:
    """Return the road's surface and its lane marks as polygons on the ground, each (corners, 2) in the ground frame."""
    right, left = road.borders_m[0], road.borders_m[-1]
    count = min(len(right), len(left))
    surface = []
    wide_right, wide_left = _beside(right[:count], -0.6), _beside(left[:count], 0.6)
    for first in range(0, count - 1):
        a, b = first, first + 1
        surface.append(np.array([wide_right[a], wide_right[b], wide_left[b], wide_left[a]]))
    lines = []
    for number, border in enumerate(road.borders_m):
        edge = number in (0, len(road.borders_m) - 1)
        lines += _strokes(border, dashed=not edge)
    return surface, lines


def decor(road: Road, rng: np.random.Generator) -> Decor:
    """Place trees, poles and houses on both sides of a road."""
    bodies: list[Body | Limbs] = []
    places = []
    town = rng.random()
    for border, side in ((road.borders_m[0], -1.0), (road.borders_m[-1], 1.0)):
        along = _resampled(border, _DECOR_EVERY_M)
        headings = np.arctan2(*np.gradient(along, axis=0).T[::-1]) if len(along) > 1 else np.zeros(len(along))
        for (x, y), yaw in zip(along, headings, strict=True):
            number = int(rng.integers(1 << 30))
            choice, away = rng.random(), side * rng.uniform(2.0, 14.0)
            if choice < 0.25 * town:
                size = rng.uniform(7, 9), rng.uniform(6, 10), rng.uniform(4, 14)
                bodies.append(building(*size, number))
                away, reach = side * (7.0 + size[1] / 2 + rng.uniform(0, 5)), 8.0
            elif choice < 0.55:
                height = rng.uniform(3.0, 9.0)
                bodies.append(tree(height, number))
                away, reach = away + side * 1.5, 0.4 * height
            elif choice < 0.75:
                bodies.append(pole(rng.choice([2.2, 2.6, 6.5, 7.5]), number))
                away, reach = side * rng.uniform(1.0, 2.0), 1.3
            else:
                continue
            places.append((x - away * np.sin(yaw), y + away * np.cos(yaw), yaw - np.pi / 2 * (side - 1), reach))
    x_m, y_m, yaw_rad, reach_m = np.array(places).reshape(-1, 4).T
    return Decor(tuple(bodies), x_m, y_m, yaw_rad, reach_m)


def warped_texture(
    texture: NDArray[np.uint8], pixel_to_ground: Floats, width_px: int, rows: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the texture as the camera sees it on the ground, in the picture's ``rows`` (first, after last).

    ``pixel_to_ground`` (3, 3) takes homogeneous pixels to metres on the ground.
    """
    scale = np.diag([TEXTURE_PX_PER_M, TEXTURE_PX_PER_M, 1.0])
    shift = np.array([[1.0, 0, 0], [0, 1.0, rows[0]], [0, 0, 1.0]])
    warped = cv2.warpPerspective(
        texture,
        scale @ pixel_to_ground @ shift,
        (width_px, rows[1] - rows[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(warped, dtype=np.uint8)


def _strokes(line: Floats, *, dashed: bool) -> list[Floats]:
    """Return quadrilaterals along a line: dashes, or the whole of it in pieces."""
    points = _resampled(line, DASH_M / 2)
    if len(points) < 2:
        return []
    left, right = _beside(points, MARK_WIDTH_M / 2), _beside(points, -MARK_WIDTH_M / 2)
    every = round((DASH_M + GAP_M) / (DASH_M / 2)) if dashed else 2
    return [
        np.concatenate([right[at : at + 3], left[at : at + 3][::-1]])
        for at in range(0, len(points) - 1, every)
        if len(points[at : at + 3]) > 1
    ]


def _resampled(line: Floats, every_m: float) -> Floats:
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.arange(0.0, length[-1], every_m)
    return np.stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])], axis=1)


def _beside(line: Floats, left_m: float) -> Floats:
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    return np.asarray(line + left_m * np.stack([-along[:, 1], along[:, 0]], axis=1))
