"""A TOML file that holds secrets: its owner's alone, changed whole and one at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from edgeai_core.errors import ConfigError

_MAX_FILE_BYTES = 4 << 20


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the file's lock within; its folder is made where there is none. Raises ConfigError (``what`` names it)."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path.with_suffix(".lock"), "w", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ConfigError(f"{path}: the {what} cannot be changed: {error.strerror}") from error


def read_private(path: Path, what: str) -> Mapping[str, Any]:
    """Return the file's tables; empty where there is none.

    Raises ConfigError for a file that cannot be read, is too large or malformed, and for one that others could have
    written.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise ConfigError(f"{path}: the {what} cannot be read: this is no file")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    if status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{path}: others can write this file, so its {what} cannot be trusted; "
            "make it yours alone (chown, chmod 600) after looking at who is in it"
        )
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: not a file of {what}: {error}; restore it, or remove it and make new {what}"
        ) from error


def write_private(path: Path, tables: Mapping[str, Any]) -> None:
    """Write the file whole, readable by its owner alone. Raises OSError; what was there before then stays."""
    data = tomli_w.dumps(tables).encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def file_stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when the file does; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
