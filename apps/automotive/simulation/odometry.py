"""Simulated odometry: wheel speed and yaw rate with scale errors, biases and noise, and the pose that comes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.automotive.messages import Floats, Odometry
from apps.automotive.simulation.scene import Scene


@dataclass(frozen=True)
class OdometryModel:
    """Errors of a production car: standard deviations of what is drawn once, and of what is drawn at every reading."""

    speed_scale: float = 0.005
    yaw_rate_bias_radps: float = 0.001
    speed_noise_mps: float = 0.02
    yaw_rate_noise_radps: float = 0.002
    acceleration_noise_mps2: float = 0.05


class OdometrySensor:
    """Reads how the ego moves and adds it up: its pose begins at zero and drifts, as every dead reckoning does."""

    def __init__(
        self, rng: np.random.Generator, model: OdometryModel | None = None, wheelbase_m: float = 2.8
    ) -> None:
        self._model = model or OdometryModel()
        self._rng = rng
        self._wheelbase_m = wheelbase_m
        self._scale = 1 + self._model.speed_scale * rng.standard_normal()
        self._bias_radps = self._model.yaw_rate_bias_radps * rng.standard_normal()
        self._last_s: float | None = None
        self._pose = np.zeros(3)
        self._truth = np.zeros(3)

    def read(self, scene: Scene) -> Odometry:
        """Return the belief after one more reading; call it in the order of time."""
        noise = self._rng.standard_normal(3)
        moving = abs(scene.speed_mps) > 0.05  # wheels that stand are known to stand
        speed = scene.speed_mps * self._scale + moving * self._model.speed_noise_mps * noise[0]
        yaw_rate = scene.yaw_rate_radps + moving * (
            self._bias_radps + self._model.yaw_rate_noise_radps * noise[1]
        )
        step_s = 0.0 if self._last_s is None else scene.time_s - self._last_s
        self._last_s = scene.time_s
        heading = self._pose[2] + yaw_rate * step_s / 2
        self._pose += np.array([speed * np.cos(heading), speed * np.sin(heading), yaw_rate]) * step_s
        self._truth = np.array([scene.x_m, scene.y_m, scene.yaw_rad])
        steering = np.arctan(self._wheelbase_m * yaw_rate / speed) if abs(speed) > 0.5 else 0.0
        return Odometry(
            x_m=float(self._pose[0]),
            y_m=float(self._pose[1]),
            yaw_rad=float((self._pose[2] + np.pi) % (2 * np.pi) - np.pi),
            speed_mps=float(speed),
            yaw_rate_radps=float(yaw_rate),
            acceleration_mps2=float(scene.acceleration_mps2 + self._model.acceleration_noise_mps2 * noise[2]),
            steering_rad=float(steering),
        )

    def to_odometry(self, xy_m: Floats) -> Floats:
        """Take points (n, 2) of the ground frame to the odometry frame as of the last reading.

        What a map or lane detection tells about the road is relative to the ego, so it lies where the ego
        believes to be.
        """
        turn = self._pose[2] - self._truth[2]
        cos, sin = np.cos(turn), np.sin(turn)
        away = np.asarray(xy_m) - self._truth[:2]
        turned = np.stack([cos * away[:, 0] - sin * away[:, 1], sin * away[:, 0] + cos * away[:, 1]], axis=1)
        return np.asarray(turned + self._pose[:2])
