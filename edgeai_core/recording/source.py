"""A recorded input as a source: what one loop received, handed out again at the pace at which it came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeai_core.clock import Clock
from edgeai_core.errors import ConfigError, EndOfStream, InputError, SensorError
from edgeai_core.loop.spec import LoopSpec, Parts
from edgeai_core.recording.file import EXACT_TOPIC, read_entries
from edgeai_core.recording.record import Arrived, Decided, build, from_bytes, kind_and_source
from edgeai_core.sample import Reading


def from_recording(spec: LoopSpec[Any], app: str, path: Path) -> LoopSpec[Any]:
    """Return the loop fed from a recorded run alone: its sensors and other loops' outputs are what they were then.

    Raises InputError where the file lacks an input that the loop requires, ConfigError for a durable input: what must
    not be lost is not played from a copy.
    """
    name = f"{app}.{spec.name}"
    durable = [each.source for each in spec.inputs if each.history == "one"]
    if durable:
        raise ConfigError(f"loop {name}: input {durable[0]!r} is durable and cannot be played from {path}")
    held = _inputs_held(path, name)
    lacking = [each.source for each in spec.inputs if each.required and each.source not in held]
    if lacking or not held:
        missed = lacking or [each.source for each in spec.inputs]
        raise InputError(f"{path}: holds nothing of {', '.join(missed)} of loop {name}")

    def build() -> Parts[Any]:
        run = _Run(path, name, (each.source for each in spec.inputs))
        sources = tuple(RecordedSource(path, name, each.source, run=run) for each in spec.inputs)
        return replace(spec.build(), sources=sources)

    return replace(spec, build=build)


class RecordedSource:
    """Plays input ``source`` of ``loop`` (``<app>.<loop>``) from an MCAP file, under the name ``name`` (else its own).

    Times count from the file's first record of that loop, so several sources of one file keep their distances. Unlike
    ``edgeai replay``, which forces the live run's moments, the loop runs anew: at real speed on the live clock, as fast
    as it goes on a virtual one. Arrays are read-only. ``restarted`` and losses show through the sensor's own counter.
    """

    def __init__(
        self, path: Path, loop: str, source: str, name: str | None = None, *, run: _Run | None = None
    ) -> None:
        self._path = path
        self._loop = loop
        self._source = source
        self._name = name or source
        self._shared = run
        self._run: _Run | None = None
        self._clock: Clock | None = None
        self._next: Arrived | None = None

    @property
    def name(self) -> str:
        """The input's name."""
        return self._name

    def check(self) -> None:
        """Raise InputError where the file is no recording or holds nothing of this input."""
        if self._source not in _inputs_held(self._path, self._loop):
            raise InputError(f"{self._path}: holds nothing of input {self._source!r} of loop {self._loop!r}")

    def open(self, clock: Clock) -> None:
        """Begin with the first record. Raises SensorError where the file cannot be read."""
        shared, self._shared = (
            self._shared,
            None,
        )  # one that is opened again begins again, and the others go on
        self._clock, self._next = clock, None
        self._run = shared or _Run(self._path, self._loop, (self._source,))

    def read(self, timeout_s: float) -> Reading[Any] | None:
        """Return the next reading when it is due, None where that is too far off. Raises EndOfStream, SensorError."""
        if self._clock is None or self._run is None:
            raise SensorError(f"{self._path}: is read before it was opened")
        try:
            record = self._next or self._run.following(self._source, self._clock)
        except InputError as error:
            raise SensorError(str(error)) from error
        if record is None:
            raise EndOfStream
        shift_ns = self._run.shift_ns
        due_ns = record.at_ns + shift_ns
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            self._next = record
            return None
        self._next = None
        return Reading(
            build(record.type, record.data), record.time_ns + shift_ns, record.sequence, record.count
        )

    def close(self) -> None:
        """Let go of the file."""
        self._run = None


class _Run:
    """One run of a loop in a file, read once for all the sources that play it, each in a thread of its own.

    ``shift_ns`` is what to add to the times of the file. Records of other sources than these are not even decoded.
    """

    def __init__(self, path: Path, loop: str, sources: Iterable[str]) -> None:
        topic = EXACT_TOPIC + loop
        self.shift_ns = 0
        self._data = (entry.data for entry in read_entries(path) if entry.topic == topic)
        self._waiting: dict[str, deque[Arrived | None]] = {source: deque() for source in sources}
        self._begun = False
        self._lock = threading.Lock()

    def following(self, source: str, clock: Clock) -> Arrived | None:
        """Return the next arrival of a source, None where it has ended. Raises InputError."""
        with self._lock:
            waiting = self._waiting[source]
            while not waiting:
                data = next(self._data, None)
                if data is None:
                    return None
                self._take(data, clock)
            return waiting.popleft()

    def _take(self, data: bytes, clock: Clock) -> None:
        kind, source = kind_and_source(data)
        ours = self._waiting.get(source) if kind in ("arrived", "ended") and isinstance(source, str) else None
        if not self._begun and kind not in ("began", "missing"):
            record = from_bytes(data)
            at_ns = record.now_ns if isinstance(record, Decided) else record.at_ns
            self.shift_ns, self._begun = clock.now_ns() - at_ns, True
        if ours is not None:
            record = from_bytes(data)
            ours.append(record if isinstance(record, Arrived) else None)


def _inputs_held(path: Path, loop: str) -> set[str]:
    """Return the inputs of a loop of which the file holds an arrival."""
    topic = EXACT_TOPIC + loop
    found = (kind_and_source(entry.data) for entry in read_entries(path) if entry.topic == topic)
    return {str(source) for kind, source in found if kind == "arrived"}
