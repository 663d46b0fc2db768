"""What a loop asks of the machine: cores, priority, locked memory, fine timers, a quiet collector."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import time
from collections.abc import Callable

from edgeai_core.loop.spec import Realtime

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3
_SWITCH_INTERVAL_S = 0.0002
_PRIORITY_OF_HELPERS = 1

LIBRARY_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
"""The environment of a loop's process, where nobody set it otherwise: numpy and OpenCV start no threads of their own.

With one process per loop their threads, which wait by spinning, take the cores from one another.
"""

HOW_TO_GET_PRIORITY = (
    "give the user an rtprio limit: `USER - rtprio 80` in /etc/security/limits.conf, LimitRTPRIO=80 in a systemd unit, "
    "--ulimit rtprio=80 or --cap-add=SYS_NICE for a container"
)
HOW_TO_LOCK_MEMORY = (
    "give the user a memlock limit: `USER - memlock unlimited` in /etc/security/limits.conf, LimitMEMLOCK=infinity in "
    "a systemd unit, --ulimit memlock=-1 for a container"
)


def hold_library_threads() -> None:
    """Set ``LIBRARY_THREADS`` for this process where nothing is set; it counts until numpy is imported."""
    for name, value in LIBRARY_THREADS.items():
        os.environ.setdefault(name, value)


def apply_realtime(wish: Realtime) -> list[str]:
    """Apply to the calling process what the machine grants; return what it refused, and how to get it, in words.

    Call it before any thread is started: threads inherit what it sets. With a ``priority`` they all get the lowest
    of SCHED_FIFO, and ``lead`` raises the loop's own thread above them (sched(7)). The loop's thread alone would not
    do: whenever a thread of ordinary priority holds the interpreter lock and some other program takes its core, the
    loop, whatever its priority, waits for that program.

    The timer slack is always set to 1 ns: the kernel's default of 50 us adds to every wake-up
    (prctl(2), PR_SET_TIMERSLACK). Nothing here raises: a loop without its wishes still runs.
    """
    refused: list[str] = []
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _attempt(refused, "timer slack of 1 ns", lambda: _libc("prctl", _PR_SET_TIMERSLACK, 1, 0, 0, 0))
    if wish.cores:
        there = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        _attempt(
            refused,
            f"cores {', '.join(map(str, wish.cores))} (this process may use {there})",
            lambda: os.sched_setaffinity(0, wish.cores),
        )
    if wish.priority is not None:
        _allow(resource.RLIMIT_RTPRIO)
        _attempt(
            refused,
            f"SCHED_FIFO priority {wish.priority} ({HOW_TO_GET_PRIORITY})",
            lambda: _try_both(wish.priority),
        )
    if wish.lock_memory:
        _allow(resource.RLIMIT_MEMLOCK)
        _attempt(
            refused,
            f"locked memory ({HOW_TO_LOCK_MEMORY})",
            lambda: _libc("mlockall", _MCL_CURRENT_AND_FUTURE),
        )
    return refused


def lead(wish: Realtime) -> None:
    """Give the calling thread, the loop's, its priority over the process's other threads, once those have started."""
    if wish.priority is not None:
        with contextlib.suppress(OSError):  # refused before, and said
            _fifo(wish.priority)


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


def _fifo(priority: int) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def _try_both(priority: int | None) -> None:
    """Get what ``lead`` will ask for, so that a refusal is known now, and go down to what threads inherit."""
    if priority is not None:
        _fifo(priority)
        _fifo(_PRIORITY_OF_HELPERS)


def _allow(limit: int) -> None:
    """Raise a soft limit as far as the hard one lets it; what that does not give is refused by the call itself."""
    hard = resource.getrlimit(limit)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (hard, hard))


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
