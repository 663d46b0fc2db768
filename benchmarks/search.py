"""Search over width and resolution against the exhaustive grid: how near it comes, with how many trials.

Data: the chest films of healthcare.imaging (--data, a folder with labels.csv), squeezed to at most 96 pixels. Both
teach on the split train and judge candidates on a fifth of its groups; the split val is looked at once, at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np

from edgeai_core.learning.classify import Recipe, predict
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.optimize.examples import Examples, read_examples, split_by_group
from edgeai_core.optimize.search import Candidate, Trial, measure_grid, resized, search, teach_candidate

WIDTHS = (1.0, 0.75, 0.5, 0.35)
RESOLUTIONS = (96, 72, 56, 40)


def main() -> None:
    """Print the grid, what each search found, and how far it lies from the grid's best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of films with labels.csv")
    parser.add_argument(
        "--work", type=Path, required=True, help="keeps the grid: an interrupted run goes on from there"
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--searches", type=int, default=1, help="how many searches, each of another seed")
    parser.add_argument(
        "--target-ms", type=float, default=None, help="none: the median latency of the grid times 1.5"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    examples = read_examples(options.data, max(RESOLUTIONS), channels=1)
    learned, held = examples.rows(~examples.judged), examples.rows(examples.judged)
    recipe = Recipe(epochs=options.epochs)
    grid = exhaustive(learned, recipe, options.work / "grid.json")
    target_ms = options.target_ms or 1.5 * float(np.median([trial.latency_ms for trial in grid]))
    print_grid(grid, target_ms)
    best = max((t for t in grid if t.latency_ms <= target_ms), key=lambda t: t.accuracy or 0.0)
    print(f"\nthe grid's best under {target_ms:.2f} ms: {best.candidate}, {100 * (best.accuracy or 0):.1f} %")
    known = [Trial(t.candidate, t.latency_ms, t.parameters) for t in grid]
    for seed in range(options.searches):
        found = search(
            learned, widths=WIDTHS, resolutions=RESOLUTIONS, target_ms=target_ms, measured=known, seed=0,
            recipe=dataclasses.replace(recipe, seed=seed),
        )  # fmt: skip
        right = (
            predict(found.network, resized(held.inputs, found.best.candidate.resolution)).argmax(1)
            == held.labels
        )
        figure = Figure.share(int(right.sum()), len(right))
        gap = 100 * ((best.accuracy or 0) - (found.best.accuracy or 0))
        print(
            f"search, seed {seed}: {found.taught} of {len(grid)} candidates taught "
            f"({sum(t.pruned for t in found.trials)} given up early); best {found.best.candidate}, "
            f"{100 * (found.best.accuracy or 0):.1f} %, {gap:+.1f} points below the grid's; on val "
            f"{100 * (figure.value or 0):.1f} % ({100 * (figure.low or 0):.1f} to {100 * (figure.high or 0):.1f}, "
            f"n {figure.n})",
            flush=True,
        )


def exhaustive(learned: Examples, recipe: Recipe, kept: Path) -> list[Trial]:
    """Teach every candidate, and keep what is done in ``kept``."""
    candidates = [Candidate(width, side) for width, side in itertools.product(WIDTHS, RESOLUTIONS)]
    done = (
        [Trial(**{**t, "candidate": Candidate(**t["candidate"])}) for t in json.loads(kept.read_text())]
        if kept.exists()
        else []
    )
    if not done:
        done = measure_grid(candidates, 1, len(learned.classes), 1.0, lambda *_: None)
    taught, judged = split_by_group(learned, 0.2, 0)
    for place, trial in enumerate(done):
        if trial.accuracy is None:
            side = trial.candidate.resolution
            done[place], _ = teach_candidate(
                trial, (resized(taught.inputs, side), taught.labels), (resized(judged.inputs, side), judged.labels),
                len(learned.classes), recipe, lambda *_: None, str(trial.candidate),
            )  # fmt: skip
            kept.write_text(json.dumps([each.to_json() for each in done]))
    return done


def print_grid(grid: list[Trial], target_ms: float) -> None:
    """Print a row for each candidate."""
    print("| width | pixels | parameters | ms | accuracy % | epochs | s |\n|---|---|---|---|---|---|---|")
    for trial in sorted(grid, key=lambda each: each.latency_ms):
        over = " (over the target)" if trial.latency_ms > target_ms else ""
        print(
            f"| {trial.candidate.width:g} | {trial.candidate.resolution} | {trial.parameters:,} "
            f"| {trial.latency_ms:.2f}{over} | {100 * (trial.accuracy or 0):.1f} "
            f"| {len(trial.accuracies)} | {trial.seconds:.0f} |"
        )


if __name__ == "__main__":
    main()
