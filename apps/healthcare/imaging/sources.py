"""Where studies come from: the inbox, of which none is lost, or a folder that is played once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.healthcare.imaging.inbox import MODALITIES, Inbox, clean_reference, read_limited, study_id
from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading

POLL_S = 0.25
"""How often the inbox is looked at; a file is taken at the second look that finds it unchanged."""

_PACE_NS = 1_000_000_000
"""A folder is played at one study a second."""


@dataclass(frozen=True)
class Study:
    """One study as it came. ``size_bytes`` alone tells of a file over the limit: its ``content`` is left empty.

    ``id`` is of its bytes; ``reference`` the sender's word for it; ``modality`` what the sender says it is.
    """

    id: str
    reference: str
    modality: str | None
    content: bytes
    size_bytes: int


class StudyInbox:
    """The inbox as a durable source: what was not committed is delivered again, also after a kill."""

    name = "study"

    def __init__(self, folder: Path) -> None:
        self._inbox = Inbox(folder)

    def open(self, clock: Clock) -> None:
        """Begin with the oldest study that waits. Raises SensorError where the folder cannot be used."""
        self._clock, self._delivered, self._next_look_ns = clock, 0, clock.now_ns()
        try:
            self._inbox.create()
        except InputError as error:
            raise SensorError(str(error)) from error

    def read(self, timeout_s: float) -> Reading[Study] | None:
        """Return the next study, or None where none came in time. Raises SensorError where the disk fails."""
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        try:
            while True:
                for each in self._inbox.waiting():
                    if each.sequence > self._delivered:
                        study = _study(each.path, each.reference, each.modality, each.id)
                        self._delivered = each.sequence
                        return Reading(study, sequence=each.sequence)
                if self._clock.now_ns() >= self._next_look_ns:
                    self._inbox.collect()
                    self._next_look_ns = self._clock.now_ns() + int(POLL_S * 1e9)
                    continue
                if self._clock.now_ns() >= patience_ns:
                    return None
                self._clock.sleep_until_ns(min(self._next_look_ns, patience_ns))
        except OSError as error:
            raise SensorError(f"{error.filename}: {error.strerror}") from error

    def commit(self, sequence: int) -> None:
        """Move an answered study out of the queue. Raises SensorError; the study is then answered again."""
        try:
            self._inbox.answer(sequence)
        except OSError as error:
            raise SensorError(f"{error.filename}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""


class StudyFolder:
    """The files of a folder, by name, one a second, each once. The files stay where they are.

    Subfolders ``xray``, ``ct`` and ``mri`` say what is in them.
    """

    name = "study"

    def __init__(self, path: Path) -> None:
        self._path = path
        # Numbers above those of an earlier run, which the journal remembers.
        self._first = time.time_ns()
        self._done: set[int] = set()

    def check(self) -> None:
        """Raise InputError where there is nothing to play."""
        if not any(True for _ in self._files()):
            raise InputError(f"{self._path}: there is no study here; name a file, or a folder of files")

    def open(self, clock: Clock) -> None:
        """Begin with the first file that has not been answered."""
        self._clock, self._due_ns = clock, clock.now_ns()
        self._left = [each for each in enumerate(self._files(), self._first) if each[0] not in self._done]

    def read(self, timeout_s: float) -> Reading[Study] | None:
        """Return the next file."""
        if not self._left:
            raise EndOfStream
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
        if self._due_ns > patience_ns:
            return None
        sequence, (path, modality) = self._left.pop(0)
        self._due_ns = self._clock.now_ns() + _PACE_NS
        try:
            return Reading(_study(path, clean_reference(path.name), modality), sequence=sequence)
        except OSError as error:
            raise SensorError(f"{path}: {error.strerror}") from error

    def commit(self, sequence: int) -> None:
        """Remember that a file has been answered."""
        self._done.add(sequence)

    def close(self) -> None:
        """Nothing is held open."""

    def _files(self) -> Iterator[tuple[Path, str | None]]:
        if self._path.is_file():
            yield self._path, None
            return
        for modality in (None, *MODALITIES):
            folder = self._path / modality if modality else self._path
            if folder.is_dir():
                yield from ((each, modality) for each in sorted(folder.iterdir()) if each.is_file())


def _study(path: Path, reference: str, modality: str | None, identity: str | None = None) -> Study:
    content = read_limited(path)
    if isinstance(content, bytes):
        return Study(identity or study_id(content), reference, modality, content, len(content))
    return Study(identity or study_id(f"{path.name} {content}".encode()), reference, modality, b"", content)
