"""Replay: the same loops and sources on a virtual clock, as fast as they go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.loop import Forced, Loop
from edgeai_core.loop.schedule import Schedule
from edgeai_core.loop.spec import Every, LoopSpec, On, Sink, Source
from edgeai_core.sample import Reading, Sample

_SECOND_NS = 1_000_000_000
_READ_TIMEOUT_S = 1.0
_LONGEST_SILENCE_NS = 3600 * _SECOND_NS


def replay(
    spec: LoopSpec[Any], *, sinks: Iterable[Sink] = (), until_s: float | None = None
) -> Iterator[Cycle[Any]]:
    """Run one loop in ideal time and yield its cycles: every release is punctual, every step takes no time.

    Deterministic: twice the same recording gives the same cycles. Ends with the recording, or after
    ``until_s`` of its time.
    """
    for _, cycle in replay_loops({"": spec}, sinks={"": tuple(sinks)}, until_s=until_s):
        yield cycle


def replay_loops(
    specs: Mapping[str, LoopSpec[Any]],
    *,
    sinks: Mapping[str, Sequence[Sink]] | None = None,
    until_s: float | None = None,
) -> Iterator[tuple[str, Cycle[Any]]]:
    """Run several loops on one virtual clock and yield (key, cycle) in the order of their releases.

    ``specs`` are by the name their outputs are published under (``<app>.<loop>``); an input of that name
    receives each output at the moment it is decided. At one moment arrivals come before releases, and
    loops in the order given. A loop that another one's output releases wakes without it, too, as ``On`` says.
    """
    clock = VirtualClock()
    players = {
        key: _Player(spec, clock, (sinks or {}).get(key, ()), fed=frozenset(specs))
        for key, spec in specs.items()
    }
    try:
        while True:
            due = [(player.due_ns(), order, key) for order, (key, player) in enumerate(players.items())]
            open_due = [(due_ns, order, key) for due_ns, order, key in due if due_ns is not None]
            if not open_due:
                return
            for order, (key, player) in enumerate(players.items()):
                idle_ns = player.idle_ns()
                if idle_ns is not None:
                    open_due.append((idle_ns, order, key))
            time_ns, _, key = min(open_due)
            if until_s is not None and time_ns > until_s * _SECOND_NS:
                return
            clock.sleep_until_ns(time_ns)
            cycle = players[key].advance()
            if cycle is not None:
                for player in players.values():
                    player.feed(key, cycle)
                yield key, cycle
    finally:
        for player in players.values():
            player.close()


@dataclass(frozen=True)
class Arrival:
    """One arrival of a live run, as the mailbox's tap saw it; without a sample: the source ended."""

    source: str
    at_ns: int
    sample: Sample[Any] | None = None


@dataclass(frozen=True)
class Moment:
    """When a live cycle took its snapshot, at which level it ran, and whether it overran."""

    release_ns: int
    now_ns: int
    level: int
    overran: bool

    @classmethod
    def of(cls, cycle: Cycle[Any]) -> Moment:
        """Return the moment of a cycle."""
        snapshot = cycle.snapshot
        return cls(snapshot.release_ns, snapshot.now_ns, snapshot.level, cycle.late is not None)


class Recorder:
    """A tap and a sink that keep a live run in memory, so that it can be replayed exactly."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.moments: list[Moment] = []

    def arrived(self, source: str, sample: Sample[Any]) -> None:
        """Keep one arrival."""
        self.arrivals.append(Arrival(source, sample.received_ns, sample))

    def ended(self, source: str, at_ns: int) -> None:
        """Keep that a source is over."""
        self.arrivals.append(Arrival(source, at_ns))

    def put(self, cycle: Cycle[Any]) -> None:
        """Keep one cycle's moment."""
        self.moments.append(Moment.of(cycle))


def replay_recorded(
    spec: LoopSpec[Any], arrivals: Iterable[Arrival], moments: Iterable[Moment], *, sinks: Iterable[Sink] = ()
) -> Iterator[Cycle[Any]]:
    """Replay a live run: its arrivals, snapshots, levels and overruns are forced, its steps run anew.

    With the code that made the recording the decisions are identical.
    """
    clock = VirtualClock()
    fed = [each.source for each in spec.inputs]
    loop = Loop(spec, spec.build(), clock, sinks=sinks, ledger=_Memory(), fed=fed)
    waiting = iter(arrivals)
    arrival = next(waiting, None)
    for moment in moments:
        while arrival is not None and arrival.at_ns <= moment.now_ns:
            _put(loop, arrival)
            arrival = next(waiting, None)
        clock.sleep_until_ns(moment.now_ns)
        yield loop.cycle(
            moment.release_ns, forced=Forced(moment.release_ns, moment.now_ns, moment.level, moment.overran)
        )


class _Memory:
    """The ledger of a replay: durable items are settled as they are decided, and nothing is kept."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, int], int] = {}

    def attempt(self, source: str, sequence: int) -> int:
        """Count one hand-over."""
        count = self._attempts[source, sequence] = self._attempts.get((source, sequence), 0) + 1
        return count

    def commit(self, cycle: Cycle[Any], source: str, sequence: int) -> bool:
        """There is no journal to wait for."""
        return True


def _put(loop: Loop, arrival: Arrival) -> None:
    sample = arrival.sample
    if sample is None:
        loop.mailbox.end(arrival.source, at_ns=arrival.at_ns)
        return
    reading = Reading(sample.data, sample.time_ns, sample.sequence, sample.count)
    loop.mailbox.put(arrival.source, reading, restarted=sample.restarted, at_ns=arrival.at_ns)


class _Player:
    """One loop in ideal time: knows what happens next, an arrival or a release."""

    def __init__(
        self, spec: LoopSpec[Any], clock: VirtualClock, sinks: Sequence[Sink], fed: frozenset[str]
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._parts = spec.build()
        self._loop = Loop(
            spec, self._parts, clock, sinks=sinks, ledger=_Memory(), fed=[each.source for each in spec.inputs]
        )
        made = {source.name for source in self._parts.sources}
        for each in spec.inputs:
            if each.required and each.source not in made and each.source.partition("/")[0] not in fed:
                raise InputError(
                    f"loop {spec.name!r}: nothing makes input {each.source!r} in this replay; "
                    f"replay the loop that publishes it along with it"
                )
        self._feeds = [_Feed(source, clock.now_ns()) for source in self._parts.sources]
        self._schedule = (
            Schedule(spec.trigger.rate_hz, clock.now_ns()) if isinstance(spec.trigger, Every) else None
        )
        self._fed_release_ns: int | None = None
        self._idle_ns: int | None = None  # counted from the first release: before it nothing is missing
        self._over = False

    def due_ns(self) -> int | None:
        """When the next thing happens here; None when it is over."""
        if self._over:
            return None
        times = [feed.due_ns for feed in self._feeds if feed.due_ns is not None]
        if self._schedule is not None:
            times.append(self._schedule.next_release_ns)
        if self._fed_release_ns is not None:
            times.append(self._fed_release_ns)
        return min(times, default=None)

    def idle_ns(self) -> int | None:
        """When it wakes though nothing has come; None where it does not, or its input is no other loop's."""
        return None if self._over or self._fed_release_ns is not None else self._idle_ns

    def advance(self) -> Cycle[Any] | None:
        """Let the next thing happen; return the cycle where it was a release."""
        now_ns = self._clock.now_ns()
        for feed in self._feeds:
            if feed.due_ns is not None and feed.due_ns <= now_ns:
                name = feed.source.name
                reading = feed.take()
                if reading is not None:
                    self._loop.mailbox.put(name, reading)
                if feed.due_ns is None:
                    self._loop.mailbox.end(name)
                if self._releases(name) and reading is not None:
                    return self._cycle(now_ns)
                if self._schedule is None and self._loop.mailbox.ended:
                    self._over = True
                return None
        if self._fed_release_ns is not None and self._fed_release_ns <= now_ns:
            self._fed_release_ns = None
            return self._cycle(now_ns)
        if self._idle_ns is not None and self._idle_ns <= now_ns:
            self._wait_from(now_ns)
            return self._loop.idle()
        assert self._schedule is not None
        release_ns, missed = self._schedule.take(now_ns)
        if self._loop.starting:
            return None
        return self._cycle(release_ns, missed)

    def feed(self, key: str, cycle: Cycle[Any]) -> None:
        """Receive another loop's output and its streams."""
        for each in self.spec.inputs:
            loop, _, stream = each.source.partition("/")
            if loop != key:
                continue
            readings = (
                cycle.decision.streams.get(stream, ())
                if stream
                else (Reading(cycle.decision.output, cycle.data_time_ns),)
            )
            for reading in readings:
                self._loop.mailbox.put(each.source, reading)
            if readings and self._releases(each.source):
                self._fed_release_ns = self._clock.now_ns()
                self._wait_from(self._fed_release_ns)

    def close(self) -> None:
        """Close what is open."""
        for feed in self._feeds:
            feed.close()

    def _wait_from(self, now_ns: int) -> None:
        assert isinstance(self.spec.trigger, On)
        self._idle_ns = now_ns + int(self.spec.trigger.idle_s * _SECOND_NS)

    def _releases(self, source: str) -> bool:
        return isinstance(self.spec.trigger, On) and self.spec.trigger.input.source == source

    def _cycle(self, release_ns: int, missed: int = 0) -> Cycle[Any]:
        cycle = self._loop.cycle(release_ns, missed)
        self._over = self._loop.finished_by(cycle)
        return cycle


class _Feed:
    """One source on a clock of its own, which runs ahead to its next reading."""

    def __init__(self, source: Source[Any], now_ns: int) -> None:
        self.source = source
        self._clock = VirtualClock(now_ns)
        self._next: Reading[Any] | None = None
        self.due_ns: int | None = None
        self._open = True
        source.open(self._clock)
        self._look_ahead()

    def take(self) -> Reading[Any] | None:
        reading = self._next
        self._look_ahead()
        return reading

    def close(self) -> None:
        if self._open:
            self._open = False
            self.source.close()

    def _look_ahead(self) -> None:
        self._next, self.due_ns = None, None
        silent_since_ns = self._clock.now_ns()
        while self._next is None:
            before_ns = self._clock.now_ns()
            try:
                self._next = self.source.read(_READ_TIMEOUT_S)
            except EndOfStream:
                self.close()
                return
            if self._next is None:  # nothing in time: a source that does not sleep on the clock is moved on
                self._clock.sleep_until_ns(before_ns + int(_READ_TIMEOUT_S * _SECOND_NS))
                if self._clock.now_ns() - silent_since_ns > _LONGEST_SILENCE_NS:
                    raise InputError(f"source {self.source.name!r} gave nothing for an hour of replayed time")
        self.due_ns = self._clock.now_ns()
