"""The cycle: wait for the release, take a snapshot, call the step, hand the cycle to the sinks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeai_core.clock import Clock
from edgeai_core.decision import Decision
from edgeai_core.errors import ConfigError, EdgeAIError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.degradation import DegradationLadder
from edgeai_core.loop.realtime import CollectorPauses, collect_before_start, freeze_after_warm_up, lead
from edgeai_core.loop.schedule import Schedule
from edgeai_core.loop.snapshot import Snapshot, Stages
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Sink
from edgeai_core.loop.staleness import Staleness
from edgeai_core.loop.statistics import LoopStatistics
from edgeai_core.sample import View
from edgeai_core.sensors.mailbox import Mailbox, Tap
from edgeai_core.sensors.reader import PolledReader, Reader

_SECOND_NS = 1_000_000_000
_LONGEST_SLEEP_NS = 50_000_000  # a stop is noticed this soon
_WARM_UP_CYCLES = 50
ATTEMPTS = 3
"""How often a durable item is handed to a step before it is refused."""
LARGEST_RUN_OF_EXCEPTIONS = 20
"""After so many steps in a row that raised, the loop gives up: its process is started anew and builds anew."""


class Ledger(Protocol):
    """Who remembers durable items across restarts: the journal, seen from the loop."""

    def attempt(self, source: str, sequence: int) -> int:
        """Count one hand-over before it happens and return how many there have been."""
        ...

    def commit(self, cycle: Cycle[Any], source: str, sequence: int) -> bool:
        """Write the cycle's alerts and the sequence in one transaction; False where it cannot be written yet."""
        ...


class LoopGaveUp(EdgeAIError):  # noqa: N818 - what happened, in words
    """The step raised too often in a row; the process ends, and whoever supervises it builds anew."""


@dataclass(frozen=True)
class Forced:
    """A cycle's recorded moment, for replay: the step sees these instead of the clock."""

    release_ns: int
    now_ns: int
    level: int
    overran: bool
    number: int | None = None


class Loop:
    """One loop of a vertical, running in this process.

    ``sinks`` come before the app's own. ``ledger`` is needed where an input is durable. ``statistics``
    may be None: then they are counted in memory. ``fed`` names inputs that somebody else puts into the
    mailbox, a replay say: their sources are not read here. ``run`` returns when ``stop`` was called or when every
    required input has ended and been seen.
    """

    def __init__(
        self,
        spec: LoopSpec[Any],
        parts: Parts[Any],
        clock: Clock,
        *,
        sinks: Iterable[Sink] = (),
        statistics: LoopStatistics | None = None,
        ledger: Ledger | None = None,
        tap: Tap | None = None,
        fed: Iterable[str] = (),
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.mailbox = Mailbox(spec.inputs, clock, tap)
        self.statistics = statistics or LoopStatistics(spec, started_ns=clock.now_ns())
        self._clock = clock
        self._sinks = (*sinks, *parts.sinks)
        self._ledger = ledger
        self._ladder = DegradationLadder(spec.degradations)
        self._stop = threading.Event()
        self._number = 0
        self._exceptions = 0
        self._started_ns = clock.now_ns()
        self._free_ns = clock.now_ns()
        self._complete = not any(each.required for each in spec.inputs)
        self._unsettled: tuple[Cycle[Any], int] | None = None
        self._durable = next((each for each in spec.inputs if each.history == "one"), None)
        self._inputs: Mapping[str, Input[Any]] = {each.source: each for each in spec.inputs}
        self._optional = frozenset(each.source for each in spec.inputs if not each.required)
        makers = {source.name: type(source).__name__ for source in parts.sources}
        self._staleness = Staleness(spec, self.mailbox, makers)
        self._check(frozenset(fed))
        own = [source for source in parts.sources if source.name not in set(fed)]
        polled = [source for source in own if self._inputs[source.name].polled]
        self._polled = [PolledReader(source, self.mailbox, clock) for source in polled]
        self._readers = [
            Reader(source, self.mailbox, clock, durable=self._inputs[source.name] is self._durable)
            for source in own
            if source not in polled
        ]

    def run(self) -> None:
        """Run until stopped or until the inputs end. Raises LoopGaveUp."""
        collect_before_start()
        pauses = CollectorPauses()
        pauses.watch()
        self._started_ns = self._clock.now_ns()
        for reader in self._readers:
            reader.start()
        lead(self.spec.realtime)
        try:
            if isinstance(self.spec.trigger, Every):
                self._run_by_clock(self.spec.trigger, pauses)
            else:
                self._run_by_input(self.spec.trigger, pauses)
            self.statistics.note_end()
        finally:
            self.mailbox.close()
            pauses.close()
            for reader in self._readers:
                reader.stop()
            for polled in self._polled:
                polled.close()

    def stop(self) -> None:
        """Ask the loop to end after the cycle it is in. Safe from signal handlers and other threads."""
        self._stop.set()

    def cycle(self, release_ns: int, missed: int = 0, forced: Forced | None = None) -> Cycle[Any]:
        """Run one cycle now and hand it to the sinks. ``run`` and replay both come through here."""
        self._drain()
        start_ns = self._clock.now_ns()
        now_ns, views = self.mailbox.views()
        stages = Stages(self._clock)
        if forced is not None:
            now_ns = forced.now_ns
            self._number = self._number if forced.number is None else forced.number
        level = self._ladder.level if forced is None else forced.level
        silent = self._staleness.silent(views)
        snapshot = Snapshot(self._number, release_ns, now_ns, level, views, stages, self._optional, silent)
        self._number += 1
        decision, late, fault = self._decide(snapshot, views, forced)
        end_ns = self._clock.now_ns()
        cycle = Cycle(self.spec.name, snapshot, decision, start_ns, end_ns, late, fault, stages.durations_ns)
        self._free_ns = end_ns
        self.statistics.note_cycle(cycle, missed, self.mailbox.overflowed())
        self._ladder.note(end_ns, fault is not None and fault.kind is FaultKind.OVERRUN)
        for sink in self._sinks:
            sink.put(cycle)
        if self._durable is not None:
            self._settle_or_keep(cycle)
        if self._exceptions >= LARGEST_RUN_OF_EXCEPTIONS:
            message = cycle.fault.message if cycle.fault else ""
            raise LoopGaveUp(
                f"loop {self.spec.name!r}: the step failed {self._exceptions} times in a row: {message}"
            )
        return cycle

    # -- releases

    def _run_by_clock(self, trigger: Every, pauses: CollectorPauses) -> None:
        schedule = Schedule(trigger.rate_hz, self._clock.now_ns())
        spin_ns = int(self.spec.realtime.spin_s * _SECOND_NS)
        while self._sleep_until(schedule.next_release_ns, spin_ns):
            release_ns, missed = schedule.take(self._clock.now_ns())
            if self.starting:
                self.statistics.note_idle()
                continue
            cycle = self.cycle(release_ns, missed)
            self._after_cycle(pauses)
            if self.finished_by(cycle):
                return

    def _run_by_input(self, trigger: On, pauses: CollectorPauses) -> None:
        source = trigger.input.source
        idle_ns = int(trigger.idle_s * _SECOND_NS)
        seen_ns = -1
        while not self._stop.is_set():
            if self._unsettled is not None and not self._settle(*self._unsettled):
                self.statistics.note_idle()
                self._stop.wait(_LONGEST_SLEEP_NS / _SECOND_NS)
                continue
            if not self._wait_for(source, self._clock.now_ns() + idle_ns, seen_ns):
                if self._stop.is_set() or self.mailbox.ended:
                    return
                self.idle()
                if self.mailbox.over:
                    return
                if trigger.input.history == "one":
                    seen_ns = -1  # an item whose step failed is tried again at this pace
                continue
            release_ns = self.mailbox.first_arrival_ns(source, seen_ns) or self._clock.now_ns()
            if trigger.input.history == "one":
                release_ns = max(release_ns, self._free_ns)
            cycle = self.cycle(release_ns, self.mailbox.overwritten(source))
            seen_ns = cycle.snapshot.now_ns
            self._after_cycle(pauses)

    def _wait_for(self, source: str, until_ns: int, seen_ns: int) -> bool:
        """Wait for an arrival after ``seen_ns``, in pieces so that a stop is noticed."""
        while not self._stop.is_set():
            now_ns = self._clock.now_ns()
            if self.mailbox.wait(source, min(until_ns, now_ns + _LONGEST_SLEEP_NS), seen_ns):
                return True
            if now_ns >= until_ns or self.mailbox.over:
                return False
        return False

    @property
    def starting(self) -> bool:
        """Whether a required input has yet to deliver for the first time, and may still take that long."""
        if not self._complete:
            self._drain()
        if self._complete or self.mailbox.complete:
            self._complete = True
            return False
        limit_s = self.spec.start_within_s
        if limit_s is None:
            limit_s = max(each.max_age_s or 1.0 for each in self.spec.inputs if each.required)
        return self._clock.now_ns() - self._started_ns <= limit_s * _SECOND_NS and not self.mailbox.over

    def finished_by(self, cycle: Cycle[Any]) -> bool:
        """Whether that was the last cycle: the inputs have ended and there is nothing more to see."""
        stale = cycle.fault is not None and cycle.fault.kind is FaultKind.STALE
        return self.mailbox.ended or (stale and self.mailbox.over)

    def idle(self) -> Cycle[Any] | None:
        """A wake-up without an input: the loop lives; where something is stale it says so in a cycle."""
        self.statistics.note_idle()
        starting = self.starting
        now_ns, views = self.mailbox.views()
        if self._staleness.fault(views, releasing=False, starting=starting) is None:
            return None
        return self.cycle(now_ns)

    def _sleep_until(self, release_ns: int, spin_ns: int) -> bool:
        """Sleep to the release, in pieces so that a stop is noticed; False on a stop."""
        clock = self._clock
        while not self._stop.is_set():
            left_ns = release_ns - spin_ns - clock.now_ns()
            if left_ns <= _LONGEST_SLEEP_NS:
                if left_ns > 0:
                    clock.sleep_until_ns(release_ns - spin_ns)
                while clock.now_ns() < release_ns:
                    pass
                return True
            clock.sleep_until_ns(clock.now_ns() + _LONGEST_SLEEP_NS)
        return False

    def _drain(self) -> None:
        for polled in self._polled:
            polled.drain()

    def _after_cycle(self, pauses: CollectorPauses) -> None:
        if self._number == _WARM_UP_CYCLES:
            freeze_after_warm_up()
            pauses.reset()
        if pauses.count:
            self.statistics.note_collections(pauses.count, pauses.longest_ns)

    # -- decisions

    def _decide(
        self, snapshot: Snapshot, views: dict[str, View[Any]], forced: Forced | None
    ) -> tuple[Decision[Any], Decision[Any] | None, Fault | None]:
        """Return (the decision that counts, the late one where there was one, the fault)."""
        fault = self._staleness.fault(views, releasing=True) or self._refused(views)
        if fault is not None:
            return self._fall_back(snapshot, fault), None, fault
        self.mailbox.consume(views)
        try:
            decision = self.parts.step(snapshot)
        except Exception as error:
            self._exceptions += 1
            fault = Fault(
                FaultKind.EXCEPTION, f"the step raised {_describe(error)}", cause="a fault in the app's step"
            )
            return self._fall_back(snapshot, fault), None, fault
        self._exceptions = 0
        took_ns = self._clock.now_ns() - snapshot.release_ns
        overran = took_ns > self.spec.deadline_s * _SECOND_NS if forced is None else forced.overran
        if not overran:
            return decision, None, None
        fault = Fault(
            FaultKind.OVERRUN,
            f"the decision came {took_ns / 1e6:.1f} ms after the release "
            f"(deadline {self.spec.deadline_s * 1e3:.1f} ms)",
            cause="the step is slow, or the machine is busy",
        )
        return self._fall_back(snapshot, fault), decision, fault

    def _fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[Any]:
        try:
            return self.parts.fallback(snapshot, fault)
        except Exception:
            return self.spec.safe

    def _check(self, fed: frozenset[str]) -> None:
        names = [source.name for source in self.parts.sources]
        where = f"loop {self.spec.name!r}"
        for name in names:
            if name not in self._inputs:
                raise ConfigError(
                    f"{where}: source {name!r} belongs to no input (inputs: {', '.join(self._inputs)})"
                )
        if len(set(names)) != len(names):
            raise ConfigError(f"{where}: two sources have one name ({', '.join(names)})")
        missing = [
            each.source for each in self.spec.inputs if each.source not in names and each.source not in fed
        ]
        if missing:
            raise ConfigError(
                f"{where}: nothing makes input {missing[0]!r}: build() returns no source of that name, "
                "and no loop that runs publishes it"
            )
        if self._durable is not None and self._ledger is None:
            raise ConfigError(
                f"{where}: input {self._durable.source!r} is durable and needs a journal to commit to"
            )

    # -- durable items

    def _refused(self, views: dict[str, View[Any]]) -> Fault | None:
        """Count the hand-over of a durable item; a fault where it has had its attempts."""
        if self._durable is None or self._ledger is None:
            return None
        item = views[self._durable.source].latest
        if item is None or item.sequence is None:
            return None
        attempts = self._ledger.attempt(self._durable.source, item.sequence)
        if attempts <= ATTEMPTS:
            return None
        return Fault(
            FaultKind.EXCEPTION,
            f"item {item.sequence} of {self._durable.source!r} is refused: {ATTEMPTS} attempts at it failed",
            input=self._durable.source,
            cause="the item makes the step fail; look at the faults before this one",
        )

    def _settle_or_keep(self, cycle: Cycle[Any]) -> None:
        assert self._durable is not None
        item = cycle.snapshot[self._durable].latest
        if item is None or item.sequence is None:
            return
        refused = cycle.fault is not None and cycle.fault.input == self._durable.source
        answered = cycle.fault is None or cycle.late is not None
        if (answered or refused) and not self._settle(cycle, item.sequence):
            self._unsettled = (cycle, item.sequence)

    def _settle(self, cycle: Cycle[Any], sequence: int) -> bool:
        assert self._durable is not None
        assert self._ledger is not None
        if not self._ledger.commit(cycle, self._durable.source, sequence):
            return False
        self._unsettled = None
        self.mailbox.settle(self._durable.source, sequence)
        return True


def _describe(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}: {error}"
