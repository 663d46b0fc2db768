"""A topic inside one process: for loops that run as threads beside each other, and for tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Generic, TypeVar

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.cycle import Cycle
from edgeai_core.sample import Reading

T = TypeVar("T")


class LocalTopic(Generic[T]):
    """Hands readings to every subscriber, uncopied: what is published must not be changed afterwards."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._subscribers: list[LocalSubscription[T]] = []
        self._lock = threading.Lock()
        self._sequence = 0

    def publish(self, data: T, time_ns: int | None = None) -> None:
        """Give ``data`` to every open subscriber; a full one loses its oldest, seen as a gap. Never waits."""
        with self._lock:
            self._sequence += 1
            reading = Reading(data, time_ns=time_ns, sequence=self._sequence)
            for subscriber in self._subscribers:
                subscriber._take(reading)

    def end(self) -> None:
        """Tell every subscriber that nothing more will come."""
        with self._lock:
            for subscriber in self._subscribers:
                subscriber._take(None)

    def put(self, cycle: Cycle[Any]) -> None:
        """Publish a cycle's output: the topic is a Sink of the loop that feeds it."""
        self.publish(cycle.decision.output, cycle.snapshot.now_ns)

    def source(self, depth: int = 16) -> LocalSubscription[T]:
        """Return a new Source of this topic that holds at most ``depth`` readings."""
        return LocalSubscription(self, depth)


class LocalSubscription(Generic[T]):
    """One subscriber of a LocalTopic; a Source."""

    def __init__(self, topic: LocalTopic[T], depth: int) -> None:
        self._topic = topic
        self._waiting: deque[Reading[T] | None] = deque(maxlen=depth)
        self._arrived = threading.Condition()

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._topic.name

    def open(self, clock: Clock) -> None:
        """Start listening."""
        with self._topic._lock:
            self._topic._subscribers.append(self)

    def read(self, timeout_s: float) -> Reading[T] | None:
        """Return the next reading, or None where none came in time. Raises EndOfStream after ``end``."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not self._waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    return None
            reading = self._waiting.popleft()
        if reading is None:
            raise EndOfStream
        return reading

    def close(self) -> None:
        """Stop listening."""
        with self._topic._lock:
            self._topic._subscribers.remove(self)

    def _take(self, reading: Reading[T] | None) -> None:
        with self._arrived:
            self._waiting.append(reading)
            self._arrived.notify()
