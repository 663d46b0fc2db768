"""What can be known about a machine before an app runs on it. Each check is a function that returns findings."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgeai_core.errors import EdgeAIError
from edgeai_core.state import State

ENGINES = {
    "onnxruntime": "pip install onnxruntime",
    "cv2": "pip install opencv-python",
    "openvino": "pip install 'edgeai[openvino]'",
    "ai_edge_litert": "pip install 'edgeai[litert]'",
    "torch": "pip install 'edgeai[train]'",
    "wfdb": "pip install 'edgeai[wfdb]'",
}
"""Modules with native code or behind an extra, and how to get them."""

REQUIRED_ENGINES = frozenset({"onnxruntime", "cv2"})
_RIVALS = {
    "OpenCV": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "ONNX Runtime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
}
_LIBRARY_PACKAGES = {
    "libGL.so.1": "apt install libgl1, or pip install opencv-python-headless instead of opencv-python",
    "libgthread-2.0.so.0": "apt install libglib2.0-0, or pip install opencv-python-headless instead",
    "libglib-2.0.so.0": "apt install libglib2.0-0, or pip install opencv-python-headless instead",
    "libgomp.so.1": "apt install libgomp1",
}
_SMALL_SHM_BYTES = 256 << 20
_UNDER_VOLTAGE = {
    0x1: "is under-voltage now",
    0x10000: "was under-voltage since boot",
    0x4: "is throttled now",
}
"""Bits of ``vcgencmd get_throttled`` (Raspberry Pi documentation, "vcgencmd")."""


@dataclass(frozen=True)
class Finding:
    """One thing examined: ``ok``, a ``note`` (an option not there), a ``warning`` or ``failed``."""

    name: str
    status: Literal["ok", "note", "warning", "failed"]
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as plain values."""
        return asdict(self)


def examine(state: State) -> list[Finding]:
    """Run every check; one that fails by itself becomes a finding, never an error."""
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("python", python),
        ("engines", engines),
        ("builds", rival_builds),
        ("state", lambda: state_folder(state)),
        ("clock", clock),
        ("shared memory", shared_memory),
        ("ffmpeg", ffmpeg),
        ("power", power),
        ("cpu", cpu),
        ("real time", real_time),
    ]
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check()
        except Exception as error:
            findings.append(
                Finding(name, "warning", f"could not be examined: {type(error).__name__}: {error}")
            )
    return findings


def python() -> list[Finding]:
    """The interpreter and the machine."""
    detail = f"Python {platform.python_version()}, {platform.machine()}, Linux {platform.release()}"
    return [Finding("python", "ok", detail)]


def engines() -> list[Finding]:
    """Import each engine in a child process: one that dies with SIGILL is reported, not suffered."""
    return [import_engine(module, remedy) for module, remedy in ENGINES.items()]


def import_engine(module: str, remedy: str) -> Finding:
    """Import one module in a child process and say how that went."""
    code = (
        f"import {module} as m\n"
        "providers = getattr(m, 'get_available_providers', list)()\n"
        "print(getattr(m, '__version__', ''), ' '.join(providers))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Finding(module, "failed", "does not finish its import in two minutes")
    if done.returncode == 0:
        return Finding(module, "ok", done.stdout.strip())
    missing: Literal["note", "failed"] = "failed" if module in REQUIRED_ENGINES else "note"
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = " (this processor lacks instructions that the build uses)" if name == "SIGILL" else ""
        cure = "install a build for this processor" if name == "SIGILL" else f"reinstall it: {remedy}"
        return Finding(module, "failed", f"its import dies with {name}{why}", cure)
    last = (done.stderr.strip().splitlines() or ["its import fails"])[-1]
    if "No module named" in last:
        return Finding(module, missing, "is not installed", remedy)
    for library, package in _LIBRARY_PACKAGES.items():
        if library in last:
            return Finding(module, "failed", f"the system library {library} is missing", package)
    return Finding(module, "failed", last[:300], f"reinstall it: {remedy}")


def rival_builds() -> list[Finding]:
    """Two builds of one library overwrite each other's files: whichever came last half wins."""
    findings = []
    for library, names in _RIVALS.items():
        installed = [name for name in names if _version(name)]
        if len(installed) > 1:
            findings.append(
                Finding(
                    f"{library} builds",
                    "failed",
                    f"{' and '.join(installed)} are both installed and overwrite each other",
                    f"pip uninstall {' '.join(installed)}, then install the one you want",
                )
            )
        elif installed:
            findings.append(Finding(f"{library} builds", "ok", f"{installed[0]} {_version(installed[0])}"))
    return findings


def state_folder(state: State) -> list[Finding]:
    """The state folder: writable, on a local file system, with room."""
    from edgeai_core.alerts.journal import Journal

    try:
        state.create()
        Journal(state.journal, device=platform.node() or "device").close()
    except EdgeAIError as error:
        return [Finding("state", "failed", str(error))]
    free = shutil.disk_usage(state.root).free
    detail = f"{state.root}, {free / 1e9:.1f} GB free"
    if free < 500e6:
        return [
            Finding("state", "warning", detail, "the journal keeps alerts in memory when the disk is full")
        ]
    return [Finding("state", "ok", detail)]


def clock() -> list[Finding]:
    """Whether the wall clock can be trusted: alerts carry it."""
    from edgeai_core.alerts.walltime import clock_synchronised

    if clock_synchronised():
        return [Finding("clock", "ok", "synchronised")]
    return [
        Finding(
            "clock",
            "warning",
            "not synchronised: alerts say so, and loops do not mind",
            "enable a time service: apt install systemd-timesyncd or chrony",
        )
    ]


def shared_memory(path: Path = Path("/dev/shm")) -> list[Finding]:  # noqa: S108 - this is what is examined
    """Images and clouds travel between processes through here."""
    try:
        size = shutil.disk_usage(path).total
    except OSError:
        return [Finding("shared memory", "warning", f"{path} is not there", "mount a tmpfs on it")]
    if size < _SMALL_SHM_BYTES:
        remedy = "in a container: --shm-size=512m; else remount it larger"
        return [Finding("shared memory", "warning", f"{path} holds {size >> 20} MiB", remedy)]
    return [Finding("shared memory", "ok", f"{path} holds {size >> 20} MiB")]


def ffmpeg() -> list[Finding]:
    """Network and CSI cameras are read through a child process of ffmpeg."""
    found = shutil.which("ffmpeg")
    if found:
        return [Finding("ffmpeg", "ok", found)]
    return [
        Finding("ffmpeg", "note", "is not installed: cameras on the network need it", "apt install ffmpeg")
    ]


def power(hwmon: Path = Path("/sys/class/hwmon")) -> list[Finding]:
    """Under-voltage slows a Raspberry Pi down without a word."""
    command = shutil.which("vcgencmd")
    if command:
        done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, timeout=10)
        bits = int(done.stdout.strip().partition("=")[2] or "0", 16)
        return [_power([text for bit, text in _UNDER_VOLTAGE.items() if bits & bit])]
    for alarm in sorted(hwmon.glob("hwmon*/in0_lcrit_alarm")):  # the kernel's rpi_volt driver
        return [_power(["is under-voltage now"] if alarm.read_text().strip() == "1" else [])]
    return []


def cpu(folder: Path = Path("/sys/devices/system/cpu")) -> list[Finding]:
    """Cores and their frequency governor."""
    cores = len(os.sched_getaffinity(0))
    try:
        governors = {path.read_text().strip() for path in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    except OSError:
        governors = set()
    detail = f"{cores} cores" + (f", governor {', '.join(sorted(governors))}" if governors else "")
    if governors - {"performance", "schedutil"}:
        remedy = "a fast loop wants `performance`: cpupower frequency-set -g performance"
        return [Finding("cpu", "note", detail, remedy)]
    return [Finding("cpu", "ok", detail)]


def real_time() -> list[Finding]:
    """Whether loops may ask for SCHED_FIFO and for locked memory, tried in a child process each."""
    from edgeai_core.loop.realtime import HOW_TO_GET_PRIORITY, HOW_TO_LOCK_MEMORY

    wishes = {
        "real time": ("priority=1", "real-time priority", HOW_TO_GET_PRIORITY),
        "locked memory": ("lock_memory=True", "locked memory", HOW_TO_LOCK_MEMORY),
    }
    findings = []
    for name, (wish, what, remedy) in wishes.items():
        code = (
            "from edgeai_core.loop.realtime import apply_realtime\n"
            "from edgeai_core.loop.spec import Realtime\n"
            f"raise SystemExit(bool(apply_realtime(Realtime({wish}))))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
        if done.returncode == 0:
            findings.append(Finding(name, "ok", f"loops may ask for {what}"))
        else:
            findings.append(Finding(name, "note", f"loops may not ask for {what}; they run without", remedy))
    return findings


def _power(troubles: list[str]) -> Finding:
    if not troubles:
        return Finding("power", "ok", "no under-voltage")
    return Finding(
        "power", "warning", f"the board {' and '.join(troubles)}", "use a stronger supply or cable"
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
