"""How far each webhook receiver has come in the journal, how it does, and what it refused for good."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from edgeai_core.alerts import cursors, walltime
from edgeai_core.alerts.alert import AlertEvent
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.rows import event_from_json
from edgeai_core.errors import InputError

MAX_DEAD = 10_000
"""So many dead letters of one receiver are kept; past it the receiver counts as out of order, and all waits."""


@dataclass(frozen=True)
class Standing:
    """How one receiver does.

    ``delivered`` is the newest sequence that it has got or did not want; ``waiting`` how many events come after it.
    ``failing_since`` and ``failure`` are None while deliveries succeed. ``dead`` counts its dead letters.
    """

    delivered: int
    waiting: int
    delivered_at: str | None
    failing_since: str | None
    failure: str | None
    dead: int


@dataclass(frozen=True)
class DeadLetter:
    """An event that a receiver refused for good, why and when; ``again``: a person asked to send it once more."""

    event: AlertEvent
    at: str
    reason: str
    again: bool

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {"at": self.at, "reason": self.reason, "again": self.again, "event": self.event.to_json()}


def identity(journal: Journal) -> str:
    """Return what tells this journal from any other."""
    return str(journal.read(lambda c: c.execute("SELECT identity FROM journal").fetchone()[0]))


def enter(journal: Journal, receiver: str, *, from_now: bool) -> int:
    """Return the position of a receiver; a new one starts at the journal's end, or with its first event."""
    last = journal.last_sequence() if from_now else 0

    def start(connection: sqlite3.Connection) -> int:
        known = cursors.delivered(connection, receiver)
        if known is None:
            cursors.deliver(connection, receiver, last)
        return last if known is None else known

    return journal.write(start)


def leave(journal: Journal, receiver: str) -> None:
    """Forget a receiver with its dead letters: retention no longer waits for it."""

    def forget(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM dead_letters WHERE receiver = ?", (receiver,))
        cursors.drop_receiver(connection, receiver)

    journal.write(forget)


def note_delivered(journal: Journal, receiver: str, sequence: int) -> None:
    """Record that a receiver has got everything up to ``sequence``, now, and is well."""

    def note(connection: sqlite3.Connection) -> None:
        cursors.deliver(connection, receiver, sequence)
        _well(connection, receiver)

    journal.write(note)


def note_failure(journal: Journal, receiver: str, reason: str) -> None:
    """Record why nothing gets through; since when is kept from the first failure in a row."""
    at = walltime.now().iso
    journal.write(
        lambda connection: connection.execute(
            "UPDATE receivers SET failing_since = coalesce(failing_since, ?), failure = ? WHERE name = ?",
            (at, reason[:500], receiver),
        )
    )


def bury(journal: Journal, receiver: str, event: AlertEvent, reason: str) -> bool:
    """Keep an event as a dead letter and go on after it, in one transaction; False where there are too many."""
    at = walltime.now().iso

    def keep(connection: sqlite3.Connection) -> bool:
        if _count(connection, receiver) >= MAX_DEAD:
            return False
        connection.execute(
            "INSERT OR REPLACE INTO dead_letters (receiver, sequence, at, reason, event) VALUES (?, ?, ?, ?, ?)",
            (receiver, event.sequence, at, reason[:500], json.dumps(event.to_json(), ensure_ascii=False)),
        )
        cursors.deliver(connection, receiver, event.sequence)
        _well(connection, receiver)
        return True

    return journal.write(keep)


def dead_letters(
    journal: Journal, receiver: str, *, again: bool | None = None, after: int = 0, limit: int = 100
) -> list[DeadLetter]:
    """Return dead letters of a receiver after a sequence, oldest first; ``again``: only those to be sent, or not."""
    where = "" if again is None else f" AND again = {int(again)}"
    rows = journal.read(
        lambda connection: connection.execute(
            "SELECT event, at, reason, again FROM dead_letters WHERE receiver = ? AND sequence > ?"  # noqa: S608
            f"{where} ORDER BY sequence LIMIT ?",
            (receiver, after, max(1, min(limit, 1000))),
        ).fetchall()
    )
    return [DeadLetter(event_from_json(event), at, reason, bool(sent)) for event, at, reason, sent in rows]


def send_again(journal: Journal, receiver: str, sequence: int) -> None:
    """Let a dead letter be sent once more, before what waits. Raises InputError where there is none."""
    _change_dead(journal, "UPDATE dead_letters SET again = 1", receiver, sequence)


def discard(journal: Journal, receiver: str, sequence: int) -> None:
    """Delete a dead letter: it arrived, or nobody wants it any more. Raises InputError where there is none."""
    _change_dead(journal, "DELETE FROM dead_letters", receiver, sequence)


def standing(journal: Journal, receiver: str) -> Standing | None:
    """Return how a receiver does; None before it has a position."""

    def look(connection: sqlite3.Connection) -> Standing | None:
        row = connection.execute(
            "SELECT delivered, delivered_at, failing_since, failure FROM receivers WHERE name = ?",
            (receiver,),
        ).fetchone()
        if row is None:
            return None
        (waiting,) = connection.execute(
            "SELECT count(*) FROM events WHERE sequence > ?", (row[0],)
        ).fetchone()
        dead = _count(connection, receiver)
        return Standing(int(row[0]), int(waiting), row[1], row[2], row[3], dead)

    return journal.read(look)


def _well(connection: sqlite3.Connection, receiver: str) -> None:
    connection.execute(
        "UPDATE receivers SET delivered_at = ?, failing_since = NULL, failure = NULL WHERE name = ?",
        (walltime.now().iso, receiver),
    )


def _count(connection: sqlite3.Connection, receiver: str) -> int:
    row = connection.execute("SELECT count(*) FROM dead_letters WHERE receiver = ?", (receiver,)).fetchone()
    return int(row[0])


def _change_dead(journal: Journal, statement: str, receiver: str, sequence: int) -> None:
    changed = journal.write(
        lambda connection: (
            connection.execute(
                f"{statement} WHERE receiver = ? AND sequence = ?", (receiver, sequence)
            ).rowcount
        )
    )
    if not changed:
        raise InputError(f"webhook {receiver!r} has no dead letter {sequence}")
