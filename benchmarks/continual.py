"""How much is forgotten when a stream changes: ``python -m benchmarks.continual parts|patients ...``.

``parts``: the inspection's model of the simulated flange learns a real part from folders of good and bad pictures, then
a second one where it is named, as `edgeai learn continual` does; then an adapter on the frozen backbone alone, without
the verdict of the model in use, which learns the flange first: as one decision for all parts, and with weights of each
part's own. ``patients``: rhythm
networks, each trained without a fifth of the patients, learn the first half of each of those patients' records, and are
judged on the second half and on the others. (It needs the extra ``train``; with ``--work`` trained networks are kept.)
All print naive fine-tuning beside rehearsal, from the same start, as balanced accuracies with 95 % intervals by part or
patient.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from edgeai_core.learning.adapter import Adam, Adapter
from edgeai_core.learning.apart import Parts
from edgeai_core.learning.continual import LearnOptions, Samples, learn, remember
from edgeai_core.learning.forgetting import Comparison, Trial, compare
from edgeai_core.learning.rehearsal import RehearsalMemory
from edgeai_core.metrics.splits import grouped_folds

if TYPE_CHECKING:
    from apps.manufacturing.inspection.graft import FrozenModel


def main() -> None:
    """Read the arguments, run one of the two and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_subparsers(dest="stream", required=True)
    parts = ways.add_parser("parts", help="a new part in inspection")
    parts.add_argument(
        "--good", type=Path, action="append", required=True, help="good pictures of the new part"
    )
    parts.add_argument(
        "--bad", type=Path, action="append", required=True, help="bad pictures of the new part"
    )
    parts.add_argument("--groups", type=Path, help="CSV with columns file and group")
    parts.add_argument("--boards", type=Path, help="DeepPCB folder: crops of boards as a third part")
    parts.add_argument("--seeds", type=int, default=3, help="splits and drawings that are averaged")
    patients = ways.add_parser("patients", help="a new patient in the ECG")
    patients.add_argument("--data", type=Path, action="append", required=True, help="folder of WFDB records")
    patients.add_argument("--work", type=Path, help="folder that keeps trained networks")
    for each in (parts, patients):
        each.add_argument("--passes", type=int, default=20, help="over what is new")
        each.add_argument("--rate", type=float, default=1e-3, help="of learning")
    arguments = parser.parse_args()
    learning = LearnOptions(arguments.passes, adam=Adam(arguments.rate))
    if arguments.stream == "patients":
        print_table("rhythm networks that never saw the patients", patients_stream(arguments, learning))
        return
    names, stream, frozen = parts_samples(arguments)
    print_table(
        "beside the model in use, as the command does",
        parts_stream(names, stream, arguments.seeds, learning, frozen),
    )
    stream = [replace(each, features=np.ascontiguousarray(each.features[:, 1:])) for each in stream]
    print_table(
        "on the backbone alone, one decision for all parts",
        parts_stream(names, stream, arguments.seeds, learning, apart=False),
    )
    print_table(
        "on the backbone alone, with weights of each part's own",
        parts_stream(names, stream, arguments.seeds, learning),
    )


def print_table(title: str, comparison: Comparison) -> None:
    """Print the accuracy matrix and the figures as Markdown."""
    print(f"\n{title}\n")
    print("| learnt | " + " | ".join(comparison.names) + " |")
    print("|---|" + "---|" * len(comparison.names))
    for row in comparison.rows():
        cells = [f"{100 * value:.1f}" if isinstance(value, float) else str(value) for value in row.values()]
        print(f"| {' | '.join(cells)} |")
    print("\n| figure | % | 95 % | n |\n|---|---|---|---|")
    for name, figure in comparison.figures().items():
        ends = () if figure.low is None or figure.high is None else (figure.low, figure.high)
        interval = " to ".join(f"{100 * end:.1f}" for end in ends)
        print(f"| {name} | {100 * (figure.value or 0):.1f} | {interval} | {figure.n} |")


def parts_samples(arguments: argparse.Namespace) -> tuple[list[str], list[Samples], FrozenModel]:
    """Flange, then the part of the folders, then crops of boards where they are named."""
    from apps.manufacturing.inspection.adapt import samples_of, simulated_samples
    from apps.manufacturing.inspection.examples import read_examples
    from apps.manufacturing.inspection.graft import FrozenModel
    from apps.manufacturing.inspection.loop import SIMULATED_MODEL

    frozen = FrozenModel(SIMULATED_MODEL)
    examples = read_examples(arguments.good, arguments.bad, groups=arguments.groups)
    stream = [simulated_samples(frozen, 600, 0, shown), samples_of(frozen, examples.rows, shown)]
    names = ["flange", "new part"]
    if arguments.boards:
        stream.append(board_crops(frozen, arguments.boards))
        names.append("board crops")
    return names, stream, frozen


def parts_stream(
    names: list[str],
    stream: list[Samples],
    seeds: int,
    learning: LearnOptions,
    frozen: FrozenModel | None = None,
    *,
    apart: bool = True,
) -> Comparison:
    """Learn the stream in five folds by part.

    ``frozen``: the model that knows the first part already; without it that is learnt first, from nothing. ``apart``:
    every part has weights of its own beside the common ones.
    """

    def trials() -> Iterator[Trial]:
        for seed in range(seeds):
            folds = [grouped_folds(each.groups.tolist(), each.labels.tolist(), 5, seed) for each in stream]
            for number in range(5):
                train = [each.rows(fold[number].train) for each, fold in zip(stream, folds, strict=True)]
                tests = [each.rows(fold[number].test) for each, fold in zip(stream, folds, strict=True)]
                yield trial_of(train, tests, seed)

    from apps.manufacturing.inspection.graft import own_verdict

    def trial_of(train: list[Samples], tests: list[Samples], seed: int) -> Trial:
        size = train[0].features.shape[1]
        if not apart:
            start = learn(Adapter.fresh(train[0].features, 2, seed=seed), train[0], learning)
            return Trial(start, _memory(train[0], seed), tuple(train[1:]), tuple(tests))
        parts = Parts.first(train[0]) if frozen is None else frozen.begun(train[0], seed)[0]
        for each in train[1:]:
            parts = parts.and_one(each)
        train, tests = [[parts.spread(each) for each in some] for some in (train, tests)]
        if frozen is None:
            start = learn(parts.begun(np.zeros((size, 2)), np.zeros(2), seed), train[0], learning)
        else:
            start = parts.begun(own_verdict(), np.zeros(2), seed)
        return Trial(start, _memory(train[0], seed), tuple(train[1:]), tuple(tests))

    return compare(names, trials(), learning, shown, total=5 * seeds)


def _memory(samples: Samples, seed: int) -> RehearsalMemory:
    memory = RehearsalMemory(seed=seed)
    remember(memory, samples, 0)
    return memory


def board_crops(frozen: FrozenModel, folder: Path) -> Samples:
    """Crops of 160 pixels: of every template one anywhere (good), of its board one that shows a defect (bad)."""
    from apps.manufacturing.inspection.pairs import read_pairs
    from edgeai_core.sensors.picture import read_picture

    random, side = np.random.default_rng(0), 160
    features, labels, groups = [], [], []
    for pair in read_pairs([folder]):
        template, board = read_picture(pair.template), read_picture(pair.board)
        most = min(board.shape[:2]) - side
        x1, y1, x2, y2 = pair.boxes[random.integers(0, len(pair.boxes))]
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + random.integers(-40, 41, 2) - side / 2
        corners = (random.integers(0, most, 2), np.clip(middle.astype(int), 0, most))
        for label, (pixels, (x, y)) in enumerate(zip((template, board), corners, strict=True)):
            features.append(frozen.features(np.ascontiguousarray(pixels[y : y + side, x : x + side])))
            labels.append(label)
            groups.append(pair.group)
    return Samples(np.stack(features), np.array(labels, np.int64), np.array(groups))


def patients_stream(arguments: argparse.Namespace, learning: LearnOptions) -> Comparison:
    """Every patient is new once to a network that never saw him or her, beside those held out with him or her."""
    from apps.healthcare.ecg.adapt import (
        THIN,
        compare_patients,
        joined,
        known_from,
        split_in_time,
        windows_of,
    )
    from apps.healthcare.ecg.crossfit import cross_fit
    from apps.healthcare.ecg.graft import FrozenNetwork
    from apps.healthcare.ecg.windows import load_records

    records = [each for each in load_records(arguments.data, shown) if each.labels.rhythms_from != "none"]
    found: list[Comparison] = []
    with TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        parts = cross_fit(
            records,
            work,
            folds=5,
            epochs=10,
            seed=0,
            threads=1,
            progress=shown,
            work=arguments.work,
            beats=False,
        )
        for number, part in enumerate(parts):
            network = FrozenNetwork(part.model)
            held = {each.name: windows_of(network, each) for each in part.records}
            train = joined(
                [windows_of(network, each, thin=THIN) for each in records if each.name not in held]
            )
            known, patients = known_from(network, train, {}, number), []
            for record in part.records:
                if len(held[record.name]["4s"]) < 200:
                    continue
                others = joined([held[e.name] for e in part.records if e.patient != record.patient])
                others = {window: each.rows(np.arange(0, len(each), 3)) for window, each in others.items()}
                patients.append((replace(known, held=others), *split_in_time(held[record.name], 0.5)))
            found.append(compare_patients(network, patients, learning, shown))
    return Comparison.merged(found)


def shown(what: str, done: int, total: int) -> None:
    """Say nothing: a table is all that is printed."""


if __name__ == "__main__":
    main()
