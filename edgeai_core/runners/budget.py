"""The budget of this process on its device: compute threads it may keep busy, memory that is free, its engine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgeai_core.errors import ConfigError

VARIABLE = "EDGEAI_THREADS"

BACKEND_VARIABLE = "EDGEAI_BACKEND"

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


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


def backend_of_device(environment: Mapping[str, str] = os.environ) -> str:
    """Return the engine that this device runs its models on: ``EDGEAI_BACKEND``, else ``prepared``."""
    return environment.get(BACKEND_VARIABLE, "").strip() or "prepared"


def available_memory_bytes(meminfo: Path = _MEMORY, cgroup: Path = _CGROUP) -> int | None:
    """Return the memory that can still be taken without swapping, or None where the system does not say.

    It is ``MemAvailable``, less where a container's limit (cgroup 2, ``memory.max``) leaves less.
    """
    free: int | None = None
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
        free = int(found[1]) << 10 if found else None
    except OSError:
        pass  # not Linux
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = (cgroup / "memory.current").read_text(encoding="ascii").strip()
        if limit != "max":
            left = max(0, int(limit) - int(used))
            free = left if free is None else min(free, left)
    except (OSError, ValueError):
        pass  # no limit is known
    return free


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
