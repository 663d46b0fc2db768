"""Distillation in earnest: small networks that learn from the network for chest films, beside the same without it.

    python -m benchmarks.distil --data XRAY --work DIR [--modality xray] [--width 0.35] [--shrink 2] [--seeds 3]

The teacher is the network that ships, the data its own: the student learns on the split train, of which a sixth tells
when to stop, and is judged on the split val, which neither teacher nor student ever saw. Films are prepared as the app
does it. For each seed the student is taught twice from the same weights: by labels and teacher, and by labels alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from apps.healthcare.imaging.datasets import CLASSES, load
from apps.healthcare.imaging.preprocess import prepare
from edgeai_core.learning.classify import Recipe
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.optimize.examples import Examples
from edgeai_core.optimize.student import Shape, Taught, distil
from edgeai_core.runners.model_file import read_model_file

MODELS = Path(__file__).parent.parent / "apps/healthcare/imaging/models"


def main() -> None:
    """Teach, judge, and print a row for each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of films with labels.csv")
    parser.add_argument("--work", type=Path, required=True, help="where the students are written")
    parser.add_argument("--modality", choices=("xray", "mri"), default="xray")
    parser.add_argument("--width", type=float, default=0.35, help="of MobileNetV2 (default 0.35)")
    parser.add_argument("--shrink", type=int, default=2, help="pixels averaged into one (default 2)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    examples = examples_of(options.data, options.modality)
    print(
        "| seed | student % | by labels alone % | teacher % | agrees with the teacher % | time over the teacher's "
        "| size over | parameters |\n|---|---|---|---|---|---|---|---|"
    )
    students, alone = [], []
    for seed in range(options.seeds):
        found = distil(
            read_model_file(MODELS / f"{options.modality}.onnx"), examples, options.work / str(seed),
            shape=Shape("mobilenet", options.width, options.shrink),
            recipe=Recipe(epochs=options.epochs, seed=seed, patience=5),
        )  # fmt: skip
        print_row(seed, found)
        students.append(found.student.value or 0.0)
        alone.append((found.alone.value if found.alone else None) or 0.0)
    gain = 100 * (np.array(students) - np.array(alone))
    print(
        f"\nmean over seeds: student {100 * np.mean(students):.1f} %, alone {100 * np.mean(alone):.1f} %, "
        f"the teacher's help {gain.mean():+.1f} points ({', '.join(f'{each:+.1f}' for each in gain)})"
    )


def examples_of(folder: Path, modality: str) -> Examples:
    """Return the films as the network sees them, with its classes; judged are those of the split val."""
    dataset = load(folder, modality, lambda *_: None)
    return Examples(
        np.stack([prepare(item.grey, modality).square[None] for item in dataset.items]),
        dataset.labels,
        tuple(item.group for item in dataset.items),
        CLASSES[modality],
        folder.name,
        np.array([item.split == "val" for item in dataset.items]),
    )


def print_row(seed: int, found: Taught) -> None:
    """Print what came of one seed."""
    alone = "-" if found.alone is None else _share(found.alone)
    print(
        f"| {seed} | {_share(found.student)} | {alone} | {_share(found.teacher)} | {_share(found.agreement)} "
        f"| {found.time_ratio:.2f} | {found.size_ratio:.2f} | {found.parameters:,} |",
        flush=True,
    )


def _share(figure: Figure) -> str:
    value, low, high = (100 * (each or 0.0) for each in (figure.value, figure.low, figure.high))
    return f"{value:.1f} ({low:.1f} to {high:.1f}, n {figure.n})"


if __name__ == "__main__":
    main()
