"""Splits that keep a group whole: no patient, part or drive is taught on and judged on at once."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeai_core.errors import InputError


@dataclass(frozen=True)
class Fold:
    """Row numbers to train on and to test on, each sorted."""

    train: np.ndarray
    test: np.ndarray


def grouped_folds(
    groups: Sequence[Hashable], labels: Sequence[Hashable], n_folds: int = 5, seed: int = 0
) -> list[Fold]:
    """Split rows into folds by whole groups, with the labels spread as evenly as the groups allow.

    ``groups`` and ``labels`` name each row's. Every row is in exactly one test set; the same arguments give the
    same folds. Labels rarer than ``n_folds`` rows cannot be in every fold, and nothing is said of it.
    Raises InputError for fewer groups than folds, less than two folds, or only such rare labels.
    """
    if len(groups) != len(labels):
        raise InputError(f"{len(labels)} labels need as many groups, not {len(groups)}")
    found = len(set(groups))
    if not 2 <= n_folds <= found:
        raise InputError(f"{found} groups cannot be split into {n_folds} folds; two up to {found} can be had")
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    rows, group, label = np.zeros(len(groups)), _numbers(groups), _numbers(labels)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            folds = [Fold(train, test) for train, test in splitter.split(rows, label, group)]
    except ValueError as error:
        raise InputError(f"labels cannot be spread over {n_folds} folds: {error}") from error
    if any(not len(fold.test) for fold in folds):
        raise InputError(
            f"{found} groups of such unequal size leave one of {n_folds} folds empty; take fewer"
        )
    for fold in folds:
        check_groups_apart([groups[i] for i in fold.train], [groups[i] for i in fold.test])
    return folds


def check_groups_apart(train: Iterable[Hashable], test: Iterable[Hashable]) -> None:
    """Raise InputError that names the groups, where any is on both sides."""
    shared = sorted(map(str, set(train) & set(test)))
    if shared:
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise InputError(f"groups on both sides of a split: {', '.join(shared[:5])}{more}")


def _numbers(names: Sequence[Hashable]) -> np.ndarray:
    """Number names in the order in which they first come."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in names])
