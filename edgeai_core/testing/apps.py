"""The contract of apps, as a check: it raises ContractError that says what is broken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgeai_core.app import App
from edgeai_core.decision import Decision, Priority
from edgeai_core.errors import EdgeAIError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import LoopSpec
from edgeai_core.sample import Reading, View
from edgeai_core.testing.decisions import play
from edgeai_core.topics.message import decode, encode, encode_apart, rebuild
from edgeai_core.topics.stream import ENVELOPE_BYTES

if TYPE_CHECKING:
    pass

from edgeai_core.testing.contract import broken, kind_of

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def check_app(app: App, recordings: Mapping[str, object] | None = None) -> None:
    """Check that an app keeps every contract that can be seen from outside.

    ``recordings`` (loop -> path) are played twice: the decisions must be identical, of the declared type, able to
    travel over topics and to become alerts. Without them only the declarations are checked.
    """
    if not _NAME.match(app.name):
        broken(f"the app's name {app.name!r} must be lower-case letters, digits and underscores")
    if not app.summary or "\n" in app.summary:
        broken(f"app {app.name!r} needs a summary of one line")
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
        broken(f"app {app.name!r}: its configuration has no complete defaults: {error}")
    if app.config.model_validate_json(config.model_dump_json()) != config:
        broken(f"app {app.name!r}: its configuration does not survive JSON, as which loops receive it")
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
        broken(f"[{place}] takes unknown fields; refuse them (model_config = ConfigDict(extra='forbid'))")
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
            broken(f"app {app.name!r}: loops() returned a {kind_of(spec)}; it returns LoopSpecs")
        if not _NAME.match(spec.name):
            broken(f"app {app.name!r}: loop {spec.name!r} must be lower-case letters, digits and underscores")
    names = [spec.name for spec in found]
    if not names or len(set(names)) != len(names):
        broken(f"app {app.name!r}: its loops are {names}; it needs at least one, each with a name of its own")
    return found


def _check_safe(spec: LoopSpec[Any]) -> None:
    output = spec.safe.output
    parameters = getattr(type(output), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        broken(f"loop {spec.name!r}: its output is a {kind_of(output)}; it must be a frozen dataclass")
    try:
        rebuild(decode(encode(output)), type(output))
    except EdgeAIError as error:
        broken(f"loop {spec.name!r}: its output cannot travel to other loops: {error}")


def _check_front(app: App) -> None:
    names = [task.name for task in app.tasks]
    if len(set(names)) != len(names):
        broken(f"app {app.name!r}: two tasks have one name ({names})")
    for task in app.tasks:
        if (task.train is None) != (task.train_options is None):
            broken(f"task {app.name}.{task.name}: train and train_options belong together")
        for kind in ("continual", "federated"):
            if (getattr(task, kind) is None) != (getattr(task, f"{kind}_options") is None):
                broken(f"task {app.name}.{task.name}: {kind} and {kind}_options belong together")
    for panel in app.panels:
        if not panel.module.is_file():
            broken(f"panel {panel.name!r}: {panel.module} is not there")
        for topic in panel.topics:
            if not topic.startswith(f"{app.name}."):
                broken(f"panel {panel.name!r} draws {topic!r}, which is not the app's own")
    for card in app.models:
        if not card.is_file():
            broken(f"app {app.name!r}: the model card {card} is not there")


def _check_played(app: App, config: Any, loop: str, path: str) -> None:
    played = [[_seen(step.cycle) for step in play(app, config, {loop: path})] for _ in range(2)]
    name = f"{app.name}.{loop}"
    if not played[0]:
        broken(f"{name}: {path} gives no cycle at all")
    for number, (one, other) in enumerate(zip(*played, strict=False)):
        if one != other:
            broken(f"{name}: {path} played twice differs at cycle {number}: {one} and {other}")
    if len(played[0]) != len(played[1]):
        broken(f"{name}: {path} played twice gives {len(played[0])} and {len(played[1])} cycles")
    assert app.inputs is not None
    spec = next(each for each in app.loops(app.inputs(config, {loop: path})) if each.name == loop)
    faults = 0
    for step in play(app, config, {loop: path}):
        if step.loop == name:
            _check_decision(spec, step.cycle.decision)
            faults += step.cycle.fault is not None
    if faults == len(played[0]):
        last = step.cycle.fault
        broken(f"{name}: every cycle of {path} is a fault: {last.message if last else ''}")
    _check_fallback(spec)


def _check_decision(spec: LoopSpec[Any], decision: Decision[Any]) -> None:
    if type(decision.output) is not type(spec.safe.output):
        broken(
            f"loop {spec.name!r} decided a {kind_of(decision.output)}; its safe output is a {kind_of(spec.safe.output)}"
        )
    for name, readings in decision.streams.items():
        _check_stream(spec, name, readings)
    for condition in decision.conditions or ():
        if not condition.code or not condition.subject or not isinstance(condition.priority, Priority):
            broken(f"loop {spec.name!r}: {condition} needs a code, a subject and a priority")
    try:
        encode(decision.output)
        for value in decision.live.values():
            encode(value)
        for condition in decision.conditions or ():
            encode(condition.evidence)
    except EdgeAIError as error:
        broken(f"loop {spec.name!r}: what it says cannot travel: {error}")


def _check_stream(spec: LoopSpec[Any], name: str, readings: tuple[Reading[Any], ...]) -> None:
    """What a decision hands on beside its output is declared, of the declared type and no larger than declared."""
    stream = spec.streams.get(name)
    if stream is None:
        broken(
            f"loop {spec.name!r} hands on {name!r}, which is not one of its streams ({', '.join(spec.streams)})"
        )
    for reading in readings:
        if not isinstance(reading.data, stream.item):
            broken(
                f"loop {spec.name!r}: stream {name!r} carries {stream.item.__name__}, not a {kind_of(reading.data)}"
            )
        try:
            message, _, array_bytes = encode_apart(reading.data)
        except EdgeAIError as error:
            broken(f"loop {spec.name!r}: an item of stream {name!r} cannot travel: {error}")
        if len(message) + array_bytes > stream.max_bytes + ENVELOPE_BYTES:
            broken(
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
            broken(
                f"loop {spec.name!r}: its fallback raised {kind_of(error)} for a fault of kind {kind}: {error}"
            )
        _check_decision(spec, decision)


def _seen(cycle: Cycle[Any]) -> str:
    decision = cycle.conditions_of
    said = [cycle.decision.output, decision.conditions, cycle.fault, cycle.snapshot.now_ns]
    return json.dumps(decode(encode(said), arrays=False), sort_keys=True)
