"""A simulated spinning lidar: rays cast against boxes and ground, with noise, lost returns and occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Floats, ObjectKind, PointCloud
from apps.automotive.simulation.scene import Scene

Rays = NDArray[np.float32]


@dataclass(frozen=True)
class LidarModel:
    """A sensor of 24 beams: ``position_m`` in the vehicle frame, elevations from lowest to highest, steps a turn."""

    position_m: tuple[float, float, float] = (1.2, 0.0, 1.85)
    beams: int = 24
    lowest_rad: float = -0.40
    highest_rad: float = 0.05
    steps: int = 1200
    max_range_m: float = 100.0
    range_noise_m: float = 0.02
    lost_near: float = 0.01
    lost_far: float = 0.35
    """Share of returns that get lost: right here, and at the end of the range (grows with the square)."""


class Lidar:
    """Scans scenes. A scan is of one moment: what a real one smears over its turn counts as corrected already."""

    def __init__(self, rng: np.random.Generator, model: LidarModel | None = None) -> None:
        self.model = model or LidarModel()
        self._rng = rng
        elevation = np.linspace(self.model.lowest_rad, self.model.highest_rad, self.model.beams)
        self._azimuth = np.linspace(-np.pi, np.pi, self.model.steps, endpoint=False)
        flat = np.cos(elevation)[:, None]
        self._directions: Rays = np.stack(
            [
                flat * np.cos(self._azimuth),
                flat * np.sin(self._azimuth),
                np.sin(elevation)[:, None] + 0 * self._azimuth,
            ],
            axis=-1,
        ).astype(np.float32)
        down = self._directions[..., 2]
        with np.errstate(divide="ignore"):
            ground = np.where(down < 0, -self.model.position_m[2] / down, np.inf)
        self._ground_m: Rays = np.where(ground < self.model.max_range_m, ground, np.inf).astype(np.float32)

    def scan(self, scene: Scene) -> PointCloud:
        """Return the points that a turn gives, in the vehicle frame; their arrays are read-only."""
        range_m = self._ground_m.copy()
        reflectance = np.full(range_m.shape, 0.2, dtype=np.float32)
        middles = scene.object_positions_m()
        heading = scene.object_yaw_rad - scene.yaw_rad
        for index in range(len(scene.object_id)):
            self._hit(scene, index, middles[index], float(heading[index]), range_m, reflectance)
        share = np.minimum(range_m / self.model.max_range_m, 1.0)
        lost = self.model.lost_near + (self.model.lost_far - self.model.lost_near) * share**2
        kept = np.isfinite(range_m) & (self._rng.random(range_m.shape, dtype=np.float32) >= lost)
        distance = range_m[kept]
        noise = self._rng.standard_normal(distance.shape, dtype=np.float32)
        distance += np.float32(self.model.range_noise_m) * noise
        xyz = self._directions[kept] * distance[:, None] + np.array(self.model.position_m, dtype=np.float32)
        shine = np.clip(
            reflectance[kept] + 0.03 * self._rng.standard_normal(distance.shape, dtype=np.float32), 0, 1
        )
        xyz.flags.writeable = shine.flags.writeable = False
        return PointCloud(xyz, shine)

    def _hit(
        self, scene: Scene, index: int, middle_m: Floats, heading_rad: float, range_m: Rays, reflectance: Rays
    ) -> None:
        """Shorten the rays that meet a box (slab test, Kay and Kajiya, 1986)."""
        size = np.array(
            [scene.object_length_m[index], scene.object_width_m[index], scene.object_height_m[index]]
        )
        away = np.array([*middle_m, size[2] / 2]) - self.model.position_m
        distance = float(np.hypot(away[0], away[1]))
        reach = float(np.hypot(size[0], size[1])) / 2
        if distance - reach > self.model.max_range_m:
            return
        half_angle = np.pi if distance <= reach else float(np.arcsin(reach / distance))
        bearing = float(np.arctan2(away[1], away[0]))
        step = 2 * np.pi / self.model.steps
        first = int(np.floor((bearing - half_angle + np.pi) / step))
        count = min(self.model.steps, int(np.ceil(2 * half_angle / step)) + 2)
        columns = np.arange(first, first + count) % self.model.steps
        cos, sin = np.cos(heading_rad), np.sin(heading_rad)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        rays = self._directions[:, columns] @ turn.astype(np.float32)
        start = (-away @ turn).astype(np.float32)
        half = (size / 2).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (-half - start) / rays, (half - start) / rays
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        block = range_m[:, columns]
        hit = (near <= far) & (near > 0.3) & (near < block)
        if hit.any():
            rows, places = np.nonzero(hit)
            range_m[rows, columns[places]] = near[hit]
            reflectance[rows, columns[places]] = _reflectance(scene, index)


def _reflectance(scene: Scene, index: int) -> float:
    dull = int(scene.object_kind[index]) in (ObjectKind.PEDESTRIAN, ObjectKind.UNKNOWN)
    spread = (int(scene.object_id[index]) * 2654435761 % 1000) / 1000
    return 0.15 + 0.3 * spread if dull else 0.2 + 0.7 * spread
