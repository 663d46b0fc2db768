"""Judging an inspection model on folders of pictures, or the whole way of teaching by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.board_model import (
    compare_all,
    compressed,
    cross_fit,
    fit,
    folder_name,
)  # fmt: skip
from apps.manufacturing.inspection.examples import Example, Examples, read_examples
from apps.manufacturing.inspection.figures import board_figures, board_rows, part_figures
from apps.manufacturing.inspection.inspector import MODEL_FILE, BoardInspector, open_inspector
from apps.manufacturing.inspection.looks import COMPRESSED, MAX_VIEWS, Seen, look_at, side_of
from apps.manufacturing.inspection.options import EvaluateOptions
from apps.manufacturing.inspection.pairs import KINDS, Pair, read_pairs
from apps.manufacturing.inspection.plan import Plan, plan
from apps.manufacturing.inspection.teach import teach
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.curves import area_interval, roc_auc
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.sensors.picture import read_picture

TASK = "manufacturing.inspection"

_INNER_FOLDS = 2
"""Where every fold of a cross-validation teaches networks, they are chosen among by so many folds of its own."""

_LICENCES = {"deeppcb": "MIT file; README: research only", "magnetic_tile": "none stated"}


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge parts (``good``, ``bad``) or boards (``pairs``). Raises InputError where there is nothing to judge by."""
    if options.pairs:
        return _evaluate_pairs(options, progress)
    if not options.good and not options.bad:
        raise InputError("nothing to judge: name folders with --good and --bad, or --pairs")
    if options.cross_validate:
        return _cross_validate_parts(options, progress)
    if options.model is None:
        raise InputError("name a taught model with --model DIR, or teach anew with --cross-validate")
    examples = read_examples(options.good, options.bad, groups=options.groups, progress=progress)
    inspector = open_inspector(options.model, threads=1)
    limit = inspector.card.number("threshold")
    scores, seconds = np.zeros(len(examples.rows)), []
    for number, example in enumerate(examples.rows):
        progress("judging pictures", number, len(examples.rows))
        pixels = read_picture(example.path)
        if options.jpeg:
            pixels = compressed(pixels, options.jpeg)
        started = time.process_time()
        scores[number] = inspector.inspect(pixels).score
        seconds.append(time.process_time() - started)
    progress("judging pictures", len(examples.rows), len(examples.rows))
    figures = part_figures(examples.labels, scores, examples.groups, limit)
    figures["ms_per_image"] = _ms(seconds)
    rows = _part_rows(examples, scores, limit)
    card = inspector.card
    return Evaluation(
        TASK, ModelRef(card.name, card.version, card.digest), (_part_data(options, examples),), figures, rows
    )


# ---------------------------------------------------------------- parts


def _cross_validate_parts(options: EvaluateOptions, progress: Progress) -> Evaluation:
    examples = read_examples(options.good, options.bad, options.masks, options.groups, progress)
    size = side_of(examples.rows, options.size)
    views = COMPRESSED if options.method == "one-class" else MAX_VIEWS
    planned = plan(options.method, examples.rows, size, options.folds)
    if planned.trainings:
        planned = plan(options.method, examples.rows, size, _INNER_FOLDS)
    seen = look_at(
        examples.rows, size, options.seed, options.threads, progress, views=views, most=planned.looks
    )
    labels = examples.labels
    rows = examples.rows
    scores, limits = _outer(options, planned, rows, seen, examples.groups, progress)
    known = np.isfinite(scores)
    examples, scores, limits = examples.some(known), scores[known], limits[known]
    figures = part_figures(examples.labels, scores, examples.groups, limits)
    if not options.no_leaky and labels.any():
        alone = [str(number) for number in range(len(labels))]
        leaky = _outer(options, planned, rows, seen, alone, progress)[0][known]
        truth, pictures = examples.labels, [str(number) for number in range(len(leaky))]
        figures["auc_leaky"] = Figure.of(
            roc_auc(truth, leaky), area_interval(truth, leaky, pictures, n_resamples=300), len(leaky),
            note="pictures of one part on both sides: flattering",
        )  # fmt: skip
    model = ModelRef("inspection-parts", f"taught anew ({options.method}), {options.folds} folds by part")
    return Evaluation(
        TASK, model, (_part_data(options, examples),), figures, _part_rows(examples, scores, limits)
    )


def _outer(
    options: EvaluateOptions, planned: Plan, rows: Sequence[Example], seen: Seen, groups: Sequence[str],
    progress: Progress,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:  # fmt: skip
    """Teach on all folds but one and judge that one; return scores, and the thresholds of those who gave them.

    Scores of several judges are comparable as they are: spreads of good parts, or logits. Their thresholds lie in the
    tail of few good parts, and differ by chance.
    """
    labels = np.array([each.bad for each in rows], np.int64)
    scores, limits = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    parts = grouped_folds(list(groups), labels.tolist(), min(options.folds, len(set(groups))), options.seed)
    tune = planned.tuner(rows, seen.size, options.seed, options.threads, progress, times=len(parts))
    for part in parts:
        taught = teach(
            seen, labels, groups, part.train, method=options.method, folds=planned.folds, seed=options.seed,
            threads=options.threads, false_reject_rate=0.01, progress=progress, tune=tune,
        )  # fmt: skip
        kept = part.test[seen.place[part.test] >= 0]
        scores[kept] = taught.judge(seen.features(kept)).score
        limits[kept] = taught.judge.threshold
    return scores, limits


def _part_rows(
    examples: Examples, scores: NDArray[np.floating], limit: float | NDArray[np.floating]
) -> tuple[Mapping[str, object], ...]:
    folders: dict[tuple[str, bool], list[int]] = {}
    for number, example in enumerate(examples.rows):
        folders.setdefault((example.path.parent.name, example.bad), []).append(number)
    good, rejected = scores[examples.labels == 0], scores >= limit
    rows = []
    for (name, bad), own in folders.items():
        auc = None
        if bad and len(good):
            auc = roc_auc([0] * len(good) + [1] * len(own), [*good.tolist(), *scores[own].tolist()])
        rows.append(
            {
                "folder": name,
                "kind": "bad" if bad else "good",
                "pictures": len(own),
                "rejected": int(rejected[own].sum()),
                "auc": auc,
            }
        )
    return tuple(rows)


def _part_data(options: EvaluateOptions, examples: Examples) -> DataRef:
    name = ", ".join(dict.fromkeys(path.resolve().name for path in [*options.good, *options.bad]))
    counts = {
        "good pictures": int((examples.labels == 0).sum()),
        "bad pictures": int(examples.labels.sum()),
        "parts": len(set(examples.groups)),
        "unreadable": len(examples.unreadable),
    }
    return DataRef(name, _licence([*options.good, *options.bad]), counts)


# ---------------------------------------------------------------- boards


def _evaluate_pairs(options: EvaluateOptions, progress: Progress) -> Evaluation:
    everything = read_pairs(options.pairs)
    judged = read_pairs(options.pairs, options.split) if options.split else everything
    if options.cross_validate and options.split:
        names = {pair.name for pair in judged}
        taught_on = [pair for pair in everything if pair.name not in names]
        if not taught_on:
            raise InputError(f"{options.split} names every pair: none is left to teach on")
        (known, again) = compare_all(taught_on, (0, 75), options.threads, progress, "comparing boards")
        (compared,) = compare_all(judged, (options.jpeg,), 1, progress, "judging boards")
        _, threshold = cross_fit([known, again], options.folds, options.seed, options.threads, progress)
        model = fit([*known, *again], options.seed, options.threads)
        found = [model.detect(each.candidates) for each in compared]
        ref = ModelRef(
            "inspection-boards", f"taught anew on the {len(taught_on)} pairs that {options.split.name} leaves"
        )
    elif options.cross_validate:
        compared, again = compare_all(
            everything,
            (options.jpeg, 75 if options.jpeg != 75 else 0),
            options.threads,
            progress,
            "comparing boards",
        )
        found, threshold = cross_fit(
            [compared, again], options.folds, options.seed, options.threads, progress
        )
        ref = ModelRef("inspection-boards", "taught anew, folds by group; one threshold for all")
    else:
        from apps.manufacturing.inspection.train import BOARDS

        folder = options.model or BOARDS
        runner = OnnxRunner(folder / MODEL_FILE if folder.is_dir() else folder)
        inspector = BoardInspector(runner, None)
        threshold = inspector.card.number("threshold")
        (compared,) = compare_all(judged, (options.jpeg,), 1, progress, "judging boards")
        found = [inspector.detect(each.candidates) for each in compared]
        ref = ModelRef(inspector.card.name, inspector.card.version, inspector.card.digest)
    pairs = [each.pair for each in compared]
    figures = board_figures(found, pairs, threshold)
    figures["ms_per_image"] = _ms([each.seconds for each in compared])
    data = DataRef(folder_name(options.pairs), _licence(options.pairs), _board_counts(pairs))
    return Evaluation(TASK, ref, (data,), figures, tuple(board_rows(found, pairs, threshold)))


def _board_counts(pairs: Sequence[Pair]) -> dict[str, int]:
    types = np.concatenate([pair.types for pair in pairs])
    counts = {kind: int((types == number).sum()) for number, kind in enumerate(KINDS, start=1)}
    return {
        "boards": len(pairs),
        "groups": len({pair.group for pair in pairs}),
        "boxes": len(types),
        **counts,
    }


def _ms(seconds: Sequence[float]) -> Figure:
    times = 1000 * np.array(seconds)
    low, high = np.percentile(times, (5, 95))
    return Figure.of(
        float(np.median(times)), (float(low), float(high)), len(times), "ms", "processor time; 5 to 95 %"
    )


def _licence(folders: Sequence[Path]) -> str:
    said = [
        text
        for name, text in _LICENCES.items()
        if any(name in str(each.resolve()).lower() for each in folders)
    ]
    return "; ".join(said) or "none stated"
