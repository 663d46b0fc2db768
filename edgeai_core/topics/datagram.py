"""Unix datagrams between processes of one device: senders never wait, receivers each have a socket."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgeai_core.errors import ConfigError, SensorError

_LONGEST_PATH = 107
"""``sun_path`` holds 108 bytes with the closing zero (unix(7)); longer folders are reached by descriptor."""

_TOPIC_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
_counter = itertools.count()


def topic_folder(run: Path, topic: str) -> Path:
    """Return the folder where the subscribers of a topic bind. Raises ConfigError for what is no name."""
    if not _TOPIC_NAME.match(topic):
        raise ConfigError(f"{topic!r} is no name for a topic: letters, digits, '_', '-' and '.', at most 100")
    return run / "topics" / topic


class DatagramSender:
    """Sends every payload to each socket in a folder. Never blocks: what finds no room is dropped.

    ``dropped`` counts payloads that some receiver did not get. Sockets whose owner died are removed.
    Use from one thread.
    """

    def __init__(self, folder: Path) -> None:
        self.dropped = 0
        self._folder = _Folder(folder)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def receivers(self) -> tuple[str, ...]:
        """The sockets that listen now; empty means that encoding would be wasted."""
        return self._folder.names()

    def send(self, payload: bytes) -> int:
        """Send to all; return how many got it."""
        reached = 0
        for name in self._folder.names():
            try:
                self._socket.sendto(payload, self._folder.address(name))
                reached += 1
            except (ConnectionRefusedError, FileNotFoundError):
                self._folder.remove(name)
            except OSError as error:
                # Full, or larger than the kernel's send buffer: the receiver sees the gap in the sequence.
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE):
                    raise
                self.dropped += 1
        return reached

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        self._folder.close()


class DatagramReceiver:
    """A socket of its own in a folder. ``fileno`` lets an event loop wait for it.

    Raises SensorError where the folder cannot hold sockets.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = _Folder(folder)
            self._name = f"{os.getpid()}-{next(_counter)}-{time.monotonic_ns():x}.sock"
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.bind(self._folder.address(self._name))
        except OSError as error:
            raise SensorError(f"no socket can be made in {folder}: {error.strerror}") from error

    def fileno(self) -> int:
        """The descriptor, readable when something is there."""
        return self._socket.fileno()

    def receive(self, timeout_s: float = 0.0) -> bytes | None:
        """Return the next payload, or None where none came in time; with 0 it never waits."""
        try:
            if timeout_s > 0:
                self._socket.settimeout(timeout_s)
                try:
                    return self._socket.recv(_RECEIVE_BYTES)
                finally:
                    self._socket.setblocking(False)
            return self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, TimeoutError):
            return None

    def close(self) -> None:
        """Close and unlink the socket."""
        self._socket.close()
        self._folder.remove(self._name)
        self._folder.close()


_RECEIVE_BYTES = 256 * 1024


_LOOK_EVERY_NS = 20_000_000
"""Where somebody listens, a folder is looked at so often for others: a fast loop would ask the kernel all the time."""


@dataclass
class _Folder:
    """A folder of sockets: its names, cached until it changes, and addresses that fit ``sun_path``."""

    path: Path
    _names: tuple[str, ...] = ()
    _seen: tuple[int, int] = (-1, -1)
    _addresses: dict[str, str] = field(default_factory=dict, repr=False)
    _descriptor: int | None = field(default=None, repr=False)
    _look_again_ns: int = 0

    def names(self) -> tuple[str, ...]:
        now_ns = time.monotonic_ns()
        if self._names and now_ns < self._look_again_ns:
            return self._names
        self._look_again_ns = now_ns + _LOOK_EVERY_NS
        try:
            status = os.stat(self.path)
        except OSError:
            self._seen, self._names = (-1, -1), ()
            return ()
        # A change within the clock tick of the last look would be missed: a fresh folder is looked at again.
        settled = time.time_ns() - status.st_mtime_ns > 50_000_000
        if not settled or (status.st_mtime_ns, status.st_ino) != self._seen:
            with contextlib.suppress(OSError):
                self._names = tuple(sorted(n for n in os.listdir(self.path) if n.endswith(".sock")))
            self._seen = (status.st_mtime_ns, status.st_ino) if settled else (-1, -1)
        return self._names

    def address(self, name: str) -> str:
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = self._make_address(name)
        return address

    def _make_address(self, name: str) -> str:
        full = os.fspath(self.path / name)
        if len(os.fsencode(full)) <= _LONGEST_PATH:
            return full
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path / name)
        self._addresses.pop(name, None)
        self._seen, self._look_again_ns = (-1, -1), 0

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
