"""Observations that were posted: kept on the disk before the post is answered, read by the loop in their order."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apps.healthcare.vitals.signs import Measurement, Origin, Sign
from edgeai_core.errors import SensorError
from edgeai_core.state import State

KEPT_DAYS = 30.0
_PAGE = 200


def observations_file(state: State) -> Path:
    """Return where a state keeps them."""
    return state.root / "observations.sqlite3"


class ObservationStore:
    """A table of observations; what ``put`` returned for survives ``kill -9`` and loss of power.

    Several processes may use one file. Every method raises SensorError where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._errors():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(
                path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS observations (number INTEGER PRIMARY KEY AUTOINCREMENT,"
                " id TEXT NOT NULL UNIQUE, patient TEXT NOT NULL, taken_s REAL NOT NULL, received_s REAL NOT NULL,"
                " measurements TEXT NOT NULL) STRICT"
            )

    def put(
        self, id: str, patient: str, taken_s: float, received_s: float, measurements: Sequence[Measurement]
    ) -> bool:
        """Keep one observation; False where one of this id is kept already. Times are seconds since 1970."""
        text = json.dumps([[each.sign, each.value, each.origin] for each in measurements])
        with self._lock, self._errors():
            added = self._connection.execute(
                "INSERT INTO observations (id, patient, taken_s, received_s, measurements) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                (id, patient, taken_s, received_s, text),
            ).rowcount
            self._connection.execute(
                "DELETE FROM observations WHERE received_s < ?", (received_s - KEPT_DAYS * 86_400,)
            )
        return bool(added)

    def after(
        self, number: int, patient: str, since_s: float
    ) -> list[tuple[int, float, tuple[Measurement, ...]]]:
        """Return (number, taken at, measurements) of what came after a number, taken at ``since_s`` or later."""
        with self._lock, self._errors():
            rows = self._connection.execute(
                "SELECT number, taken_s, measurements FROM observations"
                " WHERE number > ? AND patient = ? AND taken_s >= ? ORDER BY number LIMIT ?",
                (number, patient, since_s, _PAGE),
            ).fetchall()
        return [
            (
                int(number),
                float(taken_s),
                tuple(
                    Measurement(Sign(sign), value, Origin(origin)) for sign, value, origin in json.loads(text)
                ),
            )
            for number, taken_s, text in rows
        ]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SensorError(f"{self._path}: observations cannot be kept: {error}") from error
