"""A folder of pictures as a source: one after the other, at a pace, once or over and over."""

from __future__ import annotations

from pathlib import Path

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import Picture, pictures_in, read_picture


class FolderSource:
    """Plays the pictures of a folder (and below it) in the order of their names, ``rate_hz`` of them a second.

    A file that cannot be read is skipped, and counted as lost in the sequence; ``problems`` says why. A single file
    is a folder of one. ``open`` raises InputError where there is no picture; ``read`` where none could be read.
    """

    def __init__(self, name: str, path: Path, rate_hz: float, *, repeat: bool = False) -> None:
        self.name = name
        self.problems: list[str] = []
        self._path, self._period_ns, self._repeat = path, round(1e9 / rate_hz), repeat
        self._files: list[Path] = []

    def check(self) -> None:
        """Raise InputError where there is nothing to play."""
        self._list()

    def open(self, clock: Clock) -> None:
        """Begin with the first picture."""
        self._clock, self._files = clock, self._list()
        self._next, self._read = 0, 0
        self._due_ns = clock.now_ns() + self._period_ns

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the next picture when its time has come."""
        if self._next >= len(self._files) and not self._repeat:
            raise EndOfStream
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
        if self._due_ns > patience_ns:
            return None
        path = self._files[self._next % len(self._files)]
        self._next += 1
        time_ns, self._due_ns = self._due_ns, self._due_ns + self._period_ns
        try:
            pixels = read_picture(path)
        except InputError as error:
            self._note(str(error))
            return None
        self._read += 1
        return Reading(Picture(pixels, path.name), time_ns, sequence=self._next)

    def close(self) -> None:
        """Nothing is held open."""

    def _list(self) -> list[Path]:
        return [self._path] if self._path.is_file() else pictures_in(self._path)

    def _note(self, problem: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(problem)
        if self._next >= len(self._files) and not self._read:
            raise InputError(f"{self._path}: none of {len(self._files)} pictures could be read; first: {self.problems[0]}")
