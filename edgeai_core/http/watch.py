"""Which loops run and which stand still, by the progress in their statistics files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_core.errors import InputError
from edgeai_core.loop.statistics import read_progress, read_statistics

_PERIOD_S = 0.5
_MAX_LOOPS = 200


@dataclass(frozen=True)
class _Seen:
    progress: int | None
    at_s: float
    moved: bool  # while we watched


class LoopWatch:
    """Looks at every loop's progress twice a second, on a thread, so that asking for it costs nothing.

    ``expected`` are the loops (``<app>.<loop>``) that must be there; others count as soon as they have a file.
    """

    def __init__(
        self,
        run: Path,
        expected: tuple[str, ...],
        stall_after_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._expected = expected
        self._stall_after_s = stall_after_s
        self._now_s = now_s
        self._seen: dict[str, _Seen] = {}
        self._statistics: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(_PERIOD_S)

    def look(self) -> None:
        """Look once."""
        now_s = self._now_s()
        files = {path.name.removesuffix(".stats"): path for path in self._files()}
        seen: dict[str, _Seen] = {}
        for name in (*self._expected, *sorted(set(files) - set(self._expected))):
            progress = read_progress(files[name]) if name in files else None
            before = self._seen.get(name)
            if before is not None and before.progress == progress:
                seen[name] = before
            else:
                seen[name] = _Seen(progress, now_s, moved=before is not None)
            if name in files and (seen[name] is before or name not in self._statistics):
                self._note(name, files[name])  # of a loop that is new, or may have ended
        self._seen = seen

    def unready(self) -> dict[str, str]:
        """Return the loops that should make progress and do not, each with a sentence; empty: all is well.

        What a run before this server left behind is not counted, unless it is expected.
        """
        return {
            name: reason
            for name, reason in self._silent().items()
            if name in self._expected or self._seen[name].moved
        }

    def loops(self) -> list[dict[str, Any]]:
        """Read every loop's statistics now, each with ``alive`` and ``reason``; blocks a little, so use a thread."""
        silent = self._silent()
        result = []
        for name in list(self._seen):
            app, _, loop = name.partition(".")
            statistics: dict[str, Any] = {"app": app, "loop": loop}
            try:
                statistics |= read_statistics(self._run / f"{name}.stats")
            except InputError as error:
                silent.setdefault(name, str(error))
            result.append({**statistics, "alive": name not in silent, "reason": silent.get(name)})
        return result

    def _silent(self) -> dict[str, str]:
        now_s = self._now_s()
        result = {}
        for name, seen in list(self._seen.items()):
            header = self._statistics.get(name, {})
            silent_s = now_s - seen.at_s
            if seen.progress is None:
                result[name] = "it has not started"
            elif header.get("ended"):
                result[name] = "it has come to its end"
            elif seen.progress == 0:
                result[name] = "it has started and made no cycle yet"
            elif silent_s > self._patience_s(header):
                result[name] = f"it has made no progress for {silent_s:.0f} s"
        return result

    def _files(self) -> list[Path]:
        try:
            return sorted(self._run.glob("*.stats"))[:_MAX_LOOPS]
        except OSError:
            return []

    def _note(self, name: str, path: Path) -> None:
        """Keep what a loop says of itself, for its period."""
        try:
            self._statistics[name] = read_statistics(path)
        except InputError:
            self._statistics.pop(name, None)

    def _patience_s(self, header: dict[str, Any]) -> float:
        return max(self._stall_after_s, 5.0 * float(header.get("progress_every_s", 0.0)))
