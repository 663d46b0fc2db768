"""The recorder: takes what the loops hand it, in a process of its own, and writes files; no loop waits for a disk."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
import time
from pathlib import Path

from edgeai_core.alerts.alert import AlertEvent
from edgeai_core.alerts.journal import Journal
from edgeai_core.decision import Priority
from edgeai_core.errors import EdgeAIError, InputError, JournalError
from edgeai_core.recording import foxglove
from edgeai_core.recording.channels import LOG_TOPIC, LoopChannels
from edgeai_core.recording.evidence import EvidenceLimits, EvidenceRing
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

_WAITING = 256  # records between the readers and the writer; past it the loops' own queues fill
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
        self._loops: dict[str, LoopChannels] = {}
        self._views: dict[str, str] = {}
        self._waiting: queue.Queue[tuple[str, bytes]] = queue.Queue(_WAITING)
        self._connections: set[str] = set()
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

    def run(self) -> None:
        """Record until stopped and every loop has said its last, or some seconds after."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        self._look_at_journal()
        ends_s: float | None = None
        while True:
            try:
                name, raw = self._waiting.get(timeout=_TICK_S)
            except queue.Empty:
                if self._stop.is_set() and not self._connections:
                    break
            else:
                self._take(name, raw)
            if self._stop.is_set():
                ends_s = ends_s or time.monotonic() + _END_WITHIN_S
                if time.monotonic() > ends_s:
                    log.warning("a loop still records; ended without it")
                    break
            self._tick()
        self._look_at_journal()
        self._close()

    def stop(self) -> None:
        """Ask ``run`` to end. Safe from signal handlers and threads."""
        self._stop.set()

    # -- from the loops

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            name = f"{connection.fileno()}-{time.monotonic_ns()}"
            self._connections.add(name)
            threading.Thread(target=self._receive, args=(name, connection), daemon=True).start()

    def _receive(self, name: str, connection: socket.socket) -> None:
        """Pass on what one loop's process sends; what makes no sense ends the connection."""
        try:
            with connection:
                while (raw := _read_record(connection)) is not None:
                    self._waiting.put((name, raw))
        except (OSError, InputError) as error:
            log.warning("a loop's records end: %s", error)
        finally:
            self._connections.discard(name)

    def _take(self, name: str, raw: bytes) -> None:
        try:
            record = from_bytes(raw)
            if isinstance(record, Began):
                self._loops[name] = loop = LoopChannels(record, raw, self._clock_ns, self._views)
                self._write(loop.head)
                return
            loop = self._loops[name]
        except (EdgeAIError, KeyError) as error:
            log.error("a record cannot be read: %s", error)
            return
        exact, *shown = loop.entries(record, raw)
        if self._file is not None:
            for entry in (exact, *shown):
                self._file.write(entry)
        if self._evidence is not None:
            if (
                isinstance(record, Arrived)
                and len(raw) > _LARGEST_KEPT_EXACT
                and any(e.schema for e in shown)
            ):
                gone = Missing(1, f"of {record.source} only a preview was kept", record.at_ns)
                exact = Entry(exact.topic, exact.log_ns, b"".join(to_buffers(gone)))
            for entry in (exact, *shown):
                self._evidence.add(entry)

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
            heads = [loop.head for loop in self._loops.values()]
            self._evidence.alert(alert.id, raised_ns, heads, {"code": alert.code, "subject": alert.subject})

    def _write(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(entry)
        if self._evidence is not None:
            self._evidence.add(entry)

    def _close(self) -> None:
        self._listener.close()
        with contextlib.suppress(OSError):
            (self._state.run / SOCKET).unlink()
        if self._file is not None:
            self._file.close()
            log.info("recorded %s, %.1f MB", self._file.path, self._file.path.stat().st_size / 1e6)
        if self._evidence is not None:
            self._evidence.close()
        if self._journal is not None:
            self._journal.close()


def _read_record(connection: socket.socket) -> bytes | None:
    head = _read(connection, HEAD.size)
    if head is None:
        return None
    message_bytes, array_bytes = HEAD.unpack(head)
    if message_bytes + array_bytes > MAX_RECORD_BYTES:
        raise InputError(f"a record of {message_bytes + array_bytes} bytes is too large")
    body = _read(connection, message_bytes + array_bytes)
    return None if body is None else head + body


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = connection.recv_into(view[got:])
        if count == 0:
            return None
        got += count
    return bytes(data)


def _free(path: Path) -> Path:
    """Return the path, or one with a number where a recorder before this one has begun to write."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
