"""The simulation loop: the world moves on a hundred times a second, driven by plans and brake commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from apps.automotive.config import AutomotiveConfig
from apps.automotive.messages import BrakeCommand, CameraImage, Odometry, Plan, PointCloud, RadarScan, Route
from apps.automotive.simulation.decide import Code, Drive, conditions
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts, Realtime, Stream
from edgeai_core.sample import Reading

if TYPE_CHECKING:
    from apps.automotive.simulation.recorded import Stretch
    from apps.automotive.simulation.sensors import Sensors
    from apps.automotive.simulation.vehicle import Actuators, EgoState
    from apps.automotive.simulation.world import World

RATE_HZ = 100.0
DEADLINE_S = 0.05
"""Rendering a camera takes longer than a tick; a tick that is missed is made up by the next one's longer step."""
LONGEST_STEP_TICKS = 20
ROUTE_EVERY = 20
NEXT_AFTER = 500
"""Ticks after the beginning of a drive; by then the processes have settled."""
TRUTH_EVERY = 10

PLAN: Input[Plan] = Input("automotive.planning", required=False, polled=True)
BRAKE: Input[BrakeCommand] = Input("automotive.braking", required=False, polled=True)
DRIVE: Input[Stretch] = Input("drive", history="new", depth=4)
"""Of a recorded drive: the loop ends with it."""

STREAMS: Mapping[str, Stream] = {
    "camera": Stream(CameraImage, 800_000, 4),
    "lidar": Stream(PointCloud, 800_000, 4),
    "lidar_ahead": Stream(PointCloud, 200_000, 4),
    "radar": Stream(RadarScan, 60_000, 8),
    "odometry": Stream(Odometry, 2_000, 32),
    "route": Stream(Route, 60_000, 2),
}

RULES: Mapping[str, Rule] = {
    Code.COLLISION: Rule(latched=True),
    Code.COMMAND_TOO_OLD: Rule(clear_after_s=1.0),
    Code.EVIDENCE_TOO_OLD: Rule(raise_after_s=0.1, clear_after_s=1.0),
}


def simulation_loop(config: AutomotiveConfig) -> LoopSpec[Drive]:
    """Return the specification of the loop; nothing is built before ``build``."""
    simulation = config.simulation
    return LoopSpec(
        name="simulation",
        trigger=Every(RATE_HZ),
        inputs=(PLAN, BRAKE) if simulation.drive is None else (PLAN, BRAKE, DRIVE),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        after=("perception", "planning", "braking"),
        safe=Decision(Drive(0.0, simulation.scenario, simulation.seed), conditions=None),
        rules=RULES,
        streams=STREAMS,
        realtime=Realtime(priority=simulation.priority),
    )


def _build(config: AutomotiveConfig) -> Parts[Drive]:
    from apps.automotive.simulation.sensors import read_failures

    simulation = config.simulation
    read_failures(simulation.failures)
    if simulation.drive is None:
        step = SimulationStep(config)
        return Parts((), step, step.fall_back)
    from apps.automotive.simulation.recorded import DriveSource

    source = DriveSource(simulation.drive, repeat=simulation.drive_repeat)
    step = SimulationStep(config)
    return Parts((source,), step, step.fall_back)


class SimulationStep:
    """The step: commands in, the world moved to now, what sensors give out."""

    def __init__(self, config: AutomotiveConfig) -> None:
        self._config = config
        self._seed = config.simulation.seed
        self._collisions = 0
        self._last_ns: int | None = None
        self._plan_ns = self._brake_ns = -1
        self._recorded: deque[tuple[Stretch, int]] = deque()
        self._beside = ThreadPoolExecutor(1, "next drive")
        self._next: tuple[tuple[str, int], Future[tuple[World, Sensors]]] | None = None
        self._begin(config.simulation.scenario, self._seed)

    def __call__(self, snapshot: Snapshot) -> Decision[Drive]:
        """Move the world to this release, in ticks of 10 ms, and give out what arrives meanwhile."""
        now_ns = snapshot.now_ns
        last_ns = snapshot.release_ns - 10_000_000 if self._last_ns is None else self._last_ns
        ticks = min(max(round((snapshot.release_ns - last_ns) / 1e7), 1), LONGEST_STEP_TICKS)
        self._last_ns = snapshot.release_ns
        simulation = self._config.simulation
        if simulation.drive is not None:
            self._take_drive(snapshot)
        elif self._world.time_s >= self._world.scenario.duration_s and simulation.repeat:
            self._begin(simulation.scenario, self._seed + 1)
        self._take(snapshot)
        streams: dict[str, tuple[Reading[object], ...]] = {}
        for left in range(ticks - 1, -1, -1):
            for name, readings in self._tick(now_ns, behind=left > 0).items():
                streams[name] = (*streams.get(name, ()), *readings)
        drive = self._drive(now_ns)
        hit = self._hit()
        live = {"truth": self._truth()} if self._number % TRUTH_EVERY < ticks else {}
        return Decision(drive, conditions(drive, self._config.vehicle.name, hit), live, streams)

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[Drive]:
        """Say how far the drive was; the next tick makes up for this one."""
        return Decision(self._drive(snapshot.now_ns), conditions=None)

    @property
    def ego(self) -> EgoState:
        """Where the car is now, and how it moves."""
        return self._world.ego

    def _begin(self, scenario: str, seed: int) -> None:
        """Begin a drive, the one that was made ready where it is that."""
        from apps.automotive.simulation.vehicle import Actuators

        simulation = self._config.simulation
        key = (scenario, seed)
        ready = self._next[1].result() if self._next and self._next[0] == key else self._made(*key)
        self._seed = seed
        self._world, self._sensors = ready
        self._actuators: Actuators = Actuators(with_brake=simulation.with_brake)
        self._number = 0
        self._watchdog = ""
        self._next = None

    def _make_next_ready(self) -> None:
        """Make what comes after this drive, beside it: that takes a quarter of a second."""
        simulation = self._config.simulation
        if simulation.repeat if simulation.drive is None else simulation.drive_repeat:
            key = (self._world.scenario.name, self._seed + (simulation.drive is None))
            self._next = (key, self._beside.submit(self._made, *key))

    def _made(self, scenario: str, seed: int) -> tuple[World, Sensors]:
        from apps.automotive.simulation.scenarios import named_scenario
        from apps.automotive.simulation.sensors import Sensors, read_failures
        from apps.automotive.simulation.world import World

        simulation = self._config.simulation
        world = World(named_scenario(scenario, seed), self._config.vehicle)
        sensors = Sensors(
            seed,
            read_failures(simulation.failures),
            only=simulation.only_sensors,
            camera_hz=simulation.camera_hz,
        )
        sensors.prepare(world.scene())
        return world, sensors

    def _take(self, snapshot: Snapshot) -> None:
        """Hand new commands to the actuators, once each."""
        plan, brake = snapshot[PLAN].latest, snapshot[BRAKE].latest
        if plan is not None and plan.received_ns != self._plan_ns:
            self._plan_ns = plan.received_ns
            self._actuators.take_plan(self._world.time_s, plan.data)
        if brake is not None and brake.received_ns != self._brake_ns:
            self._brake_ns = brake.received_ns
            self._actuators.take_brake(self._world.time_s, brake.data)

    def _take_drive(self, snapshot: Snapshot) -> None:
        """Queue what is to be driven next; a drive that begins ends the one before."""
        for sample in snapshot[DRIVE].samples:
            if sample.data.begins:
                self._recorded.clear()
            self._recorded.extend((sample.data, at) for at in range(len(sample.data.states)))

    def _drive_on(self, tick_s: float) -> None:
        """Go to the next recorded state, or stay where there is none yet."""
        from apps.automotive.simulation.vehicle import EgoState

        if not self._recorded:
            return
        stretch, at = self._recorded.popleft()
        if stretch.begins and at == 0:
            self._begin(stretch.scenario, stretch.seed)
        self._world.follow(EgoState(*stretch.states[at].tolist()), tick_s)

    def _tick(self, now_ns: int, *, behind: bool) -> dict[str, tuple[Reading[object], ...]]:
        from apps.automotive.simulation.sensors import TICK_S

        world = self._world
        if self._config.simulation.drive is not None:
            self._drive_on(TICK_S)
            world = self._world
        elif world.collision is None:
            demand = self._actuators.demand(world.time_s, world.ego.steering_rad)
            self._watchdog = demand.watchdog
            world.step(demand, TICK_S)
            if world.collision is not None:
                self._collisions += 1
        else:
            world.time_s += TICK_S  # a crash ends the drive; the scenario runs out with everything standing
        arrived: dict[str, tuple[Reading[object], ...]] = self._sensors.tick(
            self._number, world.scene(), now_ns, behind=behind
        )
        if self._number == NEXT_AFTER:
            self._make_next_ready()
        if self._number % ROUTE_EVERY == 0:
            arrived["route"] = (Reading(self._route(), now_ns),)
        self._number += 1
        return arrived

    def _route(self) -> Route:
        """Return the route in the odometry frame: what a map knows of the road lies where the car believes to be."""
        import numpy as np

        world = self._world
        route = world.scenario.road.route(world.scenario.lane, world.ego_frenet()[0])
        moved = self._sensors.odometry.to_odometry(np.stack([route.x_m, route.y_m], axis=1))
        return Route(
            moved[:, 0],
            moved[:, 1],
            route.lane_width_m,
            route.lanes_left,
            route.lanes_right,
            route.speed_limit_mps,
        )

    def _drive(self, now_ns: int) -> Drive:
        ego, brake = self._world.ego, self._actuators.brake
        over = self._world.collision is not None  # nobody brakes any more
        age_s = (
            float("nan")
            if over or brake is None or not brake.evidence_ns
            else (now_ns - brake.evidence_ns) * 1e-9
        )
        return Drive(
            self._world.time_s, self._world.scenario.name, self._seed, ego.speed_mps, ego.acceleration_mps2, age_s,
            self._watchdog, self._collisions,
        )  # fmt: skip

    def _hit(self) -> str:
        from apps.automotive.messages import ObjectKind

        collision = self._world.collision
        return "" if collision is None else ObjectKind(collision.kind).name.lower()

    def _truth(self) -> Mapping[str, object]:
        scene = self._world.scene()
        return {
            "time_s": round(scene.time_s, 2),
            "scenario": self._world.scenario.name,
            "simulated": True,
            "x_m": [round(value, 2) for value in scene.object_x_m.tolist()],
            "y_m": [round(value, 2) for value in scene.object_y_m.tolist()],
            "kind": scene.object_kind.tolist(),
            "ego": [
                round(scene.x_m, 2),
                round(scene.y_m, 2),
                round(scene.yaw_rad, 4),
                round(scene.speed_mps, 2),
            ],
        }
