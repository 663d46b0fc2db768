"""A loop's output as another loop's input: what a decision says, when, and what it stands on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgeai_core.clock import Clock
from edgeai_core.errors import InputError, SensorError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.sample import Reading
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender, topic_folder
from edgeai_core.topics.message import decode, encode, rebuild

T = TypeVar("T")

_VERSION = 1
_EPOCH_SPAN = 1 << 40
"""Room for the sequence of one epoch: 2^40 messages at 250 Hz are 139 years."""


@dataclass(frozen=True)
class TopicMessage:
    """One output on the wire.

    ``epoch`` is new with every start of the sender, ``sequence`` counts within it.
    ``time_ns`` is the moment the output stands on (``Cycle.data_time_ns``), so age adds up over a chain of loops;
    ``stamps`` say by input when the newest sample behind it was measured.
    """

    epoch: int
    sequence: int
    time_ns: int
    stamps: Mapping[str, int]
    data: Any

    def to_bytes(self) -> bytes:
        """Encode; raises InputError for what cannot travel."""
        return encode([_VERSION, self.epoch, self.sequence, self.time_ns, dict(self.stamps), self.data])

    @classmethod
    def from_bytes(cls, payload: bytes) -> TopicMessage:
        """Decode; raises InputError for anything malformed or of another version."""
        parts = decode(payload)
        if not (isinstance(parts, list) and len(parts) == 6 and parts[0] == _VERSION):
            raise InputError(
                "a topic message of an unknown version came; both loops must run the same release"
            )
        _, epoch, sequence, time_ns, stamps, data = parts
        if not (isinstance(epoch, int) and isinstance(sequence, int) and isinstance(time_ns, int)):
            raise InputError("a topic message with malformed counters came")
        return cls(epoch, sequence, time_ns, stamps if isinstance(stamps, dict) else {}, data)


class TopicSink:
    """Publishes every decision's output under ``<app>.<loop>``; a Sink that never waits.

    ``dropped`` counts messages that a subscriber had no room for.
    """

    def __init__(self, run: Path, app: str, loop: str) -> None:
        self._sender = DatagramSender(topic_folder(run, f"{app}.{loop}"))
        self._epoch = time.monotonic_ns()
        self._sequence = 0

    @property
    def dropped(self) -> int:
        """How many messages some subscriber did not get."""
        return self._sender.dropped

    def put(self, cycle: Cycle[Any]) -> None:
        """Send the output to whoever listens. The sequence counts what nobody heard, too."""
        self._sequence += 1
        if not self._sender.receivers():
            return
        output = cycle.decision.output
        message = TopicMessage(self._epoch, self._sequence, cycle.data_time_ns, _stamps(cycle), output)
        self._sender.send(message.to_bytes())

    def close(self) -> None:
        """Let go of the socket."""
        self._sender.close()


class TopicSource(Generic[T]):
    """The output of another process's loop as a Source, polled or read by a thread.

    Its name is the topic's, so an ``Input(source="<app>.<loop>")`` finds it. A restart of the sender shows as
    a counter that goes backwards, which the loop flags as a gap.
    """

    def __init__(self, run: Path, topic: str, output: type[T]) -> None:
        self._folder = topic_folder(run, topic)
        self._topic = topic
        self._output = output
        self._receiver: DatagramReceiver | None = None
        self._epoch: int | None = None
        self._generation = 0

    @property
    def name(self) -> str:
        """The topic."""
        return self._topic

    def open(self, clock: Clock) -> None:
        """Bind a socket. Raises SensorError where none can be made."""
        self._receiver = DatagramReceiver(self._folder)

    def read(self, timeout_s: float) -> Reading[T] | None:
        """Return the next output, or None where none came in time."""
        if self._receiver is None:
            raise SensorError(f"topic {self._topic} is read before it was opened")
        payload = self._receiver.receive(timeout_s)
        if payload is None:
            return None
        try:
            message = TopicMessage.from_bytes(payload)
            data = rebuild(message.data, self._output)
        except InputError as error:
            raise SensorError(f"topic {self._topic}: {error}") from error
        if message.epoch != self._epoch:
            self._epoch = message.epoch
            self._generation += 1
        # Every start of the sender counts in a range below the last one's: a restart never reads as a loss.
        sequence = message.sequence - self._generation * _EPOCH_SPAN
        return Reading(data, time_ns=message.time_ns, sequence=sequence)

    def close(self) -> None:
        """Unlink the socket."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


def _stamps(cycle: Cycle[Any]) -> dict[str, int]:
    now_ns = cycle.snapshot.now_ns
    return {
        name: now_ns - view.age_ns for name, view in cycle.snapshot.views.items() if view.age_ns is not None
    }
