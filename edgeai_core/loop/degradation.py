"""Stepping down when a loop overruns, and the way back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edgeai_core.loop.spec import Degradation

_SECOND_NS = 1_000_000_000
_LARGEST_DOUBLING = (
    10  # 1024 times back_after_s: a loop that keeps relapsing stays down for hours, not for ever
)


class DegradationLadder:
    """The level a loop runs at: 0 is whole, ``k`` means the first ``k`` degradations are in force."""

    def __init__(self, rungs: Sequence[Degradation]) -> None:
        self._rungs = tuple(rungs)
        self._overruns: deque[int] = deque()
        self._relapses = [0] * len(self._rungs)
        self._quiet_since_ns: int | None = None
        self.level = 0

    def note(self, now_ns: int, overran: bool) -> int:
        """Take in one cycle's outcome and return the level for the next cycle."""
        if self._quiet_since_ns is None:
            self._quiet_since_ns = now_ns
        if overran:
            self._quiet_since_ns = now_ns
            self._overruns.append(now_ns)
            self._step_down(now_ns)
        elif self.level:
            self._step_up(now_ns)
        return self.level

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations in force."""
        return tuple(rung.name for rung in self._rungs[: self.level])

    def _step_down(self, now_ns: int) -> None:
        if self.level == len(self._rungs):
            self._overruns.clear()
            return
        rung = self._rungs[self.level]
        while self._overruns and now_ns - self._overruns[0] > rung.within_s * _SECOND_NS:
            self._overruns.popleft()
        if len(self._overruns) >= rung.after:
            self._overruns.clear()
            self.level += 1

    def _step_up(self, now_ns: int) -> None:
        index = self.level - 1
        wait_s = self._rungs[index].back_after_s * 2 ** min(self._relapses[index], _LARGEST_DOUBLING)
        if self._quiet_since_ns is not None and now_ns - self._quiet_since_ns >= wait_s * _SECOND_NS:
            self._relapses[index] += 1  # should it come back here, the next way up takes twice as long
            self.level -= 1
            self._quiet_since_ns = now_ns
            self._overruns.clear()
