"""Opening the journal's SQLite file safely, and turning SQLite's errors into ours.

A file on a network, a file that is damaged, foreign or newer, a folder that cannot be written: each is refused
with a sentence that says what to do. A damaged file is never replaced by itself; ``set_aside`` does it on command.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from edgeai_core.alerts.lock import WriteLock
from edgeai_core.alerts.migrations import APPLICATION_ID, MIGRATIONS, migrate, user_version
from edgeai_core.errors import JournalError

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process's transaction."""

_WAL_LIMIT_BYTES = 4 * 1024 * 1024
_MOUNTS = Path("/proc/self/mountinfo")
# File systems of other machines. SQLite's write-ahead log needs shared memory and locks that hold between all who
# open the file, which these do not promise (sqlite.org/wal.html).
_NETWORK = frozenset(
    (
        "9p",
        "afpfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.curlftpfs",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.smbnetfs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb3",
        "smbfs",
    )
)


class JournalFullError(JournalError):
    """The disk (or quota) has no room for what was to be written; nothing of it was written."""


class JournalBusyError(JournalError):
    """Another process held the journal for too long; nothing was written."""


class JournalCorruptError(JournalError):
    """The file is damaged or no journal; it is left as it is."""


def connect(path: Path, *, read_only: bool = False) -> tuple[sqlite3.Connection, WriteLock | None]:
    """Return a connection in autocommit mode to a checked, migrated journal, and the lock to write under.

    Makes the file where there is none. WAL with ``synchronous=FULL``: a commit that returned is on the disk.
    Who only reads gets no lock. Raises JournalError.
    """
    refuse_network(path)
    with journal_errors(path), ExitStack() as undo:
        lock = None
        if read_only:
            if not path.exists():
                raise JournalError(f"no journal at {path}; a loop or `edgeai serve` makes one")
            connection = _connection(f"{path.resolve().as_uri()}?mode=ro")
        else:
            _make_private(path)
            lock = WriteLock(path.with_name(path.name + "-lock"))
            undo.callback(lock.close)
            connection = _connection(path.resolve().as_uri())
        undo.callback(connection.close)
        with lock.hold(BUSY_TIMEOUT_S) if lock else nullcontext():
            _check_identity(connection, path)
            _check_integrity(connection, path)  # before anything is written: a damaged file stays as it is
            if not read_only:
                _configure(connection, path)
            version = user_version(connection) if read_only else migrate(connection)
        if version > len(MIGRATIONS):
            raise JournalError(
                f"{path} was written by a newer EdgeAI (version {version}; this one knows {len(MIGRATIONS)});"
                " upgrade EdgeAI, or use another state folder"
            )
        if version == 0:  # a reader that came while the file is being made
            raise JournalError(f"no journal at {path} yet; a loop or `edgeai serve` is making it")
        if version < len(MIGRATIONS):
            raise JournalError(
                f"{path} is of version {version}, opened to read only; start EdgeAI once to upgrade it"
            )
        undo.pop_all()
    return connection, lock


def fold_back(connection: sqlite3.Connection, path: Path) -> None:
    """Fold the write-ahead log back into the file once it is long; call with the write lock held.

    What could not be folded back now stays safe in the log, and is tried again with the next commit.
    """
    with suppress(sqlite3.Error, OSError):
        if path.with_name(path.name + "-wal").stat().st_size > _WAL_LIMIT_BYTES:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def set_aside(path: Path) -> Path:
    """Move a damaged journal and its log out of the way and return its new name; the next opening starts anew.

    Only ever called for a person who asked for it, with every EdgeAI process stopped. Raises JournalError.
    """
    number = 1
    while (target := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    try:
        path.rename(target)
        for suffix in ("-wal", "-shm"):
            if (side := path.with_name(path.name + suffix)).exists():
                side.rename(target.with_name(target.name + suffix))
    except OSError as error:
        raise JournalError(f"cannot move {path} aside: {error.strerror}") from error
    return target


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Raise JournalError where a path lies on a file system of another machine.

    ``mounts`` is the text of /proc/self/mountinfo; a system without one is taken as local.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
    where, kind = _mount_of(path.resolve(), mounts)
    if kind in _NETWORK:
        raise JournalError(
            f"{path} lies on a network file system ({kind} at {where}), where a journal can be damaged;"
            " choose a local folder with --state or EDGEAI_STATE"
        )


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors within into JournalError and its kinds, with the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        primary = code & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            raise JournalFullError(f"no room to write {path}: free space on its disk") from error
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise JournalBusyError(_held_too_long(path)) from error
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JournalCorruptError(_damaged(path, str(error))) from error
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise JournalError(
                f"cannot write {path} ({error}): check that its folder exists and belongs to this user"
            ) from error
        raise JournalError(f"{path}: {error} ({getattr(error, 'sqlite_errorname', 'unknown')})") from error
    except TimeoutError as error:
        raise JournalBusyError(_held_too_long(path)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise JournalFullError(f"no room to write {path}: free space on its disk") from error
        raise JournalError(
            f"cannot open {path}: {error.strerror}; choose a folder of your own with --state"
        ) from error


def _connection(uri: str) -> sqlite3.Connection:
    # One connection may serve several threads: the journal holds a lock of its own around it.
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _make_private(path: Path) -> None:
    """Make the folder and an empty file for this user alone; SQLite gives its log the file's own mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by a new file only
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise JournalError(
            f"{path}: this file system cannot hold a write-ahead log; choose a local one with --state"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # fold_back does it, under the write lock


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    identity = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and identity != APPLICATION_ID:
        raise JournalCorruptError(
            f"{path} is a database of another program; choose another folder with --state"
        )


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    (first,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if first != "ok":
        raise JournalCorruptError(_damaged(path, str(first).replace("\n", " ")))


def _held_too_long(path: Path) -> str:
    return f"{path} was held by another process for more than {BUSY_TIMEOUT_S:g} s; look for one that hangs"


def _damaged(path: Path, reason: str) -> str:
    return (
        f"{path} is damaged or not a journal ({reason}); it is left as it is."
        f" Stop EdgeAI, keep a copy, and move {path.name} with its -wal and -shm aside to start a new one"
    )


def _mount_of(path: Path, mounts: str) -> tuple[str, str]:
    """Return the mount point a path lies under and its file system: the longest prefix, of equals the last."""
    found = ("/", "unknown")
    for line in mounts.splitlines():
        head, separator, tail = line.partition(" - ")
        fields = head.split()
        if not separator or len(fields) < 5 or not tail.split():
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if path.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, tail.split()[0])
    return found
