"""Figures on simulated machines that run to their failure: alerts, intervals, kinds, and what maintenance costs.

It shows that the way from vibration to an alert works, against a truth that real machines do not tell; how well it
works on a real machine it cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from apps.manufacturing.maintenance import policy
from apps.manufacturing.maintenance.evaluate_cmapss import policy_figures, policy_rows
from apps.manufacturing.maintenance.fleet import Seen, run_fleet
from apps.manufacturing.maintenance.fuse import KIND_FROM
from apps.manufacturing.maintenance.loop import load_models
from apps.manufacturing.maintenance.options import EvaluateOptions
from apps.manufacturing.maintenance.wear_fit import COVERAGE, HORIZON_H
from edgeai_core.app import Progress
from edgeai_core.metrics.calibration import expected_calibration_error
from edgeai_core.metrics.curves import area_interval, pr_auc
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap

TASK = "manufacturing.maintenance"

FIRST_MACHINE = 10_000
"""Machines from this number on are never taught on."""

HOURS_PER_MONTH = 720.0
LIMITS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Probabilities of a failure above which an alert is tried; the loop's own is 0.8."""

LEAD_H = 24.0
"""An alert asks for maintenance within so long."""


def evaluate_simulated(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Run machines that were not taught on, and judge every alert and interval."""
    models = load_models(options.model)
    first = FIRST_MACHINE + 100_000 * options.seed
    fleet = list(
        run_fleet(range(first, first + options.machines), models.judge, models.wear, progress, HORIZON_H)
    )
    figures = {**_alerts(fleet), **_intervals(fleet), **_kinds(fleet)}
    lives = [policy.Life(seen.hours, seen.alert, seen.machine.failure_h) for seen in fleet]
    figures |= policy_figures(lives, LEAD_H)
    counts = {"machines": len(fleet), "measurements": sum(len(seen.hours) for seen in fleet)}
    rows: list[Mapping[str, object]] = [
        *policy_rows(lives, LEAD_H),
        *[at_limit(fleet, limit) for limit in LIMITS],
        *[_row(seen) for seen in fleet],
    ]
    data = DataRef("simulated machines", "Apache-2.0", counts)
    return Evaluation(TASK, ModelRef("wear-line and bearing-damage", "1.0.0"), (data,), figures, tuple(rows))


def at_limit(fleet: Sequence[Seen], limit: float) -> Mapping[str, object]:
    """What alerts above another probability would have given: what to choose ``limits.failure_probability`` by."""
    lives = [
        policy.Life(seen.hours, np.nan_to_num(seen.probability) > limit, seen.machine.failure_h)
        for seen in fleet
    ]
    leads = np.array(
        [life.ends - life.times[int(np.argmax(life.alert))] if life.alert.any() else 0.0 for life in lives]
    )
    result = policy.foretold(lives, LEAD_H, policy.Costs())
    return {
        "alert_above": limit,
        "late": int((leads < LEAD_H).sum()),
        "never": int((leads == 0).sum()),
        "early": int((leads > 2 * HORIZON_H).sum()),
        "lead_time_h": float(np.median(leads)),
        "downtime_h": result.downtime_h,
        "cost": result.cost,
    }


def _alerts(fleet: Sequence[Seen]) -> dict[str, Figure]:
    left = [seen.machine.failure_h - seen.hours for seen in fleet]
    truth = [hours <= HORIZON_H for hours in left]
    judged = [np.isfinite(seen.probability) for seen in fleet]
    hits = np.array([float((s.alert & t).sum()) for s, t in zip(fleet, truth, strict=True)])
    calls = np.array([float(s.alert.sum()) for s in fleet])
    due = np.array([float(t.sum()) for t in truth])
    probability = np.concatenate([s.probability[j] for s, j in zip(fleet, judged, strict=True)])
    came = np.concatenate([t[j] for t, j in zip(truth, judged, strict=True)])
    names = [s.machine.name for s, j in zip(fleet, judged, strict=True) for _ in range(int(j.sum()))]
    first = [
        float(hours[int(np.argmax(s.alert))]) if s.alert.any() else 0.0
        for s, hours in zip(fleet, left, strict=True)
    ]
    early = np.array([float(lead > 2 * HORIZON_H) for lead in first])
    months = np.array([seen.machine.failure_h / HOURS_PER_MONTH for seen in fleet])
    note = f"measurements every 12 h; failure within {HORIZON_H:.0f} h"
    return {
        "f1": Figure.of(
            float(2 * hits.sum() / (calls.sum() + due.sum())),
            ratio_bootstrap(2 * hits, calls + due),
            len(fleet),
            note=note,
        ),
        "pr_auc": Figure.of(
            pr_auc(came, probability),
            area_interval(came, probability, names, pr_auc, 200),
            len(fleet),
            note=note,
        ),
        "calibration_error": Figure.of(
            expected_calibration_error(probability, came.astype(int)), None, len(came)
        ),
        "lead_time": Figure.of(
            float(np.median(first)),
            grouped_bootstrap(first, lambda chosen: float(np.median(chosen))),
            len(fleet),
            "h",
            "first alert to failure, median",
        ),
        "missed": Figure.share(
            sum(lead < LEAD_H for lead in first), len(fleet), f"alerts less than {LEAD_H:.0f} h before"
        ),
        "false_alarms_per_machine_month": Figure.of(
            float(early.sum() / months.sum()),
            ratio_bootstrap(early, months),
            len(fleet),
            "1/month",
            f"first alerts more than {2 * HORIZON_H:.0f} h before the failure",
        ),
    }


def _intervals(fleet: Sequence[Seen]) -> dict[str, Figure]:
    inside, said, squares = [], [], []
    for seen in fleet:
        told = np.isfinite(seen.remaining_h[:, 0])
        left = (seen.machine.failure_h - seen.hours)[told]
        low, middle, high = seen.remaining_h[told].T
        inside.append(float(((left >= low) & (left <= high)).sum()))
        said.append(float(told.sum()))
        near = np.isfinite(middle) & (left <= 240)
        squares.append((middle[near] - left[near]) ** 2)
    joined = np.concatenate(squares)
    return {
        "interval_coverage": Figure.of(
            float(sum(inside) / sum(said)) if sum(said) else None,
            ratio_bootstrap(inside, said),
            int(sum(said)),
            note=f"nominal {COVERAGE:.0%}; interval by machine",
        ),
        "rmse": Figure.of(
            float(np.sqrt(joined.mean())) if len(joined) else None,
            None,
            len(joined),
            "h",
            "in the last 240 h",
        ),
    }


def _kinds(fleet: Sequence[Seen]) -> dict[str, Figure]:
    named = [
        [kind for kind, severity in zip(seen.kind, seen.severity, strict=True) if severity >= 2 * KIND_FROM]
        for seen in fleet
    ]
    right = np.array(
        [float(sum(k == s.machine.kind for k in kinds)) for kinds, s in zip(named, fleet, strict=True)]
    )
    count = np.array([float(len(kinds)) for kinds in named])
    return {
        "kind_accuracy": Figure.of(
            float(right.sum() / count.sum()) if count.sum() else None,
            ratio_bootstrap(right, count),
            int(count.sum()),
            note="measurements past half of the way to the limit; cannot tell is wrong",
        )
    }


def _row(seen: Seen) -> Mapping[str, object]:
    place = int(np.argmax(seen.alert)) if seen.alert.any() else None
    return {
        "machine": seen.machine.name,
        "kind": seen.machine.kind,
        "said": seen.kind[-1],
        "failure_h": round(seen.machine.failure_h),
        "alert_before_failure_h": None
        if place is None
        else round(seen.machine.failure_h - float(seen.hours[place])),
    }
