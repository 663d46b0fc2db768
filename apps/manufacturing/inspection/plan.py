"""Whether a network is taught on the parts themselves, and for how long: what time, pictures and libraries allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from apps.manufacturing.inspection.examples import Example
from apps.manufacturing.inspection.looks import LOOKS
from apps.manufacturing.inspection.teach import FEW_FOLDS, MANY, Tune
from edgeai_core.app import Progress
from edgeai_core.learning.training import torch_or_explain

MIN_TUNED = 20
"""Good and bad pictures from which on a network is taught: with fewer it learns the pictures by heart."""

HINT = "with torch (pip install 'edgeai[train]') the network itself would be taught on these parts, too"
"""What is said where only torch is missing."""

_VISITS, _AT_SIDE = 18_000, 224
"""Pictures that networks are taught on, counted at every visit, at this side: nine minutes on two cores. A look at a
picture for the heads takes half as long, and is taken off."""

_EPOCHS, _LEAST_VISITS = 8, 2_000
_FEW, _SOME = 300, 1_000
"""Up to so many pictures the folds that are asked for are made, then three, then two; beyond MANY a third is held
out."""

_TUNED_LOOKS = 4_500
"""Where a network is taught, the heads that need fixed features get fewer looks, for the sake of time; a quarter of
the pictures is looked at as JPEG at least."""


@dataclass(frozen=True)
class Plan:
    """How to teach: ``folds``, the ``looks`` of fixed features; ``trainings`` of a network, each for ``epochs``.

    In each epoch a ``share`` of the pictures is seen.
    """

    folds: int
    looks: int
    epochs: int = 0
    trainings: int = 0
    share: float = 1.0

    def tuner(
        self,
        examples: Sequence[Example],
        size: int,
        seed: int,
        threads: int,
        progress: Progress,
        *,
        times: int = 1,
    ) -> Tune | None:
        """Return what teaches a network on some of the pictures, for ``times`` teachings in all; None: nothing does."""
        if not self.epochs:
            return None
        from apps.manufacturing.inspection.tune import Shared, Tuner

        shared = Shared(progress, self.trainings, times, threads)
        return Tuner(examples, size, self.epochs, self.share, seed, shared)


def plan(method: str, examples: Sequence[Example], size: int, folds: int) -> Plan:
    """Return how to teach. Raises MissingExtraError where a network is asked for and torch is not there."""
    if method == "fine-tuned":
        torch_or_explain()
    elif method != "auto" or not enough(examples) or find_spec("torch") is None:
        return Plan(folds, LOOKS)
    count = len(examples)
    if count > MANY:
        trainings, visited = 1, count * (1 - 1 / FEW_FOLDS)
    else:
        folds = folds if count <= _FEW else min(folds, 3 if count <= _SOME else 2)
        trainings, visited = folds + 1, count * folds
    looks = max(_TUNED_LOOKS, count + count // 4)
    wanted = max(_VISITS * (_AT_SIDE / size) ** 2 - looks / 2, _LEAST_VISITS) / visited
    epochs = min(math.ceil(wanted), _EPOCHS)
    return Plan(folds, looks, epochs, trainings, min(wanted / epochs, 1.0))


def hint(method: str, examples: Sequence[Example]) -> str:
    """Return HINT where torch is all that is missing; else nothing."""
    return HINT if method == "auto" and enough(examples) and find_spec("torch") is None else ""


def enough(examples: Sequence[Example]) -> bool:
    """Say whether there are pictures enough of both kinds to teach a network on."""
    bad = sum(each.bad for each in examples)
    return min(bad, len(examples) - bad) >= MIN_TUNED
