"""Recordings as a source: each reading comes when it is due on the loop's clock, one recording after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.sample import Reading

T = TypeVar("T")


@dataclass(frozen=True)
class Timed(Generic[T]):
    """One reading of a recording, due ``due_ns`` after the recording's start; it spans ``count`` of the sequence."""

    due_ns: int
    data: T
    count: int = 1


Recorded = Callable[[], Generator[Timed[T], None, None]]
"""Opens a recording and yields its readings in the order of their time; closed, it lets go of its file.

Raises InputError for a file that cannot be played.
"""


class Player(Generic[T]):
    """Plays recordings: a live run goes at real speed, one on a virtual clock as fast as it can, with the same stamps.

    A recording begins where the one before it ended, at its last reading. ``repeat`` begins again with the first for
    ever. The sequence counts on from ``open`` and never jumps between recordings: nothing was lost there.
    """

    def __init__(self, name: str, recordings: Sequence[Recorded[T]], *, repeat: bool = False) -> None:
        if not recordings:
            raise ValueError("no recording to play")
        self._name = name
        self._recordings = tuple(recordings)
        self._repeat = repeat
        self._clock: Clock | None = None
        self._start_ns = 0
        self._readings: Generator[Timed[T], None, None] | None = None
        self._next: Timed[T] | None = None
        self._given = 0

    @property
    def name(self) -> str:
        """The name that inputs refer to."""
        return self._name

    def check(self) -> None:
        """Open every recording once and read its beginning. Raises InputError for the first that cannot be played."""
        for recorded in self._recordings:
            readings = recorded()
            next(readings, None)
            readings.close()

    def open(self, clock: Clock) -> None:
        """Start with the first recording now. Raises InputError for a file that cannot be played."""
        self._readings = self._play()
        self._next = next(self._readings, None)
        self._given = 0
        self._start_ns = clock.now_ns()
        self._clock = clock

    def read(self, timeout_s: float) -> Reading[T] | None:
        """Return the next reading when it is due; None where it is not due in time.

        Raises EndOfStream after the last, InputError where a file turns out damaged.
        """
        if self._clock is None or self._readings is None:
            raise SensorError(f"source {self._name!r} is read before it is opened")
        if self._next is None:
            self._next = next(self._readings, None)
        if self._next is None:
            raise EndOfStream(f"{self._name}: the last recording is over")
        due_ns = self._start_ns + self._next.due_ns
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            return None
        reading, self._next = self._next, None
        self._given += reading.count
        return Reading(reading.data, time_ns=due_ns, sequence=self._given - 1, count=reading.count)

    def close(self) -> None:
        """Let go of the file that is open."""
        self._clock = None
        self._next = None
        if self._readings is not None:
            self._readings.close()
            self._readings = None

    def _play(self) -> Generator[Timed[T], None, None]:
        """Yield every reading, due so long after the start of the first recording."""
        start_ns = 0
        while True:
            empty = True
            for recorded in self._recordings:
                readings = recorded()
                end_ns = start_ns
                try:
                    for each in readings:
                        end_ns = start_ns + each.due_ns
                        empty = False
                        yield Timed(end_ns, each.data, each.count)
                finally:
                    readings.close()
                start_ns = end_ns
            if not self._repeat or empty:
                return
