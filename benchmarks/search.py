"""Search over width and resolution against the exhaustive grid: how near it comes, with how many trials.

Data: the chest films of healthcare.imaging (--data, a folder with labels.csv), squeezed to at most 96 pixels. Both
teach on the split train and judge candidates on a fifth of its groups. The whole grid is taught first and kept (--work:
an interrupted run goes on from there; latencies are measured in every run). Then the search runs on it many times, each
with another seed: what it teaches is looked up in the grid, which has the accuracy of every candidate after every
epoch. Last one search is drawn, and its best and the grid's best are judged once on the split val.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.learning.classify import Recipe, predict
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.optimize.examples import read_examples, split_by_group
from edgeai_core.optimize.front import draw_front
from edgeai_core.optimize.search import explore, measure_grid, resized, teach_candidate
from edgeai_core.optimize.trial import Candidate, Trial, best_of

WIDTHS = (1.0, 0.75, 0.5, 0.35)
RESOLUTIONS = (96, 72, 56, 40)


def main() -> None:
    """Print the grid, how near searches come to its best, and the two networks' accuracy on the split val."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of films with labels.csv")
    parser.add_argument("--work", type=Path, required=True, help="keeps the grid and the picture")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--width", type=float, action="append", help="repeatable; none: " + ", ".join(map(str, WIDTHS))
    )
    parser.add_argument("--searches", type=int, default=200, help="how many searches, each of another seed")
    parser.add_argument(
        "--target-ms", type=float, action="append",
        help="repeatable; none: targets that all, three quarters, half and a quarter of the grid meet",
    )  # fmt: skip
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    grid, right, count = exhaustive(
        options.data, options.width or WIDTHS, Recipe(epochs=options.epochs), options.work / "grid.json"
    )
    print_grid(grid, right, count)
    latencies = sorted(trial.latency_ms for trial in grid)
    targets = options.target_ms or [1.01 * latencies[len(grid) * part // 4 - 1] for part in (4, 3, 2, 1)]
    allowed = len(grid) // 3
    print(
        "\n| target ms | candidates that meet it | grid's best | search: points below it, mean (worst) "
        "| within 1 point | drawing at random | within 1 point |\n|---|---|---|---|---|---|---|"
    )
    for target_ms in targets:
        feasible = [trial for trial in grid if trial.latency_ms <= target_ms]
        best = best_of(feasible)
        gaps = [
            _gap(best, searched(grid, target_ms, options.epochs, seed)) for seed in range(options.searches)
        ]
        rng = np.random.default_rng(0)
        drawn = [
            _gap(best, [feasible[row] for row in rng.permutation(len(feasible))[:allowed]])
            for _ in range(options.searches)
        ]
        print(
            f"| {target_ms:.2f} | {len(feasible)} | {best.candidate}, {100 * (best.accuracy or 0):.1f} % "
            f"| {np.mean(gaps):.2f} ({max(gaps):.2f}) | {_share(gaps)} | {np.mean(drawn):.2f} ({max(drawn):.2f}) "
            f"| {_share(drawn)} |"
        )
    found = searched(grid, targets[0], options.epochs, 0)
    rest = [
        dataclasses.replace(t, accuracy=None, accuracies=())
        for t in grid
        if t.candidate not in {f.candidate for f in found}
    ]
    chosen = best_of(found)
    picture = draw_front((*found, *rest), chosen, targets[0])
    (options.work / "search.svg").write_text(picture, encoding="utf-8")
    print(f"\nthe front of search 0 under {targets[0]:.2f} ms: {options.work / 'search.svg'}")
    for what, trial in (("grid's best", best_of(grid)), ("search 0's best", chosen)):
        figure = Figure.share(right[trial.candidate], count)
        print(
            f"on val, {what}, {trial.candidate}: {100 * (figure.value or 0):.1f} % "
            f"({100 * (figure.low or 0):.1f} to {100 * (figure.high or 0):.1f}, n {figure.n})"
        )


def searched(grid: list[Trial], target_ms: float, epochs: int, seed: int) -> list[Trial]:
    """Return what a search teaches, in its order, looked up in the grid."""
    table = {trial.candidate: trial for trial in grid}

    def teach(trial: Trial, attempt: Any, label: str) -> tuple[Trial, None]:
        whole = table[trial.candidate]
        for epoch, accuracy in enumerate(whole.accuracies, start=1):
            attempt.report(accuracy, epoch)
            if attempt.should_prune():
                seen = whole.accuracies[:epoch]
                return dataclasses.replace(whole, accuracy=max(seen), accuracies=seen, pruned=True), None
        return whole, None

    return [trial for trial, _ in explore(grid, target_ms, teach, epochs, seed=seed).values()]


def exhaustive(
    data: Path, widths: Sequence[float], recipe: Recipe, kept: Path
) -> tuple[list[Trial], dict[Candidate, int], int]:
    """Measure every candidate, teach those of which nothing is kept in ``kept``, and keep them there.

    Return the trials, how many films of the split val each calls right, and how many there are.
    """
    examples = read_examples(data, max(RESOLUTIONS), channels=1)
    learned, held = examples.rows(~examples.judged), examples.rows(examples.judged)
    candidates = [Candidate(width, side) for width, side in itertools.product(widths, RESOLUTIONS)]
    known, right = _read(kept)
    fresh = measure_grid(candidates, 1, len(learned.classes), lambda *_: None)
    accuracies = {trial.candidate: trial for trial in known}
    done = [
        dataclasses.replace(accuracies.get(trial.candidate, trial), latency_ms=trial.latency_ms)
        for trial in fresh
    ]
    taught, judged = split_by_group(learned, 0.2, 0)
    for place, trial in enumerate(done):
        if trial.accuracy is None:
            side = trial.candidate.resolution
            done[place], network = teach_candidate(
                trial, (resized(taught.inputs, side), taught.labels), (resized(judged.inputs, side), judged.labels),
                len(learned.classes), recipe, lambda *_: None, str(trial.candidate),
            )  # fmt: skip
            called = predict(network, resized(held.inputs, side)).argmax(axis=1)
            right[trial.candidate] = int((called == held.labels).sum())
            rows = [{**each.to_json(), "val_right": right.get(each.candidate)} for each in done]
            kept.write_text(json.dumps(rows), encoding="utf-8")
    return done, right, len(held.labels)


def _read(kept: Path) -> tuple[list[Trial], dict[Candidate, int]]:
    trials, right = [], {}
    for row in json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []:
        candidate = Candidate(**row.pop("candidate"))
        counted = row.pop("val_right")
        if counted is not None:
            right[candidate] = counted
        trials.append(Trial(candidate, **{**row, "accuracies": tuple(row["accuracies"])}))
    return trials, right


def print_grid(grid: list[Trial], right: dict[Candidate, int], count: int) -> None:
    """Print a row for each candidate."""
    print(
        "| width | pixels | parameters | ms | accuracy % | epochs | s | val % |\n|---|---|---|---|---|---|---|---|"
    )
    for trial in sorted(grid, key=lambda each: each.latency_ms):
        print(
            f"| {trial.candidate.width:g} | {trial.candidate.resolution} | {trial.parameters:,} "
            f"| {trial.latency_ms:.2f} | {100 * (trial.accuracy or 0):.1f} "
            f"| {len(trial.accuracies)} | {trial.seconds:.0f} | {100 * right[trial.candidate] / count:.1f} |"
        )


def _gap(best: Trial, tried: list[Trial]) -> float:
    return 100 * ((best.accuracy or 0.0) - (best_of(tried).accuracy or 0.0))


def _share(gaps: list[float]) -> str:
    return f"{sum(gap <= 1.0 for gap in gaps)} of {len(gaps)}"


if __name__ == "__main__":
    main()
