"""The sensors of the simulated car, each at its own rate, and the wires on which their readings come late or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.automotive.messages import PointCloud
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.failures import Channel, Failure, FailureKind
from apps.automotive.simulation.lidar import Lidar
from apps.automotive.simulation.odometry import OdometrySensor
from apps.automotive.simulation.radar import Radar
from apps.automotive.simulation.scene import Scene
from edgeai_core.errors import ConfigError
from edgeai_core.sample import Reading

TICK_S = 0.01
AHEAD_RAD = 0.35
AHEAD_M = 80.0
"""The lidar sector that the brake is given: half of its angle, and its depth."""
LONGEST_SECTOR = 6000


@dataclass(frozen=True)
class Wire:
    """One sensor: read every ``ticks`` of 10 ms, on its way for ``delay_s`` and up to ``jitter_s`` more.

    ``costly``: it is made beside the simulation, in a thread of its own, while it is on its way. Where the simulation
    is behind, what is due is read once, when it has caught up.
    """

    name: str
    read: Callable[[Scene], Any]
    ticks: float
    delay_s: float
    jitter_s: float
    costly: bool = False


class Sensors:
    """All sensors of the car: read in the order of time, and given out when their readings arrive."""

    def __init__(
        self,
        seed: int,
        failures: Sequence[Failure] = (),
        *,
        only: Sequence[str] = (),
        camera_hz: float = 30.0,
    ) -> None:
        rngs = dict(
            zip(
                ("camera", "lidar", "radar", "odometry", "wires"),
                np.random.default_rng([seed, 7]).spawn(5),
                strict=True,
            )
        )
        self.odometry = OdometrySensor(rngs["odometry"])
        self._camera = Camera(rngs["camera"])
        wires = (
            Wire("odometry", self.odometry.read, 1, 0.002, 0.001),
            Wire("radar", Radar(rngs["radar"]).scan, 5, 0.03, 0.01),
            Wire("lidar", Lidar(rngs["lidar"]).scan, 10, 0.03, 0.01, costly=True),
            Wire("camera", self._camera.render, 100 / camera_hz, 0.02, 0.005, costly=True),
        )
        self._wires = tuple(
            wire for wire in wires if not only or wire.name in only or wire.name == "odometry"
        )
        self._channels: dict[str, Channel[Any]] = {
            wire.name: Channel(
                wire.name, rngs["wires"], delay_s=wire.delay_s, jitter_s=wire.jitter_s, failures=failures
            )
            for wire in self._wires
        }
        self._sequence = dict.fromkeys(self._channels, 0)
        self._postponed: set[str] = set()
        self._beside = ThreadPoolExecutor(1, "costly sensors")

    def prepare(self, scene: Scene) -> None:
        """Make what pictures of this road have in common, which the first of them would take long for."""
        self._camera.prepare(scene)

    def tick(
        self, number: int, scene: Scene, now_ns: int, *, behind: bool = False
    ) -> dict[str, tuple[Reading[Any], ...]]:
        """Read the sensors that are due at tick ``number``; return what arrives, stamped against ``now_ns``.

        ``behind``: another tick follows at once, and what is costly waits for the last of them.
        """
        for wire in self._wires:
            if int(number / wire.ticks) != int((number - 1) / wire.ticks) or number == 0:
                self._postponed.add(wire.name)
            if wire.name in self._postponed and not (behind and wire.costly):
                self._postponed.discard(wire.name)
                reading = self._beside.submit(wire.read, scene) if wire.costly else wire.read(scene)
                self._channels[wire.name].push(scene.time_s, reading)
        arrived: dict[str, tuple[Reading[Any], ...]] = {}
        for name, channel in self._channels.items():
            readings = []
            for each in channel.due(scene.time_s):
                self._sequence[name] += 1
                age_ns = round((scene.time_s - each.time_s) * 1e9)
                readings.append(Reading(each.data, max(now_ns - age_ns, 0), self._sequence[name]))
            if readings:
                arrived[name] = tuple(readings)
        if "lidar" in arrived:
            arrived["lidar_ahead"] = tuple(
                Reading(sector_ahead(each.data), each.time_ns, each.sequence) for each in arrived["lidar"]
            )
        return arrived


def sector_ahead(cloud: PointCloud) -> PointCloud:
    """Return the returns in front of the car, above the ground and below its roof: what the brake needs at most."""
    xyz = cloud.xyz_m
    keep = (
        (xyz[:, 0] > 2.0) & (xyz[:, 0] < AHEAD_M) & (np.abs(xyz[:, 1]) < np.tan(AHEAD_RAD) * xyz[:, 0] + 1.5)
    )
    keep &= (xyz[:, 2] > 0.25) & (xyz[:, 2] < 2.5)
    index = np.flatnonzero(keep)[:LONGEST_SECTOR]
    points, reflectance = xyz[index], cloud.reflectance[index]
    points.flags.writeable = False
    reflectance.flags.writeable = False
    return PointCloud(points, reflectance)


def read_failures(texts: Sequence[str]) -> tuple[Failure, ...]:
    """Return failures from ``sensor:kind[:amount[:from_s[:until_s]]]``. Raises ConfigError that names the text."""
    failures = []
    for text in texts:
        sensor, _, rest = text.partition(":")
        kind, *numbers = rest.split(":")
        if (
            sensor not in ("camera", "lidar", "radar", "odometry")
            or kind not in set(FailureKind)
            or len(numbers) > 3
        ):
            raise ConfigError(
                f"failure {text!r}: say sensor:kind:amount:from_s:until_s with a sensor of camera, lidar, radar, "
                f"odometry and a kind of {', '.join(FailureKind)}"
            )
        try:
            values = [float(number) for number in numbers]
        except ValueError as error:
            raise ConfigError(f"failure {text!r}: amount and times are numbers") from error
        failures.append(Failure(sensor, FailureKind(kind), *values))
    return tuple(failures)
