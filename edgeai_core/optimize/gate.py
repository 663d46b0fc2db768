"""The gate: a variant is kept where it is smaller or faster on this machine and answers as its source does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.metrics.evaluation import Figure
from edgeai_core.runners.card import ModelCard

Outputs = Sequence[Mapping[str, NDArray[np.generic]]]
"""What a model said of each sample."""

SAME_TIME = 1.03
"""Times closer than this cannot be told apart on a machine that does other things too."""


@dataclass(frozen=True)
class Limits:
    """What a variant may lose against its source.

    ``drop``: share of samples on which another class is called, and of accuracy where labels are known. ``error``:
    relative error of outputs that are no classes: root mean square of the difference over the output's own spread.
    """

    drop: float = 0.03
    error: float = 0.1


@dataclass(frozen=True)
class Faithfulness:
    """How near a variant comes to its source.

    ``agreement`` is None for a model that calls no class, ``accuracy`` (and the source's) None without labels;
    ``error`` is the largest relative error of any output.
    """

    agreement: Figure | None
    error: float
    accuracy: Figure | None = None
    source_accuracy: Figure | None = None


@dataclass(frozen=True)
class Measured:
    """A variant as measured: ``ratio`` is its time over its source's, of calls that took turns."""

    name: str
    method: str
    size_bytes: int
    p50_ms: float
    ratio: float
    faithfulness: Faithfulness
    memory_mib: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a variant may take its source's place, and every reason why not."""

    passed: bool
    reasons: tuple[str, ...]


def judge(variant: Measured, source: Measured, limits: Limits) -> Verdict:
    """Hold a variant against its source and the limits."""
    reasons = []
    if variant.ratio > SAME_TIME:
        reasons.append(f"slower here: {variant.ratio:.2f} times the source's time")
    elif variant.size_bytes * SAME_TIME >= source.size_bytes and variant.ratio > 1 / SAME_TIME:
        reasons.append("neither smaller nor faster than the source")
    found = variant.faithfulness
    if found.agreement is not None and found.agreement.value is not None:
        if found.agreement.value < 1 - limits.drop:
            share, allowed = 100 * found.agreement.value, 100 * (1 - limits.drop)
            reasons.append(
                f"calls the same class for {share:.1f} % of {found.agreement.n}; {allowed:.1f} % are wanted"
            )
    elif not found.error <= limits.error:
        reasons.append(
            f"outputs are off by {100 * found.error:.1f} % of their spread; {100 * limits.error:.1f} % allowed"
        )
    if found.accuracy is not None and found.source_accuracy is not None:
        lost = (found.source_accuracy.value or 0.0) - (found.accuracy.value or 0.0)
        if lost > limits.drop:
            reasons.append(f"loses {100 * lost:.1f} points of accuracy; {100 * limits.drop:.1f} are allowed")
    return Verdict(not reasons, tuple(reasons))


def pareto(variants: Sequence[Measured]) -> list[Measured]:
    """Return the variants than which none is at once as small, as fast and as near to the source, and better in one."""

    def costs(each: Measured) -> tuple[float, float, float]:
        agreement = each.faithfulness.agreement
        share = 1.0 if agreement is None or agreement.value is None else agreement.value
        # Times within the noise of each other count as one.
        return (
            each.size_bytes,
            round(np.log(max(each.ratio, 1e-9)) / np.log(SAME_TIME)),
            each.faithfulness.error - share,
        )

    def beaten(each: Measured) -> bool:
        own = costs(each)
        return any(
            all(theirs <= ours for theirs, ours in zip(costs(other), own, strict=True))
            and costs(other) != own
            for other in variants
        )

    return [each for each in variants if not beaten(each)]


def compare(
    got: Outputs, wanted: Outputs, card: ModelCard, labels: NDArray[np.int64] | None = None
) -> Faithfulness:
    """Return how near ``got`` comes to ``wanted``, sample by sample, and both to the labels where they are known."""
    output = class_output(card)
    error = relative_error(got, wanted)
    if output is None:
        return Faithfulness(None, error)
    called, calls = _calls(got, output), _calls(wanted, output)
    same = Figure.share(int((called == calls).sum()), len(calls), note="same class as the source's")
    if labels is None or len(labels) != len(calls):
        return Faithfulness(same, error)
    right, theirs_right = (Figure.share(int((each == labels).sum()), len(labels)) for each in (called, calls))
    return Faithfulness(same, error, right, theirs_right)


def relative_error(got: Outputs, wanted: Outputs) -> float:
    """Return the largest over the outputs of the root mean square of the difference over the output's own spread.

    It is infinite where shapes differ or something is not a number.
    """
    worst = 0.0
    for name in wanted[0]:
        theirs, ours = (
            np.concatenate([np.asarray(each[name], np.float64).ravel() for each in outputs])
            for outputs in (wanted, got)
        )
        if theirs.shape != ours.shape or not np.isfinite(ours).all():
            return float("inf")
        spread = float(theirs.std()) or float(np.abs(theirs).mean()) or 1.0
        worst = max(worst, float(np.sqrt(((ours - theirs) ** 2).mean())) / spread)
    return worst


def class_output(card: ModelCard) -> str | None:
    """Return the output that calls a class: of shape (n, classes), by the card's classes or a name with "logits"."""
    for spec in card.outputs:
        classes = spec.shape[-1]
        if len(spec.shape) != 2 or not isinstance(classes, int) or classes < 2:
            continue
        if classes == len(card.classes) or any(
            word in spec.name for word in ("logits", "probabilities", "scores")
        ):
            return spec.name
    return None


def _calls(outputs: Outputs, name: str) -> NDArray[np.int64]:
    return np.concatenate([np.asarray(each[name]).argmax(axis=1) for each in outputs])
