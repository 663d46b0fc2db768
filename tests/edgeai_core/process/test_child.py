"""A loop's own process: its inputs from other loops, and that it runs once."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from edgeai_core.app import App
from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.errors import ConfigError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Stream
from edgeai_core.process import child
from edgeai_core.process.child import find_loop, run_loop, with_topics
from edgeai_core.process.run import Plan, PlannedChild
from edgeai_core.sample import Reading
from edgeai_core.state import State
from edgeai_core.topics.stream import RingSink
from edgeai_core.topics.topic import TopicSink


class Config(BaseModel):
    """Nothing to configure."""


@dataclass(frozen=True)
class Speed:
    mps: float


def parts() -> Parts[Any]:
    return Parts((), lambda snapshot: Decision(Speed(1.0)), lambda snapshot, fault: Decision(Speed(0.0)))


def loop(name: str, *inputs: Input[Any]) -> LoopSpec[Any]:
    return LoopSpec(name, Every(10), inputs, parts, 0.1, Decision(Speed(0.0)))


SPEED = Input[Speed]("car.speed")
IMAGES = {"image": Stream(Speed, max_bytes=100)}
CAMERA = replace(loop("camera"), streams=IMAGES)
CAR = App("car", "a car", Config, lambda config: [loop("speed"), loop("brake", SPEED), CAMERA])


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "load_app", lambda name: CAR)


def test_an_input_named_after_another_loop_receives_its_output_in_its_own_type(tmp_path: Path) -> None:
    built = with_topics(loop("brake", SPEED), parts(), tmp_path)
    (source,) = built.sources
    assert source.name == "car.speed"
    source.open(MonotonicClock())
    sender = TopicSink(tmp_path, "car", "speed")
    sender.put(Cycle("speed", Snapshot(0, 0, 0, 0, {}), Decision(Speed(3.5)), 0, 1))
    reading = source.read(5.0)
    sender.close()
    source.close()
    assert reading is not None
    assert reading.data == Speed(3.5)


def test_a_loop_of_an_app_that_has_no_such_loop_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no loop 'sped' \(it has: speed, brake, camera\)"):
        with_topics(loop("brake", Input("car.sped")), parts(), tmp_path)
    assert find_loop(CAR, None, "brake").name == "brake"


def test_an_input_named_after_a_stream_of_another_loop_is_read_from_shared_memory(tmp_path: Path) -> None:
    camera = Input[Speed]("car.camera/image")
    (source,) = with_topics(loop("see", camera), parts(), tmp_path).sources
    source.open(MonotonicClock())
    streams = RingSink(tmp_path, "car", "camera", IMAGES)
    decision = Decision(Speed(0.0), streams={"image": (Reading(Speed(3.5)),)})
    streams.put(Cycle("camera", Snapshot(0, 0, 0, 0, {}), decision, 0, 1))
    reading = source.read(5.0)
    streams.close()
    source.close()
    assert reading is not None
    assert reading.data == Speed(3.5)
    with pytest.raises(ConfigError, match=r"car\.camera declares no stream 'imago' \(it declares: image\)"):
        with_topics(loop("see", Input("car.camera/imago")), parts(), tmp_path)


def test_a_topic_cannot_be_a_durable_input(tmp_path: Path) -> None:
    durable = Input[Any]("car.speed", history="one")
    spec = LoopSpec("brake", On(durable), (durable,), parts, 0.1, Decision(Speed(0.0)))
    with pytest.raises(ConfigError, match="a topic may lose messages"):
        with_topics(spec, parts(), tmp_path)


def test_a_loop_that_runs_already_is_refused_and_names_the_process(tmp_path: Path) -> None:
    state = State(tmp_path / "state").create()
    with (
        child._Lock(state.run / "car.speed.lock"),
        pytest.raises(ConfigError, match=f"as process {os.getpid()}; stop that run"),
    ):
        run_loop(CAR, loop("speed"), state)


def test_a_plan_survives_the_command_line_it_travels_on() -> None:
    plan = Plan(
        "/state", [PlannedChild("car.speed", ["python", "-m", "x"], stall_after_s=7.5)], 3.0, "here", True
    )
    assert Plan.from_json(plan.to_json()) == plan


def test_an_error_of_a_child_is_one_line_and_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        code = child.main(["car", "none", "--state", str(tmp_path / "state"), "--config", str(config)])
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "error car.none app 'car' has no loop 'none'" in err
