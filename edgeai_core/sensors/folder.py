"""A folder of pictures as a source: one after the other, at a pace, once or over and over."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import (
    MAX_FILE_BYTES,
    SUFFIXES,
    Picture,
    decode_picture,
    read_picture,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCHIVE = ".zip"
"""A zip file of pictures counts as a folder of them."""

MAX_PICTURES = 1_000_000

_MOST_SAID = 100
"""A folder that is played over and over must not fill the log."""

_log = logging.getLogger(__name__)


class FolderSource:
    """Plays the pictures of a folder (and below it) in the order of their names, ``rate_hz`` of them a second.

    A file that cannot be read is skipped, counted as lost in the sequence, and named in the log with the reason.
    A single file is a folder of one, a zip file one of its pictures. ``open`` raises InputError where there is no
    picture; ``read`` where none could be read.
    """

    def __init__(self, name: str, path: Path, rate_hz: float, *, repeat: bool = False) -> None:
        self.name = name
        self._path, self._period_ns, self._repeat = path, round(1e9 / rate_hz), repeat
        self._files: list[tuple[Path, str]] = []

    def check(self) -> None:
        """Raise InputError where there is nothing to play."""
        self._list()

    def open(self, clock: Clock) -> None:
        """Begin with the first picture."""
        self._clock, self._files = clock, self._list()
        self._next, self._read, self._skipped = 0, 0, 0
        self._due_ns = clock.now_ns() + self._period_ns

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the next picture when its time has come."""
        if self._next >= len(self._files) and not self._repeat:
            raise EndOfStream
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
        if self._due_ns > patience_ns:
            return None
        path, member = self._files[self._next % len(self._files)]
        self._next += 1
        time_ns, self._due_ns = self._due_ns, self._due_ns + self._period_ns
        try:
            pixels = _read_member(path, member) if member else read_picture(path)
        except InputError as error:
            self._note(str(error))
            return None
        self._read += 1
        return Reading(Picture(pixels, Path(member).name or path.name), time_ns, sequence=self._next)

    def close(self) -> None:
        """Nothing is held open."""

    def _list(self) -> list[tuple[Path, str]]:
        if not self._path.exists():
            raise InputError(f"{self._path}: no such folder or file")
        paths = [self._path] if self._path.is_file() else sorted(self._path.rglob("*"))
        found: list[tuple[Path, str]] = []
        for path in paths:
            if path.suffix.lower() == ARCHIVE and path.is_file():
                found += [(path, member) for member in _members(path)]
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                found.append((path, ""))
        if not found or len(found) > MAX_PICTURES:
            raise InputError(
                f"{self._path}: {len(found) or 'no'} pictures in it; from 1 to {MAX_PICTURES} can be played"
            )
        return found

    def _note(self, problem: str) -> None:
        self._skipped += 1
        if self._skipped <= _MOST_SAID:
            _log.warning("picture skipped", extra={"reason": problem})
        if self._next >= len(self._files) and not self._read:
            raise InputError(
                f"{self._path}: none of {len(self._files)} pictures could be read; last: {problem}"
            )


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a zip file: {error}") from error
    return [name for name in names if Path(name).suffix.lower() in SUFFIXES]


def _read_member(path: Path, member: str) -> NDArray[np.uint8]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: {member}: cannot be read: {error}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(f"{path}: {member}: more than {MAX_FILE_BYTES} bytes; a picture has at most so many")
    return decode_picture(raw, f"{path}: {member}")
