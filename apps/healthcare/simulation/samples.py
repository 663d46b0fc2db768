"""Make ``data_samples/healthcare``: ``python -m apps.healthcare.simulation.samples [DIR]``.

``ecg/`` and ``vitals/`` hold the same hearts at the same times, under the same names. The numbers in the names are the
order in which a player takes them. The same program makes the same files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.simulation.bedside import PULSE_HZ, play_bedside
from apps.healthcare.simulation.ecg import SimulatedEcg, simulate
from apps.healthcare.simulation.heart import beats_of
from apps.healthcare.simulation.scenarios import SCENARIOS
from apps.healthcare.vitals.csvfile import write_csv as write_vitals_csv

SAMPLES = (
    "vt_into_vf", "asystole", "lead_off", "stable", "faint_leads", "pvc_runs", "atrial_fibrillation",
)  # fmt: skip
RATE_HZ = 250.0
LEADS = ("II", "V1")
SEED = 20
DECIMALS = 3
"""Microvolts: finer than the 5 uV steps in which most recorders resolve a signal."""


_EVERY = 2
"""Of the simulated pulse, at 100 Hz, every second sample is kept."""
_SHORTEST_S = 60


def write_samples(folder: Path) -> list[Path]:
    """Write each heart's ECG and vital signs as CSV, the ECG's truth beside it, and return the recordings."""
    written = []
    for number, name in enumerate(SAMPLES, start=1):
        made = simulate(SCENARIOS[name], rate_hz=RATE_HZ, lead_names=LEADS, seed=SEED + number)
        recording = folder / "ecg" / f"{number}_{name}.csv"
        recording.parent.mkdir(parents=True, exist_ok=True)
        write_csv(
            recording, made.samples_mv, made.rate_hz, made.lead_names, decimals=DECIMALS, simulated=True
        )
        truth = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in made.truth.to_json().items())
        recording.with_suffix(".truth.json").write_text(f"{{\n{truth}\n}}\n", encoding="utf-8")
        written += [recording, _write_vitals(folder / "vitals" / recording.name, made, SEED + number)]
    return written


def _write_vitals(path: Path, made: SimulatedEcg, seed: int) -> Path:
    """Write what finger and artery of this heart's patient give, as long as its ECG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    duration_s = len(made.samples_mv) / made.rate_hz
    patient = play_bedside("stable", seed, max(round(duration_s), _SHORTEST_S), beats_of(made.truth).between)
    rows: list[dict[str, float]] = []
    for moment in patient:
        if moment.end_s > duration_s:
            break
        ppg, abp = moment.waves["ppg"][0][::_EVERY], moment.waves["abp"][0][::_EVERY]
        rows += [
            {"ppg": round(float(a), 3), "abp_mmhg": round(float(b), 1)} for a, b in zip(ppg, abp, strict=True)
        ]
        for column, sign in (("spo2_percent", "spo2"), ("temperature_celsius", "temperature")):
            if sign in moment.values:
                rows[-len(ppg)][column] = round(moment.values[sign], 1)
    write_vitals_csv(path, rows, PULSE_HZ / _EVERY, simulated=True)
    return path


if __name__ == "__main__":
    for path in write_samples(Path(*sys.argv[1:2] or ["data_samples/healthcare"])):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
