"""Figures on run-to-failure tables in the layout of C-MAPSS: the official test engines, each looked at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from apps.manufacturing.maintenance import policy
from apps.manufacturing.maintenance.cycle_features import CAP
from apps.manufacturing.maintenance.cyclefile import Unit, read_test, read_train, subsets_in
from apps.manufacturing.maintenance.engines import (
    COVERAGE,
    FIRST_CYCLE,
    FOLDS,
    Foretold,
    HeldOut,
    Taught,
    baselines,
    fit_spread,
    foretell,
    teach,
)
from apps.manufacturing.maintenance.life import LifeModel, Spread
from apps.manufacturing.maintenance.options import EvaluateOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.curves import pr_auc
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap

TASK = "manufacturing.maintenance"

ALERT = 0.8
"""A failure more probable than this is an alert, as in the loop."""

CYCLES_PER_MONTH = 720.0
"""Cycles counted as a machine-month: one an hour."""

LEAD_CYCLES = 5.0
"""So many cycles pass between an alert and the visit."""


def evaluate_cmapss(data: Path, options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge every subset asked for. The first has the plain names of the figures, others their own at the end."""
    subsets = [options.subset] if options.subset else subsets_in(data)
    if not subsets:
        raise InputError(f"{data}: holds no train_FD001.txt or the like")
    figures: dict[str, Figure] = {}
    rows: list[Mapping[str, object]] = []
    counts: dict[str, int] = {}
    model = ModelRef("life, taught on each subset's training engines", "1.0.0")
    for place, subset in enumerate(subsets):
        train, test = read_train(data, subset), read_test(data, subset)
        taught: Taught | LifeModel
        if options.model is not None:
            taught = LifeModel.load(options.model / "life.onnx")
            card = taught.runner.card
            model = ModelRef(card.name, card.version, card.digest)
        else:
            taught = teach(
                train, horizon=options.horizon, seed=options.seed, progress=progress, label=f"{subset} "
            )
        found, took_ms = foretell(taught, test)
        end = "" if not place else f"_{subset}"
        figures |= {f"{name}{end}": figure for name, figure in _figures(found, took_ms).items()}
        rows += [{"subset": subset, **row} for row in (*_peers(train, test, found), *_engines(found))]
        if isinstance(taught, Taught):
            alarms, more = _alarms(taught.held_out, taught.spread.horizon, options.seed)
            figures |= {f"{name}{end}": figure for name, figure in alarms.items()}
            rows += [{"subset": subset, **row} for row in more]
        counts |= {f"{subset} training engines": len(train), f"{subset} test engines": len(test)}
    ref = DataRef("C-MAPSS turbofan degradation (NASA)", "none stated", counts)
    return Evaluation(TASK, model, (ref,), figures, tuple(rows))


def nasa_score(said: Sequence[float], left: Sequence[float]) -> float:
    """Return the sum of penalties, late ones graver: A. Saxena et al., PHM 2008, equation 4."""
    late = np.asarray(said) - np.asarray(left)
    return float(np.where(late < 0, np.expm1(-late / 13), np.expm1(late / 10)).sum())


def _figures(found: Sequence[Foretold], took_ms: float) -> dict[str, Figure]:
    said = np.array([each.outlook.remaining for each in found])
    left = np.array([each.remaining for each in found])
    capped = (np.minimum(said, CAP) - np.minimum(left, CAP)) ** 2
    whole = (said - left) ** 2
    inside = [each.outlook.low <= each.remaining <= each.outlook.high for each in found]
    test = binomtest(sum(inside), len(inside), COVERAGE)
    return {
        "rmse_capped": _rmse(capped, f"truth and prediction capped at {CAP:.0f} cycles"),
        "rmse": _rmse(whole, "truth as it is"),
        "nasa_score": Figure.of(nasa_score(said.tolist(), left.tolist()), None, len(found), "score"),
        "interval_coverage": Figure.share(
            sum(inside), len(inside), f"nominal {COVERAGE:.0%}; binomial test p = {test.pvalue:.3f}"
        ),
        "interval_width": Figure.of(
            float(np.median([min(CAP, each.outlook.high) - each.outlook.low for each in found])),
            None,
            len(found),
            "cycles",
            "median, up to the cap",
        ),
        "ms_per_engine": Figure.of(took_ms, None, len(found), "ms", "features and model, median, one core"),
    }


def _rmse(squares: np.ndarray, note: str) -> Figure:
    low, high = grouped_bootstrap(squares.tolist(), lambda chosen: math.sqrt(float(np.mean(chosen))))
    return Figure.of(math.sqrt(float(squares.mean())), (low, high), len(squares), "cycles", note)


def _peers(
    train: Sequence[Unit], test: Sequence[Unit], found: Sequence[Foretold]
) -> list[Mapping[str, object]]:
    left = np.array([each.remaining for each in found])
    said = {"ours": [each.outlook.remaining for each in found], **baselines(train, test)}
    return [
        {
            "method": name,
            "rmse_capped": math.sqrt(float(np.mean((np.minimum(values, CAP) - np.minimum(left, CAP)) ** 2))),
            "rmse": math.sqrt(float(np.mean((np.array(values) - left) ** 2))),
            "nasa_score": nasa_score(list(values), left.tolist()),
        }
        for name, values in said.items()
    ]


def _engines(found: Sequence[Foretold]) -> list[Mapping[str, object]]:
    return [
        {
            "engine": each.unit,
            "remaining": each.remaining,
            "said": round(each.outlook.remaining, 1),
            "low": round(each.outlook.low, 1),
            "high": round(each.outlook.high, 1),
            "failure_probability": round(each.outlook.failure_probability, 4),
        }
        for each in found
    ]


def _alarms(
    held_out: HeldOut, horizon: float, seed: int
) -> tuple[dict[str, Figure], list[Mapping[str, object]]]:
    """Alerts over the whole lives of the training engines, each judged by a model that had not seen it; and what
    ways of maintaining would have cost."""
    said, left = held_out.said, held_out.left
    spread = _spread_elsewhere(said, left, horizon, seed)
    probability = [
        np.array([spread[n].outlook(float(value)).failure_probability for value in outputs])
        for n, outputs in enumerate(said)
    ]
    alert = [_held(each > ALERT) for each in probability]
    truth = [cycles <= horizon for cycles in left]
    hits = np.array([float((a & t)[FIRST_CYCLE:].sum()) for a, t in zip(alert, truth, strict=True)])
    calls = np.array([float(a[FIRST_CYCLE:].sum()) for a in alert])
    due = np.array([float(t[FIRST_CYCLE:].sum()) for t in truth])
    first = [
        float(cycles[int(np.argmax(a))]) if a.any() else 0.0 for a, cycles in zip(alert, left, strict=True)
    ]
    early = np.array([float(lead > 2 * horizon) for lead in first])
    months = np.array([len(cycles) / CYCLES_PER_MONTH for cycles in left])
    joined_truth = np.concatenate([t[FIRST_CYCLE:] for t in truth]).astype(int)
    joined = np.concatenate([p[FIRST_CYCLE:] for p in probability])
    note = f"cycles of training engines judged out of fold; failure within {horizon:.0f} cycles"
    lead_low, lead_high = grouped_bootstrap(first, lambda chosen: float(np.median(chosen)))
    figures = {
        "f1": Figure.of(
            float(2 * hits.sum() / (calls.sum() + due.sum())),
            ratio_bootstrap(2 * hits, calls + due),
            len(left),
            "1",
            note,
        ),
        "pr_auc": Figure.of(pr_auc(joined_truth, joined), None, len(left), "1", note),
        "lead_time": Figure.of(
            float(np.median(first)),
            (lead_low, lead_high),
            len(left),
            "cycles",
            "first alert to failure, median",
        ),
        "missed": Figure.share(
            sum(not a.any() for a in alert), len(left), "engines that failed without an alert"
        ),
        "false_alarms_per_machine_month": Figure.of(
            float(early.sum() / months.sum()),
            ratio_bootstrap(early, months),
            len(left),
            "1/month",
            f"first alerts more than {2 * horizon:.0f} cycles before the failure; a month is 720 cycles",
        ),
    }
    lives = [
        policy.Life(np.arange(1.0, len(cycles) + 1), a, float(len(cycles)))
        for cycles, a in zip(left, alert, strict=True)
    ]
    figures |= policy_figures(lives, LEAD_CYCLES)
    return figures, policy_rows(lives, LEAD_CYCLES)


def policy_figures(lives: Sequence[policy.Life], lead: float) -> dict[str, Figure]:
    """Return what ours saves in downtime against the better peer, by lives."""

    def saved(chosen: Sequence[policy.Life], against: str) -> float:
        costs = policy.Costs()
        ours = policy.foretold(chosen, lead, costs).downtime_h
        if against == "failure":
            return 1 - ours / policy.run_to_failure(chosen, costs).downtime_h
        interval = policy.best_interval(lives, costs, lambda result: result.downtime_h)
        return 1 - ours / policy.fixed_interval(chosen, interval, costs).downtime_h

    figures = {}
    for name, against in (
        ("downtime_saved_to_failure", "failure"),
        ("downtime_saved_to_interval", "interval"),
    ):
        interval = grouped_bootstrap(list(lives), lambda chosen, a=against: saved(chosen, a), n_resamples=200)  # type: ignore[misc]
        peer = (
            "run to failure"
            if against == "failure"
            else "the fixed interval that is best on these very lives"
        )
        figures[name] = Figure.of(
            saved(lives, against), interval, len(lives), "1", f"against {peer}; costs assumed"
        )
    return figures


def policy_rows(lives: Sequence[policy.Life], lead: float) -> list[Mapping[str, object]]:
    """Return downtime and cost of each way, by 1000 cycles or hours run."""
    costs = policy.Costs()
    interval = policy.best_interval(lives, costs, lambda result: result.downtime_h)
    results = (
        policy.run_to_failure(lives, costs),
        policy.fixed_interval(lives, interval, costs),
        policy.foretold(lives, lead, costs),
    )
    return [
        {"policy": result.name, **{k: v for k, v in dataclasses.asdict(result).items() if k != "name"}}
        for result in results
    ]


def _held(raised: np.ndarray) -> np.ndarray:
    """An alert needs two cycles in a row, as the loop's rule asks for; from then on it stands."""
    twice = raised.copy()
    twice[1:] &= raised[:-1]
    twice[0] = False
    return np.logical_or.accumulate(twice)


def _spread_elsewhere(
    said: Sequence[np.ndarray], left: Sequence[np.ndarray], horizon: float, seed: int
) -> list[Spread]:
    """The probabilities of an engine come from the other engines: fitted anew without each of five parts."""
    found: list[Spread | None] = [None] * len(said)
    for part in range(FOLDS):
        others = [n for n in range(len(said)) if n % FOLDS != part]
        spread = fit_spread([said[n] for n in others], [left[n] for n in others], horizon, seed)
        for n in range(part, len(said), FOLDS):
            found[n] = spread
    return [each for each in found if each is not None]
