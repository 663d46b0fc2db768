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
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts
from edgeai_core.sensors.replay import replay_loops

ODOMETRY: Input[Odometry] = Input("automotive.simulation/odometry")


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
        odometry = snapshot[ODOMETRY].data
        scene = in_odometry(step._world.scene(), odometry)
        tracks = believed.see(scene, odometry, snapshot.now_ns) or no_tracks(snapshot.now_ns, odometry)
        return Decision(broken(tracks) if broken else tracks)

    perception = LoopSpec(
        "perception", Every(10), (ODOMETRY,), lambda: Parts((), perceive, lambda s, f: Decision(no_tracks())), 1.0,
        Decision(no_tracks()),
    )  # fmt: skip
    specs = {
        "automotive.simulation": replace(simulation, build=lambda: parts),
        "automotive.perception": perception,
        "automotive.planning": planning_loop(config),
        "automotive.braking": braking_loop(config),
    }
    if silent_after_s < until_s:
        return _silenced(specs, until_s, silent_after_s)
    return replay_loops(specs, until_s=until_s)


def _silenced(
    specs: dict[str, LoopSpec[Any]], until_s: float, silent_after_s: float
) -> Iterator[tuple[str, Cycle[Any]]]:
    perception = specs["automotive.perception"]
    parts = perception.build()
    last: list[Decision[Tracks]] = []

    def step(snapshot: Any) -> Decision[Tracks]:
        if snapshot.now_ns > silent_after_s * 1e9 and last:
            raise RuntimeError("perception is gone")
        last[:] = [parts.step(snapshot)]
        return last[0]

    def fall_back(snapshot: Any, fault: Any) -> Decision[Tracks]:
        return last[
            0
        ]  # the same old tracks with their old stamp: for those downstream the silence of a dead process

    specs["automotive.perception"] = replace(perception, build=lambda: Parts((), step, fall_back))
    return replay_loops(specs, until_s=until_s)
