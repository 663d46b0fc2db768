"""Imaging: do the networks read the organ, or the source? Pictures whole, without their margin, and without the organ.

    python -m benchmarks.imaging_confounders xray=DIR ct=DIR mri=DIR --model ct=FILE --model mri=FILE

Of each folder the split val is judged, or everything where there is none. A network that reads the organ falls to an
AUC near 0.5 when the organ is blanked. The last rows tell how far the classes can be told apart by what no network of
ours is shown: the size of the file's picture, and its outer twentieth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.datasets import Dataset, load
from apps.healthcare.imaging.findings import NOTHING_FOUND, FindingClassifier
from apps.healthcare.imaging.loop import NETWORKS
from apps.healthcare.imaging.preprocess import Grey, Prepared, prepare
from apps.healthcare.imaging.triage import believe
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.intervals import grouped_bootstrap
from edgeai_core.runners.onnx import OnnxRunner

_MARGIN = 32
"""Pixels of 224: one of the seven places of the map."""

_RESAMPLES = 500
Square = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="MODALITY=DIR",
        help="labelled pictures, as `edgeai evaluate` takes them",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODALITY=FILE",
        help="another network (.onnx with its card): those that ship for CT and MR were taught on split val too, "
        "so take one made with `edgeai train ... --leave-val`",
    )
    parser.add_argument("--most", type=int, default=300, help="pictures of a folder that are judged")
    given = parser.parse_args(arguments)
    networks = {
        **NETWORKS,
        **{name: Path(file) for name, file in (each.split("=", 1) for each in given.model)},
    }
    for each in given.folders:
        modality, _, folder = each.partition("=")
        dataset = load(Path(folder), modality, lambda *_: None)
        _table(FindingClassifier(OnnxRunner(networks[modality]), modality), dataset, given.most)


def _table(classifier: FindingClassifier, dataset: Dataset, most: int) -> None:
    modality = classifier.modality
    splits = {item.split for item in dataset.items}
    held = dataset.of("val") if "val" in splits else dataset
    rows = np.random.default_rng(0).permutation(len(held.items))[:most]
    items = [held.items[row] for row in rows]
    ill = (held.labels[rows] != 0).astype(int)
    prepared = [prepare(item.grey, modality) for item in items]
    print(f"\n{modality}: {len(items)} pictures, any finding against none, AUC (95 %)")
    for name, blank in _views(modality).items():
        shown = [Prepared(blank(each.square), each.box) for each in prepared]
        scores = np.array([believe(classifier, each).probability for each in shown])
        _row(name, ill, scores, [item.group for item in items])
    taught = [item for item in dataset.items if item.split == "train"]
    if taught:
        truth = np.array([int(item.label != NOTHING_FOUND[modality]) for item in taught])
        for name, of in (("size and shape alone", _size), ("outer twentieth alone", _border)):
            scores = _linear([of(i.grey) for i in taught], truth, [of(i.grey) for i in items])
            _row(f"{name}, a linear model", ill, scores, [item.group for item in items])


def _row(name: str, ill: NDArray[np.int64], scores: NDArray[np.float64], groups: Sequence[str]) -> None:
    members = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    low, high = grouped_bootstrap(
        members, lambda drawn: _area(ill, scores, np.concatenate(drawn)), _RESAMPLES
    )
    print(f"  {name:44} {roc_auc(ill, scores):6.3f} ({low:.3f} to {high:.3f})")


def _area(ill: NDArray[np.int64], scores: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    some = ill[rows]
    return roc_auc(some, scores[rows]) if 0 < some.sum() < len(some) else float("nan")


def _views(modality: str) -> Mapping[str, Callable[[Square], Square]]:
    if modality == "mri":
        return {
            "head as it is": lambda square: square,
            "rim of the head blanked": lambda square: _keep(square, _brain(square)),
            "brain blanked, rim of the head alone": lambda square: _keep(square, ~_brain(square)),
        }
    middle = np.zeros((224, 224), dtype=bool)
    middle[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    return {
        "picture as it is": lambda square: square,
        "margin of a seventh blanked": lambda square: _keep(square, middle),
        "organ blanked, margin alone": lambda square: _keep(square, ~middle),
    }


def _keep(square: Square, where: NDArray[np.bool_]) -> Square:
    """Return the square with one grey level, the mean of what goes, where nothing is kept."""
    if where.all():
        return square
    return np.where(where, square, square[~where].mean()).astype(np.float32)


def _brain(square: Square) -> NDArray[np.bool_]:
    """Return the inside of the head: all but a rim as wide as scalp and skull."""
    head = (square > 0.02).astype(np.uint8)
    closed = cv2.morphologyEx(head, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    edged = cv2.copyMakeBorder(closed, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.erode(edged, np.ones((45, 45), np.uint8))[1:-1, 1:-1].astype(bool)


def _size(grey: Grey) -> list[float]:
    height, width = grey.shape
    return [height, width, width / height, float(max(grey.shape)), float(height * width)]


def _border(grey: Grey) -> list[float]:
    """Return histograms of the four outer strips."""
    down, across = max(grey.shape[0] // 20, 1), max(grey.shape[1] // 20, 1)
    strips = (grey[:down], grey[-down:], grey[:, :across], grey[:, -across:])
    return [float(share) for strip in strips for share in np.histogram(strip, 16, (0, 256))[0] / strip.size]


def _linear(
    taught: list[list[float]], truth: NDArray[np.int64], judged: list[list[float]]
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))
    model.fit(np.array(taught), truth)
    return np.asarray(model.decision_function(np.array(judged)))


if __name__ == "__main__":
    main()
