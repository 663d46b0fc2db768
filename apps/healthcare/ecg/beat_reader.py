"""Classes of beats as they come: what the network says, and what the rhythm around says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.atrial import AtrialReading, AtrialTracker
from apps.healthcare.ecg.beat_class import BeatClassifier, Labelled
from apps.healthcare.ecg.beat_features import Described

CERTAIN = 0.9
"""From this probability of atrial fibrillation on no beat is called supraventricular: in it none comes early."""


class BeatReader:
    """Classes described beats in order; ``atrial`` is the probability of atrial fibrillation after the last of them."""

    def __init__(self, classifier: BeatClassifier) -> None:
        self._classifier = classifier
        self._tracker = AtrialTracker(AtrialReading.of(classifier.runner.card))

    @property
    def atrial(self) -> float | None:
        """None before there are enough beats, and where the network's card cannot tell."""
        return self._tracker.probability

    def push(self, beats: Described) -> Labelled:
        """Class beats."""
        labelled = self._classifier.classify(beats)
        if not len(labelled):
            return labelled
        self._tracker.push(labelled)
        probability = self._tracker.probability or 0.0
        return in_fibrillation(labelled, np.full(len(labelled), probability >= CERTAIN))

    def lost(self) -> None:
        """The signal was lost: beats before and after it are not neighbours."""
        self._tracker.lost()


def in_fibrillation(labelled: Labelled, certain: NDArray[np.bool_]) -> Labelled:
    """Return the beats with the supraventricular ones normal where fibrillation is certain, (k,)."""
    classes = tuple(
        "N" if kind == "S" and sure else kind
        for kind, sure in zip(labelled.classes, certain.tolist(), strict=True)
    )
    return replace(labelled, classes=classes)
