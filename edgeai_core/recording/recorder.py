"""The recorder: takes what the loops hand it, in a process of its own, and writes files; no loop waits for a disk."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgeai_core.alerts.alert import AlertEvent
from edgeai_core.alerts.journal import Journal
from edgeai_core.decision import Priority
from edgeai_core.errors import EdgeAIError, InputError, JournalError
from edgeai_core.recording import foxglove
from edgeai_core.recording.channels import LOG_TOPIC, LoopChannels
from edgeai_core.recording.evidence import EvidenceLimits, EvidenceRing, Raw
from edgeai_core.recording.file import Entry, RecordingFile, shown_entry
from edgeai_core.recording.record import (
    HEAD,
    MAX_RECORD_BYTES,
    Arrived,
    Began,
    Missing,
    from_bytes,
    to_buffers,
)
from edgeai_core.recording.tap import SOCKET, socket_address
from edgeai_core.state import State

log = logging.getLogger("edgeai.recorder")

_LARGEST_KEPT_EXACT = 64 << 10
"""In an alert's evidence an arrival larger than this is kept as its preview, where it has one."""

_RECEIVE_BYTES = 1 << 20
_TICK_S = 0.2
_JOURNAL_EVERY_S = 1.0
_END_WITHIN_S = 4.0


class Recorder:
    """Listens in the run folder and writes to ``file`` and to the evidence of critical alerts.

    Raises InputError where the file or the socket cannot be made.
    """

    def __init__(
        self,
        state: State,
        file: Path | None,
        max_bytes: int | None = None,
        evidence: EvidenceLimits | None = None,
    ) -> None:
        self._clock_ns = time.time_ns() - time.monotonic_ns()
        self._state = state
        self._file = None if file is None else RecordingFile(_free(file), self._clock_ns, max_bytes)
        self._evidence = None if evidence is None else EvidenceRing(state.evidence, self._clock_ns, evidence)
        self._loops: list[LoopChannels] = []
        self._views: dict[str, str] = {}
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._stop = threading.Event()
        self._journal: Journal | None = None
        self._seen = 0
        self._looked_s = 0.0
        path = state.run / SOCKET
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(socket_address(path))
        except OSError as error:
            raise InputError(f"{path}: the recorder cannot listen: {error.strerror}") from error
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Record until stopped and every loop has said its last, or some seconds after."""
        self._look_at_journal()
        ends_s: float | None = None
        while True:
            ready = self._selector.select(_TICK_S)
            for key, _ in ready:
                if isinstance(key.data, _Connection):
                    self._receive(key.data)
                else:
                    self._accept()
            if not ready and self._stop.is_set() and not self._connections:
                break
            if self._stop.is_set():
                ends_s = ends_s or time.monotonic() + _END_WITHIN_S
                if time.monotonic() > ends_s:
                    log.warning("a loop still records; ended without it")
                    at_ns = time.monotonic_ns() + self._clock_ns
                    line = "the recording ended before a loop had handed over all it had"
                    self._write(
                        shown_entry(LOG_TOPIC, foxglove.text(line, at_ns, "recorder", "fault"), at_ns)
                    )
                    break
            self._tick()
        self._look_at_journal()
        self._close()

    def stop(self) -> None:
        """Ask ``run`` to end. Safe from signal handlers and threads."""
        self._stop.set()

    # -- from the loops

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection = _Connection(self._listener.accept()[0])
            self._connections.add(connection)
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _receive(self, connection: _Connection) -> None:
        """Take what one loop's process has sent; what makes no sense ends the connection."""
        try:
            for raw in connection.records():
                self._take(connection, raw)
        except (OSError, InputError, EOFError) as error:
            if not isinstance(error, EOFError):
                log.warning("a loop's records end: %s", error)
            self._selector.unregister(connection.socket)
            connection.socket.close()
            self._connections.discard(connection)

    def _take(self, connection: _Connection, raw: bytes) -> None:
        loop = connection.loop
        try:
            if loop is None:
                began = from_bytes(raw, aligned=False)
                if not isinstance(began, Began):
                    raise InputError("what came first does not say of which loop it is")
                connection.loop = loop = LoopChannels(began, raw, self._clock_ns, self._views)
                self._loops.append(loop)
                self._write(loop.head)
                return
            if self._file is not None:
                for entry in loop.entries(from_bytes(raw, aligned=False), raw):
                    self._file.write(entry)
            if self._evidence is not None:
                self._keep(self._evidence, loop, raw)
        except EdgeAIError as error:
            log.error("a record cannot be read: %s", error)

    def _keep(self, ring: EvidenceRing, loop: LoopChannels, raw: bytes) -> None:
        """Keep a record as it is; of a large arrival that has a preview, the preview."""
        now_ns = time.monotonic_ns() + self._clock_ns
        if len(raw) > _LARGEST_KEPT_EXACT:
            record = from_bytes(raw, aligned=False)
            _, *shown = loop.entries(record, raw)
            if isinstance(record, Arrived) and any(entry.schema for entry in shown):
                gone = Missing(1, f"of {record.source} only a preview was kept", record.at_ns)
                ring.add(Entry(loop.head.topic, shown[0].log_ns, b"".join(to_buffers(gone))))
                for entry in shown:
                    ring.add(entry)
                return
        ring.add(Raw(loop, raw, now_ns))

    # -- time

    def _tick(self) -> None:
        if self._file is not None:
            self._file.tick()
        if self._evidence is not None:
            self._evidence.tick(time.monotonic_ns() + self._clock_ns)
        if time.monotonic() - self._looked_s >= _JOURNAL_EVERY_S:
            self._look_at_journal()

    def _look_at_journal(self) -> None:
        """Put new alerts into the log, and keep the evidence of those that need a person at once."""
        self._looked_s = time.monotonic()
        try:
            if self._journal is None:
                if not self._state.journal.exists():
                    return
                self._journal = Journal(self._state.journal, read_only=True)
                self._seen = self._journal.last_sequence()
            events = self._journal.events_after(self._seen, 200)
        except JournalError as error:
            log.warning("alerts cannot be read: %s", error)
            return
        for event in events:
            self._seen = event.sequence
            self._note_alert(event)

    def _note_alert(self, event: AlertEvent) -> None:
        alert = event.alert
        at_ns = time.monotonic_ns() + self._clock_ns
        name = f"{alert.app}.{alert.loop}"
        line = (
            f"alert {event.kind}: {alert.code} ({alert.subject}, {alert.priority}) {alert.title} [{alert.id}]"
        )
        self._write(shown_entry(LOG_TOPIC, foxglove.text(line, at_ns, name, str(alert.priority)), at_ns))
        if self._evidence is not None and event.kind == "raised" and alert.priority is Priority.HIGH:
            raised_ns = alert.monotonic_ns + self._clock_ns
            heads = [loop.head for loop in self._loops]
            self._evidence.alert(alert.id, raised_ns, heads, {"code": alert.code, "subject": alert.subject})

    def _write(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(entry)
        if self._evidence is not None:
            self._evidence.add(entry)

    def _close(self) -> None:
        self._selector.close()
        self._listener.close()
        for connection in self._connections:
            connection.socket.close()
        with contextlib.suppress(OSError):
            (self._state.run / SOCKET).unlink()
        if self._file is not None:
            self._file.close()
            log.info("recorded %s, %.1f MB", self._file.path, self._file.path.stat().st_size / 1e6)
        if self._evidence is not None:
            self._evidence.close()
        if self._journal is not None:
            self._journal.close()


class _Connection:
    """One loop's process: what it sends, cut into records. ``loop`` is known from the first of them."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.loop: LoopChannels | None = None
        connection.setblocking(False)
        self._came = bytearray()

    def records(self) -> Iterator[bytes]:
        """Yield what has come whole. Raises EOFError where the other side is gone, OSError, InputError."""
        try:
            came = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not came:
            raise EOFError
        self._came += came
        at = 0
        while len(self._came) >= at + HEAD.size:
            message_bytes, array_bytes = HEAD.unpack_from(self._came, at)
            if message_bytes + array_bytes > MAX_RECORD_BYTES:
                raise InputError(f"a record of {message_bytes + array_bytes} bytes is too large")
            end = at + HEAD.size + message_bytes + array_bytes
            if len(self._came) < end:
                break
            yield bytes(memoryview(self._came)[at:end])
            at = end
        del self._came[:at]


def _free(path: Path) -> Path:
    """Return the path, or one with a number where a recorder before this one has begun to write."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
