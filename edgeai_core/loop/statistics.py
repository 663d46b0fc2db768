"""A loop's counters and histograms in a small memory-mapped file that other processes read."""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edgeai_core.errors import InputError

if TYPE_CHECKING:
    from edgeai_core.loop.cycle import Cycle
    from edgeai_core.loop.spec import LoopSpec

_MAGIC = b"EDGESTA1"
_HEADER_BYTES = 1024
_TEXT_BYTES = 512
_RING = 64
_SUBBUCKETS = 8  # per octave: a percentile is exact to 12.5 %
_OCTAVES = 44  # up to 2**44 ns, five hours
_BUCKETS = _SUBBUCKETS * _OCTAVES
_MAX_STAGES = 12

COUNTERS = (
    "cycles",
    "idle_wakes",
    "missed_releases",
    "dropped_samples",
    "lost_samples",
    "overruns",
    "faults",
    "exceptions",
    "collections",
    "longest_collection_ns",
    "level",
    "last_start_ns",
    "last_end_ns",
    "last_age_ns",
    "ended",
    "text_guard",
    "stages",
)
_AT = {name: index for index, name in enumerate(COUNTERS)}
_RING_AT = len(COUNTERS)
_HISTOGRAMS_AT = _RING_AT + _RING
_FIXED = ("lateness", "duration", "age")
_WORDS = _HISTOGRAMS_AT + (len(_FIXED) + _MAX_STAGES) * _BUCKETS
_TEXT_AT = _HEADER_BYTES + 8 * _WORDS
_FILE_BYTES = _TEXT_AT + _TEXT_BYTES * 2


def bucket_of(value_ns: int) -> int:
    """Return the logarithmic bucket of a duration: eight to the octave, the first sixteen exact."""
    if value_ns < 2 * _SUBBUCKETS:
        return max(value_ns, 0)
    shift = value_ns.bit_length() - 4
    return min((shift << 3) + (value_ns >> shift), _BUCKETS - 1)


def bucket_upper_ns(bucket: int) -> int:
    """Return the largest duration that falls into ``bucket``: what a percentile reports."""
    if bucket < 2 * _SUBBUCKETS:
        return bucket
    shift = (bucket >> 3) - 1
    return ((bucket - (shift << 3) + 1) << shift) - 1


class LoopStatistics:
    """Counts one loop's cycles. Without a path it counts in memory.

    Writing costs a few array stores; no lock is held. Readers may see a cycle half counted, never a torn
    number. A restart of the loop starts the file anew.
    """

    def __init__(
        self, spec: LoopSpec[Any], app: str = "", path: Path | None = None, started_ns: int = 0
    ) -> None:
        from edgeai_core.loop.spec import Every

        rate_hz = spec.trigger.rate_hz if isinstance(spec.trigger, Every) else None
        header = {
            "app": app,
            "loop": spec.name,
            "pid": os.getpid(),
            "started_ns": started_ns,
            "target_rate_hz": rate_hz,
            "trigger": "clock" if rate_hz else spec.trigger.input.source,  # type: ignore[union-attr]
            "progress_every_s": 1 / rate_hz if rate_hz else spec.trigger.idle_s,  # type: ignore[union-attr]
            "deadline_s": spec.deadline_s,
            "max_ages_s": {each.source: each.max_age_s for each in spec.inputs},
            "degradations": [rung.name for rung in spec.degradations],
        }
        text = json.dumps(header).encode()
        if len(text) > _HEADER_BYTES - 12:
            raise InputError(
                f"loop {spec.name!r}: names of inputs and degradations exceed {_HEADER_BYTES} bytes; shorten them"
            )
        self._map = _anonymous() if path is None else _create(path)
        self._map[:8] = _MAGIC
        self._map[8:12] = struct.pack("<I", len(text))
        self._map[12 : 12 + len(text)] = text
        self._words = memoryview(self._map)[_HEADER_BYTES:_TEXT_AT].cast("Q")
        self._stages: dict[str, int] = {}
        self._last_fault = ""

    def note_idle(self) -> None:
        """Count a wake-up without a cycle: the loop lives, its input is silent."""
        self._words[_AT["idle_wakes"]] += 1

    def note_cycle(self, cycle: Cycle[Any], missed: int, overflowed: int) -> None:
        """Count one cycle. ``overflowed`` is the mailbox's total, ``missed`` the releases skipped before this one."""
        words = self._words
        start_ns, end_ns = cycle.start_ns, cycle.end_ns
        number = words[0]
        words[_RING_AT + number % _RING] = start_ns
        words[0] = number + 1
        words[2] += missed
        words[3] = overflowed
        self._count(0, start_ns - cycle.snapshot.release_ns)
        self._count(1, end_ns - start_ns)
        oldest_ns = -1
        lost = 0
        for view in cycle.snapshot.views.values():
            if view.age_ns is not None and view.age_ns > oldest_ns:
                oldest_ns = view.age_ns
            for sample in view.samples:
                lost += sample.lost
        words[4] += lost
        if oldest_ns >= 0:
            # On a virtual clock a stamp may lie a nanosecond ahead of it: that is what keeps arrivals in order.
            age_ns = max(oldest_ns + end_ns - cycle.snapshot.now_ns, 0)
            self._count(2, age_ns)
            words[13] = age_ns
        words[10] = cycle.snapshot.level
        words[11], words[12] = start_ns, end_ns
        if cycle.late is not None:
            words[5] += 1
        if cycle.fault is not None:
            words[6] += 1
            words[7] += cycle.fault.kind == "exception"
            self._note_text(cycle.fault.message)
        for name, took_ns in cycle.stages_ns.items():
            self._count(self._stage(name), took_ns)

    def note_collections(self, count: int, longest_ns: int) -> None:
        """Store how often and how long the garbage collector has paused this process."""
        self._words[_AT["collections"]], self._words[_AT["longest_collection_ns"]] = count, longest_ns

    def note_end(self) -> None:
        """Say that the loop came to its end in order: it is not missing, it is done."""
        self._words[_AT["ended"]] = 1

    @property
    def progress(self) -> int:
        """A number that grows as long as the loop lives."""
        return self._words[0] + self._words[1]

    def summary(self) -> dict[str, object]:
        """Return what ``read_statistics`` returns."""
        return _summary(self._map)

    def close(self) -> None:
        """Let go of the file; what it holds stays readable."""
        self._words.release()
        self._map.close()

    def _count(self, histogram: int, value_ns: int) -> None:
        self._words[_HISTOGRAMS_AT + histogram * _BUCKETS + bucket_of(value_ns)] += 1

    def _stage(self, name: str) -> int:
        index = self._stages.get(name)
        if index is None:
            if len(self._stages) == _MAX_STAGES:
                name = next(reversed(self._stages))  # more stages than there is room for count with the last
                return self._stages[name]
            index = self._stages[name] = len(_FIXED) + len(self._stages)
            self._write_text(1, ",".join(self._stages))
            self._words[_AT["stages"]] = len(self._stages)
        return index

    def _note_text(self, message: str) -> None:
        if message != self._last_fault:
            self._last_fault = message
            self._write_text(0, message)

    def _write_text(self, slot: int, text: str) -> None:
        data = text.encode()[: _TEXT_BYTES - 1]
        at = _TEXT_AT + slot * _TEXT_BYTES
        self._words[_AT["text_guard"]] += 1  # odd while a text is being written
        self._map[at : at + _TEXT_BYTES] = data.ljust(_TEXT_BYTES, b"\0")
        self._words[_AT["text_guard"]] += 1


def read_statistics(path: Path) -> dict[str, object]:
    """Return the statistics of a loop from its file, as plain values.

    Times of histograms are in microseconds, as ``{p50, p99, p999, max, count}``; ``rate_hz`` is over the
    last 64 cycles. Raises InputError where the file is none of ours.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) != _FILE_BYTES or data[:8] != _MAGIC:
        raise InputError(
            f"{path}: is not a loop's statistics file of this version; delete it, the loop makes it anew"
        )
    return _summary(data)


def read_progress(path: Path) -> int | None:
    """Return a number that grows as long as the loop lives; None where the file is not there yet."""
    try:
        with path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            words = file.read(16)
    except OSError:
        return None
    return sum(struct.unpack("<QQ", words)) if len(words) == 16 else None


def _summary(data: bytes | mmap.mmap) -> dict[str, object]:
    (length,) = struct.unpack("<I", data[8:12])
    result: dict[str, object] = json.loads(data[12 : 12 + length])
    with memoryview(data) as view, view[_HEADER_BYTES:_TEXT_AT].cast("Q") as words:
        numbers = words.tolist()
    counters = dict(zip(COUNTERS, numbers, strict=False))
    stages = counters.pop("stages")
    guard = counters.pop("text_guard")
    counters["ended"] = bool(counters["ended"])
    result.update(counters)
    starts = sorted(n for n in numbers[_RING_AT:_HISTOGRAMS_AT] if n)
    span_ns = starts[-1] - starts[0] if len(starts) > 1 else 0
    result["rate_hz"] = round((len(starts) - 1) * 1e9 / span_ns, 3) if span_ns else None
    texts = [
        bytes(data[_TEXT_AT + i * _TEXT_BYTES : _TEXT_AT + (i + 1) * _TEXT_BYTES])
        .rstrip(b"\0")
        .decode(errors="replace")
        for i in (0, 1)
    ]
    result["last_fault"] = texts[0] if guard % 2 == 0 else ""
    names = texts[1].split(",")[:stages] if stages else []
    for index, name in enumerate((*_FIXED, *names)):
        at = _HISTOGRAMS_AT + index * _BUCKETS
        key = f"{name}_us" if index < len(_FIXED) else f"stage_{name}_us"
        result[key] = _percentiles(numbers[at : at + _BUCKETS])
    return result


def _percentiles(buckets: list[int]) -> Mapping[str, float] | None:
    total = sum(buckets)
    if not total:
        return None
    marks = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    result: dict[str, float] = {}
    seen = 0
    waiting = list(marks.items())
    for bucket, count in enumerate(buckets):
        seen += count
        while waiting and seen >= waiting[0][1] * total:
            result[waiting.pop(0)[0]] = bucket_upper_ns(bucket) / 1000
    return {**result, "count": total}


def _anonymous() -> mmap.mmap:
    return mmap.mmap(-1, _FILE_BYTES)


def _create(path: Path) -> mmap.mmap:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    try:
        with fresh.open("w+b") as file:
            os.chmod(fresh, 0o600)
            mapped = _mapped(file)
    except OSError:  # the disk is full: the file of the loop before has room already
        fresh.unlink(missing_ok=True)
        return _taken_over(path)
    fresh.replace(path)  # a reader never sees an empty file
    return mapped


def _taken_over(path: Path) -> mmap.mmap:
    """Map the file that is there, emptied; where there is none, count in memory: the loop matters more."""
    try:
        with path.open("r+b") as file:
            mapped = _mapped(file)
    except OSError:
        return _anonymous()
    mapped[:] = bytes(_FILE_BYTES)
    return mapped


def _mapped(file: BinaryIO) -> mmap.mmap:
    # With its room on the disk: a page for which there is none would end the process by SIGBUS when written.
    os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
    return mmap.mmap(file.fileno(), _FILE_BYTES)
