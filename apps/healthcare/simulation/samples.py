"""Make ``data_samples/healthcare/ecg``: ``python -m apps.healthcare.simulation.samples [DIR]``.

The numbers in the names are the order in which a player takes them. The same program makes the same files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.simulation.ecg import simulate
from apps.healthcare.simulation.scenarios import SCENARIOS

SAMPLES = ("vt_into_vf", "asystole", "lead_off", "stable", "pvc_runs", "atrial_fibrillation")
RATE_HZ = 250.0
LEADS = ("II", "V1")
SEED = 20
DECIMALS = 3
"""Microvolts: finer than the 5 uV steps in which most recorders resolve a signal."""


def write_samples(folder: Path) -> list[Path]:
    """Write each recording as CSV with its truth beside it, and return the recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, name in enumerate(SAMPLES, start=1):
        made = simulate(SCENARIOS[name], rate_hz=RATE_HZ, lead_names=LEADS, seed=SEED + number)
        recording = folder / f"{number}_{name}.csv"
        write_csv(
            recording, made.samples_mv, made.rate_hz, made.lead_names, decimals=DECIMALS, simulated=True
        )
        truth = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in made.truth.to_json().items())
        recording.with_suffix(".truth.json").write_text(f"{{\n{truth}\n}}\n", encoding="utf-8")
        written.append(recording)
    return written


if __name__ == "__main__":
    for path in write_samples(Path(*sys.argv[1:2] or ["data_samples/healthcare/ecg"])):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
