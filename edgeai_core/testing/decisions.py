"""The decisions that a recording gives: played in virtual time, written beside it, compared on every change.

``<name>.decisions.jsonl`` lies beside a recording: a line for every moment at which something that people or other
programs act on changed (words, counts and flags of the output, the conditions, the alerts that stand), and one for
the end. Measured values (floats) are left out: their last digits differ between machines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_core.alerts.lifecycle import Key, Watch, observe
from edgeai_core.app import App
from edgeai_core.decision import Condition
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.spec import LoopSpec
from edgeai_core.sensors.replay import replay_loops
from edgeai_core.topics.message import plain_fields

SUFFIX = ".decisions.jsonl"
_NOT_RECORDINGS = {".jsonl", ".json", ".md", ".toml", ".txt"}


@dataclass(frozen=True)
class Step:
    """One cycle of a replay. ``loop`` is ``<app>.<loop>``, ``time_s`` counts from the recording's start.

    ``began`` and ``ended`` are the alerts that this cycle raised (or made more urgent) and ended, after the
    rules' delays; ``standing`` those that stand after it.
    """

    loop: str
    time_s: float
    cycle: Cycle[Any]
    began: tuple[Condition, ...]
    ended: tuple[Condition, ...]
    standing: tuple[Key, ...]


@dataclass(frozen=True)
class Difference:
    """A stretch of a recording over which a decision is not what it was. ``until_s`` None: to the end."""

    from_s: float
    until_s: float | None
    was: Mapping[str, object]
    now: Mapping[str, object]

    def __str__(self) -> str:
        until = "the end" if self.until_s is None else f"{self.until_s:.3f} s"
        names = [name for name in {**self.was, **self.now} if self.was.get(name) != self.now.get(name)]
        changes = "; ".join(f"{n}: {_words(self.was.get(n))} -> {_words(self.now.get(n))}" for n in names)
        return f"{self.from_s:.3f} s to {until}: {changes}"


def play(app: App, config: Any, recordings: Mapping[str, str]) -> Iterator[Step]:
    """Replay an app's loops on recordings (loop -> path) in ideal time, as fast as it goes.

    Loops without a recording take part where all their inputs are outputs of loops that do.
    Raises ConfigError, InputError for what cannot be played.
    """
    if app.inputs is None:
        raise ConfigError(f"app {app.name!r} cannot play recordings: it declares no inputs")
    specs = {f"{app.name}.{spec.name}": spec for spec in app.loops(app.inputs(config, recordings))}
    playing = _playing(specs, {f"{app.name}.{loop}" for loop in recordings})
    watches: dict[str, Mapping[Key, Watch]] = {name: {} for name in playing}
    for name, cycle in replay_loops(playing):
        now_ns = cycle.snapshot.now_ns
        seen = observe(watches[name], cycle.conditions_of.conditions, playing[name].rules, now_ns)
        watches[name] = seen.watches
        standing = tuple(sorted(key for key, watch in seen.watches.items() if watch.standing))
        yield Step(name, now_ns / 1e9, cycle, seen.began, seen.ended, standing)


def decisions(steps: Iterable[Step]) -> Iterator[dict[str, object]]:
    """Return what people and programs act on, at every moment at which it changed: the lines of the file."""
    last: dict[str, dict[str, object]] = {}
    ends: dict[str, float] = {}
    for step in steps:
        state = _state(step)
        ends[step.loop] = step.time_s
        if state != last.get(step.loop):
            last[step.loop] = state
            yield {"time_s": round(step.time_s, 6), "loop": step.loop, **state}
    for loop, end_s in ends.items():
        yield {"time_s": round(end_s, 6), "loop": loop, "end": True}


def recordings_in(samples: Path, app: App | None = None) -> list[tuple[str, str, Path]]:
    """Return (app, loop, path) of every recording in ``samples/<app>/<loop>/``, in a fixed order."""
    found = []
    for folder in sorted(samples.glob("*/*/")):
        if app is None or folder.parent.name == app.name:
            found += [
                (folder.parent.name, folder.name, path)
                for path in sorted(folder.iterdir())
                if path.is_file() and path.suffix not in _NOT_RECORDINGS and not path.name.startswith(".")
            ]
    return found


def decisions_file(recording: Path) -> Path:
    """Return the file that lies beside a recording."""
    return recording.with_name(recording.stem + SUFFIX)


def write_decisions(recording: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write the decisions of a recording beside it."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    decisions_file(recording).write_text(text, encoding="utf-8")


def read_decisions(recording: Path) -> list[dict[str, Any]]:
    """Read the decisions beside a recording. Raises InputError where there are none or they are damaged."""
    path = decisions_file(recording)
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(line["time_s"], (int, float)) and "loop" in line for line in lines):
            raise ValueError("a line has no time or loop")
    except FileNotFoundError:
        raise InputError(
            f"{recording}: no decisions lie beside it; `edgeai decisions accept` writes them"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); `edgeai decisions accept` writes it anew") from error
    return lines


def compare(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Return the stretches of time over which two decisions differ, loop by loop."""
    differences = []
    for loop in sorted({line["loop"] for line in (*was, *now)}):
        old, new = (
            {line["time_s"]: {k: v for k, v in line.items() if k not in ("time_s", "loop")} for line in lines}
            for lines in (
                [line for line in was if line["loop"] == loop],
                [line for line in now if line["loop"] == loop],
            )
        )
        differences += _compare_loop(old, new)
    return differences


def _compare_loop(
    old: Mapping[float, Mapping[str, object]], new: Mapping[float, Mapping[str, object]]
) -> list[Difference]:
    moments = sorted({*old, *new})
    found: list[Difference] = []
    was: Mapping[str, object] = {}
    now: Mapping[str, object] = {}
    for moment, until in zip(moments, [*moments[1:], None], strict=True):
        was, now = old.get(moment, was), new.get(moment, now)
        if was == now:
            continue
        last = found[-1] if found else None
        if last is not None and last.until_s == moment and (last.was, last.now) == (was, now):
            found[-1] = Difference(last.from_s, until, was, now)
        else:
            found.append(Difference(moment, until, was, now))
    return found


def _state(step: Step) -> dict[str, object]:
    output = {
        name: value
        for name, value in plain_fields(step.cycle.decision.output).items()
        if isinstance(value, (str, bool, int))
    }
    conditions = step.cycle.conditions_of.conditions
    fault = step.cycle.fault
    return {
        "output": output,
        "conditions": None
        if conditions is None
        else sorted(f"{each.code} {each.subject} {each.priority.value}" for each in conditions),
        "alerts": [f"{key.code} {key.subject}" for key in step.standing],
        **({} if fault is None else {"fault": f"{fault.kind.value} {fault.input or ''}".strip()}),
    }


def _playing(specs: Mapping[str, LoopSpec[Any]], recorded: set[str]) -> dict[str, LoopSpec[Any]]:
    playing = set(recorded)
    while True:
        fed = {
            name
            for name, spec in specs.items()
            if name not in playing
            and spec.inputs
            and all(each.source in playing for each in spec.inputs if each.required)
            and any(each.source in playing for each in spec.inputs)
        }
        if not fed:
            return {name: spec for name, spec in specs.items() if name in playing}
        playing |= fed


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}={each}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none"
    return "nothing" if value is None else str(value)
