"""The braking loop: radar, lidar sector, tracks and odometry become a brake command 250 times a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from apps.automotive.braking.decide import RULES, Verdict, blind, conditions
from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import (
    START_WITHIN_S,
    BrakeCommand,
    BrakeStage,
    Odometry,
    PointCloud,
    RadarScan,
    Tracks,
)
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts

if TYPE_CHECKING:
    from apps.automotive.braking.brake import Brake

RATE_HZ = 250.0
DEADLINE_S = 0.010
HELD_S = 0.1
"""After a step that failed the last command holds so long; then the brake is put on."""
LIVE_EVERY = 25

ODOMETRY: Input[Odometry] = Input("automotive.simulation/odometry", max_age_s=0.15, polled=True)
RADAR: Input[RadarScan] = Input(
    "automotive.simulation/radar", history="new", depth=8, required=False, polled=True
)
LIDAR: Input[PointCloud] = Input("automotive.simulation/lidar_ahead", required=False, polled=True)
TRACKS: Input[Tracks] = Input("automotive.perception", required=False, polled=True)


def braking_loop(config: AutomotiveConfig) -> LoopSpec[BrakeCommand]:
    """Return the specification of the loop; nothing is built before ``build``."""
    limits = config.braking.limits
    return LoopSpec(
        name="braking",
        trigger=Every(RATE_HZ),
        inputs=(ODOMETRY, RADAR, LIDAR, TRACKS),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        start_within_s=START_WITHIN_S,
        safe=Decision(
            BrakeCommand(0, BrakeStage.PARTIAL, limits.blind_mps2, "the brake failed"), conditions=None
        ),
        rules=RULES,
        realtime=config.braking.realtime,
    )


def _build(config: AutomotiveConfig) -> Parts[BrakeCommand]:
    """Imports here, so that a specification costs no mathematics."""
    from apps.automotive.braking.brake import Brake

    brake = Brake(config.vehicle, config.braking.limits)
    step = BrakeStep(brake, blind(config.braking.limits), config.vehicle.name)
    return Parts((), step, step.fall_back)


class BrakeStep:
    """The step and its fallback, over one brake. ``blind`` is what holds where nothing can be told."""

    def __init__(self, brake: Brake, blind: Verdict, vehicle: str) -> None:
        self._brake, self._blind, self._vehicle = brake, blind, vehicle
        self._seen: dict[str, int] = {}
        self._last: BrakeCommand | None = None

    def __call__(self, snapshot: Snapshot) -> Decision[BrakeCommand]:
        """Take in what came since the last step, and judge."""
        now_ns = snapshot.now_ns
        self._brake.push_odometry(snapshot[ODOMETRY].data)
        for scan in snapshot[RADAR].samples:
            self._brake.push_radar(scan.time_ns, scan.data)
        lidar, tracks = snapshot[LIDAR].latest, snapshot[TRACKS].latest
        if lidar is not None and self._is_new("lidar", lidar.received_ns):
            self._brake.push_lidar(lidar.time_ns, lidar.data)
        if tracks is not None and self._is_new("tracks", tracks.received_ns):
            self._brake.push_tracks(tracks.data)
        command = self._brake.judge(now_ns)
        self._last = command
        found = conditions(self._brake.verdict, self._brake.lost(now_ns), self._vehicle)
        return Decision(command, found, _live(command) if snapshot.number % LIVE_EVERY == 0 else {})

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[BrakeCommand]:
        """Brake. One late or failed step keeps the last command while its evidence is fresh."""
        last = self._last
        if (
            fault.kind is not FaultKind.STALE
            and last is not None
            and snapshot.now_ns - last.time_ns <= HELD_S * 1e9
        ):
            return Decision(last, conditions=None)
        verdict = Verdict(self._blind.stage, self._blind.deceleration_mps2, fault.message, float("inf"))
        command = BrakeCommand(
            snapshot.now_ns,
            BrakeStage.PARTIAL,
            verdict.deceleration_mps2,
            fault.message,
            evidence_ns=snapshot.now_ns,
        )
        return Decision(command, conditions(verdict, (), self._vehicle), _live(command))

    def _is_new(self, name: str, received_ns: int) -> bool:
        new = self._seen.get(name) != received_ns
        self._seen[name] = received_ns
        return new


def _live(command: BrakeCommand) -> Mapping[str, object]:
    """Return what the page draws."""
    time_s = command.time_to_collision_s
    return {
        "brake": {
            "stage": command.stage.value,
            "deceleration_mps2": round(command.deceleration_mps2, 2),
            "reason": command.reason,
            "track": command.track,
            "time_to_collision_s": None if time_s == float("inf") else round(time_s, 2),
        }
    }
