"""A forest of randomised trees and how it is written as ONNX: what names the differences of a board."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TREES = 150
_LEAF = 2
"""Fewer samples in a leaf make the file five times larger and nothing better."""


def fit_forest(features: Floats, labels: NDArray[np.int64], seed: int, threads: int) -> Any:
    """Return extremely randomised trees (P. Geurts et al., Machine Learning 63, 2006) for labels 0 to n - 1."""
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(
        TREES, min_samples_leaf=_LEAF, max_features="sqrt", random_state=seed, n_jobs=threads
    )
    return forest.fit(features, labels)


def forest_node(forest: Any, source: str, target: str) -> list[Any]:
    """Return the ONNX nodes that give the mean of the trees' class shares: (n, features) to (n, classes)."""
    from onnx import helper

    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    votes: dict[str, list[Any]] = {name: [] for name in _VOTES}
    for number, tree in enumerate(each.tree_ for each in forest.estimators_):
        _append_tree(number, tree, len(forest.estimators_), columns, votes)
    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        [source],
        [f"{target}_label", target],
        domain="ai.onnx.ml",
        classlabels_int64s=[int(each) for each in forest.classes_],
        post_transform="NONE",
        **{f"nodes_{name}": column for name, column in columns.items()},
        **{f"class_{name}": column for name, column in votes.items()},
    )
    return [ensemble]


_COLUMNS = (
    "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
    "missing_value_tracks_true",
)  # fmt: skip
_VOTES = ("treeids", "nodeids", "ids", "weights")


def _append_tree(
    number: int, tree: Any, trees: int, columns: dict[str, list[Any]], votes: dict[str, list[Any]]
) -> None:
    leaf = tree.children_left < 0
    count = len(leaf)
    columns["treeids"] += [number] * count
    columns["nodeids"] += list(range(count))
    columns["featureids"] += np.where(leaf, 0, tree.feature).tolist()
    columns["modes"] += ["LEAF" if each else "BRANCH_LEQ" for each in leaf]
    columns["values"] += _at_most(np.where(leaf, 0.0, tree.threshold)).tolist()
    columns["truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
    columns["falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
    columns["missing_value_tracks_true"] += [0] * count
    shares = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) / trees
    for node in np.flatnonzero(leaf).tolist():
        for label in np.flatnonzero(shares[node]).tolist():
            votes["treeids"].append(number)
            votes["nodeids"].append(node)
            votes["ids"].append(label)
            votes["weights"].append(float(shares[node, label]))


def _at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest single-precision numbers not above the thresholds, so that both sides split alike."""
    single = thresholds.astype(np.float32)
    over = single.astype(np.float64) > thresholds
    single[over] = np.nextafter(single[over], np.float32(-np.inf))
    return single.astype(np.float64)
