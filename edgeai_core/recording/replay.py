"""A recorded run, run again: each loop is fed its own arrivals at its own moments, and its decisions are compared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeai_core.app import App
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.loop import Forced, Loop
from edgeai_core.loop.spec import LoopSpec
from edgeai_core.recording.file import EXACT_TOPIC, ReadState, read_entries
from edgeai_core.recording.record import (
    Arrived,
    Began,
    Decided,
    Ended,
    Missing,
    build,
    decided,
    from_bytes,
    to_buffers,
)
from edgeai_core.sample import Reading

SUFFIX = ".mcap"
_BEGINS_WITHIN_NS = 60_000_000_000


@dataclass(frozen=True)
class Replayed:
    """One cycle run again. ``loop`` is ``<app>.<loop>``; ``time_s`` counts from the first record of the file.

    ``same``: it decided what the live run decided: the same output to the last bit, the same conditions, the same
    fault. ``live`` is what that was.
    """

    loop: str
    time_s: float
    cycle: Cycle[Any]
    live: Decided
    same: bool


@dataclass
class Verdict:
    """Whether a replay equals the live run. ``different``: cycles that decided otherwise; ``first_s``: the first.

    ``missing`` records never reached the file, ``midway`` loops were recorded from the middle of their run, ``cut``:
    the file has no end, ``damaged`` chunks of it could not be read. Any of them can be why a decision differs.
    """

    cycles: int = 0
    different: int = 0
    first_s: float | None = None
    missing: int = 0
    midway: list[str] = field(default_factory=list)
    cut: bool = False
    damaged: int = 0

    @property
    def equal(self) -> bool:
        """Whether every decision there is equals its live one."""
        return self.cycles > 0 and not self.different

    def note(self, step: Replayed) -> None:
        """Count one cycle."""
        self.cycles += 1
        if not step.same:
            self.different += 1
            self.first_s = step.time_s if self.first_s is None else self.first_s

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"equal": self.equal, **asdict(self)}

    def __str__(self) -> str:
        if not self.cycles:
            text = "no cycle of this app is recorded"
        elif self.equal:
            text = f"the replay equals the live decisions: {self.cycles} cycles, none differs"
        else:
            text = (
                f"the replay DIFFERS from the live decisions in {self.different} of {self.cycles} cycles, "
                f"first at {self.first_s:.3f} s"
            )
        why = []
        if self.missing:
            why.append(f"{self.missing} records are missing")
        if self.midway:
            why.append(f"recorded from the middle of their run: {', '.join(self.midway)}")
        if self.damaged:
            why.append(f"{self.damaged} chunks are damaged")
        if self.cut:
            why.append("the file was cut short and read up to its last whole chunk")
        return "; ".join([text, *why])


def is_recording(path: Path) -> bool:
    """Whether a file is an MCAP by its name: a loop's own sources read other recordings."""
    return path.suffix == SUFFIX and path.is_file()


def recorded_config(path: Path, app: App) -> Any:
    """Return the configuration that the app ran with. Raises InputError where the file does not hold it."""
    for began in _beginnings(path):
        if began.app == app.name:
            try:
                return app.config.model_validate_json(began.config)
            except ValueError as error:
                raise InputError(
                    f"{path}: the configuration it was recorded with does not fit this release: {error}"
                ) from error
    raise InputError(f"{path}: holds no loop of {app.name!r}")


def replay_recording(
    path: Path, specs: Mapping[str, LoopSpec[Any]], verdict: Verdict | None = None
) -> Iterator[Replayed]:
    """Run recorded loops again and yield their cycles in the order of the file.

    ``specs`` are by ``<app>.<loop>``; loops of the recording that are not among them are left out. ``verdict`` is
    filled on the way. Raises InputError for what is no recording, and for types that this installation lacks.
    """
    verdict = Verdict() if verdict is None else verdict
    state = ReadState()
    players: dict[str, _Player] = {}
    first_ns: int | None = None
    for entry in read_entries(path, state):
        if not entry.topic.startswith(EXACT_TOPIC):
            continue
        name = entry.topic.removeprefix(EXACT_TOPIC)
        if name not in specs:
            continue
        record = from_bytes(entry.data)
        if isinstance(record, Began):
            if name not in players or players[name].run != record.run:
                players[name] = _Player(specs[name], record.run)
            continue
        if name not in players:
            raise InputError(f"{path}: the beginning of loop {name} is not in it")
        if isinstance(record, Missing):
            verdict.missing += record.count
            continue
        first_ns = record_ns(record) if first_ns is None else min(first_ns, record_ns(record))
        player = players[name]
        if isinstance(record, (Arrived, Ended)):
            player.waiting.append(record)
            continue
        if not player.begun:
            player.begun = True
            if record.number:
                verdict.midway.append(name)
        cycle = player.cycle(record)
        step = Replayed(name, (record.now_ns - first_ns) / 1e9, cycle, record, _same(cycle, record))
        verdict.note(step)
        yield step
    verdict.cut, verdict.damaged = not state.whole, state.damaged


def record_ns(record: Arrived | Ended | Decided) -> int:
    """Return when a record is of, on the loop's clock."""
    return record.now_ns if isinstance(record, Decided) else record.at_ns


def load_specs(path: Path, app: App, config: Any) -> dict[str, LoopSpec[Any]]:
    """Return the specifications of an app's loops that are in a recording, by ``<app>.<loop>``."""
    there = {f"{began.app}.{began.loop}" for began in _beginnings(path)}
    return {name: spec for spec in app.loops(config) if (name := f"{app.name}.{spec.name}") in there}


class _Player:
    """One run of one loop."""

    def __init__(self, spec: LoopSpec[Any], run: str) -> None:
        self.run = run
        self.begun = False
        self.waiting: deque[Arrived | Ended] = deque()
        self._clock = VirtualClock()
        fed = [each.source for each in spec.inputs]
        self._loop = Loop(spec, spec.build(), self._clock, fed=fed, ledger=_Attempts())

    def cycle(self, live: Decided) -> Cycle[Any]:
        while self.waiting and self.waiting[0].at_ns <= live.now_ns:
            self._put(self.waiting.popleft())
        self._clock.sleep_until_ns(live.now_ns)
        forced = Forced(live.release_ns, live.now_ns, live.level, live.overran, live.number)
        return self._loop.cycle(live.release_ns, forced=forced)

    def _put(self, record: Arrived | Ended) -> None:
        if isinstance(record, Ended):
            self._loop.mailbox.end(record.source, at_ns=record.at_ns)
            return
        data = build(record.type, record.data)
        reading = Reading(data, record.time_ns, record.sequence, record.count)
        self._loop.mailbox.put(record.source, reading, restarted=record.restarted, at_ns=record.at_ns)


class _Attempts:
    """A ledger for durable inputs in a replay: counts attempts, commits everything."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}

    def attempt(self, source: str, sequence: int) -> int:
        count = self._counts[source, sequence] = self._counts.get((source, sequence), 0) + 1
        return count

    def commit(self, cycle: Cycle[Any], source: str, sequence: int) -> bool:
        return True


def _same(cycle: Cycle[Any], live: Decided) -> bool:
    """Whether a cycle decided what the live one did: compared as encoded, so floats to the last bit and NaN as NaN."""
    return _decision(decided(cycle)) == _decision(live)


def _decision(record: Decided) -> bytes:
    compared = Decided(
        record.number, 0, record.now_ns, record.level, record.overran, 0, 0, record.type, record.output,
        record.conditions, record.fault,
    )  # fmt: skip
    return b"".join(bytes(each) for each in to_buffers(compared))


def _beginnings(path: Path) -> Iterator[Began]:
    """Yield what the file says of the beginnings of its loops: all of a run begin within its first minute."""
    seen: set[str] = set()
    first_ns: int | None = None
    for entry in read_entries(path):
        first_ns = entry.log_ns if first_ns is None else first_ns
        if entry.log_ns - first_ns > _BEGINS_WITHIN_NS and seen:
            return
        if entry.topic.startswith(EXACT_TOPIC) and entry.topic not in seen:
            record = from_bytes(entry.data)
            if isinstance(record, Began):
                seen.add(entry.topic)
                yield record
