"""What being recorded costs a loop, and whether the recorder keeps up with a camera.

``python -m benchmarks.recording [--seconds 10] [--json]``. A process puts cycles and pictures of 1 MB at 30 Hz into
the tap; the recorder is a process of its own. A bare copy of the same picture is the peer for the time a picture costs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from apps.automotive.messages import CameraImage, Plan
from benchmarks.loop import steal_s
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.recording.file import ReadState, read_entries
from edgeai_core.recording.record import Missing, from_bytes
from edgeai_core.recording.tap import SOCKET, RecordingTap
from edgeai_core.sample import Sample
from edgeai_core.state import State

RATE_HZ = 30.0
CYCLE_HZ = 250.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    steal_before_s, started_s = steal_s(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgeai-recording-") as folder:
        row = measure(Path(folder), options.seconds)
    row["steal_share"] = (steal_s() - steal_before_s) / (
        (time.monotonic() - started_s) * (os.cpu_count() or 1)
    )
    row["load"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"recording": row}))
        return
    print(f"pictures of 1 MB at {RATE_HZ:g} Hz and cycles at {CYCLE_HZ:g} Hz for {options.seconds:g} s;")
    print(f"{os.cpu_count()} cores, load {row['load']:.1f}, steal {100 * row['steal_share']:.2f} %")
    print(f"on the loop's thread: a cycle {row['cycle_us']:.0f} us, a picture {row['arrival_us']:.0f} us")
    print(f"  (a copy of that picture alone {row['copy_us']:.0f} us)")
    print(f"the loop's process in all, with its sending thread: {row['loop_core_percent']:.1f} % of a core")
    print(
        f"the recorder: {row['recorder_core_percent']:.1f} % of a core, {row['file_mb_per_s']:.1f} MB/s to the file"
    )
    print(f"records: {row['records']:.0f}, missing: {row['missing']:.0f}")


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Record a camera and a fast loop; return what it cost."""
    state = State(folder / "state").create()
    path = folder / "run.mcap"
    recorder = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "edgeai_core.process.recorder",
            "--state",
            str(state.root),
            "--file",
            str(path),
        ],
        stderr=subprocess.DEVNULL,
    )
    while not (state.run / SOCKET).exists():
        time.sleep(0.01)
    tap = RecordingTap(state.run, "automotive", "bench", "{}")
    rng = np.random.default_rng(0)
    scene = (
        rng.integers(0, 255, (24, 32, 3), np.uint8).repeat(24, axis=0).repeat(18, axis=1)
    )  # 576 x 576, 1 MB
    images = [CameraImage(scene ^ rng.integers(0, 8, scene.shape, np.uint8)) for _ in range(8)]
    points = np.linspace(0.0, 5.0, 50)
    plan = Plan(0, "follow", "", points, points, points, points, points, 0.0, 0.0)
    took: dict[str, list[int]] = {"cycle": [], "arrival": [], "copy": []}
    usage_before = resource.getrusage(resource.RUSAGE_SELF)
    begin_ns = time.monotonic_ns()
    next_image, cycles, pictures = begin_ns, 0, 0
    while (now_ns := time.monotonic_ns()) - begin_ns < seconds * 1e9:
        if now_ns >= next_image:
            next_image += int(1e9 / RATE_HZ)
            pictures += 1
            sample = Sample(images[pictures % 8], now_ns, now_ns, pictures)
            timed(took["arrival"], lambda sample=sample: tap.arrived("camera", sample))
        cycle: Cycle[Any] = Cycle(
            "bench", Snapshot(cycles, now_ns, now_ns, 0, {}), Decision(plan), now_ns, now_ns + 1
        )
        timed(took["cycle"], lambda cycle=cycle: tap.put(cycle))
        cycles += 1
        left_s = (begin_ns + cycles * 1e9 / CYCLE_HZ - time.monotonic_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)
    wall_s = (time.monotonic_ns() - begin_ns) / 1e9
    tap.close(30.0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    recorder.terminate()
    recorder.wait()
    recorded = resource.getrusage(resource.RUSAGE_CHILDREN)
    for image in images * 10:
        timed(took["copy"], image.pixels.copy)
    read = ReadState()
    records = [from_bytes(entry.data) for entry in read_entries(path, read) if not entry.schema]
    cpu_s = usage.ru_utime + usage.ru_stime - usage_before.ru_utime - usage_before.ru_stime
    return {
        **{f"{name}_us": float(np.median(each)) / 1000 for name, each in took.items()},
        "loop_core_percent": 100 * cpu_s / wall_s,
        "recorder_core_percent": 100 * (recorded.ru_utime + recorded.ru_stime) / wall_s,
        "file_mb_per_s": path.stat().st_size / 1e6 / wall_s,
        "records": float(len(records)),
        "missing": float(sum(each.count for each in records if isinstance(each, Missing))),
    }


def timed(took: list[int], act: Any) -> None:
    """Add how long an act took."""
    begin_ns = time.perf_counter_ns()
    act()
    took.append(time.perf_counter_ns() - begin_ns)


if __name__ == "__main__":
    main()
