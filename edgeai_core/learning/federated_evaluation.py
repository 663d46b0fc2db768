"""What learning together is worth: averaged weights against everyone alone and against all data in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.averaging import moments, scale_of
from edgeai_core.learning.continual import Samples
from edgeai_core.learning.federated import Model, Plan, in_process, over_loopback
from edgeai_core.learning.federated_options import FederatedOptions
from edgeai_core.learning.mlp import FitOptions, fresh_weights, logits, taught
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.splits import grouped_folds

_RESAMPLES = 2000


@dataclass
class _Judged:
    """Out-of-fold decisions of one way of learning, of every fold and, for clients alone, of every client."""

    called: list[NDArray[np.bool_]] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


def evaluate_federated(
    task: str, samples: Samples, options: FederatedOptions, progress: Progress
) -> Evaluation:
    """Divide the groups of each training side among clients, learn, and judge on groups that nobody had.

    Figures are balanced accuracies (at equal odds) and areas under the curve, intervals by group. Raises InputError
    for other than two classes, or where groups are too few.
    """
    if sorted(set(samples.labels.tolist())) != [0, 1]:
        raise InputError("learning together is judged on two classes, 0 and 1, and both must occur")
    plan = Plan(options.rounds, options.passes, options.share, options.hidden, seed=options.seed)
    folds = grouped_folds(samples.groups.tolist(), samples.labels.tolist(), options.folds, options.seed)
    judged = {way: _Judged() for way in ("pooled", "federated", "own", "alone")}
    rows: list[dict[str, object]] = []
    order, refused = [], list[str]()
    for number, fold in enumerate(folds):
        progress("folds", number, len(folds))
        test, train = samples.rows(fold.test), samples.rows(fold.train)
        parts = divided(train, options.clients, options.seed + number)
        outcome = over_loopback(parts, plan, 2, progress) if options.network else in_process(parts, plan, 2)
        refused += outcome.refused
        ways: dict[str, Sequence[Model]] = {
            "pooled": [_alone(train, plan)],
            "federated": [outcome.common],
            "own": outcome.own or [outcome.common],
            "alone": [_alone(part, plan) for part in parts],
        }
        row: dict[str, object] = {"fold": number + 1, "groups judged": len(set(test.groups.tolist()))}
        for way, models in ways.items():
            odds = np.stack([_odds(model, test.features) for model in models])
            judged[way].called.append(odds > 0)
            areas = [roc_auc(test.labels, each) for each in odds]
            judged[way].areas.append(float(np.mean(areas)))
            row[f"auc {way}"] = judged[way].areas[-1]
        rows.append(row)
        order.append(fold.test)
    progress("folds", len(folds), len(folds))
    everyone = np.concatenate(order)
    figures = _figures(samples.rows(everyone), judged, options)
    figures["refused_clients"] = Figure(len(refused), None, None, options.clients * len(folds), "clients",
                                        "; ".join(dict.fromkeys(refused)))  # fmt: skip
    data = DataRef(
        "the samples named", "that of the data",
        {"samples": len(samples), "of class 1": int(samples.labels.sum()), "groups": len(set(samples.groups.tolist())),
         "clients": options.clients, "rounds": options.rounds},
    )  # fmt: skip
    carrier = "Flower, a process per client" if options.network else "one process"
    model = ModelRef(
        f"mlp of {options.hidden}, {options.mix}, {carrier}", f"taught anew, {len(folds)} folds by group"
    )
    return Evaluation(task, model, (data,), figures, tuple(rows))


def divided(samples: Samples, clients: int, seed: int) -> list[Samples]:
    """Divide samples among clients, groups whole, as many groups for each. Raises InputError for too few groups."""
    names = np.unique(samples.groups)
    if len(names) < clients:
        raise InputError(f"{len(names)} patients or parts cannot be divided among {clients} clients")
    order = np.random.default_rng(seed).permutation(names)
    return [samples.rows(np.isin(samples.groups, order[client::clients])) for client in range(clients)]


def _alone(samples: Samples, plan: Plan) -> Model:
    """Teach on some samples as long as clients learn together: as many passes, from the same start."""
    mean, square = moments(samples.features)
    model = Model(mean, scale_of(mean, square), ())
    scaled = Samples(model.scaled(samples.features), samples.labels, samples.groups)
    start = fresh_weights(samples.features.shape[1], plan.hidden, 2, plan.seed)
    how = FitOptions(plan.rounds * plan.passes, learning_rate=plan.learning_rate, seed=plan.seed)
    return Model(model.mean, model.scale, taught(start, scaled, how))


def _odds(model: Model, features: NDArray[np.float32]) -> NDArray[np.float32]:
    out = logits(model.weights, model.scaled(features))
    return np.asarray(out[:, 1] - out[:, 0], np.float32)


def _figures(samples: Samples, judged: dict[str, _Judged], options: FederatedOptions) -> dict[str, Figure]:
    """Balanced accuracies, their differences from ``federated``, and mean areas under the curve."""
    names, place = np.unique(samples.groups, return_inverse=True)
    tables = {}
    for way, each in judged.items():
        # Of several models a decision counts as the share of them that takes it.
        share = np.concatenate([called.mean(axis=0) for called in each.called])
        right = np.where(samples.labels == 1, share, 1 - share)
        tables[way] = np.stack(
            [
                [np.bincount(place, right * (samples.labels == kind), len(names)) for kind in (0, 1)],
                [np.bincount(place, samples.labels == kind, len(names)) for kind in (0, 1)],
            ]
        )  # (right and all, class, group)
    random = np.random.default_rng(0)
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)

    def balanced(way: str) -> tuple[float, NDArray[np.float64]]:
        table = tables[way]
        drawn = np.einsum("rg,skg->skr", counts, table)
        with np.errstate(invalid="ignore"):
            return float((table[0].sum(-1) / table[1].sum(-1)).mean()), (drawn[0] / drawn[1]).mean(axis=0)

    def figure(value: float, drawn: NDArray[np.float64], note: str) -> Figure:
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return Figure.of(value, (float(low), float(high)), len(samples), note=note)

    found = {}
    notes = {
        "pooled": "all training data in one place",
        "federated": f"the common weights, mix {options.mix}",
        "own": "mean over the clients' own weights after the last round",
        "alone": "mean over clients that learn from their own data only",
    }
    values = {way: balanced(way) for way in judged}
    for way, (value, drawn) in values.items():
        found[f"balanced_accuracy_{way}"] = figure(value, drawn, notes[way])
    for way in ("pooled", "alone"):
        found[f"federated_less_{way}"] = figure(
            values["federated"][0] - values[way][0],
            values["federated"][1] - values[way][1],
            "difference, paired",
        )
        found[f"own_less_{way}"] = figure(
            values["own"][0] - values[way][0], values["own"][1] - values[way][1], "difference, paired"
        )
    for way, each in judged.items():
        found[f"auc_{way}"] = Figure.of(
            float(np.mean(each.areas)), None, len(samples), note="mean over folds"
        )
    return found
