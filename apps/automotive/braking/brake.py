"""The brake over time: it takes in what each sensor says, and judges as often as it is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apps.automotive.braking.corridor import corridor
from apps.automotive.braking.decide import Limits, Threat, Verdict, blind, worst
from apps.automotive.braking.fuse import lidar_threat, merged, radar_threats, track_threats
from apps.automotive.braking.radar import RadarTargets
from apps.automotive.config import VehicleConfig
from apps.automotive.messages import BrakeCommand, BrakeStage, Odometry, PointCloud, RadarScan, Tracks
from apps.automotive.odometry import elsewhere
from edgeai_core.errors import InputError

FRESH_S = {"radar": 0.3, "lidar": 0.35, "tracks": 0.4}
"""Older than this a sensor tells nothing: radar scans come every 50 ms, turns of the lidar every 100 ms."""
STAGES = (BrakeStage.NONE, BrakeStage.WARN, BrakeStage.PARTIAL, BrakeStage.FULL)
SLOWEST_MPS = 0.3
"""A car that stands needs no emergency brake."""
SAME_WITHIN_S = 0.02
"""So long what was found is moved on instead of looked for anew; odometry, which moves the path, comes every 10 ms."""
HOLD_S = 0.4
"""Braking goes on so long after its reason was last seen: near by, radars lose what they brake for."""


@dataclass(frozen=True)
class _Found:
    """What was found at ``time_ns``, while these sensors told nothing."""

    time_ns: int
    lost: tuple[str, ...]
    threats: list[Threat]
    stamps: list[int]


class Brake:
    """Holds evidence and the state of the brake. Times are of one clock, in nanoseconds."""

    def __init__(self, vehicle: VehicleConfig, limits: Limits) -> None:
        self._vehicle, self._limits = vehicle, limits
        self._radar = RadarTargets()
        self._lidar: tuple[int, PointCloud] | None = None
        self._lidar_same = 0
        self._tracks: Tracks | None = None
        self._tracks_ns = -1
        self._odometry = Odometry()
        self._found: _Found | None = None
        self._braking_ns: int | None = None
        self._last: Verdict | None = None
        self.verdict = Verdict(0, 0.0, "", float("inf"))

    def push_odometry(self, odometry: Odometry) -> None:
        """Take in how the ego moves; the same reading again is none. Raises InputError for what is not finite."""
        if odometry is self._odometry:
            return
        values = (odometry.x_m, odometry.y_m, odometry.yaw_rad, odometry.speed_mps, odometry.yaw_rate_radps)
        if not all(map(np.isfinite, values)):
            raise InputError("the odometry holds values that are not numbers")
        if elsewhere(self._odometry, odometry):
            self._radar, self._lidar, self._tracks = RadarTargets(), None, None
            self._braking_ns = self._last = None
        self._odometry, self._found = odometry, None

    def push_radar(self, time_ns: int, scan: RadarScan) -> None:
        """Take in one radar scan."""
        self._found = None
        self._radar.push(time_ns, scan, self._odometry)

    def push_lidar(self, time_ns: int, cloud: PointCloud) -> None:
        """Take in the lidar's sector ahead."""
        if self._lidar is not None and time_ns <= self._lidar[0]:
            return
        same = (
            self._lidar is not None
            and len(cloud.xyz_m) > 0
            and np.array_equal(self._lidar[1].xyz_m, cloud.xyz_m)
        )
        self._lidar_same = self._lidar_same + 1 if same else 0
        self._lidar, self._found = (time_ns, cloud), None

    def push_tracks(self, tracks: Tracks) -> None:
        """Take in perception's tracks; those of another place, before odometry began anew, are none."""
        if elsewhere(tracks.ego, self._odometry):
            return
        self._tracks, self._tracks_ns, self._found = tracks, tracks.time_ns, None

    def lost(self, now_ns: int) -> tuple[str, ...]:
        """Return which sensors tell nothing: silent, too old, or frozen."""
        stamps = {
            "radar": None if self._radar.frozen else self._radar.time_ns,
            "lidar": None if self._lidar is None or self._lidar_same >= 2 else self._lidar[0],
            "tracks": None if self._tracks is None else self._tracks_ns,
        }
        return tuple(
            name for name, stamp in stamps.items() if stamp is None or now_ns - stamp > FRESH_S[name] * 1e9
        )

    def judge(self, now_ns: int) -> BrakeCommand:
        """Return the command of this moment."""
        lost = self.lost(now_ns)
        if len(lost) == len(FRESH_S):
            self.verdict = blind(self._limits)
            return self._command(now_ns, self.verdict, now_ns)
        threats, stamps = self._threats(now_ns, lost)
        speed = self._odometry.speed_mps
        braking = self._braking_ns is not None
        verdict = worst(speed, threats, self._limits, braking=braking)
        if speed < SLOWEST_MPS:
            verdict = Verdict(0, 0.0, "", verdict.time_to_collision_s)
            self._braking_ns = None
        elif verdict.stage >= 2:
            self._braking_ns, self._last = now_ns, verdict
        elif self._braking_ns is not None and self._last is not None:
            if now_ns - self._braking_ns <= HOLD_S * 1e9:
                verdict = self._last
            else:
                self._braking_ns = None
        self.verdict = verdict
        evidence = verdict.threat.evidence_ns if verdict.threat is not None and verdict.stage else min(stamps)
        return self._command(now_ns, verdict, evidence)

    def _threats(self, now_ns: int, lost: tuple[str, ...]) -> tuple[list[Threat], list[int]]:
        """Return the threats of all sensors that tell something, and the stamps of those sensors.

        Between readings, which come less often than this is asked, what was found is moved on at its speed.
        """
        found = self._found
        if found is None or found.lost != lost or now_ns - found.time_ns > SAME_WITHIN_S * 1e9:
            threats, stamps = self._look(now_ns, lost)
            self._found = _Found(now_ns, lost, threats, stamps)
            return threats, stamps
        own, passed_s = self._odometry.speed_mps, (now_ns - found.time_ns) * 1e-9
        moved = [
            replace(each, gap_m=each.gap_m - (own - each.speed_mps) * passed_s) for each in found.threats
        ]
        return moved, found.stamps

    def _look(self, now_ns: int, lost: tuple[str, ...]) -> tuple[list[Threat], list[int]]:
        path = corridor(self._odometry, self._vehicle)
        radar: list[Threat] = []
        tracks: list[Threat] = []
        lidar: Threat | None = None
        stamps: list[int] = []
        if "radar" not in lost and self._radar.time_ns is not None:
            radar = radar_threats(self._radar.now(now_ns, self._odometry), path, self._radar.time_ns)
            stamps.append(self._radar.time_ns)
        if "tracks" not in lost and self._tracks is not None:
            tracks = track_threats(self._tracks, path, self._odometry, now_ns)
            stamps.append(self._tracks_ns)
        looked = "lidar" not in lost
        if looked and self._lidar is not None:
            lidar = lidar_threat(self._lidar[1], path, self._lidar[0])
            stamps.append(self._lidar[0])
        return merged(radar, tracks, lidar, alone=len(lost) == len(FRESH_S) - 1, looked=looked), stamps

    def _command(self, now_ns: int, verdict: Verdict, evidence_ns: int) -> BrakeCommand:
        return BrakeCommand(
            now_ns, STAGES[verdict.stage], verdict.deceleration_mps2, verdict.reason,
            -1 if verdict.threat is None else verdict.threat.track, verdict.time_to_collision_s, evidence_ns,
        )  # fmt: skip
