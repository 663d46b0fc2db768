"""A recorded input as a source: what one loop received, handed out again at the pace at which it came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeai_core.clock import Clock
from edgeai_core.errors import ConfigError, EndOfStream, InputError, SensorError
from edgeai_core.loop.spec import LoopSpec, Parts
from edgeai_core.recording.file import EXACT_TOPIC, read_entries
from edgeai_core.recording.record import Arrived, Began, Decided, Ended, Missing, Record, build, from_bytes
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
        sources = tuple(RecordedSource(path, name, each.source) for each in spec.inputs)
        return replace(spec.build(), sources=sources)

    return replace(spec, build=build)


class RecordedSource:
    """Plays input ``source`` of ``loop`` (``<app>.<loop>``) from an MCAP file, under the name ``name`` (else its own).

    Times count from the file's first record of that loop, so several sources of one file keep their distances. Unlike
    ``edgeai replay``, which forces the live run's moments, the loop runs anew: at real speed on the live clock, as fast
    as it goes on a virtual one. Arrays are read-only. ``restarted`` and losses show through the sensor's own counter.
    """

    def __init__(self, path: Path, loop: str, source: str, name: str | None = None) -> None:
        self._path = path
        self._loop = loop
        self._source = source
        self._name = name or source
        self._records: Iterator[Record] = iter(())
        self._clock: Clock | None = None
        self._shift_ns: int | None = None
        self._next: Arrived | None = None

    @property
    def name(self) -> str:
        """The input's name."""
        return self._name

    def check(self) -> None:
        """Raise InputError where the file is no recording or holds nothing of this input."""
        if not any(isinstance(each, Arrived) and each.source == self._source for each in self._read()):
            raise InputError(f"{self._path}: holds nothing of input {self._source!r} of loop {self._loop!r}")

    def open(self, clock: Clock) -> None:
        """Begin with the first record. Raises SensorError where the file cannot be read."""
        self._clock, self._shift_ns, self._next = clock, None, None
        self._records = self._read()

    def read(self, timeout_s: float) -> Reading[Any] | None:
        """Return the next reading when it is due, None where that is too far off. Raises EndOfStream, SensorError."""
        if self._clock is None:
            raise SensorError(f"{self._path}: is read before it was opened")
        try:
            record = self._next or self._following()
        except InputError as error:
            raise SensorError(str(error)) from error
        if record is None or self._shift_ns is None:
            raise EndOfStream
        due_ns = record.at_ns + self._shift_ns
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            self._next = record
            return None
        self._next = None
        return Reading(
            build(record.type, record.data), record.time_ns + self._shift_ns, record.sequence, record.count
        )

    def close(self) -> None:
        """Let go of the file."""
        self._records = iter(())

    def _following(self) -> Arrived | None:
        assert self._clock is not None
        for record in self._records:
            if self._shift_ns is None and not isinstance(record, (Began, Missing)):
                at_ns = record.now_ns if isinstance(record, Decided) else record.at_ns
                self._shift_ns = self._clock.now_ns() - at_ns
            if isinstance(record, Arrived) and record.source == self._source:
                return record
            if isinstance(record, Ended) and record.source == self._source:
                return None
        return None

    def _read(self) -> Iterator[Record]:
        topic = EXACT_TOPIC + self._loop
        return (from_bytes(entry.data) for entry in read_entries(self._path) if entry.topic == topic)


def _inputs_held(path: Path, loop: str) -> set[str]:
    """Return the inputs of a loop of which the file holds an arrival."""
    topic = EXACT_TOPIC + loop
    records = (from_bytes(entry.data) for entry in read_entries(path) if entry.topic == topic)
    return {record.source for record in records if isinstance(record, Arrived)}
