"""The checks: a stranger's vertical passes them, and every broken promise is found and named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from edgeai_core.app import App, Panel
from edgeai_core.clock import Clock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.cycle import Cycle, Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts
from edgeai_core.sample import Reading
from edgeai_core.testing import ContractError, check_app, check_sink, check_source

PROBE = Input[Any]("probe")


class Ticks:
    """A well-behaved source: ten readings, 0.1 s apart."""

    name = "probe"
    count = 1
    writeable = False
    step = 1
    wait = True
    ahead_ns = 0

    def __init__(self) -> None:
        self.opened = 0

    def open(self, clock: Clock) -> None:
        self.clock = clock
        self.number = 0
        self.opened += 1
        self.due_ns = clock.now_ns()

    def read(self, timeout_s: float) -> Reading[Any] | None:
        if self.number == 10:
            raise EndOfStream
        patience_ns = self.clock.now_ns() + int(timeout_s * 1e9)
        if self.due_ns > patience_ns and self.wait:
            self.clock.sleep_until_ns(patience_ns)
            return None
        self.clock.sleep_until_ns(self.due_ns)
        self.number += 1
        data = np.zeros(3)
        data.flags.writeable = self.writeable
        time_ns, self.due_ns = self.due_ns + self.ahead_ns, self.due_ns + 100_000_000
        return Reading({"values": (data,)}, time_ns, self.number * self.step, self.count)

    def close(self) -> None:
        pass


def ticks(**changes: Any) -> Callable[[], Any]:
    return type("Broken", (Ticks,), changes)


def test_a_source_that_keeps_its_contract_passes() -> None:
    check_source(Ticks)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "must be a text"),
        ({"wait": False}, "honours its time-out"),
        ({"writeable": True}, r"the array data\['values'\]\[0\] can be written"),
        ({"count": 2}, "overlaps"),
        ({"count": 0}, "at least one"),
        ({"ahead_ns": 10**9}, "from now"),
        ({"read": lambda self, timeout_s: 3}, "returns a Reading"),
    ],
)
def test_a_source_that_breaks_a_promise_is_told_which(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_source(ticks(**changes))


def test_a_source_that_cannot_be_opened_again_is_found() -> None:
    def read(self: Any, timeout_s: float) -> Reading[Any] | None:
        if self.opened > 2:
            raise EndOfStream
        return Ticks.read(self, timeout_s)

    with pytest.raises(ContractError, match="after close and open"):
        check_source(ticks(read=read))


class Studies:
    """A durable source over a list that outlives it."""

    name = "studies"

    def __init__(self, kept: list[int], *, forgetful: bool = False, deaf: bool = False) -> None:
        self.kept, self.forgetful, self.deaf = kept, forgetful, deaf

    def open(self, clock: Clock) -> None:
        self.left: Iterator[int] = iter(list(self.kept))

    def read(self, timeout_s: float) -> Reading[int] | None:
        for number in self.left:
            if self.forgetful:
                self.kept.remove(number)
            return Reading(number, sequence=number)
        raise EndOfStream

    def commit(self, sequence: int) -> None:
        if not self.deaf:
            self.kept.remove(sequence)

    def close(self) -> None:
        pass


def test_a_durable_source_delivers_again_what_was_not_committed_and_only_that() -> None:
    kept = [1, 2, 3, 4]
    check_source(lambda: Studies(kept))
    with pytest.raises(ContractError, match="committed and came again"):
        check_source(lambda: Studies([1, 2, 3], deaf=True))
    lost = list(range(100))
    with pytest.raises(ContractError, match="did not come again"):
        check_source(lambda: Studies(lost, forgetful=True))


@pytest.mark.parametrize("live", [False, True])
def test_a_source_on_the_real_clock_is_checked_too(live: bool) -> None:
    check_source(Ticks, readings=3, live=live)


class Sound:
    def put(self, cycle: Cycle[Any]) -> None:
        pass


def test_a_sink_that_raises_is_found() -> None:
    check_sink(Sound())

    class Fragile:
        def put(self, cycle: Cycle[Any]) -> None:
            if cycle.fault is not None:
                raise RuntimeError("a fault is beyond me")

    with pytest.raises(ContractError, match=r"Fragile\.put raised RuntimeError: a fault is beyond me"):
        check_sink(Fragile())


def test_a_sink_that_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()

    class Stuck:
        def put(self, cycle: Cycle[Any]) -> None:
            released.wait()

    monkeypatch.setattr("edgeai_core.testing.sinks.PATIENCE_S", 0.05)
    with pytest.raises(ContractError, match="still blocks"):
        check_sink(Stuck(), [next(iter(_cycles()))])
    released.set()


def _cycles() -> Iterator[Cycle[Any]]:
    yield Cycle("loop", Snapshot(0, 0, 0, 0, {}), Decision("x"), 0, 1)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate_hz: float = 10.0


class Loose(BaseModel):
    rate_hz: float = 10.0


@dataclass(frozen=True)
class Output:
    value: float


@dataclass(frozen=True)
class Other:
    value: float


def step(snapshot: Snapshot) -> Decision[Any]:
    return Decision(Output(float(snapshot.number)), (Condition("HIGH", "all", Priority.LOW),))


def fallback(snapshot: Snapshot, fault: Fault) -> Decision[Any]:
    return Decision(Output(0.0), None)


def spec(**parts: Any) -> LoopSpec[Any]:
    built = Parts(**{"sources": (Ticks(),), "step": step, "fallback": fallback, **parts})
    return LoopSpec("main", Every(10), (PROBE,), lambda: built, 0.1, Decision(Output(0.0)))


def app(**changes: Any) -> App:
    sound = App("sound", "a sound app", Config, lambda config: [spec()], lambda config, paths: config)
    return replace(sound, **changes)


def test_a_sound_app_passes() -> None:
    check_app(app(), {"main": "anything"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "My App"}, "lower-case"),
        ({"summary": ""}, "summary"),
        ({"config": Loose}, "unknown fields"),
        ({"loops": lambda config: []}, "at least one"),
        ({"loops": lambda config: [spec(), spec()]}, "a name of its own"),
        ({"loops": lambda config: [replace(spec(), safe=Decision({"value": 1}))]}, "frozen dataclass"),
        ({"panels": (Panel("p", "P", Path("/none.js")),)}, "is not there"),
        ({"models": (Path("/none.card.toml"),)}, "is not there"),
    ],
)
def test_an_app_whose_declarations_are_wrong_is_told_which(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_app(app(**changes))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"step": lambda snapshot: Decision(Other(1.0))}, "decided a Other; its safe output is a Output"),
        ({"step": lambda snapshot: Decision(Output(1.0), live={"x": object()})}, "cannot travel"),
        (
            {"step": lambda snapshot: Decision(Output(1.0), (Condition("", "x", Priority.LOW),))},
            "needs a code",
        ),
        ({"step": lambda snapshot: 1 / 0}, "every cycle of .* is a fault"),
        ({"fallback": lambda snapshot, fault: 1 / 0}, "its fallback raised ZeroDivisionError"),
        ({"fallback": lambda snapshot, fault: Decision(Other(1.0))}, "decided a Other"),
    ],
)
def test_an_app_whose_loop_breaks_a_promise_is_told_which(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_app(app(loops=lambda config: [spec(**parts)]), {"main": "anything"})


def test_an_app_that_decides_by_chance_is_found() -> None:
    total = 0

    def drifting(snapshot: Snapshot) -> Decision[Any]:
        nonlocal total
        total += 1
        return Decision(Output(float(total)))

    with pytest.raises(ContractError, match="played twice differs at cycle 0"):
        check_app(app(loops=lambda config: [spec(step=drifting)]), {"main": "anything"})


def test_a_strangers_vertical_passes(coldstore: str, tmp_path: Path) -> None:
    recording = tmp_path / "probe.txt"
    recording.write_text("20000\n90000\n90000\n90000\n90000\n90000\n20000\n")
    toy = importlib.import_module(f"apps.{coldstore}.app").app
    check_app(toy, {"probe": recording})
    thermometer = importlib.import_module(f"apps.{coldstore}.probe.sources").Thermometer
    check_source(lambda: thermometer(recording, recorded=True))
    check_source(lambda: thermometer(Path("/proc/sys/kernel/pid_max"), recorded=False), readings=2, live=True)
