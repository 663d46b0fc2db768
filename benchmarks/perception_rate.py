"""Whether perception holds the camera's pace, played from a recording on this machine as it is.

    python -m benchmarks.perception_rate [--camera-hz 30] [--seconds 20] [--busy 2] [--json]

A simulated drive is rendered ahead, in virtual time, and written as a recording; then ``edgeai run
automotive.perception --input FILE.mcap`` plays it at real speed in a state folder of its own, and the loop's own
statistics are read. ``--busy N`` runs N programs beside it that never sleep, so that it has to degrade: the level, and
whether PERCEPTION_DEGRADED was raised, are printed too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2

from apps.automotive.config import AutomotiveConfig
from apps.automotive.simulation.loop import simulation_loop
from edgeai_core.alerts.journal import Journal
from edgeai_core.loop.statistics import read_statistics
from edgeai_core.recording.file import EXACT_TOPIC, Entry, RecordingFile
from edgeai_core.recording.record import Arrived, Began, to_buffers, type_name
from edgeai_core.sensors.replay import replay_loops
from edgeai_core.state import State

NAME = "automotive.perception"
SENSORS = ("camera", "lidar", "radar", "odometry")
BUSY = "while True: pass"


def record(path: Path, camera_hz: float, seconds: float) -> dict[str, int]:
    """Write what perception would receive of a drive through town; return how many readings of each sensor."""
    cv2.setNumThreads(1)
    config = AutomotiveConfig.model_validate(
        {"simulation": {"scenario": "town", "seed": 1, "camera_hz": camera_hz, "with_brake": False}}
    )
    counts = dict.fromkeys(SENSORS, 0)
    file = RecordingFile(path, 0)
    began = Began("automotive", "perception", "rendered", 0, config.model_dump_json())
    file.write(Entry(EXACT_TOPIC + NAME, 0, b"".join(to_buffers(began))))
    loops = {"automotive.simulation": simulation_loop(config)}
    for _, cycle in replay_loops(loops, until_s=seconds):
        now_ns = cycle.snapshot.now_ns
        for sensor in SENSORS:
            for reading in cycle.decision.streams.get(sensor, ()):
                counts[sensor] += 1
                arrived = Arrived(
                    f"automotive.simulation/{sensor}", now_ns, reading.time_ns or now_ns, reading.sequence,
                    reading.count, False, type_name(reading.data), reading.data,
                )  # fmt: skip
                file.write(Entry(EXACT_TOPIC + NAME, now_ns, b"".join(to_buffers(arrived))))
    file.close()
    return counts


def play(path: Path, folder: Path, busy: int) -> dict[str, Any]:
    """Play the recording at real speed; return the loop's statistics and the alerts it raised."""
    state = State(folder / "state").create()
    command = [sys.executable, "-m", "edgeai_core.cli.main", "run", NAME, "--input", f"{NAME}={path}"]
    with ExitStack() as stack:
        for _ in range(busy):
            other = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(other.wait)
            stack.callback(other.kill)
        subprocess.run(
            [*command, "--state", str(state.root), "--evidence-s", "0"], check=True, stderr=subprocess.DEVNULL
        )
    journal = Journal(state.journal, read_only=True)
    codes = sorted({event.alert.code for event in journal.events_after(0, 1000)})
    journal.close()
    return {**read_statistics(state.statistics("automotive", "perception")), "alerts": codes}


def main() -> int:
    """Record, play, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--camera-hz", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--busy", type=int, default=0, help="so many programs beside it that never sleep")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="edgeai-rate-") as folder:
        path = Path(folder) / "drive.mcap"
        counts = record(path, given.camera_hz, given.seconds)
        found = play(path, Path(folder), given.busy)
    if given.json:
        print(json.dumps({"recorded": counts, **found}, indent=1))
        return 0
    print(", ".join(f"{count} of {sensor}" for sensor, count in counts.items()))
    print(
        f"cycles {found['cycles']}, late {found['overruns']}, pictures not looked at {found['missed_releases']}"
    )
    for name in ("lateness_us", "duration_us", "age_us"):
        row = found.get(name)
        if row:
            print(f"{name:<12} p50 {row['p50']:>9.0f}  p99 {row['p99']:>9.0f}  p99.9 {row['p999']:>9.0f}")
    print(
        f"dropped {found['dropped_samples']}, level {found['level']}, alerts: {', '.join(found['alerts']) or 'none'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
