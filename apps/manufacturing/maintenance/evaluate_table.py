"""Figures on a labelled table: failures are rare in it, so accuracy never stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.options import EvaluateOptions
from apps.manufacturing.maintenance.table import Table, fit_classifier, read_columns, read_table, with_pairs
from edgeai_core.app import Progress
from edgeai_core.metrics.calibration import Platt, expected_calibration_error, fit_platt
from edgeai_core.metrics.curves import area_interval, pr_auc
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import ratio_bootstrap
from edgeai_core.metrics.splits import grouped_folds

TASK = "manufacturing.maintenance"
FOLDS = 5
Array = NDArray[np.float64]


def evaluate_table(data: Path, options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge every row by a model that saw none of its group: threshold and calibration come from the others too."""
    table = read_table(data, read_columns(options.columns))
    if options.model is not None:
        from apps.manufacturing.maintenance.table_model import load_table_model

        probability, called, ref = load_table_model(options.model, table)
    else:
        probability, called = cross_validate(table, options.seed, progress)
        ref = ModelRef("failures, taught on other groups of rows", "1.0.0")
    figures = figures_of(table, probability, called)
    rows = [*_peers(table, probability, called, options.seed)]
    counts = {
        "rows": len(table.failed),
        "failures": int(table.failed.sum()),
        "groups": len(set(table.groups)),
    }
    return Evaluation(TASK, ref, (DataRef(table.name, "as its owner states", counts),), figures, tuple(rows))


def cross_validate(table: Table, seed: int, progress: Progress) -> tuple[Array, NDArray[np.bool_]]:
    """Return for each row its probability and whether it is called, by models that saw none of its group."""
    probability, called = np.zeros(len(table.failed)), np.zeros(len(table.failed), dtype=np.bool_)
    folds = grouped_folds(table.groups, table.failed.tolist(), FOLDS, seed)
    for done, fold in enumerate(folds, start=1):
        line, threshold, model = fit_calibrated(table, fold.train, seed)
        probability[fold.test] = line.probability(log_odds(model, single(table, fold.test)))
        called[fold.test] = probability[fold.test] >= threshold
        progress("teaching", done, FOLDS)
    return probability, called


def fit_calibrated(table: Table, rows: NDArray[np.int64], seed: int) -> tuple[Platt, float, Any]:
    """Fit trees, and on rows each part had not seen the calibration, and the threshold that is best for F1 there."""
    groups = [table.groups[n] for n in rows]
    failed = table.failed[rows]
    scores = np.zeros(len(rows))
    for fold in grouped_folds(groups, failed.tolist(), FOLDS, seed):
        inner = fit_classifier(single(table, rows[fold.train]), failed[fold.train], seed)
        scores[fold.test] = log_odds(inner, single(table, rows[fold.test]))
    line = fit_platt(scores, failed.astype(int))
    calibrated = line.probability(scores)
    tried = np.linspace(0.05, 0.95, 91)
    threshold = float(max(tried, key=lambda level: _f1(failed, calibrated >= level)))
    return line, threshold, fit_classifier(single(table, rows), failed, seed)


def single(table: Table, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features of rows, in the precision of the model's file."""
    return with_pairs(table.values[rows]).astype(np.float32)


def log_odds(model: Any, features: NDArray[np.float32]) -> Array:
    """Return the log odds (n,) of a failure."""
    return np.asarray(model.decision_function(features), dtype=np.float64)


def figures_of(table: Table, probability: Array, called: NDArray[np.bool_]) -> dict[str, Figure]:
    """Return F1, area under precision and recall, cost, and accuracy with what saying nothing would score."""
    failed, columns = table.failed, table.columns
    names = np.unique(np.array(table.groups))
    place = {name: n for n, name in enumerate(names.tolist())}
    group = np.array([place[name] for name in table.groups])

    def by_group(flags: NDArray[np.bool_]) -> Array:
        return np.asarray(np.bincount(group, flags.astype(float), minlength=len(names)), dtype=np.float64)

    hits, missed, false = failed & called, failed & ~called, called & ~failed
    n = len(failed)
    cost = missed.sum() * columns.miss_cost + false.sum() * columns.false_alarm_cost
    nothing = failed.sum() * columns.miss_cost
    note = f"by {len(names)} groups of rows, each judged by a model that saw none of it"
    return {
        "f1": Figure.of(
            _f1(failed, called),
            ratio_bootstrap(2 * by_group(hits), by_group(failed) + by_group(called)),
            int(failed.sum()),
            note=note,
        ),
        "pr_auc": Figure.of(
            pr_auc(failed, probability),
            area_interval(failed, probability, table.groups, pr_auc, 300),
            n,
            note=note,
        ),
        "sensitivity": Figure.share(int(hits.sum()), int(failed.sum())),
        "precision": Figure.share(int(hits.sum()), int(called.sum())),
        "accuracy": Figure.share(
            int((failed == called).sum()),
            n,
            f"a model that never foretells a failure scores {1 - failed.mean():.1%}",
        ),
        "accuracy_of_saying_nothing": Figure.share(
            int((~failed).sum()), n, "the peer that accuracy flatters"
        ),
        "calibration_error": Figure.of(expected_calibration_error(probability, failed.astype(int)), None, n),
        "cost_against_nothing": Figure.of(
            float(cost / nothing),
            None,
            n,
            "1",
            f"a miss costs {columns.miss_cost:g}, a false alarm {columns.false_alarm_cost:g}: assumptions",
        ),
        "lead_time": Figure(None, None, None, 0, "h", "rows say nothing of the time before a failure"),
        "false_alarms_per_1000_rows": Figure.of(1000 * float(false.sum()) / n, None, n, "1/1000"),
    }


def _peers(
    table: Table, probability: Array, called: NDArray[np.bool_], seed: int
) -> list[Mapping[str, object]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values = np.nan_to_num(table.values)
    scores = np.zeros(len(table.failed))
    for fold in grouped_folds(table.groups, table.failed.tolist(), FOLDS, seed):
        peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        peer.fit(values[fold.train], table.failed[fold.train])
        scores[fold.test] = peer.predict_proba(values[fold.test])[:, 1]
    nothing = np.zeros(len(table.failed), dtype=np.bool_)
    return [
        _row("ours", table.failed, called, probability),
        _row("logistic regression", table.failed, scores >= 0.5, scores),
        _row("never a failure", table.failed, nothing, np.zeros(len(nothing))),
    ]


def _row(
    name: str, failed: NDArray[np.bool_], called: NDArray[np.bool_], score: Array
) -> Mapping[str, object]:
    return {
        "method": name,
        "f1": _f1(failed, called),
        "pr_auc": pr_auc(failed, score),
        "accuracy": float((failed == called).mean()),
        "missed": int((failed & ~called).sum()),
        "false_alarms": int((called & ~failed).sum()),
    }


def _f1(failed: NDArray[np.bool_], called: NDArray[np.bool_]) -> float:
    total = failed.sum() + called.sum()
    return float(2 * (failed & called).sum() / total) if total else 0.0
