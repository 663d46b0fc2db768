"""The contract of sources, as a check: it raises ContractError that says what is broken."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgeai_core.clock import Clock, MonotonicClock, VirtualClock
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.spec import Source
from edgeai_core.sample import Reading

if TYPE_CHECKING:
    pass

from edgeai_core.testing.contract import PATIENCE_S, broken, kind_of


def check_source(make: Callable[[], Source[Any]], *, readings: int = 20, live: bool = False) -> None:
    """Check that a source keeps its contract, on a virtual clock; ``live``: on the real one.

    It is opened, read, closed and opened again. ``readings`` are read at most each time. A durable source (one
    with ``commit``) must deliver again what was not committed, and only that.
    """
    source = make()
    name: object = source.name
    if not isinstance(name, str) or not name:
        broken(f"{kind_of(source)}.name is {name!r}; it must be a text that is not empty")
    clock: Clock = MonotonicClock() if live else VirtualClock(1_000_000_000)
    source.open(clock)
    source.close()
    source.open(clock)
    try:
        first = _read_some(source, clock, readings)
    finally:
        source.close()
    if not first:
        broken(f"{kind_of(source)} gave no reading at all")
    source.open(clock)
    try:
        again = _read_some(source, clock, 1)
    finally:
        source.close()
    if not again:
        broken(
            f"{kind_of(source)} gives nothing after close and open; a reader opens it again when it has failed"
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
        if waited_s > timeout_s + (1e-6 if isinstance(clock, VirtualClock) else PATIENCE_S):
            broken(f"{kind_of(source)}.read({timeout_s}) took {waited_s:.3f} s; a read honours its time-out")
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
        broken(f"{kind_of(source)}.read returned a {kind_of(reading)}; it returns a Reading, or None")
    if reading.count < 1:
        broken(f"{kind_of(source)}: a reading's count is {reading.count}; it spans at least one item")
    if reading.time_ns is not None and reading.time_ns > clock.now_ns():
        broken(
            f"{kind_of(source)}: a reading was measured {(reading.time_ns - clock.now_ns()) / 1e9:.3f} s from now"
        )
    if before is not None:
        if None not in (reading.time_ns, before.time_ns) and reading.time_ns < before.time_ns:  # type: ignore[operator]
            broken(f"{kind_of(source)}: a reading was measured before the one before it")
        if (reading.sequence is None) != (before.sequence is None):
            broken(f"{kind_of(source)}: some readings carry a sequence and some do not")
        if reading.sequence is not None and before.sequence is not None:
            overlap = before.sequence - (reading.sequence - reading.count)
            if 0 < overlap <= reading.count:
                broken(
                    f"{kind_of(source)}: sequence {reading.sequence} with count {reading.count} overlaps the "
                    f"reading before it, which ended at {before.sequence}"
                )
    for path, array in _arrays(reading.data, "data"):
        if array.flags.writeable:
            broken(
                f"{kind_of(source)}: the array {path} can be written; hand it out read-only (flags.writeable)"
            )


def _check_durable(make: Callable[[], Any], clock: Clock) -> None:
    source = make()
    source.open(clock)
    first = _read_some(source, clock, 2)
    source.close()
    if len(first) < 2:
        broken(f"{kind_of(source)} is durable and gave {len(first)} readings; give it two for this check")
    if any(reading.sequence is None for reading in first):
        broken(f"{kind_of(source)} is durable; its readings need a sequence that the journal can keep")
    source = make()
    source.open(clock)
    again = _read_some(source, clock, 1)
    if again[0].sequence != first[0].sequence:
        broken(f"{kind_of(source)}: {first[0].sequence} was not committed and did not come again")
    source.commit(first[0].sequence)
    source.close()
    source.open(clock)
    after = _read_some(source, clock, 1)
    source.close()
    if not after or after[0].sequence != first[1].sequence:
        broken(f"{kind_of(source)}: {first[0].sequence} was committed and came again")


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
