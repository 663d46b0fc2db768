"""Make ``data_samples/manufacturing/inspection``: ``python -m apps.manufacturing.simulation.samples [DIR]``.

The numbers in the names are the order in which a player takes them. The same program makes the same files.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import cv2

from apps.manufacturing.simulation.line import Scenario, line_part

SAMPLES = (
    ("run_of_rejects", Scenario.RUN_OF_REJECTS, range(15, 31)),
    ("camera_dark", Scenario.CAMERA, range(16, 32)),
)
"""Name, scenario, and which of its parts."""

SEED = 7
JPEG_QUALITY = 80


def write_samples(folder: Path) -> list[Path]:
    """Write each recording as a zip file of JPEGs with its truth beside it, and return the recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, (name, scenario, numbers) in enumerate(SAMPLES, start=1):
        recording = folder / f"{place}_{name}.zip"
        truth = []
        with zipfile.ZipFile(recording, "w", zipfile.ZIP_STORED) as archive:
            for number in numbers:
                made = line_part(scenario, number, SEED)
                packed = cv2.imencode(".jpg", made.part.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
                file = f"simulated_{number:03}.jpg"
                archive.writestr(zipfile.ZipInfo(file, (2026, 1, 1, 0, 0, 0)), packed.tobytes())
                truth.append(
                    {"file": file, "defect": made.part.defect, "box": made.part.box, "camera": made.ailment}
                )
        lines = ",\n".join(f" {json.dumps(each)}" for each in truth)
        recording.with_suffix(".truth.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        written.append(recording)
    return written


if __name__ == "__main__":
    for path in write_samples(Path(*sys.argv[1:2] or ["data_samples/manufacturing/inspection"])):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
