"""How far others have come: durable inputs that the loops read, and receivers of events.

All functions run inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3


def attempt(connection: sqlite3.Connection, source: str, sequence: int) -> int:
    """Count that an item is handed over; return the how-manieth time in a row."""
    connection.execute(
        "INSERT INTO inputs (source, attempted, attempts) VALUES (?, ?, 1) ON CONFLICT (source) DO UPDATE"
        " SET attempts = iif(attempted = excluded.attempted, attempts + 1, 1), attempted = excluded.attempted",
        (source, sequence),
    )
    return int(connection.execute("SELECT attempts FROM inputs WHERE source = ?", (source,)).fetchone()[0])


def commit(connection: sqlite3.Connection, source: str, sequence: int) -> bool:
    """Record that everything up to ``sequence`` has been dealt with; False where that was known."""
    before = committed(connection, source)
    if before is not None and before >= sequence:
        return False
    connection.execute(
        "INSERT INTO inputs (source, committed) VALUES (?, ?)"
        " ON CONFLICT (source) DO UPDATE SET committed = excluded.committed",
        (source, sequence),
    )
    return True


def committed(connection: sqlite3.Connection, source: str) -> int | None:
    """Return the newest committed sequence of a durable input, None before the first."""
    row = connection.execute("SELECT committed FROM inputs WHERE source = ?", (source,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def deliver(connection: sqlite3.Connection, receiver: str, sequence: int) -> None:
    """Record that a receiver has got every event up to ``sequence``; it never goes back."""
    connection.execute(
        "INSERT INTO receivers (name, delivered) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET delivered = max(delivered, excluded.delivered)",
        (receiver, sequence),
    )


def delivered(connection: sqlite3.Connection, receiver: str) -> int | None:
    """Return the newest sequence a receiver has got, None where it is unknown."""
    row = connection.execute("SELECT delivered FROM receivers WHERE name = ?", (receiver,)).fetchone()
    return None if row is None else int(row[0])


def drop_receiver(connection: sqlite3.Connection, receiver: str) -> None:
    """Forget a receiver."""
    connection.execute("DELETE FROM receivers WHERE name = ?", (receiver,))
