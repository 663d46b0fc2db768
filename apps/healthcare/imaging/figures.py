"""What an evaluation of a network says: shares, areas and calibration, each with its interval by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.metrics.calibration import expected_calibration_error
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap

_RESAMPLES = 1000


@dataclass(frozen=True)
class Judgements:
    """Pictures as they were judged.

    ``truth`` and ``called`` (n,) are class numbers, 0 for no finding; ``probabilities`` (n, classes) calibrated;
    ``answered`` (n,) whether the gate let the picture through and it lies outside the grey zone; ``groups`` by row.
    Every picture is called one way or the other, answered or not: refusing what is hard flatters no figure here.
    """

    truth: NDArray[np.int64]
    called: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    answered: NDArray[np.bool_]
    groups: Sequence[str]
    classes: Sequence[str]


def figures(judged: Judgements) -> dict[str, Figure]:
    """Return the figures, over every picture. ``auc`` of more than two classes is the mean of each against the rest."""
    ill, called_ill = judged.truth != 0, judged.called != 0
    right = judged.truth == judged.called
    several = len(judged.classes) > 2
    note = "mean of the areas of each class against the rest" if several else ""
    shares: Mapping[str, tuple[Callable[[NDArray[np.int64]], float], int, str]] = {
        "accuracy": (lambda rows: float(right[rows].mean()), len(right), ""),
        "auc": (lambda rows: _area(judged, rows), len(right), note),
        "macro_f1": (
            lambda rows: macro_f1(judged.truth[rows], judged.called[rows], len(judged.classes)),
            len(right),
            "",
        ),
        "sensitivity": (lambda rows: _mean(called_ill[rows][ill[rows]]), int(ill.sum()), "of any finding"),
        "specificity": (
            lambda rows: _mean(~called_ill[rows][~ill[rows]]),
            int((~ill).sum()),
            "of any finding",
        ),
        "calibration_error": (
            lambda rows: _calibration(judged, rows),
            len(right),
            "expected, of the class called",
        ),
        "refused_share": (
            lambda rows: float((~judged.answered[rows]).mean()),
            len(right),
            "refused by the gate or left to a person; they count in the figures above all the same",
        ),
        "accuracy_answered": (
            lambda rows: _mean(right[rows][judged.answered[rows]]),
            int(judged.answered.sum()),
            "of those that were answered",
        ),
    }
    members = _members(judged.groups)
    everything = np.arange(len(right))
    return {
        name: Figure.of(
            measure(everything),
            grouped_bootstrap(members, lambda drawn, m=measure: m(np.concatenate(drawn)), _RESAMPLES),  # type: ignore[misc]
            n,
            note=said,
        )
        for name, (measure, n, said) in shares.items()
    }


def rows(judged: Judgements) -> tuple[Mapping[str, object], ...]:
    """Return a row for each class: how many, how many were called so, and what the others were called."""
    table = []
    for number, name in enumerate(judged.classes):
        mine = judged.truth == number
        called = {
            f"called {other}": int((judged.called[mine] == n).sum()) for n, other in enumerate(judged.classes)
        }
        table.append(
            {
                "class": name,
                "n": int(mine.sum()),
                **called,
                "not answered": int((~judged.answered[mine]).sum()),
            }
        )
    return tuple(table)


def macro_f1(truth: NDArray[np.int64], called: NDArray[np.int64], classes: int) -> float:
    """Return the mean of the classes' F1; a class that neither occurs nor is called is left out."""
    scores = []
    for number in range(classes):
        hits = int(((truth == number) & (called == number)).sum())
        either = int((truth == number).sum() + (called == number).sum())
        if either:
            scores.append(2 * hits / either)
    return float(np.mean(scores)) if scores else float("nan")


def _area(judged: Judgements, rows: NDArray[np.int64]) -> float:
    truth, shares = judged.truth[rows], judged.probabilities[rows]
    if len(judged.classes) == 2:
        return roc_auc(truth, shares[:, 1])
    return float(
        np.mean([roc_auc((truth == n).astype(int), shares[:, n]) for n in range(len(judged.classes))])
    )


def _calibration(judged: Judgements, rows: NDArray[np.int64]) -> float:
    likeliest = judged.probabilities[rows].argmax(axis=1)
    stated = judged.probabilities[rows].max(axis=1)
    return expected_calibration_error(np.clip(stated, 0, 1), (likeliest == judged.truth[rows]).astype(int))


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    places: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        places.setdefault(group, []).append(row)
    return [np.array(each) for each in places.values()]
