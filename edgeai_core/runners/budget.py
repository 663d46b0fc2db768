"""The thread budget: how many compute threads this process may keep busy on its device."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgeai_core.errors import ConfigError

VARIABLE = "EDGEAI_THREADS"

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_budget(environment: Mapping[str, str] = os.environ, quota: Path = _QUOTA) -> int:
    """Return the budget, 1 or more.

    ``EDGEAI_THREADS`` is taken at its word: whoever starts several processes on one device divides the cores
    with it. Else it is the cores this process may run on, less where a container's CPU quota (cgroup 2,
    ``cpu.max``) allows fewer. Raises ConfigError where the variable is no whole number from 1 up.
    """
    stated = environment.get(VARIABLE, "").strip()
    if stated:
        if not re.fullmatch(r"[1-9][0-9]{0,3}", stated):
            raise ConfigError(f"{VARIABLE} is {stated!r}; it must be a whole number from 1 to 9999")
        return int(stated)
    return max(1, min(_cores(), _quota_cores(quota)))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota_cores(path: Path) -> int:
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return 1 << 20 if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 1 << 20  # no cgroup 2: no quota is known
