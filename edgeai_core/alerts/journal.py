"""The alert journal: every change of every alert, one transaction each, the one source of truth.

What a method returned as written survives ``kill -9`` and loss of power. Several processes write one file, each
through a Journal of its own; a Journal may be used from several threads.
"""

from __future__ import annotations

import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from edgeai_core.alerts import cursors, database, lifecycle, retention, walltime
from edgeai_core.alerts.alert import (
    Alert,
    AlertEvent,
    AlertState,
    EventKind,
    alert_from_json,
    encode,
    plain_condition,
)
from edgeai_core.alerts.database import connect, fold_back, journal_errors
from edgeai_core.alerts.filters import choices, iso, where_equal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.rows import COLUMNS, EVENT_COLUMNS, NAMES, event_from_row, from_row, to_row
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import EdgeAIError, InputError

T = TypeVar("T")

RETENTION_DAYS = 90.0
MAX_BYTES = 256 * 1024 * 1024
MAX_UNSEEN_PER_DEVICE = 10_000
"""How many alerts of one other device may wait for an acknowledgement: past it that device is refused."""


class AlertNotFoundError(EdgeAIError):
    """The journal holds no alert of this id: it never did, or retention has deleted it."""


class AlertConflictError(EdgeAIError):
    """What was asked contradicts what the journal holds: an id that belongs to another device's alert, say."""


class Journal:
    """The alerts of one device, and copies of those that other devices send it.

    ``on_commit(sequence)`` is called on the writing thread after each commit that wrote events, with the newest.
    Every method raises JournalError (JournalFullError, JournalBusyError, JournalCorruptError) where the file
    cannot be used; after any error nothing of that call was written.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "",
        retention_days: float = RETENTION_DAYS,
        max_bytes: int = MAX_BYTES,
        read_only: bool = False,
        on_commit: Callable[[int], None] | None = None,
    ) -> None:
        """Open the file, and make it where there is none. A device without a name takes the host's.

        Raises JournalError for a network file system, a damaged, foreign or newer file, a folder not writable.
        """
        self.path = path
        self.device = device or socket.gethostname()
        self._retention_days = retention_days
        self._max_bytes = max_bytes
        self._on_commit = on_commit
        self._lock = threading.RLock()
        self._connection, self._write_lock = connect(path, read_only=read_only)

    # Writing

    def append(self, changes: Iterable[Change], *, input: tuple[str, int] | None = None) -> list[AlertEvent]:
        """Write a loop's changes in one transaction; return the events that they made, in order.

        A change that changes nothing (a condition that is an alert already) makes no event, so writing twice is
        harmless. ``input`` is the (source, sequence) of a durable input that the changes came from: it is
        committed with them, and where it had been committed before, all of it is skipped.
        """
        with self._writing() as events:
            if input is not None and not cursors.commit(self._connection, *input):
                return []
            for change in changes:
                self._apply(change, events)
        return events

    def acknowledge(self, alert_id: str, by: str, at: str | None = None) -> AlertEvent:
        """Record that a person knows, at ``at`` (ISO 8601; None: now); return the event.

        The first one counts: acknowledging again returns its event and writes nothing. A latched alert clears
        with it; one that has cleared unseen only records who saw it. Raises AlertNotFoundError.
        """
        with self._writing() as events:
            alert = self._alert(alert_id)
            if alert is None:
                raise AlertNotFoundError(f"no alert {alert_id!r}: it never was, or retention has deleted it")
            after = lifecycle.acknowledge(alert, by, at or walltime.now().iso)
            if after is None:
                return self._acknowledgement(alert_id)
            self._store(after, "acknowledged", by, events)
        return events[-1]

    def change(
        self, alert_id: str, kind: EventKind, by: str, what: Callable[[Alert, str], Alert | None]
    ) -> AlertEvent | None:
        """Change one alert as a function of the life cycle says, given it and the time; return the event.

        None: the function returned None, and nothing was written. Raises AlertNotFoundError.
        """
        with self._writing() as events:
            alert = self._alert(alert_id)
            if alert is None:
                raise AlertNotFoundError(f"no alert {alert_id!r}: it never was, or retention has deleted it")
            after = what(alert, walltime.now().iso)
            if after is not None:
                self._store(after, kind, by, events)
        return events[-1] if events else None

    def receive(self, body: Mapping[str, object], by: str | None = None) -> AlertEvent:
        """Take an alert that another device sends, as its ``to_json``; return the event it made.

        The same message again returns the last event and writes nothing. ``by`` is who sent it (None: the
        alert's device). Raises InputError where it makes no sense or is too large, AlertConflictError where
        its id belongs to another device's alert or too many of its device's alerts wait unacknowledged.
        """
        alert = alert_from_json(body)
        if alert.device == self.device:
            raise InputError(
                f"alert from outside: device: {alert.device!r} is this device's own name; rename one of them"
            )
        with self._writing() as events:
            own = self._alert(alert.id)
            if own is not None and own.device != alert.device:
                raise AlertConflictError(f"alert {alert.id!r} belongs to another device")
            if own is None:
                self._refuse_flood(alert.device)
            merged = lifecycle.merge(own, alert, walltime.now().iso)
            if merged is None:
                return self.events(alert.id)[-1]
            self._store(*merged, by or alert.device, events, received=True)
        return events[-1]

    def prune(self) -> retention.Pruned:
        """Delete what retention allows: by age, then the oldest while the file passes its size limit.

        What is open, unacknowledged or undelivered stays; where that alone passes the limit, an alert
        JOURNAL_TOO_LARGE says so until it no longer does. Works in short transactions: others write between.
        """
        moment = walltime.now()
        older_than = walltime.iso_from_ns(max(0, moment.wall_ns - round(self._retention_days * 86_400e9)))
        deleted = 0
        while True:
            with self._writing():
                count = retention.forget(self._connection, older_than, self._max_bytes)
            deleted += count
            if not count:
                break
        with self._alone():
            if deleted:
                self._connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
            used = retention.used_bytes(self._connection)
        over = used > self._max_bytes
        self.append([self._too_large(over, used, moment)])
        return retention.Pruned(deleted, used, over)

    # Reading alerts and events

    def alert(self, alert_id: str) -> Alert | None:
        """Return one alert as it stands, None where there is none of this id."""
        with self._reading():
            return self._alert(alert_id)

    def open_alerts(self, app: str | None = None, loop: str | None = None) -> list[Alert]:
        """Return this device's own alerts that have not cleared, oldest first."""
        where, values = where_equal({"app": app, "loop": loop})
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM alerts WHERE state <> 'cleared' AND received = 0 AND {where}"  # noqa: S608
                " ORDER BY number",
                values,
            )
            return [from_row(row) for row in rows]

    def alerts(
        self,
        *,
        state: str | Sequence[str] | None = None,
        active: bool | None = None,
        acknowledged: bool | None = None,
        app: str | None = None,
        loop: str | None = None,
        code: str | None = None,
        subject: str | None = None,
        priority: str | Sequence[str] | None = None,
        device: str | None = None,
        since: str | None = None,
        until: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, Alert]]:
        """Return alerts with their cursors, newest first: those that match every filter given.

        ``since`` and ``until`` (ISO 8601; until is exclusive) bound ``raised_at``. ``before`` is the last cursor
        of the page before: what is raised meanwhile never shifts a page. ``limit`` is held to 1..1000.
        Raises InputError for a time, state or priority that is none.
        """
        where, values = where_equal(
            {
                "state": choices("state", state, AlertState),
                "active": active,
                "app": app,
                "loop": loop,
                "code": code,
                "subject": subject,
                "priority": choices("priority", priority, Priority),
                "device": device,
            }
        )
        bounds = {
            "raised_at >= ?": iso("since", since),
            "raised_at < ?": iso("until", until),
            "number < ?": before,
        }
        for clause, bound in bounds.items():
            if bound is not None:
                where += f" AND {clause}"
                values.append(bound)
        if acknowledged is not None:
            where += f" AND acknowledged_at IS {'NOT ' if acknowledged else ''}NULL"
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT number, {COLUMNS} FROM alerts WHERE {where} ORDER BY number DESC LIMIT ?",  # noqa: S608
                [*values, _held(limit)],
            )
            return [(int(row[0]), from_row(row[1:])) for row in rows]

    def events(self, alert_id: str) -> list[AlertEvent]:
        """Return everything that happened to one alert, oldest first; empty where there is none of this id."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {EVENT_COLUMNS} FROM events WHERE alert_id = ? ORDER BY sequence",  # noqa: S608
                (alert_id,),
            )
            return [event_from_row(row) for row in rows]

    def events_after(self, sequence: int, limit: int = 100) -> list[AlertEvent]:
        """Return events with a higher sequence, oldest first. ``limit`` is held to 1..1000."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {EVENT_COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608
                (sequence, _held(limit)),
            )
            return [event_from_row(row) for row in rows]

    def first_sequence(self) -> int:
        """Return the sequence from which on nothing has been deleted.

        Who has seen everything up to ``n`` may go on with ``events_after(n)`` without a gap where
        ``first_sequence() - 1 <= n <= last_sequence()``; elsewhere it has to start anew.
        """
        with self._reading() as connection:
            return int(connection.execute("SELECT forgotten + 1 FROM retention").fetchone()[0])

    def last_sequence(self) -> int:
        """Return the newest event's sequence, 0 before the first; cheap enough to poll."""
        with self._reading() as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
            return int(row[0]) if row else 0

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed; cheaper still to poll."""
        with self._reading() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    # Durable inputs and receivers

    def attempt(self, source: str, sequence: int) -> int:
        """Count, durably, that an item of a durable input is handed to a step; return the how-manieth time."""
        with self._writing():
            return cursors.attempt(self._connection, source, sequence)

    def committed(self, source: str) -> int | None:
        """Return the newest committed sequence of a durable input, None before the first."""
        with self._reading() as connection:
            return cursors.committed(connection, source)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` reads: for other modules of this package that keep a table of their own."""
        with self._reading() as connection:
            return work(connection)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` returns, done in one transaction: for other modules of this package."""
        with self._writing():
            return work(self._connection)

    def deliver(self, receiver: str, sequence: int) -> None:
        """Record that a receiver has got every event up to ``sequence``.

        After its first call (0, say) retention waits for it.
        """
        with self._writing():
            cursors.deliver(self._connection, receiver, sequence)

    def delivered(self, receiver: str) -> int | None:
        """Return the newest sequence a receiver has got, None where it is unknown."""
        with self._reading() as connection:
            return cursors.delivered(connection, receiver)

    def drop_receiver(self, receiver: str) -> None:
        """Forget a receiver: retention no longer waits for it."""
        with self._writing():
            cursors.drop_receiver(self._connection, receiver)

    def close(self) -> None:
        """Close the file; the last one to do so folds the write-ahead log back into it."""
        with self._lock, journal_errors(self.path):
            self._connection.close()
            if self._write_lock is not None:
                self._write_lock.close()

    # Helpers: each is called with the lock held

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, journal_errors(self.path):
            yield self._connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other thread uses the connection and no other process writes."""
        lock = self._write_lock.hold(database.BUSY_TIMEOUT_S) if self._write_lock else nullcontext()
        with self._lock, journal_errors(self.path), lock:
            yield

    @contextmanager
    def _writing(self) -> Iterator[list[AlertEvent]]:
        """One transaction; yields the list that its events are to be put in, and tells who listens of the newest."""
        events: list[AlertEvent] = []
        with self._alone():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield events
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            fold_back(self._connection, self.path)
        if events and self._on_commit is not None:
            self._on_commit(events[-1].sequence)

    def _apply(self, change: Change, events: list[AlertEvent]) -> None:
        condition = plain_condition(change.condition)
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM alerts WHERE device = ? AND app = ? AND loop = ? AND code = ? AND subject = ?"  # noqa: S608
            " AND state <> 'cleared' AND received = 0",
            (self.device, change.app, change.loop, condition.code, condition.subject),
        ).fetchone()
        after = lifecycle.transition(
            None if row is None else from_row(row), replace(change, condition=condition), self.device
        )
        if after is not None:
            self._store(*after, change.by, events)

    def _store(
        self, alert: Alert, kind: EventKind, by: str, events: list[AlertEvent], received: bool = False
    ) -> None:
        values = to_row(alert)
        updates = ", ".join(f"{name} = excluded.{name}" for name in NAMES if name != "id")
        self._connection.execute(
            f"INSERT INTO alerts ({COLUMNS}, state, received) VALUES ({', '.join('?' * (len(NAMES) + 2))})"  # noqa: S608
            f" ON CONFLICT (id) DO UPDATE SET {updates}, state = excluded.state",
            (*values, alert.state.value, received),
        )
        cursor = self._connection.execute(
            "INSERT INTO events (alert_id, kind, at, by, body) VALUES (?, ?, ?, ?, ?)",
            (alert.id, kind, alert.updated_at, by, encode(alert.to_json()).decode()),
        )
        events.append(AlertEvent(cast("int", cursor.lastrowid), kind, alert.updated_at, by, alert))

    def _alert(self, alert_id: str) -> Alert | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM alerts WHERE id = ?", (alert_id,)).fetchone()  # noqa: S608
        return None if row is None else from_row(row)

    def _acknowledgement(self, alert_id: str) -> AlertEvent:
        """Return the event that acknowledged an alert; where a device sent it so, the one that said it first."""
        events = self.events(alert_id)
        found = events[-1]
        for event in reversed(events):
            if event.alert.acknowledged_at is None:
                break
            found = event
        return found

    def _refuse_flood(self, device: str) -> None:
        (unseen,) = self._connection.execute(
            "SELECT count(*) FROM alerts WHERE device = ? AND acknowledged_at IS NULL AND received = 1",
            (device,),
        ).fetchone()
        if unseen >= MAX_UNSEEN_PER_DEVICE:
            raise AlertConflictError(
                f"{unseen} alerts of device {device!r} wait unacknowledged; no more are taken until some are"
            )

    def _too_large(self, over: bool, used: int, moment: walltime.Moment) -> Change:
        condition = Condition(
            code="JOURNAL_TOO_LARGE",
            subject=self.device,
            priority=Priority.MEDIUM,
            title="The alert journal has passed its size limit, and nothing in it may be deleted:"
            " acknowledge what is over, or raise the limit",
            evidence={"used_bytes": used, "limit_bytes": self._max_bytes},
        )
        return Change(over, "edgeai", "journal", condition, moment, uuid.uuid4().hex, by="journal")


def _held(limit: int) -> int:
    return max(1, min(limit, 1000))
