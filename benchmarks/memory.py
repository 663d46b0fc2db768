"""How much memory an app's processes take while it runs.

``python -m benchmarks.memory [APP[.LOOP]] [--seconds 20] [--json]``. Starts ``edgeai run APP --serve`` on its
simulation, lets it warm up, and prints the proportional set size of every process (shared pages are divided among those
who share them), the serving process apart. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

MIB = 1 << 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", nargs="?", default="healthcare")
    parser.add_argument("--seconds", type=float, default=20.0, help="time to warm up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    processes = measure(options.app, options.seconds)
    app_mib = sum(mib for name, mib in processes if name != "serve")
    if options.json:
        print(json.dumps({"app": options.app, "processes": dict(processes), "without_serve_mib": app_mib}))
        return
    print(f"{options.app} after {options.seconds:g} s, proportional set size in MiB")
    for name, mib in processes:
        print(f"{name:32}{mib:8.1f}")
    print(f"{'all but serve':32}{app_mib:8.1f}")


def measure(app: str, seconds: float) -> list[tuple[str, float]]:
    """Return (process, MiB) of one run. Raises SystemExit where the run ends by itself."""
    with tempfile.TemporaryDirectory(prefix="edgeai-memory-") as state:
        command = [sys.executable, "-m", "edgeai_core.cli.main", "run", app, "--state", state]
        command += ["--serve", "127.0.0.1:8080", "--next-free-port", "--loopback-without-token"]
        run = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            try:
                _, said = run.communicate(timeout=seconds)
                raise SystemExit(f"the run ended by itself: {said.decode(errors='replace')[-400:]}")
            except subprocess.TimeoutExpired:
                return [(name_of(pid), pss_mib(pid)) for pid in [run.pid, *descendants(run.pid)]]
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(30)


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [each for child in children for each in (child, *descendants(child))]


def name_of(pid: int) -> str:
    """Return what a process of a run is: the loop, the recorder, ``serve``, or the command that supervises."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if "edgeai_core.process.child" in words:
        at = words.index("edgeai_core.process.child")
        return ".".join(words[at + 1 : at + 3])
    if "edgeai_core.process.recorder" in words:
        return "recorder"
    return "serve" if "serve" in words else "supervisor"


def pss_mib(pid: int) -> float:
    """Return a process's proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MIB
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss line (kernel {os.uname().release})")


if __name__ == "__main__":
    main()
