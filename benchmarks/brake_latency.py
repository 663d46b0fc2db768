"""How soon a radar scan is a brake command, with everything of the car running beside it.

    python -m benchmarks.brake_latency [--seconds 30] [--scenario town] [--json]

``edgeai run automotive`` runs in a state folder of its own. This program listens beside the brake: to the radar's
stream, where it notes when the simulation handed a scan over, and to the brake's topic, where it notes the first
command that stands on that scan or a later one. The difference is hand-over to command; from the scan's own stamp to
the command comes the sensor's delay on top (30 to 40 ms in the simulation). Where the machine allows it, this program
listens at real-time priority.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from apps.automotive.messages import RadarScan
from edgeai_core.clock import MonotonicClock
from edgeai_core.loop.statistics import read_statistics
from edgeai_core.state import State
from edgeai_core.topics.datagram import DatagramReceiver, topic_folder
from edgeai_core.topics.stream import RingSource
from edgeai_core.topics.topic import TopicMessage

RADAR = "automotive.simulation/radar"
SETTLED_S = 5.0
"""The first seconds are not counted: the processes load what they load late."""


def listen(state: State, seconds: float) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Return when each scan was handed over, by its stamp, and (stamp of its scan, moment) of every command."""
    scans: dict[int, int] = {}
    commands: list[tuple[int, int]] = []
    source = RingSource(state.run, RADAR, RadarScan)
    source.open(MonotonicClock())
    receiver = DatagramReceiver(topic_folder(state.run, "automotive.braking"))
    ends_s = time.monotonic() + seconds

    def hear_scans() -> None:
        while time.monotonic() < ends_s:
            reading = source.read(0.1)
            if reading is not None and reading.time_ns is not None:
                scans[reading.time_ns] = time.monotonic_ns()

    thread = threading.Thread(target=hear_scans)
    thread.start()
    while time.monotonic() < ends_s:
        payload = receiver.receive(0.1)
        now_ns = time.monotonic_ns()
        if payload is not None:
            stamp_ns = TopicMessage.from_bytes(payload).stamps.get(RADAR)
            if stamp_ns is not None:
                commands.append((stamp_ns, now_ns))
    thread.join()
    source.close()
    receiver.close()
    return scans, commands


def delays_ms(scans: dict[int, int], commands: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Return hand-over to command and stamp to command, of every scan that a command followed."""
    handed, stamped = [], []
    at = 0
    first_ns = min(scans.values(), default=0) + int(SETTLED_S * 1e9)
    for stamp_ns, came_ns in sorted(scans.items()):
        while at < len(commands) and commands[at][0] < stamp_ns:
            at += 1
        if at == len(commands):
            break
        if came_ns > first_ns:
            handed.append((commands[at][1] - came_ns) / 1e6)
            stamped.append((commands[at][1] - stamp_ns) / 1e6)
    return handed, stamped


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """Return p50, p99, p99.9 and the largest."""
    return {f"p{mark:g}": round(float(np.percentile(values_ms, mark)), 2) for mark in (50, 99, 99.9, 100)}


def main() -> int:
    """Run the car, listen, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--scenario", default="town")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="edgeai-brake-") as folder:
        state = State(Path(folder) / "state").create()
        command = [
            sys.executable,
            "-m",
            "edgeai_core.cli.main",
            "run",
            "automotive",
            "--state",
            str(state.root),
        ]
        command += ["--set", f"automotive.simulation.scenario={given.scenario}"]
        run = subprocess.Popen(
            [*command, "--seconds", str(given.seconds + SETTLED_S + 15.0)],
            stderr=subprocess.DEVNULL,
        )
        with suppress(OSError):  # the car's processes have been started: this is for this program alone
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(30))
        try:
            file = state.statistics("automotive", "simulation")
            while not file.exists() and run.poll() is None:
                time.sleep(0.1)
            scans, commands = listen(state, given.seconds + SETTLED_S)
            loops = {
                name: read_statistics(state.statistics("automotive", name))
                for name in ("simulation", "perception", "planning", "braking")
            }
        finally:
            run.terminate()
            run.wait()
    handed, stamped = delays_ms(scans, commands)
    result = {
        "scans": len(handed),
        "handed_over_to_command_ms": percentiles(handed),
        "stamp_to_command_ms": percentiles(stamped),
        "rates_hz": {name: each["rate_hz"] for name, each in loops.items()},
    }
    if given.json:
        print(json.dumps(result, indent=1))
        return 0
    print(f"{len(handed)} radar scans; p50, p99, p99.9 and the largest, in milliseconds")
    for name in ("handed_over_to_command_ms", "stamp_to_command_ms"):
        print(f"{name:<28}" + "".join(f"{value:>9.2f}" for value in result[name].values()))  # type: ignore[attr-defined]
    print("rates: " + ", ".join(f"{name} {rate} Hz" for name, rate in result["rates_hz"].items()))  # type: ignore[attr-defined]
    return 0


if __name__ == "__main__":
    sys.exit(main())
