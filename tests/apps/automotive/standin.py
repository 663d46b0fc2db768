"""The automotive loops on one virtual clock, with a stand-in for perception that is told the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from apps.automotive.braking.driving import in_odometry
from apps.automotive.braking.loop import braking_loop
from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import Odometry, Tracks, no_tracks
from apps.automotive.planning.loop import planning_loop
from apps.automotive.simulation.believed import BelievedTracks
from apps.automotive.simulation.loop import simulation_loop
from edgeai_core.clock import Clock
from edgeai_core.decision import Decision
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.spec import Input, LoopSpec, On, Parts
from edgeai_core.sample import Reading
from edgeai_core.sensors.replay import replay_loops

TICK: Input[int] = Input("tick")
ODOMETRY: Input[Odometry] = Input("automotive.simulation/odometry", required=False)


def drive(
    config: AutomotiveConfig, until_s: float, *, silent_after_s: float = np.inf, broken: Any = None
) -> Iterator[tuple[str, Cycle[Any]]]:
    """Yield the cycles of simulation, stand-in perception, planning and braking.

    Perception falls silent after ``silent_after_s`` (it publishes its last tracks no more); ``broken`` changes the
    tracks it tells.
    """
    simulation = simulation_loop(config)
    parts = simulation.build()
    step: Any = parts.step
    believed = BelievedTracks(np.random.default_rng(5))

    def perceive(snapshot: Any) -> Decision[Tracks]:
        heard = snapshot[ODOMETRY].latest
        odometry = heard.data if heard is not None else Odometry()
        scene = in_odometry(step._world.scene(), odometry)
        tracks = believed.see(scene, odometry, snapshot.now_ns) or no_tracks(snapshot.now_ns, odometry)
        return Decision(broken(tracks) if broken else tracks)

    perception = LoopSpec(
        "perception", On(TICK), (TICK, ODOMETRY),
        lambda: Parts((Ticks(silent_after_s),), perceive, lambda s, f: Decision(no_tracks())), 1.0,
        Decision(no_tracks()),
    )  # fmt: skip
    specs = {
        "automotive.simulation": replace(simulation, build=lambda: parts),
        "automotive.perception": perception,
        "automotive.planning": planning_loop(config),
        "automotive.braking": braking_loop(config),
    }
    return replay_loops(specs, until_s=until_s)


class Ticks:
    """Ten readings a second, until perception falls silent."""

    name = "tick"

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    def open(self, clock: Clock) -> None:
        self._clock, self._due_ns = clock, clock.now_ns()

    def read(self, timeout_s: float) -> Reading[int] | None:
        self._clock.sleep_until_ns(self._due_ns)
        if self._due_ns > self._until_s * 1e9:
            raise EndOfStream
        self._due_ns += 100_000_000
        return Reading(0, self._clock.now_ns())

    def close(self) -> None:
        pass
