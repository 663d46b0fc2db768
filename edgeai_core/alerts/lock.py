"""A lock between all processes that write one journal: one writes, or folds the log back, at a time.

SQLite would order writers by itself, but its waiting sleeps up to 100 ms between tries and starves beside a busy
writer. And SQLite up to 3.51.2 can damage a file when one connection folds the log back (a checkpoint) while another
commits (sqlite.org/wal.html, "the WAL-reset bug"): under this lock the two never meet.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteLock:
    """Held through a file beside the journal; the kernel lets go of it however a process ends."""

    def __init__(self, path: Path) -> None:
        """Open the lock file, and make it where there is none. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def hold(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock within; raises TimeoutError where another holds it for so long."""
        deadline_s = time.monotonic() + timeout_s
        while not self._taken():
            if time.monotonic() > deadline_s:
                raise TimeoutError
            time.sleep(random.uniform(0.0001, 0.0004))  # noqa: S311 - so that those who wait do not keep step
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
