"""The perception loop's step and fallback: what reaches fusion, when, and what is said of the sensors.

Fusion itself is replaced by a record of what it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.automotive.messages import (
    CameraImage,
    ObjectKind,
    Odometry,
    PointCloud,
    RadarScan,
    Tracks,
    no_tracks,
)
from apps.automotive.perception import perceive
from apps.automotive.perception.config import PerceptionConfig
from apps.automotive.perception.decide import Code
from apps.automotive.perception.loop import (
    FETCHED_CARD,
    SHIPPED,
    PerceptionStep,
    detector_model,
    perception_inputs,
    perception_loop,
)
from apps.automotive.simulation.camera import Camera
from apps.automotive.simulation.lidar import Lidar
from apps.automotive.simulation.radar import Radar
from edgeai_core.errors import ModelError
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.runners.card import card_path
from edgeai_core.sample import Sample, View

MS = 1_000_000
CONFIG = PerceptionConfig(live_rate_hz=0)
INPUTS = perception_inputs(CONFIG)


class Recorder:
    """Stands for fusion: keeps what it is told, as (sensor, time_ns, data)."""

    told: list[tuple[str, int, Any]]

    def __init__(self, config: object) -> None:
        self.told = []

    def push_odometry(self, time_ns: int, data: object) -> None:
        self.told.append(("odometry", time_ns, data))

    def push_camera(self, time_ns: int, data: object) -> None:
        self.told.append(("camera", time_ns, data))

    def push_lidar(self, time_ns: int, data: object) -> None:
        self.told.append(("lidar", time_ns, data))

    def push_radar(self, time_ns: int, data: object) -> None:
        self.told.append(("radar", time_ns, data))

    def tracks(self, now_ns: int) -> Tracks:
        return no_tracks(now_ns)

    def suspects(self) -> tuple[str, ...]:
        return ()

    def at_odds(self) -> tuple[str, ...]:
        return ()


@pytest.fixture
def perception(monkeypatch: pytest.MonkeyPatch) -> perceive.Perception:
    monkeypatch.setattr(perceive, "Fusion", Recorder)
    return perceive.Perception(CONFIG, tuple(INPUTS), (SHIPPED, card_path(SHIPPED)))


@pytest.fixture
def step(perception: perceive.Perception) -> PerceptionStep:
    return PerceptionStep(perception, INPUTS, "ego", 0.0)


def told(perception: perceive.Perception) -> list[tuple[str, int, Any]]:
    return perception._fusion.told  # type: ignore[attr-defined, no-any-return]


def snapshot(number: int, now_ns: int, level: int = 0, **data: list[tuple[int, int, object]]) -> Snapshot:
    """Make a snapshot of samples (measured, received, data) by sensor."""
    views: Mapping[str, View[Any]] = {
        handle.source: View(
            tuple(Sample(each, time_ns, received_ns) for time_ns, received_ns, each in data.get(sensor, [])),
            0,
        )
        for sensor, handle in INPUTS.items()
    }
    return Snapshot(number, now_ns, now_ns, level, views)


@cache
def devices() -> tuple[Camera, Lidar, Radar]:
    rng = np.random.default_rng(0)
    return Camera(rng), Lidar(rng), Radar(rng)


def sensors(scene: Any, seed: int) -> dict[str, object]:
    camera, lidar, radar = devices()
    return {
        "camera": camera.render(scene),
        "lidar": lidar.scan(scene),
        "radar": radar.scan(scene),
        "odometry": Odometry(speed_mps=15.0 + seed / 100, x_m=seed),
    }


STALE = Fault(FaultKind.STALE, "the camera is silent", input="automotive.simulation/camera")


def test_everything_reaches_fusion_with_the_time_of_its_measurement(step, perception, scene_of) -> None:
    scene = scene_of((ObjectKind.CAR, 14.0, 0.0, 0.0, 15.0))
    now_ns = 1000 * MS
    times = {"camera": 980, "lidar": 940, "radar": 960, "odometry": 995}
    data = {name: [(times[name] * MS, now_ns, each)] for name, each in sensors(scene, 0).items()}
    decision = step(snapshot(0, now_ns, **data))
    assert {(name, time_ns // MS) for name, time_ns, _ in told(perception)} == set(times.items())
    assert decision.conditions == ()
    boxes = {name: each for name, _, each in told(perception)}
    assert len(boxes["lidar"].points) >= 1
    assert len(boxes["radar"].range_m) >= 1


def test_the_same_sample_is_taken_once_by_step_and_fallback(step, perception, scene_of) -> None:
    data = {name: [(990 * MS, 1000 * MS, each)] for name, each in sensors(scene_of(), 0).items()}
    step(snapshot(0, 1000 * MS, **data))
    before = len(told(perception))
    step.fall_back(snapshot(1, 1030 * MS, **data), STALE)
    step(snapshot(2, 1030 * MS, **data))
    assert len(told(perception)) == before


def test_without_the_camera_the_other_sensors_go_on_and_the_loss_is_said(step, perception, scene_of) -> None:
    for number in range(12):
        now_ns = (1000 + 50 * number) * MS
        found = sensors(scene_of(), number)
        data = {name: [(now_ns - 10 * MS, now_ns, each)] for name, each in found.items() if name != "camera"}
        decision = step.fall_back(snapshot(number, now_ns, **data), STALE)
    assert {name for name, _, _ in told(perception)} == {"lidar", "radar", "odometry"}
    assert [(each.code, each.subject) for each in decision.conditions] == [(Code.SENSOR_LOST, "ego/camera")]
    assert decision.output.sensors_lost == ("camera",)


def test_a_frozen_lidar_is_not_believed(step, perception, scene_of) -> None:
    frozen = sensors(scene_of((ObjectKind.CAR, 14.0, 0.0, 0.0, 15.0)), 0)["lidar"]
    for number in range(8):
        now_ns = (1000 + 100 * number) * MS
        data = {**sensors(scene_of(), number), "lidar": frozen}
        decision = step(
            snapshot(number, now_ns, **{name: [(now_ns, now_ns, each)] for name, each in data.items()})
        )
    assert len([name for name, _, _ in told(perception) if name == "lidar"]) == 3
    assert [(each.code, each.subject) for each in decision.conditions] == [(Code.SENSOR_FROZEN, "ego/lidar")]
    assert decision.output.sensors_lost == ("lidar",)


@pytest.mark.parametrize(("level", "looked"), [(0, 8), (1, 4), (2, 2)])
def test_overloaded_the_detector_looks_at_fewer_pictures_and_says_so(
    step, perception, scene_of, level, looked
) -> None:
    rng = np.random.default_rng(0)
    for number in range(8):
        now_ns = (1000 + 33 * number) * MS
        image = CameraImage(rng.integers(0, 255, (360, 640, 3), dtype=np.uint8))
        data = {**sensors(scene_of(), number), "camera": image}
        data = {name: [(now_ns, now_ns, each)] for name, each in data.items()}
        decision = step(snapshot(number, now_ns, level, **data))
    assert len([name for name, _, _ in told(perception) if name == "camera"]) == looked
    codes = {each.code for each in decision.conditions}
    assert codes == (set() if level == 0 else {Code.PERCEPTION_DEGRADED})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_input_of_nan_is_more_than_no_input(step, perception, bad) -> None:
    now_ns = 1000 * MS
    data: dict[str, object] = {
        "camera": CameraImage(np.zeros((360, 640, 3), dtype=np.uint8)),
        "lidar": PointCloud(np.full((500, 3), bad, np.float32), np.full(500, bad, np.float32)),
        "radar": RadarScan(*np.full((4, 20), bad)),
        "odometry": Odometry(speed_mps=bad),
    }
    decision = step(snapshot(0, now_ns, **{name: [(now_ns, now_ns, each)] for name, each in data.items()}))
    empty = {name: each for name, _, each in told(perception)}
    assert "odometry" not in empty
    assert "camera" not in empty
    assert len(empty["lidar"].points) == len(empty["radar"].range_m) == 0
    assert (Code.SENSOR_LOST, "ego/odometry") in {(each.code, each.subject) for each in decision.conditions}


def test_late_data_reach_fusion_with_their_own_time_and_the_delay_is_said(step, perception, scene_of) -> None:
    for number in range(5):
        now_ns = (1000 + 50 * number) * MS
        data = {name: [(now_ns, now_ns, each)] for name, each in sensors(scene_of(), number).items()}
        data["radar"] = [(now_ns - 200 * MS, now_ns, data["radar"][0][2])]
        decision = step(snapshot(number, now_ns, **data))
    assert [time_ns // MS for name, time_ns, _ in told(perception) if name == "radar"] == [
        800,
        850,
        900,
        950,
        1000,
    ]
    assert [(each.code, each.subject) for each in decision.conditions] == [(Code.SENSOR_LATE, "ego/radar")]
    assert decision.output.sensors_lost == ()


def test_the_specification_needs_nothing_heavy_and_names_the_streams() -> None:
    spec = perception_loop(CONFIG)
    assert [each.source for each in spec.inputs] == [
        f"automotive.simulation/{name}" for name in ("camera", "lidar", "radar", "odometry")
    ]
    assert spec.trigger.input.source == "automotive.simulation/camera"
    assert len(spec.degradations) == 2


def test_a_video_has_a_camera_only(tmp_path: Path) -> None:
    config = PerceptionConfig(source="video", path=tmp_path / "road.mp4")
    assert list(perception_inputs(config)) == ["camera"]
    with pytest.raises(ValueError, match="needs a path"):
        PerceptionConfig(source="kitti")


def test_a_model_that_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_STATE", str(tmp_path))
    assert detector_model("road")[0].is_file()
    with pytest.raises(ModelError, match="edgeai model fetch yolox-nano"):
        detector_model("yolox-nano")
    assert FETCHED_CARD.is_file()
    with pytest.raises(ModelError, match="is unknown"):
        detector_model("yolo-huge")


def test_live_values_are_plain_and_come_at_their_rate(perception, scene_of) -> None:
    step = PerceptionStep(perception, INPUTS, "ego", 5.0)
    shown = 0
    for number in range(31):
        now_ns = (1000 + 33 * number) * MS
        data = {name: [(now_ns, now_ns, each)] for name, each in sensors(scene_of(), number % 3).items()}
        live = step(snapshot(number, now_ns, **data)).live
        shown += "seen" in live
        assert isinstance(live.get("camera", b""), bytes)
    assert 5 <= shown <= 6


def test_a_contradicted_sensor_is_named(step, perception, scene_of, monkeypatch) -> None:
    monkeypatch.setattr(perception._fusion, "suspects", lambda: ("radar",))
    data = {name: [(1000 * MS, 1000 * MS, each)] for name, each in sensors(scene_of(), 0).items()}
    decision = step(snapshot(0, 1000 * MS, **data))
    assert [(each.code, each.subject) for each in decision.conditions] == [
        (Code.SENSOR_CONTRADICTED, "ego/radar")
    ]
    assert decision.output.sensors_lost == ("radar",)
