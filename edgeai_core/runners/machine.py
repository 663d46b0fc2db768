"""This machine, as far as it decides which engine is fastest on it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeai_core.runners.budget import available_memory_bytes, thread_budget

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")
_TELLING = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "f16c",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Instructions that decide how fast int8 and float16 are: VNNI and its kin multiply four int8 at once."""


@dataclass(frozen=True)
class Machine:
    """Processor, the cores and threads this process may use, and the instructions that matter to engines."""

    cpu: str
    architecture: str
    cores: int
    threads: int
    instructions: tuple[str, ...]
    memory_mib: int

    def __str__(self) -> str:
        return f"{self.cpu} ({self.architecture}), {self.cores} cores, {self.memory_mib / 1024:.1f} GiB"

    def key(self) -> dict[str, object]:
        """Return what an answer about engines depends on: all but the memory."""
        return {name: value for name, value in asdict(self).items() if name != "memory_mib"}


def this_machine(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> Machine:
    """Look at the machine that this process runs on."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    flags = set(_field(text, "flags").split()) | set(_field(text, "Features").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        cpu=_name(text, board),
        architecture=platform.machine(),
        cores=cores,
        threads=thread_budget(),
        instructions=tuple(each for each in _TELLING if each in flags),
        memory_mib=_memory_mib(),
    )


def _name(cpuinfo: str, board: Path) -> str:
    """Return the processor's name: on boards the board's, which says more than "ARMv8"."""
    try:
        named = board.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        named = ""
    return (
        named
        or _field(cpuinfo, "model name")
        or _field(cpuinfo, "Model")
        or platform.processor()
        or "unknown"
    )


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _memory_mib() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return (available_memory_bytes() or 0) >> 20
