"""What stands around the simulated road: sky, texture of the ground, lane marks, trees, poles and houses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

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
    for cell_px, weight in ((2, 10.0), (8, 8.0), (64, 9.0)):
        tile += weight * _smooth_noise(rng, TEXTURE_PX, TEXTURE_PX, cell_px, cell_px)
    return np.clip(128 + tile, 40, 230).astype(np.uint8)


def sky_panorama(rng: np.random.Generator, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return a full turn of sky with clouds and hills, (height, width, 3); its lowest row is the horizon."""
    top = np.array([205.0, 150.0, 90.0]) * rng.uniform(0.55, 1.1)
    low = np.array([230.0, 222.0, 210.0]) * rng.uniform(0.8, 1.05)
    cover = rng.uniform(0.0, 1.0)
    fall = np.linspace(0.0, 1.0, height_px)[:, None, None] ** 1.2
    sky = top + (low - top) * fall + np.zeros((height_px, width_px, 3))
    clouds = _smooth_noise(rng, width_px, height_px, 60, 20)
    clouds = np.clip(clouds * 0.6 + 2 * cover - 1, 0, 1)[..., None]
    sky = sky * (1 - 0.8 * clouds) + 0.8 * clouds * rng.uniform(150, 245)
    hills = _smooth_noise(rng, width_px, 1, 120, 1)[0]
    hills = height_px * (0.05 + 0.06 * np.clip(hills + 0.6, 0, 3) * rng.uniform(0.3, 1.6))
    wood = np.array([70.0, 85.0, 70.0]) * rng.uniform(0.7, 1.5)
    below = np.arange(height_px)[:, None] > height_px - hills[None, :]
    sky[below] = 0.45 * sky[below] + 0.55 * wood
    return np.clip(sky, 0, 255).astype(np.uint8)


def marks(road: Road) -> tuple[Floats, Floats]:
    """Return the road's surface (n, 4, 2) and its lane marks (m, 6, 2): polygons in the ground frame."""
    right, left = _resampled(road.borders_m[0], 6.0), road.borders_m[-1]
    nearest = cKDTree(left).query(right)[1]
    right, left = _beside(right, -0.6), _beside(left, 0.6)[nearest]
    surface = np.stack([right[:-1], right[1:], left[1:], left[:-1]], axis=1)
    last = len(road.borders_m) - 1
    lines = [_strokes(line, dashed=0 < at < last) for at, line in enumerate(road.borders_m)]
    return surface, np.concatenate(lines)


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
            places.append(
                (x - away * np.sin(yaw), y + away * np.cos(yaw), yaw - np.pi / 2 * (side - 1), reach)
            )
    x_m, y_m, yaw_rad, reach_m = np.array(places).reshape(-1, 4).T
    return Decor(tuple(bodies), x_m, y_m, yaw_rad, reach_m)


def warped_texture(
    texture: NDArray[np.uint8], pixel_to_ground: Floats, width_px: int, rows: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the texture as the camera sees it on the ground, in the picture's ``rows`` (first, after last).

    ``pixel_to_ground`` (3, 3) takes homogeneous pixels to metres on the ground. It is drawn at half the
    resolution, for half the cost.
    """
    scale = np.diag([TEXTURE_PX_PER_M, TEXTURE_PX_PER_M, 1.0])
    pixel = np.array([[2.0, 0, 0.5], [0, 2.0, rows[0] + 0.5], [0, 0, 1.0]])
    height_px = rows[1] - rows[0]
    warped = cv2.warpPerspective(
        texture,
        scale @ pixel_to_ground @ pixel,
        ((width_px + 1) // 2, (height_px + 1) // 2),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(cv2.resize(warped, (width_px, height_px)), dtype=np.uint8)


def _smooth_noise(
    rng: np.random.Generator, width_px: int, height_px: int, cell_x_px: int, cell_y_px: int
) -> Floats:
    """Return noise of unit variance, smooth over a cell, that repeats without a seam."""
    columns, rows = max(width_px // cell_x_px, 2), max(height_px // cell_y_px, 1)
    grid = np.pad(rng.standard_normal((rows, columns)).astype(np.float32), 2, mode="wrap")
    size = (grid.shape[1] * cell_x_px, grid.shape[0] * cell_y_px)
    fine = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    fine = fine[2 * cell_y_px : 2 * cell_y_px + height_px, 2 * cell_x_px : 2 * cell_x_px + width_px]
    return np.asarray(fine / fine.std(), dtype=np.float64)


def _strokes(line: Floats, *, dashed: bool) -> Floats:
    """Return polygons (n, 6, 2) along a line: dashes, or the whole of it in pieces."""
    points = _resampled(line, DASH_M / 2)
    if len(points) < 3:
        return np.zeros((0, 6, 2))
    left, right = _beside(points, MARK_WIDTH_M / 2), _beside(points, -MARK_WIDTH_M / 2)
    every = round((DASH_M + GAP_M) / (DASH_M / 2)) if dashed else 2
    starts = np.arange(0, len(points) - 2, every)
    sides = [right[starts + step] for step in (0, 1, 2)] + [left[starts + step] for step in (2, 1, 0)]
    return np.stack(sides, axis=1)


def _resampled(line: Floats, every_m: float) -> Floats:
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.arange(0.0, length[-1], every_m)
    return np.stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])], axis=1)


def _beside(line: Floats, left_m: float) -> Floats:
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    return np.asarray(line + left_m * np.stack([-along[:, 1], along[:, 0]], axis=1))
