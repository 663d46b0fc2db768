"""A loop's streams as another loop's inputs: images and clouds through shared memory, with a datagram to wake."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgeai_core.clock import Clock
from edgeai_core.errors import InputError, SensorError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.spec import Stream
from edgeai_core.sample import Reading
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender, topic_folder
from edgeai_core.topics.message import decode_apart, encode_apart, rebuild
from edgeai_core.topics.ring import RingReader, RingWriter, ring_folder

T = TypeVar("T")

ENVELOPE_BYTES = 4096
"""Room in a slot beside the ``max_bytes`` of an item: its stamps, and the names and shapes of its arrays."""

_LOOK_EVERY_NS = 20_000_000

log = logging.getLogger("edgeai.streams")


class RingSink:
    """Writes a loop's declared streams, each to a ring of its own; a Sink that never waits.

    ``dropped`` counts readings for which every slot was being read, ``refused`` those that are larger than declared,
    cannot travel or belong to no declared stream; the first of each stream is logged.
    Raises ConfigError where shared memory is too small.
    """

    def __init__(self, run: Path, app: str, loop: str, streams: Mapping[str, Stream]) -> None:
        self.refused = 0
        self._loop = f"{app}.{loop}"
        self._rings: dict[str, _Ring] = {}
        self._told: set[str] = set()
        try:
            for name, stream in streams.items():
                self._rings[name] = _Ring(run, f"{self._loop}/{name}", stream)
        except BaseException:
            self.close()
            raise

    @property
    def dropped(self) -> int:
        """How many readings found every slot being read."""
        return sum(ring.writer.dropped for ring in self._rings.values())

    def put(self, cycle: Cycle[Any]) -> None:
        """Write every reading of the decision's streams, then wake who listens."""
        for name, readings in cycle.decision.streams.items():
            ring = self._rings.get(name)
            for reading in readings:
                try:
                    if ring is None:
                        raise InputError("its loop does not declare it (LoopSpec.streams)")
                    ring.write(reading)
                except InputError as error:
                    self._refuse(name, error)
            if ring is not None and readings:
                ring.wake()

    def close(self) -> None:
        """Take the rings away."""
        for ring in self._rings.values():
            ring.close()
        self._rings = {}

    def _refuse(self, name: str, error: InputError) -> None:
        self.refused += 1
        if name not in self._told:
            self._told.add(name)
            log.error("stream %s/%s: %s", self._loop, name, error)


class RingSource(Generic[T]):
    """One stream of another process's loop as a Source, polled or read by a thread.

    Its name is the stream's (``<app>.<loop>/<stream>``), so an Input of that name finds it. Arrays are read-only and
    were copied once. What was overwritten unseen is counted as lost; a restart of the writer shows as a counter that
    goes backwards, which the loop flags. A reader that comes late gets the newest item of a writer that lives.
    """

    def __init__(self, run: Path, topic: str, item: type[T]) -> None:
        self._topic = topic
        self._item = item
        self._path = ring_path(run, topic)
        self._folder = wake_folder(run, topic)
        self._receiver: DatagramReceiver | None = None
        self._ring: RingReader | None = None
        self._epoch: int | None = None
        self._last = 0  # the last item seen of that epoch
        self._sequence: int | None = None  # what was last handed on
        self._offset = 0
        self._restarted = False
        self._look_again_ns = 0

    @property
    def name(self) -> str:
        """The stream."""
        return self._topic

    def open(self, clock: Clock) -> None:
        """Bind a socket for wake-ups and map the ring where there is one. Raises SensorError."""
        self._receiver = DatagramReceiver(self._folder)
        self._map(first=self._epoch is None)

    def read(self, timeout_s: float) -> Reading[T] | None:
        """Return the next reading, or None where none came in time. Raises SensorError for what makes no item."""
        if self._receiver is None:
            raise SensorError(f"stream {self._topic} is read before it was opened")
        until_s = time.monotonic() + timeout_s
        while (reading := self._next()) is None:
            if self._receiver.receive(max(until_s - time.monotonic(), 0.0)) is None:
                return None
            self._look_again_ns = 0  # somebody wrote, and perhaps not into this ring
        return reading

    def close(self) -> None:
        """Let go of the memory and the socket."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _next(self) -> Reading[T] | None:
        item = None if self._ring is None else self._ring.next()
        if item is None:
            if self._ring is not None and not self._replaced():
                return None
            self._map(first=False)
            item = None if self._ring is None else self._ring.next()
            if item is None:
                return None
        number, message, memory = item
        self._last = number
        try:
            time_ns, sequence, count, fields = decode_apart(message, memory)
            data = rebuild(fields, self._item)
            return Reading(data, time_ns, self._counted(int(sequence)), int(count))
        except (InputError, TypeError, ValueError) as error:
            raise SensorError(f"stream {self._topic}: {error}") from error

    def _replaced(self) -> bool:
        """Whether the ring is another one now, as far as it was looked at: a fast loop would ask all the time."""
        now_ns = time.monotonic_ns()
        if self._ring is None or now_ns < self._look_again_ns:
            return False
        self._look_again_ns = now_ns + _LOOK_EVERY_NS
        return self._ring.replaced

    def _counted(self, sequence: int) -> int:
        """Return the counter to hand on: after a restart of the writer it never is above what came before."""
        if self._restarted and self._sequence is not None:
            self._offset = max(sequence - self._sequence, 0)
        self._restarted = False
        self._sequence = sequence - self._offset
        return self._sequence

    def _map(self, *, first: bool) -> None:
        """Map the ring that is there now. A ring that came since this source was opened is read from its start."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        try:
            ring = RingReader(self._path, after=None if first else 0)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SensorError(f"stream {self._topic}: {self._path}: {error.strerror}") from error
        if ring.epoch == self._epoch:
            ring.last = self._last
        else:
            self._restarted = self._epoch is not None
        self._epoch, self._ring = ring.epoch, ring


def ring_path(run: Path, topic: str) -> Path:
    """Return where the ring of ``<app>.<loop>/<stream>`` lies."""
    return ring_folder(run) / f"{wake_folder(run, topic).name}.ring"


def wake_folder(run: Path, topic: str) -> Path:
    """Return the folder where the readers of a stream bind. Raises ConfigError for what is no name."""
    return topic_folder(run, topic.replace("/", ".", 1))


class _Ring:
    """One stream's memory and the sockets of those who listen."""

    def __init__(self, run: Path, topic: str, stream: Stream) -> None:
        # One slot more than asked for: the one that is being written holds nothing.
        self.writer = RingWriter(ring_path(run, topic), stream.depth + 1, stream.max_bytes + ENVELOPE_BYTES)
        self._wake = DatagramSender(wake_folder(run, topic))
        self._sequence = 0

    def write(self, reading: Reading[Any]) -> None:
        self._sequence += reading.count
        sequence = self._sequence if reading.sequence is None else reading.sequence
        message, arrays, array_bytes = encode_apart([reading.time_ns, sequence, reading.count, reading.data])
        self.writer.write(message, arrays, array_bytes)

    def wake(self) -> None:
        self._wake.send(b"\1")  # a receiver whose queue is full has been woken already

    def close(self) -> None:
        self.writer.close()
        self._wake.close()
