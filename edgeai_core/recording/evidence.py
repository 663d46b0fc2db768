"""The last minutes of a run, kept in memory, and written to a file around each critical alert."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeai_core.errors import EdgeAIError, InputError
from edgeai_core.recording.channels import LoopChannels
from edgeai_core.recording.file import Entry, RecordingFile
from edgeai_core.recording.record import from_bytes
from edgeai_core.state import evidence_path

log = logging.getLogger("edgeai.recording")

_SECOND_NS = 1_000_000_000
_MOST_OPEN = 4
_WRITE_FOR_S = 0.01
"""So long at a time what an alert found in memory is written; what comes meanwhile waits in the loops' queues."""


_WRITE_AT_END_S = 2.0
"""So long the end of a run waits for what is still to be written: a supervisor kills what takes longer to end."""


@dataclass(frozen=True)
class EvidenceLimits:
    """``before_s`` and ``after_s`` an alert are kept; at most ``memory_bytes`` of them, and ``disk_bytes`` of files."""

    before_s: float = 60.0
    after_s: float = 15.0
    memory_bytes: int = 64 << 20
    disk_bytes: int = 1 << 30


@dataclass(frozen=True)
class Raw:
    """A record as it came: what it is, and how people see it, is found out where an alert needs it."""

    loop: LoopChannels
    data: bytes
    log_ns: int


@dataclass
class _Open:
    """An alert's file that is being written. ``waiting`` is still to be written; ``loops`` show this file's records."""

    file: RecordingFile
    until_ns: int
    waiting: deque[Entry | Raw]
    loops: dict[LoopChannels, LoopChannels] = field(default_factory=dict)

    def write(self, until_s: float) -> None:
        """Write what waits, no longer than to this moment of the monotonic clock."""
        while self.waiting and time.monotonic() < until_s:
            each = self.waiting.popleft()
            for entry in (each,) if isinstance(each, Entry) else self._entries(each):
                self.file.write(entry)

    def _entries(self, raw: Raw) -> Iterable[Entry]:
        loop = self.loops.get(raw.loop)
        if loop is None:
            loop = self.loops[raw.loop] = raw.loop.anew()
        try:
            return list(loop.entries(from_bytes(raw.data, aligned=False), raw.data))
        except EdgeAIError as error:
            log.error("a record cannot be read: %s", error)
            return ()


class EvidenceRing:
    """Keeps entries and raw records in the order in which they come; not for several threads.

    Alerts that come while another's evidence is still being written share its file (a hard link each). Past the limit
    on the disk the oldest files go.
    """

    def __init__(self, folder: Path, clock_ns: int, limits: EvidenceLimits | None = None) -> None:
        self.limits = limits or EvidenceLimits()
        self._folder = folder
        self._clock_ns = clock_ns
        self._kept: deque[Entry | Raw] = deque()
        self._bytes = 0
        self._open: list[_Open] = []

    def add(self, entry: Entry | Raw) -> None:
        """Keep one, and have it written where an alert's evidence is open."""
        self._kept.append(entry)
        self._bytes += len(entry.data)
        oldest_ns = entry.log_ns - int(self.limits.before_s * _SECOND_NS)
        while self._kept and (self._bytes > self.limits.memory_bytes or self._kept[0].log_ns < oldest_ns):
            self._bytes -= len(self._kept.popleft().data)
        for each in self._open:
            each.waiting.append(entry)

    def alert(
        self, alert_id: str, at_ns: int, heads: Iterable[Entry], about: Mapping[str, str]
    ) -> Path | None:
        """Write what is kept around an alert that was raised at ``at_ns`` (nanoseconds since 1970); return the file.

        ``heads`` say of every loop which run what follows is of. None where nothing could be written. An alert that is
        raised again keeps the evidence of its first time.
        """
        path = evidence_path(self._folder, alert_id)
        if path is None or path.exists():
            return path
        until_ns = at_ns + int(self.limits.after_s * _SECOND_NS)
        if self._open:
            current = self._open[-1]
            if len(self._open) >= _MOST_OPEN or at_ns <= current.until_ns:
                current.until_ns = max(current.until_ns, until_ns)
                with contextlib.suppress(OSError):
                    os.link(current.file.path, path)
                    return path
        self._make_room()
        before_s = (at_ns - self._kept[0].log_ns) / _SECOND_NS if self._kept else 0.0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = RecordingFile(
                path, self._clock_ns, self.limits.disk_bytes // 4,
                {**about, "alert": alert_id, "seconds_before": f"{before_s:.1f}"},
            )  # fmt: skip
        except (InputError, OSError) as error:
            log.error("the evidence of alert %s cannot be kept: %s", alert_id, error)
            return None
        self._open.append(_Open(file, until_ns, deque((*heads, *self._kept))))
        log.info("evidence of alert %s: %s, from %.1f s before it", alert_id, path, before_s)
        return path

    def tick(self, now_ns: int) -> None:
        """Write for a moment of what waits, and close what is complete."""
        until_s = time.monotonic() + _WRITE_FOR_S
        for each in list(self._open):
            each.write(until_s)
            each.file.tick()
            if now_ns >= each.until_ns and not each.waiting:
                self._open.remove(each)
                each.file.close()

    def close(self) -> None:
        """Close everything, complete or not."""
        until_s = time.monotonic() + _WRITE_AT_END_S
        for each in self._open:
            each.write(until_s)
            if each.waiting:
                log.warning(
                    "%s: ends early, %d records were still to be written", each.file.path, len(each.waiting)
                )
            each.file.close()
        self._open = []

    def _make_room(self) -> None:
        """Delete the oldest files until a new one of the usual size fits the limit on the disk."""
        files: list[tuple[float, int, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*.mcap"):
                status = path.stat()
                files.append((status.st_mtime, status.st_ino, status.st_size, path))
        total = sum({inode: size for _, inode, size, _ in files}.values())
        being_written = {each.file.path for each in self._open}
        for _, _, size, path in sorted(files):
            if total + self.limits.memory_bytes <= self.limits.disk_bytes:
                return
            if path in being_written:
                continue
            with contextlib.suppress(OSError):
                linked = path.stat().st_nlink > 1
                path.unlink()
                total -= 0 if linked else size
                log.warning("%s: deleted, for evidence may take %g MB", path, self.limits.disk_bytes / 1e6)
