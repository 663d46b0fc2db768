"""What the journal may forget, and when: by age, then by size; never what somebody may still need.

Deletable is an alert that has cleared, that a person has acknowledged, and whose every event every receiver has
got. All functions run inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_BATCH = 200
_DELETABLE = """
    state = 'cleared' AND acknowledged_at IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events JOIN receivers ON events.sequence > receivers.delivered
        WHERE events.alert_id = alerts.id
    )
"""


@dataclass(frozen=True)
class Pruned:
    """What a pruning did: how many alerts it deleted, the bytes still in use, and whether they pass the limit."""

    deleted: int
    used_bytes: int
    over_limit: bool


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file hold data; pages set free do not count."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def forget(connection: sqlite3.Connection, older_than: str, max_bytes: int) -> int:
    """Delete up to one batch of what may go: first what is older than a time, then the oldest while the file is too
    large. Return how many alerts went; 0 means that nothing more may go, or need.
    """
    aged = _oldest(connection, older_than)
    for alert_id in aged:
        _delete(connection, alert_id)
    if aged:
        return len(aged)
    deleted = 0
    for alert_id in _oldest(connection) if used_bytes(connection) > max_bytes else ():
        _delete(connection, alert_id)
        deleted += 1
        if used_bytes(connection) <= max_bytes:
            break
    return deleted


def _oldest(connection: sqlite3.Connection, older_than: str = "~") -> list[str]:
    rows = connection.execute(
        f"SELECT id FROM alerts WHERE {_DELETABLE} AND updated_at < ? ORDER BY updated_at, number LIMIT ?",  # noqa: S608
        (older_than, _BATCH),  # "~" sorts after every time
    )
    return [str(row[0]) for row in rows]


def _delete(connection: sqlite3.Connection, alert_id: str) -> None:
    connection.execute(
        "UPDATE retention SET forgotten ="
        " max(forgotten, (SELECT coalesce(max(sequence), 0) FROM events WHERE alert_id = ?))",
        (alert_id,),
    )
    connection.execute("DELETE FROM alerts WHERE id = ?", (alert_id,))
