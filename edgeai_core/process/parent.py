"""A child's tie to its supervisor: it does not outlive it."""

from __future__ import annotations

import os
import signal

PARENT_VARIABLE = "EDGEAI_SUPERVISOR"
"""Tells a child the process id of its supervisor."""

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies (prctl(2)); raises SystemExit if it already has.

    Does nothing in a process that no supervisor started, nor in one that such a process started.
    """
    named = os.environ.pop(PARENT_VARIABLE, "")
    if not named.isdigit():
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(named):
        raise SystemExit(1)
