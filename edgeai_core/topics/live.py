"""Live topics: what loops show to people now. The latest wins, and all of it may be dropped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_core.errors import InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender
from edgeai_core.topics.message import decode, encode, plain_fields

JOURNAL_TOPIC = "journal"
"""Published by whoever wrote to the journal; its data is the last sequence."""

_TILE_PERIOD_NS = 100_000_000
_FOLDER = "live"


@dataclass(frozen=True)
class LiveMessage:
    """One value of a live topic. ``data`` is plain: numbers, text, lists, maps, and bytes for pictures."""

    topic: str
    time_ns: int
    data: Any


class LivePublisher:
    """Sends live values to whoever listens on this device. Use from one thread.

    ``dropped`` counts values that some listener had no room for, ``refused`` those too large or not plain.
    """

    def __init__(self, run: Path) -> None:
        self.refused = 0
        self._sender = DatagramSender(run / _FOLDER)

    @property
    def dropped(self) -> int:
        """How many values some listener did not get."""
        return self._sender.dropped

    @property
    def heard(self) -> bool:
        """Whether anyone listens: without a listener nothing is encoded."""
        return bool(self._sender.receivers())

    def publish(self, topic: str, data: object, time_ns: int) -> bool:
        """Send one value; True where somebody got it. Never waits, never raises for what it cannot send."""
        if not self.heard:
            return False
        try:
            payload = encode([topic, time_ns, data])
        except InputError:
            self.refused += 1
            return False
        return self._sender.send(payload) > 0

    def close(self) -> None:
        """Let go of the socket."""
        self._sender.close()


class LiveReceiver:
    """Receives every live topic of this device. ``fileno`` lets an event loop wait for it."""

    def __init__(self, run: Path) -> None:
        self.malformed = 0
        self._receiver = DatagramReceiver(run / _FOLDER)

    def fileno(self) -> int:
        """The descriptor, readable when something is there."""
        return self._receiver.fileno()

    def receive(self, timeout_s: float = 0.0) -> LiveMessage | None:
        """Return the next value, or None where none came in time; with 0 it never waits.

        Arrays come as nested lists, ready for JSON. What is malformed is counted and skipped.
        """
        deadline = time.monotonic() + timeout_s
        while (payload := self._receiver.receive(max(deadline - time.monotonic(), 0.0))) is not None:
            try:
                parts = decode(payload, arrays=False)
            except InputError:
                parts = None
            if (
                isinstance(parts, list)
                and len(parts) == 3
                and isinstance(parts[0], str)
                and isinstance(parts[1], int)
            ):
                return LiveMessage(*parts)
            self.malformed += 1
        return None

    def close(self) -> None:
        """Unlink the socket."""
        self._receiver.close()


class LiveSink:
    """Shows a loop: its ``live`` values as they come, and a tile of itself at most ten times a second.

    The values go out as ``<app>.<loop>/<key>``, the tile as ``<app>.<loop>/cycle``.
    """

    def __init__(self, app: str, loop: str, publisher: LivePublisher) -> None:
        self._prefix = f"{app}.{loop}/"
        self._publisher = publisher
        self._last_tile_ns: int | None = None

    def put(self, cycle: Cycle[Any]) -> None:
        """Send what there is to see. Costs two system calls where nobody looks."""
        if not self._publisher.heard:
            return
        for key, value in (cycle.late or cycle.decision).live.items():
            self._publisher.publish(self._prefix + key, value, cycle.snapshot.now_ns)
        if self._last_tile_ns is None or cycle.end_ns - self._last_tile_ns >= _TILE_PERIOD_NS:
            self._last_tile_ns = cycle.end_ns
            self._publisher.publish(self._prefix + "cycle", tile(cycle), cycle.snapshot.now_ns)

    def close(self) -> None:
        """Let go of the publisher."""
        self._publisher.close()


def tile(cycle: Cycle[Any]) -> dict[str, object]:
    """Return what a person wants to know of a cycle at a glance, plain enough for JSON."""
    ages = [view.age_ns for view in cycle.snapshot.views.values() if view.age_ns is not None]
    return {
        "number": cycle.snapshot.number,
        "level": cycle.snapshot.level,
        "fault": None if cycle.fault is None else cycle.fault.message,
        "age_ms": max(ages) / 1e6 if ages else None,
        "duration_ms": (cycle.end_ns - cycle.start_ns) / 1e6,
        "decision": plain_fields(cycle.decision.output),
    }
