"""A prepared square -> what one network says of it: logits of the findings, and where in the picture they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.preprocess import SIDE, Prepared

if TYPE_CHECKING:
    from edgeai_core.runners.card import ModelCard
    from edgeai_core.runners.runner import Runner

INPUT, LOGITS, EVIDENCE = "image", "logits", "evidence"

NOTHING_FOUND: Mapping[str, str] = {"xray": "normal", "ct": "noncovid", "mri": "no_tumor"}
"""By modality, the class that stands for no finding."""


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and probabilities into words; it comes from the model's card.

    ``temperature`` divides the logits. From ``threshold`` on of the probability of any finding a study counts as
    one; from ``grey_low`` to ``grey_high`` around it nobody is told either way, and a person has to read.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    grey_low: float = 0.5
    grey_high: float = 0.5

    @classmethod
    def of(cls, card: ModelCard) -> Calibration:
        """Read it from a card's parameters. Raises ModelError where one is missing."""
        return cls(*(card.number(name) for name in ("temperature", "threshold", "grey_low", "grey_high")))


@dataclass(frozen=True)
class View:
    """What the network says of one view: ``logits`` (classes,), ``evidence`` (classes, 7, 7), never mirrored."""

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]


class FindingClassifier:
    """One modality's network. ``classes`` are the card's, in the order of the logits."""

    def __init__(self, runner: Runner, modality: str) -> None:
        self._runner = runner
        self.modality = modality
        self.card = runner.card
        self.classes = runner.card.classes
        self.calibration = Calibration.of(runner.card)
        self.nothing = self.classes.index(NOTHING_FOUND[modality])

    def views(self, prepared: Prepared) -> tuple[View, ...]:
        """Look twice: at the square, and at its mirror image."""
        square = prepared.square.reshape(1, 1, SIDE, SIDE)
        results = []
        for mirrored in (False, True):
            shown = np.ascontiguousarray(square[..., ::-1]) if mirrored else square
            outputs = self._runner.run({INPUT: shown})
            evidence = outputs[EVIDENCE][0]
            results.append(View(outputs[LOGITS][0], evidence[..., ::-1] if mirrored else evidence))
        return tuple(results)
