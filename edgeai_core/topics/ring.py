"""A ring of slots in shared memory: one process writes large items, any number read them, nobody waits.

A slot is written under a write lock and copied out under a read lock (open-file-description locks, fcntl(2)): the
kernel orders the two sides on every processor, and lets go of a lock however its holder ends. A writer that finds
a slot being read takes the next one; so no reader ever sees half an item, and none can hold up the writer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct
import time
from pathlib import Path
from typing import Any

from edgeai_core.errors import ConfigError, InputError, SensorError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - its folder of ours is made with the owner's rights alone, and checked

_MAGIC = b"EDGERNG1"
_PAGE = 4096
_HEADER = struct.Struct("<8sQQQ")  # magic, epoch, slots, bytes of one slot
_NEWEST_AT = 64  # in a cache line of its own: it changes with every item
_SLOT = struct.Struct(
    "<QQQ"
)  # number (0: nothing, or being written), bytes of the message, bytes of the arrays
_BODY_AT = 64
_NUMBER = struct.Struct("<Q")
_LOCK = struct.Struct("hhqqi4x")  # struct flock with 64-bit offsets, native
_LARGEST_BYTES = 1 << 32
_MOST_TRIES = 64


def ring_folder(run: Path) -> Path:
    """Return the folder for the rings of one run folder: in shared memory, else (where there is none) within it."""
    if not (SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)):
        return run / "rings"
    name = hashlib.sha256(os.fsencode(os.path.realpath(run))).hexdigest()[:16]
    return SHARED_MEMORY / f"edgeai-{os.geteuid()}-{name}"


def sweep_rings(run: Path) -> None:
    """Remove the rings whose writer was killed before it could. Those that are written to stay."""
    folder = ring_folder(run)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            if not _is_locked(descriptor, 0):
                path.unlink(missing_ok=True)
            os.close(descriptor)
        folder.rmdir()


class RingWriter:
    """Makes a ring of ``slots`` items of at most ``slot_bytes`` and writes to it; readers of an older one move over.

    ``dropped`` counts items for which every slot was being read. Use from one thread.
    Raises ConfigError where shared memory has no room for it, or is not ours alone.
    """

    def __init__(self, path: Path, slots: int, slot_bytes: int) -> None:
        self.dropped = 0
        self.slot_bytes = slot_bytes
        self._path = path
        self._slots = slots
        self._stride = -(-(_BODY_AT + slot_bytes) // _PAGE) * _PAGE
        self._newest = 0
        self._numbers = [0] * slots  # what each slot holds
        self._descriptor, self._map = _create(path, slots, slot_bytes, _PAGE + slots * self._stride)
        self._inode = os.fstat(self._descriptor).st_ino

    def write(self, message: bytes, arrays: list[tuple[int, Any]], array_bytes: int) -> bool:
        """Write one item (see ``encode_apart``); False where it was dropped. Raises InputError for one too large."""
        total = _arrays_at(len(message)) + array_bytes
        if total > self.slot_bytes:
            raise InputError(
                f"an item of {total} bytes is too large for its ring of {self.slot_bytes} a slot"
            )
        number = self._newest = self._newest + 1
        for slot in sorted(range(self._slots), key=self._numbers.__getitem__):  # the oldest first
            at = _PAGE + slot * self._stride
            if not _lock(self._descriptor, fcntl.F_WRLCK, at):
                continue
            _SLOT.pack_into(self._map, at, 0, 0, 0)
            body = at + _BODY_AT
            self._map[body : body + len(message)] = message
            self._copy(arrays, body + _arrays_at(len(message)))
            _SLOT.pack_into(self._map, at, number, len(message), array_bytes)
            self._numbers[slot] = number
            _NUMBER.pack_into(self._map, _NEWEST_AT, number)
            _lock(self._descriptor, fcntl.F_UNLCK, at)
            return True
        self.dropped += 1
        return False

    def close(self) -> None:
        """Let go of the memory and take the ring away; who still reads it keeps what it has."""
        self._map.close()
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                self._path.unlink()
                self._path.parent.rmdir()
        os.close(self._descriptor)

    def _copy(self, arrays: list[tuple[int, Any]], at: int) -> None:
        if not arrays:
            return
        import numpy as np

        for offset, array in arrays:
            if not array.size:
                continue
            place = np.frombuffer(self._map, array.dtype, array.size, at + offset)
            np.copyto(place.reshape(array.shape), array)  # without the interpreter lock


class RingReader:
    """Reads a ring that a process of this device writes. Use from one thread.

    ``after`` is the number of the last item that was seen; None: the newest that is there is given, where its
    writer lives. Raises FileNotFoundError where there is no ring, SensorError for a file that is none of ours.
    """

    def __init__(self, path: Path, after: int | None = None) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(self._descriptor)
            self._identity = (status.st_dev, status.st_ino)
            self._map, self.epoch, self._slots, slot_bytes = _open(self._descriptor, path)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._stride = -(-(_BODY_AT + slot_bytes) // _PAGE) * _PAGE
        self._slot_bytes = slot_bytes
        if after is None:
            newest = self._number(_NEWEST_AT)
            after = max(newest - 1, 0) if self.written_to else newest
        self.last = after
        self._last_at = _PAGE

    @property
    def written_to(self) -> bool:
        """Whether the ring's writer lives."""
        return _is_locked(self._descriptor, 0)

    @property
    def replaced(self) -> bool:
        """Whether a writer has started anew since: its ring is another file."""
        try:
            status = os.stat(self._path)
        except OSError:
            return False  # gone, and nothing in its place yet
        return (status.st_dev, status.st_ino) != self._identity

    def next(self) -> tuple[int, bytes, memoryview] | None:
        """Return the oldest item not seen yet as (number, message, memory of its arrays), or None.

        The memory is a copy, read-only and the caller's own. Numbers that are missing were overwritten.
        """
        if self._number(_NEWEST_AT) <= self.last:
            return None
        for _ in range(_MOST_TRIES):
            found = self._oldest()
            if found is None:
                return None
            number, at = found
            if not _lock(self._descriptor, fcntl.F_RDLCK, at):
                continue  # it is being overwritten: what comes after it is next
            try:
                if self._number(at) == number:
                    item = self._copy(at)
                    self.last, self._last_at = number, at
                    return number, *item
            finally:
                _lock(self._descriptor, fcntl.F_UNLCK, at)
        return None

    def _oldest(self) -> tuple[int, int] | None:
        """Return the number and the place of the oldest item not seen yet; most often it is in the next slot."""
        end = _PAGE + self._slots * self._stride
        at = self._last_at + self._stride
        at = _PAGE if at >= end else at
        if self._number(at) == self.last + 1:
            return self.last + 1, at
        places = range(_PAGE, end, self._stride)
        return min(((number, at) for at in places if (number := self._number(at)) > self.last), default=None)

    def close(self) -> None:
        """Let go of the memory."""
        self._map.close()
        os.close(self._descriptor)

    def _number(self, at: int) -> int:
        number: int = _NUMBER.unpack_from(self._map, at)[0]
        return number

    def _copy(self, at: int) -> tuple[bytes, memoryview]:
        _, message_bytes, array_bytes = _SLOT.unpack_from(self._map, at)
        arrays_at = _arrays_at(message_bytes)
        if arrays_at + array_bytes > self._slot_bytes:
            raise SensorError(f"{self._path}: a slot is damaged")
        body = at + _BODY_AT
        message = self._map[body : body + message_bytes]
        if not array_bytes:
            return message, memoryview(b"")
        import numpy as np

        copy = np.empty(array_bytes, np.uint8)
        np.copyto(copy, np.frombuffer(self._map, np.uint8, array_bytes, body + arrays_at))
        return message, copy.data.toreadonly()


def _arrays_at(message_bytes: int) -> int:
    return -(-message_bytes // 64) * 64


def _create(path: Path, slots: int, slot_bytes: int, size: int) -> tuple[int, mmap.mmap]:
    if size > _LARGEST_BYTES:
        raise ConfigError(f"stream {path.stem}: {slots} items of {slot_bytes} bytes are more than 4 GiB")
    _make_private(path.parent)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # With its memory: a page for which there is none would end the process by SIGBUS when written.
        os.posix_fallocate(descriptor, 0, size)
        mapped = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        _HEADER.pack_into(mapped, 0, _MAGIC, time.monotonic_ns(), slots, slot_bytes)
        _lock(descriptor, fcntl.F_WRLCK, 0)  # for as long as this process lives
        fresh.replace(path)  # a reader never sees an empty ring
    except OSError as error:
        fresh.unlink(missing_ok=True)
        os.close(descriptor)
        raise ConfigError(_no_room(path, slots, slot_bytes, size, error)) from error
    return descriptor, mapped


def _make_private(folder: Path) -> None:
    """Make the folder, or check that it is ours: anyone may make names in /dev/shm."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(f"{folder}: shared memory cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigError(
            f"{folder}: is not a folder of this user alone; remove it (whoever made it was not us)"
        )


def _no_room(path: Path, slots: int, slot_bytes: int, size: int, error: OSError) -> str:
    what = f"stream {path.stem}: {slots} items of {slot_bytes} bytes need {size >> 20} MiB of shared memory"
    if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT):
        return f"{what}: {error.strerror} ({path.parent})"
    free = os.statvfs(path.parent)
    return (
        f"{what}; {path.parent.parent} has {free.f_bavail * free.f_frsize >> 20} MiB free. "
        "Give it more (in a container --shm-size=512m, else `mount -o remount,size=512m /dev/shm`), "
        "or let the stream hold fewer or smaller items"
    )


def _open(descriptor: int, path: Path) -> tuple[mmap.mmap, int, int, int]:
    size = os.fstat(descriptor).st_size
    if not _PAGE < size <= _LARGEST_BYTES:
        raise SensorError(f"{path}: is not a ring of this release")
    mapped = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
    magic, epoch, slots, slot_bytes = _HEADER.unpack_from(mapped, 0)
    stride = -(-(_BODY_AT + slot_bytes) // _PAGE) * _PAGE
    if magic != _MAGIC or _PAGE + slots * stride != size:
        mapped.close()
        raise SensorError(f"{path}: is not a ring of this release; both loops must run the same one")
    return mapped, epoch, slots, slot_bytes


def _lock(descriptor: int, kind: int, at: int) -> bool:
    """Lock or unlock one byte, at once; False where somebody holds it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, at, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_locked(descriptor: int, at: int) -> bool:
    asked = _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, at, 1, 0)
    found: int = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
    return found != fcntl.F_UNLCK
