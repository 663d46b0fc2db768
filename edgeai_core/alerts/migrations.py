"""The journal's tables as numbered steps: the file's ``user_version`` says how many it has had.

A step that has been released is never edited; a change is a new step at the end.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x45444745  # "EDGE": tells our file from any other SQLite database

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # number: the order of arrival, and the cursor of paging. received: copied from another device.
        """
        CREATE TABLE alerts (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            device TEXT NOT NULL,
            received INTEGER NOT NULL,
            app TEXT NOT NULL,
            loop TEXT NOT NULL,
            code TEXT NOT NULL,
            subject TEXT NOT NULL,
            priority TEXT NOT NULL CHECK (priority IN ('high', 'medium', 'low')),
            title TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('raised', 'acknowledged', 'latched', 'cleared')),
            active INTEGER NOT NULL,
            latched INTEGER NOT NULL,
            raised_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            acknowledged_at TEXT,
            acknowledged_by TEXT,
            cleared_at TEXT,
            evidence TEXT NOT NULL,
            boot_id TEXT NOT NULL,
            clock_synchronised INTEGER NOT NULL,
            monotonic_ns INTEGER NOT NULL
        ) STRICT
        """,
        # One incident is one alert: the file itself refuses a second open one.
        """
        CREATE UNIQUE INDEX alerts_one_per_incident ON alerts (device, app, loop, code, subject)
            WHERE state <> 'cleared' AND received = 0
        """,
        "CREATE INDEX alerts_by_state ON alerts (state, number)",
        """
        CREATE INDEX alerts_unseen ON alerts (device) WHERE acknowledged_at IS NULL AND received = 1
        """,
        """
        CREATE INDEX alerts_over ON alerts (updated_at)
            WHERE state = 'cleared' AND acknowledged_at IS NOT NULL
        """,
        # body: the alert as it stood after this event, as JSON.
        """
        CREATE TABLE events (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            at TEXT NOT NULL,
            by TEXT NOT NULL,
            body TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX events_by_alert ON events (alert_id, sequence)",
        """
        CREATE TABLE inputs (
            source TEXT PRIMARY KEY,
            committed INTEGER,
            attempted INTEGER,
            attempts INTEGER NOT NULL DEFAULT 0
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE TABLE receivers (name TEXT PRIMARY KEY, delivered INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        # forgotten: the newest sequence that retention has deleted.
        "CREATE TABLE retention (forgotten INTEGER NOT NULL) STRICT",
        "INSERT INTO retention VALUES (0)",
    ),
    (
        "ALTER TABLE alerts ADD COLUMN silenced_at TEXT",
        "ALTER TABLE alerts ADD COLUMN silenced_until TEXT",
        "ALTER TABLE alerts ADD COLUMN silenced_by TEXT",
        "ALTER TABLE alerts ADD COLUMN escalation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE alerts ADD COLUMN escalated_to TEXT",
        "ALTER TABLE alerts ADD COLUMN escalated_at TEXT",
        "CREATE INDEX events_by_time ON events (at)",
        # identity: tells this journal's events from those of one that was set aside before it.
        "CREATE TABLE journal (identity TEXT NOT NULL) STRICT",
        "INSERT INTO journal VALUES (lower(hex(randomblob(8))))",
        # failing_since, failure: of the newest attempt in a row of failures; NULL while all is well.
        "ALTER TABLE receivers ADD COLUMN failing_since TEXT",
        "ALTER TABLE receivers ADD COLUMN failure TEXT",
        "ALTER TABLE receivers ADD COLUMN delivered_at TEXT",
        # What a receiver refused for good: kept with the event's text, so that retention may forget the alert.
        """
        CREATE TABLE dead_letters (
            receiver TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            at TEXT NOT NULL,
            reason TEXT NOT NULL,
            event TEXT NOT NULL,
            again INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (receiver, sequence)
        ) STRICT, WITHOUT ROWID
        """,
    ),
)


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> int:
    """Bring a file up to date in one transaction; return its version.

    Several processes may open one file at once: the first does the work, the others wait and find it done.
    A file of a newer version is left alone; the caller refuses it.
    """
    if (version := user_version(connection)) >= len(migrations):
        return version
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[user_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return len(migrations)


def user_version(connection: sqlite3.Connection) -> int:
    """Return how many migrations a file has had."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
