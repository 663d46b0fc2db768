"""Whether the sensors are well: silent, frozen, late, or a camera that sees nothing."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from apps.automotive.messages import CameraImage, Odometry, PointCloud, RadarScan
from edgeai_core.vision.quality import PictureQuality

_SECOND_NS = 1_000_000_000


class Trouble(StrEnum):
    """What is wrong with a sensor."""

    LOST = "lost"
    FROZEN = "frozen"
    LATE = "late"
    BLIND = "blind"


@dataclass(frozen=True)
class Limits:
    """``silent_s``: without data for so long it is lost. ``late_s``: measured so long before it came, it is late."""

    silent_s: float
    late_s: float


LIMITS: Mapping[str, Limits] = {
    "camera": Limits(0.2, 0.15),
    "lidar": Limits(0.35, 0.15),
    "radar": Limits(0.25, 0.15),
    "odometry": Limits(0.1, 0.05),
}
"""Some three readings of each sensor of the simulated car, and a delay that its network never has."""

REPEATED = 3
"""So many readings in a row must be the same, or late, before that is believed."""


class SensorHealth:
    """Watches one sensor's readings as they come."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._print: int | None = None
        self._same = 0
        self._late = 0
        self._blind = 0
        self.newest_ns: int | None = None

    def note(self, time_ns: int, received_ns: int, data: object) -> None:
        """Take in a reading: when it was measured, when it came, and what it says."""
        self.newest_ns = time_ns
        found = _fingerprint(data)
        self._same = self._same + 1 if found is not None and found == self._print else 0
        self._print = found
        self._late = self._late + 1 if received_ns - time_ns > self.limits.late_s * _SECOND_NS else 0

    def note_quality(self, quality: PictureQuality) -> None:
        """Take in how good a picture is."""
        self._blind = self._blind + 1 if blind(quality) else 0

    def troubles(self, now_ns: int) -> tuple[Trouble, ...]:
        """Return what is wrong now. A sensor that never spoke counts as lost."""
        if self.newest_ns is None or now_ns - self.newest_ns > self.limits.silent_s * _SECOND_NS:
            late = self._late >= REPEATED and self.newest_ns is not None
            patience_ns = (self.limits.silent_s + 1.0) * _SECOND_NS
            if late and self.newest_ns is not None and now_ns - self.newest_ns <= patience_ns:
                return (Trouble.LATE,)  # its data come, but old
            return (Trouble.LOST,)
        found = []
        if self._same >= REPEATED:
            found.append(Trouble.FROZEN)
        if self._late >= REPEATED:
            found.append(Trouble.LATE)
        if self._blind >= REPEATED:
            found.append(Trouble.BLIND)
        return tuple(found)


def blind(quality: PictureQuality) -> bool:
    """Return whether a camera sees nothing: covered, black or burnt out."""
    return quality.contrast < 0.02 or quality.dark > 0.97 or quality.bright > 0.9


def _fingerprint(data: object) -> int | None:
    """Return a number that differs where the data do; None for what may well repeat itself."""
    match data:
        case CameraImage():
            return zlib.crc32(data.pixels[::8, ::8].tobytes())
        case PointCloud():
            return zlib.crc32(data.xyz_m[::16].tobytes()) if len(data.xyz_m) else None
        case RadarScan():
            return zlib.crc32(data.range_m.tobytes()) if len(data.range_m) else None
        case Odometry():
            moving = abs(data.speed_mps) > 0.3
            return hash((data.speed_mps, data.yaw_rate_radps, data.x_m)) if moving else None
    return None
