"""Distillation in earnest: small networks that learn from the network for chest films, beside the same without it.

    python -m benchmarks.distil --data XRAY --work DIR [--modality xray] [--epochs 12] [--seeds 3]

The teacher is the network that ships, the data its own: the student learns on the split train and is judged on the
split val, which neither teacher nor student saw. Of every picture it sees variations as the app's training makes them,
and of each what the teacher says (kept in --work, as is what the students say: an interrupted run goes on). For each
seed the student is taught twice from the same weights: by labels and teacher, and by labels alone. Calls are those of
the likeliest class, of a picture and its mirror image as at work: no threshold was chosen on val.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging import student_training
from apps.healthcare.imaging.datasets import CLASSES, Dataset, load
from apps.healthcare.imaging.export import write_model
from apps.healthcare.imaging.loop import NETWORKS
from apps.healthcare.imaging.training import Recipe, rows_of
from edgeai_core.learning.distillation import Distillation
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.intervals import grouped_bootstrap
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.timing import interleaved, ratios

COPIES = 4
RESAMPLES = 1000


def main() -> None:
    """Teach, judge, and print a row for each seed, then size and time beside the teacher's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of films with labels.csv")
    parser.add_argument("--work", type=Path, required=True, help="keeps what can be used again")
    parser.add_argument("--modality", choices=("xray",), default="xray", help="whose network never saw val")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    dataset = load(options.data, options.modality, silent)
    method = student_training.taught_by(NETWORKS[options.modality])
    kept = method.features(dataset, COPIES, 0, options.work, silent)
    learned, judged = rows_of(dataset, ("train",)), rows_of(dataset, ("val",))
    labels = dataset.labels[judged]
    groups = [dataset.items[row].group for row in judged]
    print(
        f"{len(learned)} pictures teach, {len(judged)} judge, {options.epochs} epochs\n\n"
        "| | accuracy % | AUC | same class as the teacher % |\n|---|---|---|---|"
    )
    wanted = student_training.teachers(kept, judged)
    print_row("teacher", wanted, wanted, labels, groups)
    found: dict[str, list[NDArray[np.float64]]] = {"with the teacher": [], "by labels alone": []}
    for seed in range(options.seeds):
        for way, logits in found.items():
            said = judged_by(way, seed, dataset, kept, learned, judged, options)
            print_row(f"student {seed}, {way}", said, wanted, labels, groups)
            logits.append(said)
    print("\nmean over seeds, by the same pictures:\n\n| | accuracy, points | AUC |\n|---|---|---|")
    helped, alone = found["with the teacher"], found["by labels alone"]
    print_difference("with the teacher less by labels alone", helped, alone, labels, groups)
    print_difference("with the teacher less the teacher", helped, [wanted] * len(helped), labels, groups)
    print_cost(options)


def judged_by(
    way: str, seed: int, dataset: Dataset, kept: student_training.Shown, learned: NDArray[np.int64],
    judged: NDArray[np.int64], options: argparse.Namespace,
) -> NDArray[np.float64]:  # fmt: skip
    """Return a student's logits of the judged rows; it is taught where --work does not have them yet."""
    path = options.work / f"{options.modality}-{way.replace(' ', '-')}-{options.epochs}-{seed}.npy"
    if path.exists():
        return np.asarray(np.load(path), dtype=np.float64)
    network = student_training.teach(
        kept, dataset.labels, learned, options.modality, Recipe(options.epochs, seed, 1), silent, way,
        how=Distillation() if way == "with the teacher" else None,
    )  # fmt: skip
    logits = student_training.predict(network, kept, judged)
    np.save(path, logits)
    return logits


def print_row(
    name: str, logits: NDArray[np.float64], wanted: NDArray[np.float64], labels: NDArray[np.int64],
    groups: list[str],
) -> None:  # fmt: skip
    """Print accuracy, area and agreement with the teacher, with intervals by patient."""
    called = logits.argmax(axis=1)
    shares = [
        interval(lambda rows, hit=hit: 100 * float(hit[rows].mean()), groups, 1)
        for hit in (called == labels, called == wanted.argmax(axis=1))
    ]
    area = interval(lambda rows: area_of(logits[rows], labels[rows]), groups, 3)
    print(f"| {name} | {shares[0]} | {area} | {shares[1]} |", flush=True)


def print_difference(
    name: str, first: list[NDArray[np.float64]], second: list[NDArray[np.float64]], labels: NDArray[np.int64],
    groups: list[str],
) -> None:  # fmt: skip
    """Print the mean over pairs of networks of what the first has ahead of the second, by the same drawings."""

    def points(rows: NDArray[np.int64]) -> float:
        right = [
            [(each[rows].argmax(axis=1) == labels[rows]).mean() for each in some] for some in (first, second)
        ]
        return 100 * float(np.mean(right[0]) - np.mean(right[1]))

    def areas(rows: NDArray[np.int64]) -> float:
        found = [np.mean([area_of(each[rows], labels[rows]) for each in some]) for some in (first, second)]
        return float(found[0] - found[1])

    print(f"| {name} | {interval(points, groups, 1)} | {interval(areas, groups, 3)} |")


def print_cost(options: argparse.Namespace) -> None:
    """Print size and time of student and teacher, of files as they ship, in turns in one process."""
    classes = CLASSES[options.modality]
    path = options.work / f"{options.modality}-student.onnx"
    write_model(
        student_training.StudentNetwork(len(classes)).eval(), path,
        {"logits": (len(classes),), "evidence": (len(classes), 7, 7)},
        name="student", version="0", intended_use="its time is measured; its weights are random", limits=(),
        classes=classes, parameters={}, data=[], figures={}, preprocessing="",
    )  # fmt: skip
    teacher = NETWORKS[options.modality]
    runners = {"teacher": OnnxRunner(teacher), "student": OnnxRunner(path)}
    one = {"image": np.random.default_rng(0).random((1, 1, 224, 224), dtype=np.float32)}
    calls: dict[str, Any] = {name: (lambda each=each: each.run(one)) for name, each in runners.items()}
    times = interleaved(calls, 4.0)
    sizes = {"teacher": teacher.stat().st_size, "student": path.stat().st_size}
    print("\n| | MB | ms, one picture | of the teacher's time |\n|---|---|---|---|")
    for name, ratio in ratios(times, "teacher").items():
        print(f"| {name} | {sizes[name] / 1e6:.2f} | {np.median(times[name]) / 1e6:.2f} | {ratio:.2f} |")


def interval(measure: Any, groups: list[str], digits: int) -> str:
    """Return a figure of rows with its 95 % interval, groups drawn anew."""
    numbers = np.array(groups)
    members = [np.flatnonzero(numbers == group) for group in np.unique(numbers)]
    low, high = grouped_bootstrap(members, lambda drawn: measure(np.concatenate(drawn)), RESAMPLES)
    return f"{measure(np.arange(len(groups))):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def area_of(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the area under the curve of any finding against none."""
    ill = np.logaddexp.reduce(logits[:, 1:], axis=1) - logits[:, 0]
    return roc_auc((labels != 0).astype(int), ill)


def silent(what: str, done: int, total: int) -> None:
    """Say nothing: a table is all that is printed."""


if __name__ == "__main__":
    main()
