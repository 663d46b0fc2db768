"""The simulated camera's place, lens, light and air."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apps.automotive.messages import Floats


@dataclass(frozen=True)
class CameraGeometry:
    """A pinhole camera that looks ahead: ``position_m`` in the vehicle frame, ``pitch_rad`` positive downwards."""

    focal_px: float = 500.0
    width_px: int = 640
    height_px: int = 360
    position_m: tuple[float, float, float] = (1.5, 0.0, 1.4)
    pitch_rad: float = 0.02

    @cached_property
    def projection(self) -> Floats:
        """The (3, 4) matrix from homogeneous points of the vehicle frame to homogeneous pixels."""
        sin, cos = np.sin(self.pitch_rad), np.cos(self.pitch_rad)
        right, down, ahead = (0.0, -1.0, 0.0), (-sin, 0.0, -cos), (cos, 0.0, -sin)
        turn = np.array([right, down, ahead])
        lens = np.array(
            [
                [self.focal_px, 0.0, (self.width_px - 1) / 2],
                [0.0, self.focal_px, (self.height_px - 1) / 2],
                [0.0, 0.0, 1.0],
            ]
        )
        return np.asarray(lens @ np.column_stack([turn, -turn @ np.array(self.position_m)]))

    @property
    def horizon_px(self) -> float:
        """The row in which flat ground ends."""
        return (self.height_px - 1) / 2 - self.focal_px * float(np.tan(self.pitch_rad))


@dataclass(frozen=True)
class Look:
    """Light, air and lens. ``exposure`` is a gain, ``noise`` a standard deviation in grey levels."""

    sun_azimuth_rad: float = 0.8
    sun_elevation_rad: float = 0.8
    ambient: float = 0.55
    exposure: float = 1.0
    visibility_m: float = 600.0
    blur_px: float = 0.5
    noise: float = 3.0
    vignette: float = 0.2

    @classmethod
    def random(cls, rng: np.random.Generator) -> Look:
        """Return one of many kinds of day, dusk and lens."""
        return cls(
            sun_azimuth_rad=rng.uniform(-np.pi, np.pi),
            sun_elevation_rad=rng.uniform(0.15, 1.3),
            ambient=rng.uniform(0.35, 0.8),
            exposure=float(np.exp(rng.uniform(np.log(0.35), np.log(1.45)))),
            visibility_m=float(np.exp(rng.uniform(np.log(90), np.log(1500)))),
            blur_px=rng.uniform(0.0, 1.3),
            noise=rng.uniform(0.5, 11.0),
            vignette=rng.uniform(0.0, 0.35),
        )
