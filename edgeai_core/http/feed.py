"""What the journal has written lately, read once and handed to every open alert stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass

from edgeai_core.alerts.alert import encode
from edgeai_core.alerts.journal import Journal
from edgeai_core.errors import JournalError
from edgeai_core.http.journal import JournalWorker

_log = logging.getLogger("edgeai.http")
_PAGE = 200
_KEPT = 1000


@dataclass(frozen=True)
class FeedEvent:
    """One journalled event, encoded once for all who get it."""

    sequence: int
    text: str


@dataclass(frozen=True)
class Position:
    """Where a stream starts. ``reset`` says why what the client saw before cannot be gone on from."""

    sequence: int
    first_sequence: int
    reset: str = ""


class EventsGoneError(Exception):
    """A stream fell so far behind that events it has not had were deleted; ``position`` is where it may start anew."""

    def __init__(self, position: Position) -> None:
        super().__init__(position.reset)
        self.position = position


class AlertFeed:
    """Follows the journal: woken by a nudge, else looking for itself every ``poll_s``.

    A stream asks for what came after the last event it sent, so a slow client costs no memory here: it reads
    on from the journal when it is ready to.
    """

    def __init__(self, worker: JournalWorker, poll_s: float) -> None:
        self._worker = worker
        self._poll_s = poll_s
        self._nudged = asyncio.Event()
        self._changed = asyncio.Event()
        self._kept: deque[FeedEvent] = deque(maxlen=_KEPT)
        self._kept_after = 0
        self.failing = False
        self.last = 0
        self.closed = False

    async def open(self) -> None:
        """Start from the journal's present end. Raises JournalError."""
        self.last = self._kept_after = await self._worker.do(Journal.last_sequence)

    async def run(self) -> None:
        """Follow until cancelled. A journal that cannot be read now is tried again."""
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()
            try:
                while await self._take():
                    pass
                self.failing = False
            except JournalError as error:
                if not self.failing:
                    _log.error("the alert streams stand still: %s", error)
                self.failing = True

    def nudge(self) -> None:
        """Look at the journal now; call on the event loop's thread."""
        self._nudged.set()

    async def position(self, last_event_id: int | None) -> Position:
        """Return where a stream begins that has seen everything up to ``last_event_id`` (None: it starts now)."""

        return await self._worker.do(lambda journal: _position(journal, last_event_id))

    async def after(self, sequence: int, timeout_s: float) -> list[FeedEvent]:
        """Return the next events after ``sequence``; empty where none came in time, or the feed has closed.

        Raises EventsGoneError, and JournalError where what is no longer in memory cannot be read.
        """
        changed = self._changed
        if self.last <= sequence and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await changed.wait()
            except TimeoutError:
                return []
        if self.closed or self.last <= sequence:
            return []
        if sequence >= self._kept_after:
            return [event for event in self._kept if event.sequence > sequence]

        def catch_up(journal: Journal) -> list[FeedEvent]:
            position = _position(journal, sequence)
            if position.reset:
                raise EventsGoneError(position)
            return _read(journal, sequence)

        return await self._worker.do(catch_up)

    async def reached(self, sequence: int, timeout_s: float) -> None:
        """Wait until something came after ``sequence``, at most so long."""
        changed = self._changed
        if self.last <= sequence:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await changed.wait()

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        self._changed.set()

    async def _take(self) -> bool:
        events = await self._worker.do(lambda journal: _read(journal, self.last))
        if not events:
            return False
        for event in events:
            if len(self._kept) == _KEPT:
                self._kept_after = self._kept[0].sequence
            self._kept.append(event)
        self.last = events[-1].sequence
        self._changed.set()
        if not self.closed:
            self._changed = asyncio.Event()
        return len(events) == _PAGE


def _read(journal: Journal, sequence: int) -> list[FeedEvent]:
    return [
        FeedEvent(event.sequence, encode(event.to_json()).decode())
        for event in journal.events_after(sequence, _PAGE)
    ]


def _position(journal: Journal, last_event_id: int | None) -> Position:
    first, last = journal.first_sequence(), journal.last_sequence()
    if last_event_id is None:
        return Position(last, first)
    if last_event_id > last:
        return Position(last, first, "the id is of another journal: this one has not come so far")
    if last_event_id < first - 1:
        return Position(last, first, "the id is too old: events after it have been deleted")
    return Position(last_event_id, first)
