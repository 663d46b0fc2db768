"""Measurements that come late: put in their place by filtering anew from the state before them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from edgeai_core.fusion.tracker import Association, Ints, Scan, Tracker, TrackTable


@dataclass(frozen=True)
class _Entry:
    scan: Scan
    numbers: Ints
    after: TrackTable


class History:
    """A tracker with its last scans and the table after each.

    The tables are the same whatever the order in which scans arrive, as long as none is older than ``memory_s``
    behind the newest; equal times keep the order of arrival. A track keeps its id through filtering anew, for the id
    belongs to the measurement that it was born of. Older scans are refused: ``push`` returns None and counts them.
    """

    def __init__(self, tracker: Tracker, memory_s: float, limit: int = 256) -> None:
        self.tracker, self.memory_s, self.limit = tracker, memory_s, limit
        self.refused = 0
        self._entries: list[_Entry] = []
        self._before: TrackTable | None = None  # the table that the kept scans begin from
        self._next = 1

    @property
    def table(self) -> TrackTable | None:
        """The table after the newest scan; None before the first."""
        return self._entries[-1].after if self._entries else self._before

    def push(self, scan: Scan) -> Association | None:
        """Take a scan; return what went where, or None where it came too late to be used."""
        newest = self.table
        oldest_s = self._before.time_s if self._before is not None else -np.inf
        if newest is not None and (scan.time_s < newest.time_s - self.memory_s or scan.time_s < oldest_s):
            self.refused += 1
            return None
        numbers = self._next + np.arange(len(scan.measured))
        self._next += len(scan.measured)
        at = bisect_right(self._entries, scan.time_s, key=lambda entry: entry.scan.time_s)
        later = self._entries[at:]
        del self._entries[at:]
        went = self._append(scan, numbers)
        for entry in later:
            self._append(entry.scan, entry.numbers)
        self._forget()
        return went

    def at(self, time_s: float) -> TrackTable | None:
        """Return the table predicted to a time after the newest scan, or the newest one where that is later."""
        table = self.table
        return table if table is None or time_s <= table.time_s else self.tracker.predict(table, time_s)

    def _append(self, scan: Scan, numbers: Ints) -> Association:
        table = self.table if self.table is not None else self.tracker.empty(scan.time_s)
        after, went = self.tracker.update(self.tracker.predict(table, scan.time_s), scan, numbers)
        self._entries.append(_Entry(scan, numbers, after))
        return went

    def _forget(self) -> None:
        horizon_s = self._entries[-1].scan.time_s - self.memory_s
        gone = bisect_right(self._entries, horizon_s, key=lambda entry: entry.scan.time_s)
        gone = max(min(gone, len(self._entries) - 1), len(self._entries) - self.limit)
        if gone > 0:
            self._before = self._entries[gone - 1].after
            del self._entries[:gone]
