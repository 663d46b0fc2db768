"""Teach the model of the simulated parts that ships: ``python -m apps.manufacturing.inspection.make_flange [DIR]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from apps.manufacturing.inspection.loop import SIMULATED_MODEL
from apps.manufacturing.inspection.options import TrainOptions
from apps.manufacturing.inspection.train import REPORT_FILE, train
from apps.manufacturing.simulation.line import write_parts

GOOD, BAD, SEED = 120, 60, 1
"""So many simulated parts are drawn, the bad ones with their masks."""


def make_flange(folder: Path) -> Path:
    """Draw parts, teach on them as ``edgeai train`` does, and leave model, card and vectors in a folder."""
    with tempfile.TemporaryDirectory() as drawn:
        write_parts(drawn, GOOD, BAD, SEED)
        parts = Path(drawn)
        folders = {name: [parts / name] for name in ("good", "bad", "masks")}
        # With torch the network itself would be taught, too: twice the time of each part, for nothing on these.
        options = TrainOptions.model_validate({**folders, "out": folder, "method": "supervised"})
        train(options, lambda what, done, total: None)
    (folder / REPORT_FILE).unlink()
    return folder


if __name__ == "__main__":
    made = make_flange(Path(sys.argv[1]) if sys.argv[1:] else SIMULATED_MODEL)
    sys.stdout.write(f"{made}\n")
