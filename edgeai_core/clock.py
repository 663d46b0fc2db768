"""The one clock of a loop: monotonic in a live run, virtual in replay."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What loops and sources read time from."""

    def now_ns(self) -> int:
        """Return nanoseconds on a clock that never goes backwards; its zero means nothing."""
        ...

    def sleep_until_ns(self, time_ns: int) -> None:
        """Return when ``now_ns() >= time_ns``; at once where that is past."""
        ...


class MonotonicClock:
    """``time.monotonic_ns``: what a live run uses. Jumps of the wall clock do not touch it."""

    def now_ns(self) -> int:
        """Return nanoseconds since an arbitrary moment, the same for every process of this boot."""
        return time.monotonic_ns()

    def sleep_until_ns(self, time_ns: int) -> None:
        """Sleep to an absolute time; an early wake-up sleeps again."""
        while (left_ns := time_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns * 1e-9)


class VirtualClock:
    """A clock that stands still until it is told to move: replay and tests."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the virtual time."""
        return self._now_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        """Jump to ``time_ns``; never backwards."""
        self._now_ns = max(self._now_ns, time_ns)


def boot_id() -> str:
    """Return the kernel's id of this boot, or ``unknown``: monotonic times of two boots do not compare."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"
