"""Where readings wait for the next cycle: every input of one loop under one lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

from edgeai_core.clock import Clock
from edgeai_core.loop.spec import Input
from edgeai_core.sample import Reading, Sample, View


class Tap(Protocol):
    """Sees every arrival before ``latest`` overwrites it; called under the mailbox's lock, so it must be quick."""

    def arrived(self, source: str, sample: Sample[Any]) -> None:
        """Take note of one arrival."""
        ...

    def ended(self, source: str, at_ns: int) -> None:
        """Take note that a source is over."""
        ...


class Mailbox:
    """Arrivals in, snapshots out.

    Stamps order events exactly: an arrival after a snapshot is stamped later than that snapshot's ``now_ns``,
    and a snapshot never earlier than an arrival it holds. A replay that forces the stamps relies on it.
    """

    def __init__(self, inputs: Iterable[Input[Any]], clock: Clock, tap: Tap | None = None) -> None:
        self._clock = clock
        self._tap = tap
        self._slots = {each.source: _Slot(each) for each in inputs}
        self._changed = threading.Condition()
        self._last_arrival_ns = 0
        self._last_snapshot_ns = -1
        self._closed = False

    # -- the side of the sources

    def put(
        self, source: str, reading: Reading[Any], *, restarted: bool = False, at_ns: int | None = None
    ) -> None:
        """Stamp a reading and store it. ``at_ns`` forces the stamp, in replay.

        ``new`` keeps the newest ``depth`` samples: what falls out is counted on the oldest that is kept.
        """
        with self._changed:
            slot = self._slots[source]
            now_ns = self._clock.now_ns() if at_ns is None else at_ns
            received_ns = max(now_ns, self._last_snapshot_ns + 1)
            self._last_arrival_ns = max(self._last_arrival_ns, received_ns)
            sample = slot.stamp(reading, received_ns, restarted)
            if self._tap is not None:
                self._tap.arrived(source, sample)
            slot.store(sample)
            self._changed.notify_all()

    def wait_for_room(self, source: str, timeout_s: float) -> bool:
        """Wait until a durable input can take one more; True when it can."""
        with self._changed:
            slot = self._slots[source]
            return (
                self._changed.wait_for(lambda: self._closed or slot.has_room, timeout_s) and not self._closed
            )

    def end(self, source: str, *, at_ns: int | None = None) -> None:
        """Say that a source is over."""
        with self._changed:
            now_ns = self._clock.now_ns() if at_ns is None else at_ns
            at_ns = max(now_ns, self._last_snapshot_ns + 1)
            self._last_arrival_ns = max(self._last_arrival_ns, at_ns)
            self._slots[source].ended = True
            if self._tap is not None:
                self._tap.ended(source, at_ns)
            self._changed.notify_all()

    def report(self, source: str, trouble: str) -> None:
        """Keep what a source's reader says of its trouble; an empty text means it is well. Shown in faults."""
        with self._changed:
            self._slots[source].trouble = trouble

    def committed(self, source: str) -> list[int]:
        """Return and forget the sequences that the journal has committed: the reading thread passes them on."""
        with self._changed:
            slot = self._slots[source]
            done, slot.to_commit = slot.to_commit, []
            return done

    # -- the side of the loop

    def wait(self, source: str, until_ns: int, after_ns: int = -1) -> bool:
        """Wait in real time until ``source`` holds something that came after ``after_ns``.

        False when the time came first, when the inputs ended, or on close.
        """
        with self._changed:
            slot = self._slots[source]
            while not slot.holds_newer(after_ns) and not self._closed and not self._over_locked():
                left_ns = until_ns - self._clock.now_ns()
                if left_ns <= 0:
                    return False
                self._changed.wait(left_ns * 1e-9)
            return slot.holds_newer(after_ns) and not self._closed

    def views(self) -> tuple[int, dict[str, View[Any]]]:
        """Return the time of the snapshot and what each input holds; takes nothing out."""
        with self._changed:
            now_ns = max(self._clock.now_ns(), self._last_arrival_ns)
            self._last_snapshot_ns = now_ns
            return now_ns, {name: slot.view(now_ns) for name, slot in self._slots.items()}

    def consume(self, views: dict[str, View[Any]]) -> None:
        """Take out what a step has been called with. Durable items stay until ``settle``."""
        with self._changed:
            for name, view in views.items():
                self._slots[name].consume(view)
            self._changed.notify_all()

    def settle(self, source: str, sequence: int) -> None:
        """Take a durable item out: the journal has it, or it was refused for good."""
        with self._changed:
            self._slots[source].settle(sequence)
            self._changed.notify_all()

    def pending(self, source: str) -> int:
        """Return how many samples wait for a step."""
        with self._changed:
            return len(self._slots[source].pending)

    def first_arrival_ns(self, source: str, after_ns: int = -1) -> int | None:
        """Return when the oldest pending sample that came after ``after_ns`` came; None where there is none."""
        with self._changed:
            times_ns = (sample.received_ns for sample in self._slots[source].pending)
            return next((time_ns for time_ns in times_ns if time_ns > after_ns), None)

    def overwritten(self, source: str) -> int:
        """Return and reset how many unseen ``latest`` samples were replaced by newer ones."""
        with self._changed:
            slot = self._slots[source]
            count, slot.overwritten = slot.overwritten, 0
            return count

    def overflowed(self) -> int:
        """Return how many items have been dropped because an input's depth was full, since the start."""
        with self._changed:
            return sum(slot.overflowed for slot in self._slots.values())

    def trouble(self, source: str) -> str:
        """Return what the source's reader last reported."""
        with self._changed:
            return self._slots[source].trouble

    def over_at(self, source: str) -> bool:
        """Whether this input's source has ended."""
        with self._changed:
            return self._slots[source].ended

    @property
    def over(self) -> bool:
        """Whether the source of every required input has ended."""
        with self._changed:
            return self._over_locked()

    @property
    def ended(self) -> bool:
        """Whether every required input is over and nothing of it is pending."""
        with self._changed:
            return self._over_locked() and not any(
                slot.pending for slot in self._slots.values() if slot.input.required
            )

    @property
    def complete(self) -> bool:
        """Whether something has come of every required input since the start."""
        with self._changed:
            return all(slot.latest is not None for slot in self._slots.values() if slot.input.required)

    def close(self) -> None:
        """Wake everyone who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _over_locked(self) -> bool:
        required = [slot for slot in self._slots.values() if slot.input.required]
        return bool(required) and all(slot.ended for slot in required)


class _Slot:
    """One input's samples; every method is called under the mailbox's lock."""

    def __init__(self, handle: Input[Any]) -> None:
        self.input = handle
        self.pending: deque[Sample[Any]] = deque()
        self.latest: Sample[Any] | None = None
        self.ended = False
        self.trouble = ""
        self.overwritten = 0
        self.overflowed = 0
        self.to_commit: list[int] = []
        self._sequence: int | None = None
        self._shown = 0
        self._displaced: list[Sample[Any]] = []

    @property
    def has_room(self) -> bool:
        return len(self.pending) < self.input.depth

    def holds_newer(self, after_ns: int) -> bool:
        return bool(self.pending) and self.pending[-1].received_ns > after_ns

    def stamp(self, reading: Reading[Any], received_ns: int, restarted: bool) -> Sample[Any]:
        lost = 0
        sequence = reading.sequence
        if restarted:
            self._sequence = None
        if sequence is not None:
            if self._sequence is not None:
                missing = sequence - reading.count - self._sequence
                restarted = sequence <= self._sequence
                lost = 0 if restarted else max(missing, 0)
            self._sequence = sequence
        return Sample(
            data=reading.data,
            time_ns=received_ns if reading.time_ns is None else reading.time_ns,
            received_ns=received_ns,
            sequence=sequence,
            count=reading.count,
            lost=lost,
            restarted=restarted,
        )

    def store(self, sample: Sample[Any]) -> None:
        self.latest = sample
        if self.input.history == "latest":
            self.overwritten += len(self.pending)
            self.pending.clear()
        self.pending.append(sample)
        if self.input.history == "new" and len(self.pending) > self.input.depth:
            dropped = self.pending.popleft()
            if self._shown:  # the step may be about to be called with it: whether it is lost is not known yet
                self._shown -= 1
                self._displaced.append(dropped)
            else:
                self._lose(dropped)

    def view(self, now_ns: int) -> View[Any]:
        for dropped in self._displaced:  # the step was not called with what the last view showed
            self._lose(dropped)
        self._displaced.clear()
        self._shown = len(self.pending)
        samples: tuple[Sample[Any], ...]
        if self.input.history == "latest":
            samples = () if self.latest is None else (self.latest,)
        elif self.input.history == "one":
            samples = tuple(self.pending)[:1]
        else:
            samples = tuple(self.pending)
        age_ns = None if self.latest is None else max(0, now_ns - self.latest.time_ns)
        return View(samples, age_ns, self.ended)

    def consume(self, view: View[Any]) -> None:
        if self.input.history == "one" or not view.samples:
            return
        self._shown = 0
        self._displaced.clear()
        last_ns = view.samples[-1].received_ns
        while self.pending and self.pending[0].received_ns <= last_ns:
            self.pending.popleft()

    def _lose(self, dropped: Sample[Any]) -> None:
        self.overflowed += dropped.count
        oldest = self.pending[0]
        self.pending[0] = replace(
            oldest,
            lost=oldest.lost + dropped.count + dropped.lost,
            restarted=oldest.restarted or dropped.restarted,
        )

    def settle(self, sequence: int) -> None:
        if self.pending and self.pending[0].sequence == sequence:
            self.pending.popleft()
            self.to_commit.append(sequence)
