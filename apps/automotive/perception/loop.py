"""The perception loop: released by the camera, lidar and radar as they come, tracks out at its pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.automotive.messages import (
    START_WITHIN_S,
    CameraImage,
    Odometry,
    PointCloud,
    RadarScan,
    Tracks,
    no_tracks,
)
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.decide import DEGRADATIONS, RULES, decide, unusable
from edgeai_core.decision import Decision
from edgeai_core.errors import ModelError
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Degradation, Input, LoopSpec, On, Parts, Realtime, Source

if TYPE_CHECKING:
    from apps.automotive.perception.perceive import Perception

DEADLINE_S = 1 / 30
IDLE_S = 0.05
"""Without the camera it goes on at this pace with what the other sensors say."""

MODELS = Path(__file__).parent / "models"
SHIPPED = MODELS / "road.onnx"
FETCHED_CARD = MODELS / "yolox_nano.card.toml"


def perception_loop(config: PerceptionConfig) -> LoopSpec[Tracks]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``."""
    inputs = perception_inputs(config)
    return LoopSpec(
        name="perception",
        trigger=On(inputs["camera"], idle_s=IDLE_S),
        inputs=tuple(inputs.values()),
        build=lambda: _build(config, inputs),
        deadline_s=DEADLINE_S,
        start_within_s=START_WITHIN_S,
        realtime=Realtime(priority=config.priority),
        safe=Decision(no_tracks(lost=tuple(inputs)), conditions=None),
        rules=RULES,
        degradations=tuple(
            Degradation(name, after=3, within_s=2.0, back_after_s=10.0) for name in DEGRADATIONS
        ),
    )


def perception_inputs(config: PerceptionConfig) -> Mapping[str, Input[Any]]:
    """Return the inputs by sensor: streams of the simulation, or this loop's own sources."""
    prefix = "automotive.simulation/" if config.source == "simulation" else ""
    camera: Input[CameraImage] = Input(f"{prefix}camera", max_age_s=0.2)
    lidar: Input[PointCloud] = Input(f"{prefix}lidar", history="new", depth=4, required=False)
    radar: Input[RadarScan] = Input(f"{prefix}radar", history="new", depth=8, required=False)
    odometry: Input[Odometry] = Input(f"{prefix}odometry", history="new", depth=64, required=False)
    everything = {"camera": camera, "lidar": lidar, "radar": radar, "odometry": odometry}
    if config.source == "simulation":
        return everything
    return {sensor: everything[sensor] for sensor in _sensors(config)}


def perception_sources(config: PerceptionConfig) -> tuple[Source[Any], ...]:
    """Return the sources that the configuration names, none for the simulation, whose sensors are streams.

    Raises InputError where there is nothing to play.
    """
    from apps.automotive.perception.kitti_drive import KittiDrive
    from apps.automotive.perception.sources import VideoSource, kitti_sources

    if config.source == "simulation" or config.path is None:
        return ()
    if config.source == "video":
        return (VideoSource(config.path, rate_hz=config.rate_hz, repeat=config.repeat),)
    drive = KittiDrive(config.path, config.rate_hz)
    return tuple(source for source in kitti_sources(drive, repeat=config.repeat) if source is not None)


def detector_model(name: str) -> tuple[Path, Path]:
    """Return model and card of the camera's detector by the name in the configuration. Raises ModelError."""
    from edgeai_core.runners.card import card_path, read_card
    from edgeai_core.runners.fetch import fetched_path
    from edgeai_core.state import find_state

    if name == "road":
        return SHIPPED, card_path(SHIPPED)
    if name == "yolox-nano":
        path = fetched_path(find_state().models, read_card(FETCHED_CARD))
        if not path.is_file():
            raise ModelError(f"{path}: model yolox-nano is not here; `edgeai model fetch yolox-nano` gets it")
        return path, FETCHED_CARD
    path = Path(name)
    if path.suffix != ".onnx":
        raise ModelError(
            f"model {name!r} is unknown; name road, yolox-nano, or the path of an .onnx with its card"
        )
    return path, card_path(path)


def _sensors(config: PerceptionConfig) -> tuple[str, ...]:
    """Return which sensors a recording has: looked up by folder, for a specification opens nothing."""
    if config.source == "video" or config.path is None:
        return ("camera",)
    lidar = any((config.path / name).is_dir() for name in ("velodyne_points", "velodyne_fov", "velodyne"))
    found = ("camera", "lidar") if lidar else ("camera",)
    return (*found, "odometry") if (config.path / "oxts").is_dir() else found


def _build(config: PerceptionConfig, inputs: Mapping[str, Input[Any]]) -> Parts[Tracks]:
    """Open sources and model. Imports here, so that a specification costs no numpy."""
    from apps.automotive.perception.perceive import Perception

    sources = perception_sources(config)
    perception = Perception(config, tuple(inputs), detector_model(config.model))
    perception.warm_up()
    step = PerceptionStep(perception, inputs, config.vehicle, config.live_rate_hz)
    return Parts(sources, step, step.fall_back)


class PerceptionStep:
    """The step and its fallback, over one perception."""

    def __init__(
        self, perception: Perception, inputs: Mapping[str, Input[Any]], vehicle: str, live_rate_hz: float
    ) -> None:
        from apps.automotive.perception.live import LiveView

        self._perception, self._inputs, self._vehicle = perception, inputs, vehicle
        self._live = LiveView(live_rate_hz)

    def __call__(self, snapshot: Snapshot) -> Decision[Tracks]:
        """Take in what came, all of it, and decide."""
        self._take(snapshot, detect=self._looks(snapshot))
        return self._decided(snapshot)

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[Tracks]:
        """Go on without the camera's detector: tracks coast, or follow what the other sensors say.

        After a step that came too late what it took in is in the tracks already; they are predicted to now.
        """
        self._take(snapshot, detect=None)
        return self._decided(snapshot, shown=fault.kind is not FaultKind.OVERRUN)

    def _looks(self, snapshot: Snapshot) -> Callable[[int], bool]:
        every = (1, 2, 4)[min(snapshot.level, 2)]
        return lambda number: number % every == 0

    def _take(self, snapshot: Snapshot, detect: Callable[[int], bool] | None) -> None:
        for sensor in ("odometry", "radar", "lidar", "camera"):
            if sensor in self._inputs:
                with snapshot.stages.stage(sensor):
                    self._perception.take(
                        sensor, snapshot[self._inputs[sensor]].samples, snapshot.now_ns, detect
                    )

    def _decided(self, snapshot: Snapshot, *, shown: bool = True) -> Decision[Tracks]:
        now_ns = snapshot.now_ns
        troubles = {sensor: health.troubles(now_ns) for sensor, health in self._perception.health.items()}
        with snapshot.stages.stage("tracks"):
            contradicted = self._perception.suspects()
            lost = tuple(
                sensor for sensor, found in troubles.items() if unusable(found) or sensor in contradicted
            )
            tracks = self._perception.tracks(now_ns, lost)
        live = self._live.take(now_ns, tracks, troubles, self._perception) if shown else {}
        odd = tuple(dict.fromkeys((*contradicted, *self._perception.at_odds())))
        return decide(tracks, troubles, odd, snapshot.level, self._vehicle, live)
