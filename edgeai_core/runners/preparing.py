"""Who is preparing a model just now: a lock that its process holds, so that it ends with the process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeai_core.errors import ConfigError

_FILE = "preparing"
_MAX_BYTES = 500


@contextmanager
def preparing(folder: Path, what: str) -> Iterator[None]:
    """Say that ``what`` is being prepared, and wait for whoever prepares something already."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{folder}: what is found about engines cannot be kept here: {error.strerror}"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, what.encode()[:_MAX_BYTES], 0)
        yield
    finally:
        os.close(handle)  # which lets go of the lock


def being_prepared(folder: Path) -> str | None:
    """Return what a process is preparing at this moment, or None."""
    try:
        handle = os.open(folder / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, _MAX_BYTES, 0).decode("utf-8", errors="replace") or "a model"
    else:
        return None
    finally:
        os.close(handle)
