"""What a loop asks of the machine: cores, priority, locked memory, fine timers, a quiet collector."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable

from edgeai_core.loop.spec import Realtime

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3
_SWITCH_INTERVAL_S = 0.0002


def apply_realtime(wish: Realtime) -> list[str]:
    """Apply to the calling thread and process what the machine grants; return what it refused, in words.

    The timer slack is always set to 1 ns: the kernel's default of 50 us adds to every wake-up
    (prctl(2), PR_SET_TIMERSLACK). Nothing here raises: a loop without its wishes still runs.
    """
    refused: list[str] = []
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _attempt(refused, "timer slack of 1 ns", lambda: _libc("prctl", _PR_SET_TIMERSLACK, 1, 0, 0, 0))
    if wish.cores:
        _attempt(refused, f"cores {wish.cores}", lambda: os.sched_setaffinity(0, wish.cores))
    if wish.priority is not None:
        priority = wish.priority
        _attempt(
            refused,
            f"SCHED_FIFO priority {priority} (needs CAP_SYS_NICE or a limit in /etc/security/limits.conf)",
            lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority)),
        )
    if wish.lock_memory:
        _attempt(
            refused,
            "locked memory (needs CAP_IPC_LOCK or a memlock limit)",
            lambda: _libc("mlockall", _MCL_CURRENT_AND_FUTURE),
        )
    return refused


class CollectorPauses:
    """Counts the pauses of the garbage collector while it is watched."""

    def __init__(self) -> None:
        self.count = 0
        self.longest_ns = 0
        self._start_ns = 0

    def watch(self) -> None:
        """Begin to count."""
        gc.callbacks.append(self._note)

    def reset(self) -> None:
        """Forget what was counted: the pauses of a warm-up are nobody's concern."""
        self.count = self.longest_ns = 0

    def close(self) -> None:
        """Stop counting."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._start_ns = time.monotonic_ns()
        else:
            self.count += 1
            self.longest_ns = max(self.longest_ns, time.monotonic_ns() - self._start_ns)


def collect_before_start() -> None:
    """Collect what building left behind: that takes tens of milliseconds, so never between releases."""
    gc.collect()


def freeze_after_warm_up() -> None:
    """Take what is alive out of later collections. At once, for it only moves lists."""
    gc.freeze()


def _attempt(refused: list[str], what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (OSError, AttributeError, ValueError) as error:
        refused.append(f"{what}: {error}")


def _libc(function: str, *arguments: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*(ctypes.c_ulong(a) for a in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
