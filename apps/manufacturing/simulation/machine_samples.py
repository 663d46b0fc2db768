"""Make ``data_samples/manufacturing/maintenance``: ``python -m apps.manufacturing.simulation.machine_samples [DIR]``.

Short measurements twice a day of a simulated machine, from new to failed; each plays for a second. The same program
makes the same file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from apps.manufacturing.maintenance.npzfile import write_npz
from apps.manufacturing.maintenance.recording import Block
from apps.manufacturing.simulation.machines import Machine, measure

MACHINE = Machine(
    "machine-1", "outer_race", onset_h=384.0, failure_h=708.0, growth=2.0, speed_rpm=1770.0, seed=2
)
EVERY_H = 18.0
RATE_HZ = 10_240.0
BURST_S = 0.3


def write_samples(folder: Path) -> list[Path]:
    """Write the recording with its truth beside it, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks, hours = [], EVERY_H
    while hours < MACHINE.failure_h:
        block = measure(MACHINE, hours, rate_hz=RATE_HZ, duration_s=BURST_S, channels=2)
        blocks.append(Block(block.vibration, block.slow, 1.0))
        hours += EVERY_H
    path = folder / "1_outer_race_wears.npz"
    write_npz(path, blocks, RATE_HZ, play_s=1.0, simulated=True)
    truth = {**asdict(MACHINE), "every_h": EVERY_H, "measurements": len(blocks)}
    path.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return [path]


if __name__ == "__main__":
    for path in write_samples(Path(*sys.argv[1:2] or ["data_samples/manufacturing/maintenance"])):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
