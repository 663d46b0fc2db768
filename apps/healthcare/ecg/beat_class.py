"""Beat classes by ANSI/AAMI EC57: a small ONNX network says of each described beat what it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.beat_features import (
    P_ALIKE,
    RHYTHM_FEATURES,
    SHAPE_FEATURES,
    WAVE_SAMPLES,
    Described,
)
from edgeai_core.errors import ModelError
from edgeai_core.runners.runner import Runner

CLASSES = ("N", "S", "V", "F")
"""Normal and bundle branch block, supraventricular ectopic, ventricular ectopic, fusion of a normal and a ventricular
beat; in the order of the network's outputs.
"""

UNKNOWN = "Q"
"""Paced beats and those that people could not class: the network never says so."""

AAMI_OF = {
    **dict.fromkeys("NLRBej", "N"),
    **dict.fromkeys("AaJSn", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", UNKNOWN),
}
"""The class of every WFDB beat code (ANSI/AAMI EC57:2012, table of beat types)."""


@dataclass(frozen=True)
class Labelled:
    """Beats (k,) in order with their classes; ``probabilities`` (k, 4) are those of ``CLASSES``.

    ``p_alike`` (k,): how alike the P waves of the patient's usual beats were then, the mean of their correlations with
    the usual one, in the lead in which they are most alike.
    """

    times_s: NDArray[np.float64]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    p_alike: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times_s)

    def __iter__(self) -> Iterator[tuple[float, str, float]]:
        """Give of each beat when it was, its class, and the probability of that."""
        sure = self.probabilities.max(axis=1, initial=0.0)
        return zip(self.times_s.tolist(), self.classes, sure.tolist(), strict=True)

    def __getitem__(self, chosen: slice) -> Labelled:
        return Labelled(
            self.times_s[chosen], self.classes[chosen], self.probabilities[chosen], self.p_alike[chosen]
        )

    @classmethod
    def joined(cls, parts: Sequence[Labelled]) -> Labelled:
        """Several, in order, as one."""
        if not parts:
            return cls.none()
        return cls(
            np.concatenate([part.times_s for part in parts]),
            tuple(kind for part in parts for kind in part.classes),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.p_alike for part in parts]),
        )

    @classmethod
    def none(cls) -> Labelled:
        """No beats."""
        return cls(np.empty(0), (), np.empty((0, len(CLASSES))), np.empty(0))


class BeatClassifier:
    """Runs the network and reads its outputs by the card: the largest of the logits, each less its class's offset."""

    def __init__(self, runner: Runner) -> None:
        card = runner.card
        if card.classes != CLASSES:
            raise ModelError(
                f"model {card.name} {card.version}: its classes are {list(card.classes)}, not {list(CLASSES)}"
            )
        self.runner = runner
        self._offsets = np.array([card.number(f"offset_{name}") for name in CLASSES])

    def classify(self, beats: Described) -> Labelled:
        """Class beats; those of one call are seen by the same leads."""
        if not len(beats):
            return Labelled.none()
        inputs = {"rhythm": beats.rhythm, "shape": beats.shape, "waves": beats.waves}
        return read_logits(beats, self.runner.run(inputs)["logits"], self._offsets)


def read_logits(beats: Described, logits: NDArray[np.floating], offsets: NDArray[np.float64]) -> Labelled:
    """Read the network's logits (k, classes), each less its class's offset."""
    read = logits.astype(np.float64) - offsets
    raised = np.exp(read - read.max(axis=1, keepdims=True))
    probabilities = raised / raised.sum(axis=1, keepdims=True)
    classes = tuple(CLASSES[each] for each in read.argmax(axis=1).tolist())
    return Labelled(beats.times_s, classes, probabilities, beats.shape[:, P_ALIKE].astype(np.float64))


def input_shapes() -> dict[str, tuple[int | str, ...]]:
    """The shapes of the network's inputs."""
    return {
        "rhythm": ("beats", RHYTHM_FEATURES),
        "shape": ("beats", SHAPE_FEATURES),
        "waves": ("beats", "leads", 2, WAVE_SAMPLES),
    }
