"""A loop's side of a recording: takes arrivals and cycles as they happen and hands them to the recorder's process.

The loop's threads put references into a bounded queue; a thread of its own encodes and sends them. Where the recorder
cannot keep up records are dropped and counted, and the recording says so: a loop never waits for it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

from edgeai_core.errors import InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.recording.record import Began, Ended, Missing, Record, arrival, decided, to_buffers
from edgeai_core.sample import Sample

log = logging.getLogger("edgeai.recording")

SOCKET = "recorder.sock"
"""The recorder's socket in the run folder."""

_MOST_RECORDS = 20_000
_MOST_BYTES = 128 << 20
_RETRY_S = 0.1
_SEND_EVERY_S = 0.02
"""Records are sent so often, together: to wake a thread for each would take the loop's core from it each time."""
_SEND_BYTES = 256 << 10
_SEND_WITHIN_S = 5.0
_LONGEST_PATH = 107


class RecordingTap:
    """A mailbox's tap and a sink. ``dropped`` counts the records that the recording lacks."""

    def __init__(
        self, run: Path, app: str, loop: str, config: str = "", *, max_bytes: int = _MOST_BYTES
    ) -> None:
        self.dropped = 0
        self._address = socket_address(run / SOCKET)
        self._began = Began(app, loop, uuid.uuid4().hex, time.monotonic_ns(), config)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, Record | list[Any]]] = deque()
        self._bytes = 0
        self._lost = 0
        self._lost_why = ""
        self._told: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recording {app}.{loop}", daemon=True)
        self._thread.start()

    def arrived(self, source: str, sample: Sample[Any]) -> None:
        """Take one arrival; called under the mailbox's lock, so it is encoded elsewhere."""
        self._put(_size(sample.data), arrival(source, sample))

    def ended(self, source: str, at_ns: int) -> None:
        """Take the end of a source."""
        self._put(0, Ended(source, at_ns))

    def put(self, cycle: Cycle[Any]) -> None:
        """Take one cycle, encoded at once: a step may go on using the arrays of its last output."""
        try:
            buffers = [bytes(each) for each in to_buffers(decided(cycle))]
        except InputError as error:
            self._lose("the output cannot be recorded", error)
            return
        self._put(sum(map(len, buffers)), buffers)

    def close(self, timeout_s: float = 3.0) -> None:
        """Send what waits, and end."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self.dropped:
            log.warning("%d records of this loop are missing in the recording", self.dropped)

    def _put(self, size: int, item: Record | list[Any]) -> None:
        with self._lock:
            if len(self._queue) >= _MOST_RECORDS or self._bytes + size > self._max_bytes:
                self._count_lost("the recorder could not keep up", 1)
                return
            self._queue.append((size, item))
            self._bytes += size

    def _lose(self, what: str, error: Exception, count: int = 1) -> None:
        with self._lock:
            self._count_lost(f"{what}: {error}", count)
        if what not in self._told:
            self._told.add(what)
            log.error("%s: %s", what, error)

    def _count_lost(self, why: str, count: int) -> None:
        self.dropped += count
        self._lost += count
        self._lost_why = why

    def _run(self) -> None:
        connection: socket.socket | None = None
        while True:
            closing = self._closing.wait(_SEND_EVERY_S if connection is not None else _RETRY_S)
            if connection is None:
                connection = self._connect()
            if connection is not None:
                connection = self._send_all(connection)
            if closing:
                break
        with self._lock:
            self.dropped += len(self._queue)
        if connection is not None:
            connection.close()

    def _send_all(self, connection: socket.socket) -> socket.socket | None:
        """Send what waits; None where the recorder has gone."""
        batch = _Batch(connection)
        try:
            while (item := self._next()) is not None:
                try:
                    batch.add(item if isinstance(item, list) else to_buffers(item))
                except InputError as error:
                    self._lose(f"input {getattr(item, 'source', '')} cannot be recorded", error)
            batch.flush()
        except OSError as error:
            self._lose("the recorder went away", error, batch.unsent)
            connection.close()
            return None
        return connection

    def _next(self) -> Record | list[Any] | None:
        with self._lock:
            if self._lost:
                lost, self._lost = self._lost, 0
                return Missing(lost, self._lost_why, time.monotonic_ns())
            if not self._queue:
                return None
            size, item = self._queue.popleft()
            self._bytes -= size
            return item

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_SEND_WITHIN_S)
            connection.connect(self._address)
            _send(connection, to_buffers(self._began))
        except OSError:
            connection.close()
            return None
        return connection


class _Batch:
    """Records on their way, joined where they are small. ``unsent``: how many have not been sent whole."""

    def __init__(self, connection: socket.socket) -> None:
        self.unsent = 0
        self._connection = connection
        self._joined = bytearray()

    def add(self, buffers: list[Any]) -> None:
        """Send a record, now or with those that follow."""
        self.unsent += 1
        for buffer in buffers:
            if len(buffer) > _SEND_BYTES:
                self._send_joined()
                self._connection.sendall(buffer)
            else:
                self._joined += buffer
        if len(self._joined) > _SEND_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was kept back."""
        self._send_joined()
        self.unsent = 0

    def _send_joined(self) -> None:
        if self._joined:
            self._connection.sendall(self._joined)
            self._joined = bytearray()


def socket_address(path: Path) -> str:
    """Return an address of a socket that fits ``sun_path`` (unix(7)), however deep its folder lies.

    A folder that is too deep is reached by a descriptor, which stays open: call it once.
    """
    text = os.fspath(path)
    if len(os.fsencode(text)) <= _LONGEST_PATH:
        return text
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{path.name}"


def _send(connection: socket.socket, buffers: list[Any]) -> None:
    for buffer in buffers:
        connection.sendall(buffer)


def _size(data: Any) -> int:
    """Return about how many bytes an arrival holds: those of its arrays."""
    own: int = getattr(data, "nbytes", 0)
    for value in getattr(data, "__dict__", {}).values():
        own += getattr(value, "nbytes", 0) or (len(value) if isinstance(value, bytes) else 0)
    return own
