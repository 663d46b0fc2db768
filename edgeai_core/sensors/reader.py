"""A thread that reads one source into the mailbox, and opens it again when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from edgeai_core.clock import Clock
from edgeai_core.errors import EdgeAIError, EndOfStream
from edgeai_core.loop.spec import Source
from edgeai_core.sensors.mailbox import Mailbox

READ_TIMEOUT_S = 0.2
FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 5.0


class Reader:
    """Reads a source on its own thread until it ends or is stopped.

    A source that fails is closed, left alone for a while (0.1 s, doubled up to 5 s) and opened again;
    its first sample after that is flagged as restarted. Of a durable source nothing is read while the
    mailbox is full, and commits are passed on from this thread.
    """

    def __init__(self, source: Source[Any], mailbox: Mailbox, clock: Clock, *, durable: bool = False) -> None:
        self._source = source
        self._mailbox = mailbox
        self._clock = clock
        self._durable = durable
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader-{source.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Ask the thread to end and wait for it; False where the source does not honour its time-out."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        back_off_s = FIRST_BACK_OFF_S
        restarted = False
        while not self._stop.is_set():
            try:
                self._source.open(self._clock)
            except Exception as error:
                self._report("does not open", error)
            else:
                delivered, ended = self._read(restarted)
                self._close()
                if ended:
                    self._mailbox.end(self._source.name)
                    return
                if delivered:
                    back_off_s = FIRST_BACK_OFF_S
                restarted = True
            self._stop.wait(back_off_s)
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)

    def _read(self, restarted: bool) -> tuple[bool, bool]:
        """Read until trouble, the end or a stop; return (something came, it is over)."""
        name = self._source.name
        delivered = False
        try:
            while not self._stop.is_set():
                if self._durable and not self._pass_commits_and_wait():
                    continue
                reading = self._source.read(READ_TIMEOUT_S)
                if reading is None:
                    continue
                self._mailbox.put(name, reading, restarted=restarted)
                if not delivered:
                    self._mailbox.report(name, "")
                delivered, restarted = True, False
        except EndOfStream:
            if self._durable:
                self._drain_commits()
            return delivered, True
        except Exception as error:
            self._report("failed", error)
        return delivered, False

    def _pass_commits_and_wait(self) -> bool:
        room = self._mailbox.wait_for_room(self._source.name, READ_TIMEOUT_S)
        self._pass_commits()
        return room

    def _pass_commits(self) -> None:
        commit: Callable[[int], None] = self._source.commit  # type: ignore[attr-defined]
        for sequence in self._mailbox.committed(self._source.name):
            commit(sequence)

    def _drain_commits(self) -> None:
        """After the end: pass on what the loop still commits of what it holds."""
        while not self._stop.is_set() and self._mailbox.pending(self._source.name):
            self._mailbox.wait_for_room(self._source.name, READ_TIMEOUT_S)
            self._pass_commits()
        self._pass_commits()

    def _report(self, what: str, error: Exception) -> None:
        text = str(error) if isinstance(error, EdgeAIError) else f"{type(error).__name__}: {error}"
        self._mailbox.report(self._source.name, f"the source {what}: {text}")

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception as error:
            self._report("does not close", error)


class PolledReader:
    """Drains a source without waiting, on the loop's own thread."""

    LARGEST_DRAIN = 10_000
    """Readings taken in one cycle at most: a source that always has one more must not hang the loop."""

    def __init__(self, source: Source[Any], mailbox: Mailbox, clock: Clock) -> None:
        self._source = source
        self._mailbox = mailbox
        self._clock = clock
        self._open = False
        self._over = False
        self._restarted = False
        self._retry_ns = 0
        self._back_off_s = FIRST_BACK_OFF_S

    def drain(self) -> None:
        """Move everything that has come into the mailbox; a failed source is opened again after a back-off."""
        if self._over or (not self._open and not self._reopen()):
            return
        try:
            for _ in range(self.LARGEST_DRAIN):
                reading = self._source.read(0.0)
                if reading is None:
                    return
                self._mailbox.put(self._source.name, reading, restarted=self._restarted)
                self._restarted = False
                self._back_off_s = FIRST_BACK_OFF_S
        except EndOfStream:
            self._over = True
            self.close()
            self._mailbox.end(self._source.name)
        except Exception as error:
            self._fail("failed", error)

    def close(self) -> None:
        """Let go of the source."""
        if self._open:
            self._open = False
            try:
                self._source.close()
            except Exception as error:
                self._mailbox.report(self._source.name, f"the source does not close: {error}")

    def _reopen(self) -> bool:
        if self._clock.now_ns() < self._retry_ns:
            return False
        try:
            self._source.open(self._clock)
        except Exception as error:
            self._fail("does not open", error)
            return False
        self._open = True
        self._mailbox.report(self._source.name, "")
        return True

    def _fail(self, what: str, error: Exception) -> None:
        self.close()
        self._mailbox.report(self._source.name, f"the source {what}: {error}")
        self._restarted = True
        self._retry_ns = self._clock.now_ns() + int(self._back_off_s * 1e9)
        self._back_off_s = min(2 * self._back_off_s, LONGEST_BACK_OFF_S)
