"""The alert journal as the server uses it: on threads of its own, for SQLite blocks and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgeai_core.alerts.journal import Journal

T = TypeVar("T")


class JournalWorker:
    """One connection to the journal and the one thread that uses it; work is done in the order it comes."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"journal-{name}")

    async def do(self, work: Callable[[Journal], T]) -> T:
        """Return what ``work`` returns of the journal; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._journal)

    def close(self) -> None:
        """Wait for what is under way, then close the connection."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._journal.close()
