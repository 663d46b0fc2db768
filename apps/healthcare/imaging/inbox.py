"""The inbox on disk: a folder that people, scanners and the HTTP route put studies into, and that loses none.

``<inbox>/`` (or ``<inbox>/xray/`` and so on, where the sender knows the modality) takes files from anywhere. A
file that has come to rest is moved, in one rename, to ``.queue/`` under a number of its own; after the journal
has its decision it is moved on to ``answered/``. At every moment it is in exactly one of the three.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeai_core.errors import InputError

MODALITIES = ("xray", "ct", "mri")

MAX_STUDY_BYTES = 64 << 20
MAX_WAITING = 10_000
"""More studies than this are not taken by the route: somebody has to look why none is answered."""

_QUEUE, _ANSWERED, _COUNTER = ".queue", "answered", "last"
_NAME = re.compile(r"(\d{20})\.(auto|xray|ct|mri)\.([0-9a-f]{32})\.([A-Za-z0-9._-]{1,80})")
_UNFINISHED = (".part", ".tmp", ".crdownload", "~")
_SPARE_BYTES = 64 << 20
"""So much room stays free on the disk: the journal needs some to say that it is full."""


@dataclass(frozen=True)
class Queued:
    """A study that waits: its number, what the sender says it is, its id and the sender's own word for it."""

    path: Path
    sequence: int
    modality: str | None
    id: str
    reference: str


class Inbox:
    """The three folders. Several processes may use one inbox at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._queue = folder / _QUEUE
        self._answered = folder / _ANSWERED
        self._seen: dict[Path, tuple[int, int]] = {}

    def create(self) -> Inbox:
        """Make the folders, readable by their owner alone. Raises InputError where that is impossible."""
        try:
            for each in (self.folder, self._queue, self._answered, *(self.folder / m for m in MODALITIES)):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: the inbox cannot be made: {error.strerror}") from error
        return self

    def put(self, content: bytes, reference: str, modality: str | None) -> Queued:
        """Queue what came over HTTP; when this returns it is on the disk. Raises InputError where there is no room."""
        self.create()
        identity = study_id(content)
        same = next((each for each in self.waiting() if each.id == identity), None)
        if same is not None:
            return same
        if len(self.waiting()) >= MAX_WAITING:
            raise InputError(f"{MAX_WAITING} studies wait already; look why none is answered")
        if shutil.disk_usage(self.folder).free < len(content) + _SPARE_BYTES:
            raise InputError("the disk of the inbox is full; nothing was taken")
        try:
            handle, name = tempfile.mkstemp(dir=self._queue, prefix=".new.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return self._enter(Path(name), identity, reference, modality)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise InputError(f"{self.folder}: the study cannot be written: {error.strerror}") from error

    def collect(self) -> None:
        """Queue every file that has not changed since the last look; unfinished and hidden ones are left alone."""
        found = {}
        for modality in (None, *MODALITIES):
            folder = self.folder / modality if modality else self.folder
            for path, size, time_ns in _files(folder):
                found[path] = (size, time_ns)
                if self._seen.get(path) == (size, time_ns):
                    identity = _id_of_file(path, size, time_ns)
                    if identity is not None:
                        self._enter(path, identity, path.name, modality)
        self._seen = found

    def waiting(self) -> list[Queued]:
        """Return what is queued, in the order in which it came."""
        try:
            names = sorted(os.listdir(self._queue))
        except FileNotFoundError:
            return []
        matches = ((name, _NAME.fullmatch(name)) for name in names)
        return [
            Queued(self._queue / name, int(m[1]), None if m[2] == "auto" else m[2], m[3], m[4])
            for name, m in matches
            if m is not None
        ]

    def answer(self, sequence: int) -> None:
        """Move a study on to ``answered/``: the journal has its decision."""
        for each in self.waiting():
            if each.sequence == sequence:
                day = self._answered / time.strftime("%Y-%m-%d", time.gmtime())
                day.mkdir(mode=0o700, exist_ok=True)
                each.path.rename(day / f"{each.id[:8]}.{each.reference}")

    def _enter(self, path: Path, identity: str, reference: str, modality: str | None) -> Queued:
        """Give a file the next number and move it into the queue."""
        word = clean_reference(reference)
        with self._counting() as counter:
            sequence = max(time.time_ns(), _number_in(counter) + 1)
            target = self._queue / f"{sequence:020d}.{modality or 'auto'}.{identity}.{word}"
            _replace(counter, str(sequence))
            path.rename(target)
            _sync_folder(self._queue)
        return Queued(target, sequence, modality, identity, word)

    @contextmanager
    def _counting(self) -> Iterator[Path]:
        """Hold the queue's lock. Numbers only rise, also where the clock is set back: the journal counts on it."""
        descriptor = os.open(self._queue / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._queue / _COUNTER
        finally:
            os.close(descriptor)


def study_id(content: bytes) -> str:
    """Return what a study is known by: the first half of the SHA-256 of its bytes. Sent twice, it is one study."""
    return hashlib.sha256(content).hexdigest()[:32]


def clean_reference(reference: str) -> str:
    """Return the sender's word for a study with only letters, digits, dot, dash and underscore, at most 80."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", reference)[-80:].lstrip(".") or "study"


def read_limited(path: Path) -> bytes | int:
    """Return a file's bytes, or only its size where that is over the limit. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return size if size > MAX_STUDY_BYTES else file.read(MAX_STUDY_BYTES + 1)


def _id_of_file(path: Path, size: int, time_ns: int) -> str | None:
    try:
        content = read_limited(path)
    except OSError:
        return None  # gone again, or not ours to read: the next look tells
    return study_id(content if isinstance(content, bytes) else f"{path.name} {size} {time_ns}".encode())


def _files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                    continue
                if entry.is_file(follow_symlinks=False):
                    about = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), about.st_size, about.st_mtime_ns
    except FileNotFoundError:
        return


def _number_in(counter: Path) -> int:
    try:
        return int(counter.read_text())
    except (OSError, ValueError):
        return 0


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
