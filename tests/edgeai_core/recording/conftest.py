"""A loop with a memory and a camera, and recordings of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from apps.automotive.messages import BrakeCommand, BrakeStage, CameraImage
from edgeai_core.app import App
from edgeai_core.clock import Clock, MonotonicClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Input, LoopSpec, On, Parts
from edgeai_core.recording import channels, foxglove
from edgeai_core.recording.recorder import Recorder
from edgeai_core.recording.shown import Shown
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.sample import Reading
from edgeai_core.state import State

CAMERA = Input[CameraImage]("camera", history="new", depth=50)
NAME = "toy.watch"
CLOCK_NS = 1_700_000_000_000_000_000


class Config(BaseModel):
    limit: float = 100.0


class Pictures:
    """A camera that delivers a fixed number of pictures as fast as they are read."""

    name = "camera"

    def __init__(self, count: int, turn: threading.Semaphore) -> None:
        self._count = count
        self._turn = turn

    def open(self, clock: Clock) -> None:
        self._number = 0
        self._clock = clock

    def read(self, timeout_s: float) -> Reading[CameraImage] | None:
        if self._number == self._count:
            raise EndOfStream
        if not self._turn.acquire(timeout=timeout_s):
            return None
        self._number += 1
        pixels = np.random.default_rng(self._number).integers(0, 255, (60, 80, 3), np.uint8)
        return Reading(CameraImage(pixels), self._clock.now_ns(), self._number)

    def close(self) -> None:
        pass


def watch(count: int = 40, limit: float = 100.0) -> LoopSpec[BrakeCommand]:
    """A loop with a memory: its output depends on every picture since the start, and a cycle follows each."""

    def build_parts() -> Parts[BrakeCommand]:
        mean = 0.0
        turn = threading.Semaphore(1)

        def step(snapshot: Snapshot) -> Decision[BrakeCommand]:
            nonlocal mean
            for sample in snapshot[CAMERA].samples:
                mean = 0.9 * mean + 0.1 * float(np.mean(sample.data.pixels, dtype=np.float32))
                turn.release()
            bright = mean > limit
            conditions = (Condition("BRIGHT", "camera", Priority.HIGH, "It is bright"),) if bright else ()
            stage = BrakeStage.FULL if bright else BrakeStage.NONE
            return Decision(
                BrakeCommand(snapshot.now_ns, stage, mean, time_to_collision_s=float("nan")), conditions
            )

        def fallback(snapshot: Snapshot, fault: Fault) -> Decision[BrakeCommand]:
            return Decision(BrakeCommand(snapshot.now_ns, BrakeStage.FULL, 9.0), None)

        return Parts((Pictures(count, turn),), step, fallback)

    safe = Decision(BrakeCommand(0, BrakeStage.FULL, 9.0))
    return LoopSpec("watch", On(CAMERA), (CAMERA,), build_parts, 1.0, safe)


def show_image(image: CameraImage, time_ns: int) -> Mapping[str, Shown]:
    return {"": foxglove.compressed_image(image.pixels, time_ns, "camera")}


TOY = App(
    "toy",
    "a toy",
    Config,
    lambda config: [watch(limit=config.limit)],
    channels=lambda: {CameraImage: show_image},
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "load_app", lambda name: TOY)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state").create()


@contextmanager
def recording(state: State, file: Path | None, **limits: Any) -> Iterator[Recorder]:
    recorder = Recorder(state, file, **limits)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.stop()
        thread.join()


def run_recorded(state: State, spec: LoopSpec[Any]) -> None:
    tap = RecordingTap(state.run, "toy", spec.name, Config().model_dump_json())
    Loop(spec, spec.build(), MonotonicClock(), sinks=[tap], tap=tap).run()
    tap.close()
    assert tap.dropped == 0


@pytest.fixture
def recorded(state: State, tmp_path: Path) -> Path:
    path = tmp_path / "run.mcap"
    with recording(state, path):
        run_recorded(state, watch())
    return path


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
