"""How odd texture alone finds bad parts: ``python -m benchmarks.inspection_texture MAGNETIC_TILE [--folds N]``.

Learnt from good tiles only, folds by the column ``group`` of ``index.csv``; beside it the same with folds by picture,
which leave photos of one tile on both sides. No network takes part, so it runs in seconds.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import cv2
import numpy as np

from apps.manufacturing.inspection.judge import fit_oddness
from apps.manufacturing.inspection.texture import texture
from edgeai_core.metrics.curves import area_interval, roc_auc
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.sensors.picture import read_picture


def main(folder: Path, n_folds: int) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [read_picture(folder / row["file"]) for row in rows]
    started = time.process_time()
    seen = np.stack([texture(picture) for picture in pictures])
    milliseconds = 1000 * (time.process_time() - started) / len(rows)
    kinds = np.array([row["class"] for row in rows])
    bad = (kinds != "MT_Free").astype(int)
    print(f"{len(rows)} pictures, {int(bad.sum())} bad; {milliseconds:.1f} ms a picture, one thread")
    print(
        f"{'area under the curve':<30}{'all':>7}{'95 %':>16}"
        + "".join(f"{k[3:]:>10}" for k in sorted(set(kinds)) if k != "MT_Free")
    )
    for name, groups in (
        ("by group", [row["group"] for row in rows]),
        ("by picture (flattering)", [row["file"] for row in rows]),
    ):
        scores = np.zeros(len(rows))
        for fold in grouped_folds(groups, kinds.tolist(), n_folds, 0):
            good = fold.train[bad[fold.train] == 0]
            scores[fold.test] = fit_oddness(seen[good])(seen[fold.test])
        low, high = area_interval(bad, scores, groups, n_resamples=300)
        each = [
            roc_auc(bad[own], scores[own])
            for kind in sorted(set(kinds))
            if kind != "MT_Free"
            for own in [(bad == 0) | (kinds == kind)]
        ]
        print(
            f"{name:<30}{roc_auc(bad, scores):>7.3f}{f'{low:.3f} to {high:.3f}':>16}"
            + "".join(f"{area:>10.3f}" for area in each)
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the unpacked magnetic tile set, with index.csv")
    parser.add_argument("--folds", type=int, default=5, help="parts of the cross-validation")
    chosen = parser.parse_args()
    main(chosen.folder, chosen.folds)
