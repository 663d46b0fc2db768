"""A thread that writes a loop's changes to the journal, so that the loop never waits for a disk.

While the journal cannot be written (disk full, above all) it says so once, keeps the newest changes in memory,
tries again and again, and writes them in order when it can, with an alert of its own about the time between.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeai_core.alerts import walltime
from edgeai_core.alerts.alert import Alert
from edgeai_core.alerts.database import JournalBusyError, JournalFullError
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import JournalError

log = logging.getLogger("edgeai.alerts")

MAX_HELD = 2000
"""How many entries are kept in memory while nothing can be written; past it the oldest go."""

_BATCH = 200
_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 5.0
_PRUNE_EVERY_S = 600.0


@dataclass(eq=False)
class Entry:
    """What is written in one transaction: changes, and the (source, sequence) of the durable input they are of."""

    changes: list[Change]
    input: tuple[str, int] | None = None
    written: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Adoption:
    """What the journal says stands for this loop, as of a number of entries submitted."""

    submitted: int
    alerts: list[Alert]


@dataclass
class _Outage:
    """A time in which not everything could be written; it is over when nothing waits any more."""

    began: walltime.Moment
    reason: str
    kept: int = 0
    retry_s: float = _FIRST_RETRY_S
    wait: bool = True


class JournalWriter:
    """The queue and the thread between one loop and the journal.

    ``adoption`` is set whenever the loop should compare what it believes with what the journal holds: after the
    journal has been opened, after entries had to be dropped, after a durable input came a second time. The loop
    takes it and sets it back to None.
    """

    def __init__(
        self, open_journal: Callable[[], Journal], app: str, loop: str, max_held: int = MAX_HELD
    ) -> None:
        """Open the journal and start. A full disk or a busy file is waited out; else raises JournalError."""
        self.adoption: Adoption | None = None
        self.dropped = 0
        self._app = app
        self._loop = loop
        self._open_journal = open_journal
        self._max_held = max_held
        self._changed = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._writing: list[Entry] = []
        self._submitted = 0
        self._compare = True
        self._closing = False
        self._outage: _Outage | None = None
        self._batch = _BATCH
        self._journal: Journal | None = None
        self._prune_at_s = time.monotonic()
        try:
            self._journal = open_journal()
        except (JournalFullError, JournalBusyError) as error:
            self._note_outage(error)
        self._thread = threading.Thread(target=self._run, name=f"journal {app}.{loop}", daemon=True)
        self._thread.start()

    @property
    def journal(self) -> Journal | None:
        """The open journal; None while it could not be opened."""
        return self._journal

    def submit(self, entry: Entry) -> None:
        """Queue an entry; takes microseconds. Where too many wait, the oldest without a durable input goes."""
        with self._changed:
            self._queue.append(entry)
            self._submitted += 1
            if len(self._queue) > self._max_held:
                for index, old in enumerate(self._queue):
                    if old.input is None:
                        del self._queue[index]
                        self.dropped += 1
                        self._compare = True
                        break
            self._changed.notify_all()

    def compare(self) -> None:
        """Ask for a fresh ``adoption`` as soon as everything queued has been written."""
        with self._changed:
            self._compare = True
            self._changed.notify_all()

    def is_current(self, adoption: Adoption) -> bool:
        """Return whether nothing has been submitted since an adoption was read."""
        return adoption.submitted == self._submitted

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything submitted is written; False where that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._writing, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is queued, once, and stop. What could not be written is lost, and is said."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._queue or self._writing:
            log.error(
                "%d changes of alerts could not be written and are lost",
                len(self._queue) + len(self._writing),
            )
        if self._journal is not None and not self._thread.is_alive():
            self._journal.close()

    # On the writer's thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._patience_s())
                if self._closing and not self._queue:
                    return
                if self._outage is not None and self._outage.wait and not self._closing:
                    self._changed.wait_for(lambda: self._closing, self._outage.retry_s)
                self._writing = self._take()
            try:
                self._work()
            except JournalError as error:
                self._put_back()
                self._note_outage(error)
                if self._closing:
                    return
            except Exception:  # a fault of ours must not end the thread, or every later alert would be lost
                self._batch = 1
                log.exception("%d changes of alerts could not be written and are lost", len(self._writing))
                self.dropped += len(self._writing)
            finally:
                with self._changed:
                    self._writing = []
                    self._changed.notify_all()

    def _has_work(self) -> bool:
        return bool(self._queue) or self._closing or self._compare or self._outage is not None

    def _patience_s(self) -> float:
        return max(0.0, self._prune_at_s - time.monotonic())

    def _take(self) -> list[Entry]:
        """Return the next entries that may share a transaction; a durable input has one of its own."""
        taken: list[Entry] = []
        while self._queue and len(taken) < self._batch and (not taken or self._queue[0].input is None):
            taken.append(self._queue.popleft())
            if taken[-1].input is not None:
                break
        return taken

    def _put_back(self) -> None:
        with self._changed:
            self._queue.extendleft(reversed(self._writing))

    def _work(self) -> None:
        if self._journal is None:
            self._journal = self._open_journal()
        journal = self._journal
        if self._writing:
            self._write(journal)
        if self._outage is not None:
            self._outage.wait = False
            if not self._queue:
                self._record_outage(journal, self._outage)
        self._offer_adoption(journal)
        if time.monotonic() >= self._prune_at_s and not self._queue:
            self._prune_at_s = time.monotonic() + _PRUNE_EVERY_S
            journal.prune()

    def _write(self, journal: Journal) -> None:
        durable = self._writing[0].input
        committed = None if durable is None else journal.committed(durable[0])
        if durable is not None and committed is not None and committed >= durable[1]:
            self.compare()  # delivered a second time: what the loop told us is not what is written
        journal.append([change for entry in self._writing for change in entry.changes], input=durable)
        for entry in self._writing:
            entry.written.set()
        if self._outage is not None:
            self._outage.kept += len(self._writing)
        self._batch = min(2 * self._batch, _BATCH)
        with self._changed:
            self._writing = []

    def _offer_adoption(self, journal: Journal) -> None:
        with self._changed:
            if not self._compare or self._queue:
                return
            submitted = self._submitted
        alerts = journal.open_alerts(self._app, self._loop)
        with self._changed:
            if self._submitted == submitted:
                self.adoption = Adoption(submitted, alerts)
                self._compare = False

    def _note_outage(self, error: JournalError) -> None:
        self._batch = 1  # what little room there is goes to the oldest first
        if self._outage is None:
            self._outage = _Outage(walltime.now(), str(error))
            log.error("alerts are kept in memory until the journal can be written: %s", error)
        else:
            self._outage.wait = True
            self._outage.retry_s = min(2 * self._outage.retry_s, _LAST_RETRY_S)

    def _record_outage(self, journal: Journal, outage: _Outage) -> None:
        """Write that the journal could not be written: over, but to be seen by a person."""
        moment = walltime.now()
        lasted_s = (moment.monotonic_ns - outage.began.monotonic_ns) / 1e9
        condition = Condition(
            code="JOURNAL_UNWRITABLE",
            subject=f"{self._app}.{self._loop}",
            priority=Priority.MEDIUM,
            title=f"Alerts could not be written for {lasted_s:.1f} s:"
            f" {outage.kept} changes were kept and written, {self.dropped} lost",
            evidence={
                "reason": outage.reason,
                "lasted_s": lasted_s,
                "kept": outage.kept,
                "lost": self.dropped,
            },
        )
        alert_id = uuid.uuid4().hex
        journal.append(
            Change(holds, self._app, self._loop, condition, when, alert_id, by="journal", latched=True)
            for holds, when in ((True, outage.began), (False, moment))
        )
        self._outage = None
        log.warning("the journal can be written again after %.1f s", lasted_s)
