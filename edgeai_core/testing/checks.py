"""The contracts of sources, runners, sinks and apps, as checks: each raises ContractError that says what is broken."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from edgeai_core.app import App
from edgeai_core.clock import Clock, MonotonicClock, VirtualClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import EdgeAIError, EndOfStream, ModelError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import LoopSpec, Sink, Source
from edgeai_core.sample import Reading, View
from edgeai_core.testing.decisions import play
from edgeai_core.topics.message import decode, encode, encode_apart, rebuild
from edgeai_core.topics.stream import ENVELOPE_BYTES

if TYPE_CHECKING:
    import numpy as np

    from edgeai_core.runners.runner import Runner

_PATIENCE_S = 10.0
"""What counts as hanging: far beyond what a busy machine takes."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class ContractError(AssertionError):
    """A contract is broken; the message says which, and what was seen."""


# ---------------------------------------------------------------- sources


def check_source(make: Callable[[], Source[Any]], *, readings: int = 20, live: bool = False) -> None:
    """Check that a source keeps its contract, on a virtual clock; ``live``: on the real one.

    It is opened, read, closed and opened again. ``readings`` are read at most each time. A durable source (one
    with ``commit``) must deliver again what was not committed, and only that.
    """
    source = make()
    name: object = source.name
    if not isinstance(name, str) or not name:
        _broken(f"{_kind(source)}.name is {name!r}; it must be a text that is not empty")
    clock: Clock = MonotonicClock() if live else VirtualClock(1_000_000_000)
    source.open(clock)
    source.close()
    source.open(clock)
    try:
        first = _read_some(source, clock, readings)
    finally:
        source.close()
    if not first:
        _broken(f"{_kind(source)} gave no reading at all")
    source.open(clock)
    try:
        again = _read_some(source, clock, 1)
    finally:
        source.close()
    if not again:
        _broken(
            f"{_kind(source)} gives nothing after close and open; a reader opens it again when it has failed"
        )
    if callable(getattr(source, "commit", None)):
        _check_durable(make, clock)


def _read_some(source: Source[Any], clock: Clock, readings: int) -> list[Reading[Any]]:
    found: list[Reading[Any]] = []
    began_ns = clock.now_ns()
    for timeout_s in itertools.cycle((0.05, 0.0)):
        if len(found) >= readings:
            break
        asked_ns = clock.now_ns()
        try:
            reading = source.read(timeout_s)
        except EndOfStream:
            break
        waited_s = (clock.now_ns() - asked_ns) / 1e9
        if waited_s > timeout_s + (1e-6 if isinstance(clock, VirtualClock) else _PATIENCE_S):
            _broken(f"{_kind(source)}.read({timeout_s}) took {waited_s:.3f} s; a read honours its time-out")
        if reading is None:
            if clock.now_ns() - began_ns > 600e9 or (not isinstance(clock, VirtualClock) and waited_s > 5):
                break
            if isinstance(clock, VirtualClock):  # a source that does not sleep on the clock is moved on
                clock.sleep_until_ns(asked_ns + int(timeout_s * 1e9))
            continue
        _check_reading(source, reading, found[-1] if found else None, clock)
        found.append(reading)
    return found


def _check_reading(source: Source[Any], reading: Any, before: Reading[Any] | None, clock: Clock) -> None:
    if not isinstance(reading, Reading):
        _broken(f"{_kind(source)}.read returned a {_kind(reading)}; it returns a Reading, or None")
    if reading.count < 1:
        _broken(f"{_kind(source)}: a reading's count is {reading.count}; it spans at least one item")
    if reading.time_ns is not None and reading.time_ns > clock.now_ns():
        _broken(
            f"{_kind(source)}: a reading was measured {(reading.time_ns - clock.now_ns()) / 1e9:.3f} s from now"
        )
    if before is not None:
        if None not in (reading.time_ns, before.time_ns) and reading.time_ns < before.time_ns:  # type: ignore[operator]
            _broken(f"{_kind(source)}: a reading was measured before the one before it")
        if (reading.sequence is None) != (before.sequence is None):
            _broken(f"{_kind(source)}: some readings carry a sequence and some do not")
        if reading.sequence is not None and before.sequence is not None:
            overlap = before.sequence - (reading.sequence - reading.count)
            if 0 < overlap <= reading.count:
                _broken(
                    f"{_kind(source)}: sequence {reading.sequence} with count {reading.count} overlaps the "
                    f"reading before it, which ended at {before.sequence}"
                )
    for path, array in _arrays(reading.data, "data"):
        if array.flags.writeable:
            _broken(
                f"{_kind(source)}: the array {path} can be written; hand it out read-only (flags.writeable)"
            )


def _check_durable(make: Callable[[], Any], clock: Clock) -> None:
    source = make()
    source.open(clock)
    first = _read_some(source, clock, 2)
    source.close()
    if len(first) < 2:
        _broken(f"{_kind(source)} is durable and gave {len(first)} readings; give it two for this check")
    if any(reading.sequence is None for reading in first):
        _broken(f"{_kind(source)} is durable; its readings need a sequence that the journal can keep")
    source = make()
    source.open(clock)
    again = _read_some(source, clock, 1)
    if again[0].sequence != first[0].sequence:
        _broken(f"{_kind(source)}: {first[0].sequence} was not committed and did not come again")
    source.commit(first[0].sequence)
    source.close()
    source.open(clock)
    after = _read_some(source, clock, 1)
    source.close()
    if not after or after[0].sequence != first[1].sequence:
        _broken(f"{_kind(source)}: {first[0].sequence} was committed and came again")


def _arrays(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "flags") and hasattr(value.flags, "writeable"):
        yield path, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _arrays(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _arrays(each, f"{path}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for index, each in enumerate(value):
            yield from _arrays(each, f"{path}[{index}]")


# ---------------------------------------------------------------- runners


def check_runner(runner: Runner, inputs: Mapping[str, np.ndarray]) -> None:
    """Check that a runner gives what its card says for ``inputs``, the same twice, and refuses what is wrong."""
    import numpy as np

    before = {name: array.copy() for name, array in inputs.items()}
    outputs = runner.run(inputs)
    for name, array in before.items():
        if not np.array_equal(array, inputs[name], equal_nan=array.dtype.kind == "f"):
            _broken(f"{_kind(runner)}.run changed its input {name!r}")
    promised = {spec.name: spec for spec in runner.card.outputs}
    if set(outputs) != set(promised):
        _broken(f"{_kind(runner)}.run gave {sorted(outputs)}; its card says {sorted(promised)}")
    for name, spec in promised.items():
        array = outputs[name]
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(size, str) or size == actual
            for size, actual in zip(spec.shape, array.shape, strict=True)
        )
        if str(array.dtype) != spec.dtype or not fits:
            _broken(f"{_kind(runner)}: output is {array.dtype}{list(array.shape)}; its card says {spec}")
    for name, array in runner.run(inputs).items():
        if not np.array_equal(array, outputs[name], equal_nan=array.dtype.kind == "f"):
            _broken(f"{_kind(runner)}: the same input gave another {name!r} the second time")
    some = next(iter(inputs))
    wrong: dict[str, dict[str, Any]] = {
        "a missing input": {name: array for name, array in inputs.items() if name != some},
        "an unknown input": {**inputs, "no_such_input": inputs[some]},
        "another dtype": {**inputs, some: inputs[some].astype("complex128")},
        "another number of dimensions": {**inputs, some: inputs[some][None]},
    }
    for what, given in wrong.items():
        try:
            runner.run(given)
        except ModelError:
            continue
        except Exception as error:
            _broken(f"{_kind(runner)} raised {_kind(error)} for {what}; it raises ModelError")
        _broken(f"{_kind(runner)} took {what}; it raises ModelError")


# ---------------------------------------------------------------- sinks


def check_sink(sink: Sink, cycles: Iterable[Cycle[Any]] = ()) -> None:
    """Check that a sink takes any cycle (faults, unknown conditions, late decisions) without raising or blocking.

    ``cycles`` are the app's own, where it wants outputs of its own type.
    """
    given = list(cycles) or list(_some_cycles())
    trouble: list[BaseException] = []

    def put() -> None:
        try:
            for cycle in given:
                sink.put(cycle)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=put, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(_PATIENCE_S + 0.01 * len(given))
    if thread.is_alive():
        _broken(
            f"{_kind(sink)}.put still blocks after {time.monotonic() - began:.0f} s; give it a bounded queue"
        )
    if trouble:
        _broken(
            f"{_kind(sink)}.put raised {_kind(trouble[0])}: {trouble[0]}; a sink deals with its own trouble"
        )


def _some_cycles() -> Iterator[Cycle[Any]]:
    condition = Condition("CHECK", "subject", Priority.LOW, "a check", {"value": 1.0})
    decision = Decision("output", (condition,), {"topic": [1, 2]})
    fault = Fault(FaultKind.OVERRUN, "a check")
    for number in range(1000):
        snapshot = Snapshot(number, number * 1000, number * 1000, 0, {"input": View((), None)})
        times = number * 1000, number * 1000 + 10
        yield Cycle("check", snapshot, decision, *times)
        yield Cycle("check", snapshot, Decision("output", None), *times, late=decision, fault=fault)


# ---------------------------------------------------------------- apps


def check_app(app: App, recordings: Mapping[str, object] | None = None) -> None:
    """Check that an app keeps every contract that can be seen from outside.

    ``recordings`` (loop -> path) are played twice: the decisions must be identical, of the declared type, able to
    travel over topics and to become alerts. Without them only the declarations are checked.
    """
    if not _NAME.match(app.name):
        _broken(f"the app's name {app.name!r} must be lower-case letters, digits and underscores")
    if not app.summary or "\n" in app.summary:
        _broken(f"app {app.name!r} needs a summary of one line")
    config = _check_config(app)
    for spec in _check_specs(app, app.loops(config)):
        _check_safe(spec)
    _check_front(app)
    for loop, path in (recordings or {}).items():
        _check_played(app, config, loop, str(path))


def _check_config(app: App) -> Any:
    try:
        config = app.config()
    except Exception as error:
        _broken(f"app {app.name!r}: its configuration has no complete defaults: {error}")
    if app.config.model_validate_json(config.model_dump_json()) != config:
        _broken(f"app {app.name!r}: its configuration does not survive JSON, as which loops receive it")
    for path in _tables(config.model_dump(mode="json")):
        changed = config.model_dump(mode="json")
        table = changed
        for key in path:
            table = table[key]
        table["no_such_field"] = 1
        try:
            app.config.model_validate(changed)
        except ValueError:
            continue
        place = ".".join([app.name, *path])
        _broken(f"[{place}] takes unknown fields; refuse them (model_config = ConfigDict(extra='forbid'))")
    return config


def _tables(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for key, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from _tables(each, (*path, key))


def _check_specs(app: App, specs: Iterable[Any]) -> list[LoopSpec[Any]]:
    found = list(specs)
    for spec in found:
        if not isinstance(spec, LoopSpec):
            _broken(f"app {app.name!r}: loops() returned a {_kind(spec)}; it returns LoopSpecs")
        if not _NAME.match(spec.name):
            _broken(
                f"app {app.name!r}: loop {spec.name!r} must be lower-case letters, digits and underscores"
            )
    names = [spec.name for spec in found]
    if not names or len(set(names)) != len(names):
        _broken(
            f"app {app.name!r}: its loops are {names}; it needs at least one, each with a name of its own"
        )
    return found


def _check_safe(spec: LoopSpec[Any]) -> None:
    output = spec.safe.output
    parameters = getattr(type(output), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        _broken(f"loop {spec.name!r}: its output is a {_kind(output)}; it must be a frozen dataclass")
    try:
        rebuild(decode(encode(output)), type(output))
    except EdgeAIError as error:
        _broken(f"loop {spec.name!r}: its output cannot travel to other loops: {error}")


def _check_front(app: App) -> None:
    names = [task.name for task in app.tasks]
    if len(set(names)) != len(names):
        _broken(f"app {app.name!r}: two tasks have one name ({names})")
    for task in app.tasks:
        if (task.train is None) != (task.train_options is None):
            _broken(f"task {app.name}.{task.name}: train and train_options belong together")
        for kind in ("continual", "federated"):
            if (getattr(task, kind) is None) != (getattr(task, f"{kind}_options") is None):
                _broken(f"task {app.name}.{task.name}: {kind} and {kind}_options belong together")
    for panel in app.panels:
        if not panel.module.is_file():
            _broken(f"panel {panel.name!r}: {panel.module} is not there")
        for topic in panel.topics:
            if not topic.startswith(f"{app.name}."):
                _broken(f"panel {panel.name!r} draws {topic!r}, which is not the app's own")
    for card in app.models:
        if not card.is_file():
            _broken(f"app {app.name!r}: the model card {card} is not there")


def _check_played(app: App, config: Any, loop: str, path: str) -> None:
    played = [[_seen(step.cycle) for step in play(app, config, {loop: path})] for _ in range(2)]
    name = f"{app.name}.{loop}"
    if not played[0]:
        _broken(f"{name}: {path} gives no cycle at all")
    for number, (one, other) in enumerate(zip(*played, strict=False)):
        if one != other:
            _broken(f"{name}: {path} played twice differs at cycle {number}: {one} and {other}")
    if len(played[0]) != len(played[1]):
        _broken(f"{name}: {path} played twice gives {len(played[0])} and {len(played[1])} cycles")
    assert app.inputs is not None
    spec = next(each for each in app.loops(app.inputs(config, {loop: path})) if each.name == loop)
    faults = 0
    for step in play(app, config, {loop: path}):
        if step.loop == name:
            _check_decision(spec, step.cycle.decision)
            faults += step.cycle.fault is not None
    if faults == len(played[0]):
        last = step.cycle.fault
        _broken(f"{name}: every cycle of {path} is a fault: {last.message if last else ''}")
    _check_fallback(spec)


def _check_decision(spec: LoopSpec[Any], decision: Decision[Any]) -> None:
    if type(decision.output) is not type(spec.safe.output):
        _broken(
            f"loop {spec.name!r} decided a {_kind(decision.output)}; its safe output is a {_kind(spec.safe.output)}"
        )
    for name, readings in decision.streams.items():
        _check_stream(spec, name, readings)
    for condition in decision.conditions or ():
        if not condition.code or not condition.subject or not isinstance(condition.priority, Priority):
            _broken(f"loop {spec.name!r}: {condition} needs a code, a subject and a priority")
    try:
        encode(decision.output)
        for value in decision.live.values():
            encode(value)
        for condition in decision.conditions or ():
            encode(condition.evidence)
    except EdgeAIError as error:
        _broken(f"loop {spec.name!r}: what it says cannot travel: {error}")


def _check_stream(spec: LoopSpec[Any], name: str, readings: tuple[Reading[Any], ...]) -> None:
    """What a decision hands on beside its output is declared, of the declared type and no larger than declared."""
    stream = spec.streams.get(name)
    if stream is None:
        _broken(
            f"loop {spec.name!r} hands on {name!r}, which is not one of its streams ({', '.join(spec.streams)})"
        )
    for reading in readings:
        if not isinstance(reading.data, stream.item):
            _broken(
                f"loop {spec.name!r}: stream {name!r} carries {stream.item.__name__}, not a {_kind(reading.data)}"
            )
        try:
            message, _, array_bytes = encode_apart(reading.data)
        except EdgeAIError as error:
            _broken(f"loop {spec.name!r}: an item of stream {name!r} cannot travel: {error}")
        if len(message) + array_bytes > stream.max_bytes + ENVELOPE_BYTES:
            _broken(
                f"loop {spec.name!r}: an item of stream {name!r} takes {len(message) + array_bytes} bytes; "
                f"declared are {stream.max_bytes}"
            )


def _check_fallback(spec: LoopSpec[Any]) -> None:
    """A fallback answers before anything has come, whatever the fault."""
    parts = spec.build()
    views = {each.source: View[Any]((), None) for each in spec.inputs}
    for kind in FaultKind:
        fault = Fault(kind, "a check", input=next(iter(views), None))
        try:
            decision = parts.fallback(Snapshot(0, 0, 0, 0, views), fault)
        except Exception as error:
            _broken(
                f"loop {spec.name!r}: its fallback raised {_kind(error)} for a fault of kind {kind}: {error}"
            )
        _check_decision(spec, decision)


def _seen(cycle: Cycle[Any]) -> str:
    decision = cycle.conditions_of
    said = [cycle.decision.output, decision.conditions, cycle.fault, cycle.snapshot.now_ns]
    return json.dumps(decode(encode(said), arrays=False), sort_keys=True)


def _kind(value: object) -> str:
    return type(value).__name__


def _broken(message: str) -> NoReturn:
    raise ContractError(message)
