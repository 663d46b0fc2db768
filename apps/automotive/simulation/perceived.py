"""Tracks as the real perception gives them, of the sensors of a simulated drive, in its time. For evaluations."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from apps.automotive.messages import Tracks
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.decide import unusable
from apps.automotive.perception.loop import SHIPPED
from apps.automotive.perception.perceive import Perception
from edgeai_core.runners.card import card_path
from edgeai_core.sample import Reading, Sample

SENSORS = ("camera", "lidar", "radar", "odometry")
TAKES_S = 0.03
"""From a picture's arrival to the tracks: most of the loop's deadline, for a slow machine."""


class PerceivedTracks:
    """Perception on a virtual clock: hand on what arrives, in the order of time; it looks whenever a picture comes."""

    def __init__(self, sensors: tuple[str, ...] = SENSORS) -> None:
        self._perception = Perception(PerceptionConfig(), sensors, (SHIPPED, card_path(SHIPPED)))
        self._sensors = sensors
        self._waiting: deque[tuple[int, Tracks]] = deque()

    def see(self, arrived: Mapping[str, tuple[Reading[Any], ...]], now_ns: int) -> Tracks | None:
        """Take in the readings that arrive at ``now_ns``; return the tracks that come out now, None where none do."""
        for sensor in ("odometry", "radar", "lidar", "camera"):
            if sensor in self._sensors and sensor in arrived:
                samples = [
                    Sample(each.data, now_ns if each.time_ns is None else each.time_ns, now_ns)
                    for each in arrived[sensor]
                ]
                self._perception.take(sensor, samples, now_ns, lambda number: True)
        if arrived.get("camera"):
            health = self._perception.health
            contradicted = self._perception.suspects()
            lost = tuple(
                each for each in health if unusable(health[each].troubles(now_ns)) or each in contradicted
            )
            self._waiting.append((now_ns + round(TAKES_S * 1e9), self._perception.tracks(now_ns, lost)))
        out = None
        while self._waiting and self._waiting[0][0] <= now_ns:
            out = self._waiting.popleft()[1]
        return out
