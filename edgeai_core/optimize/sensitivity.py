"""Sensitivity: what each layer's quantisation alone does to the outputs, and which layers to leave in float for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeai_core.app import Progress
from edgeai_core.optimize.gate import Outputs, relative_error
from edgeai_core.optimize.quantize import Plan, Quantiser, Sample

SAMPLES = 8
"""So many samples tell one layer from another; the gate looks at all."""

Run = Callable[[bytes, Sequence[Sample]], Outputs]


@dataclass(frozen=True)
class LayerError:
    """``error``: relative error of the outputs (0 is none) when ``node`` alone is quantised."""

    node: str
    error: float


def rank_layers(
    quantiser: Quantiser, plan: Plan, samples: Sequence[Sample], run: Run, wanted: Outputs, progress: Progress
) -> list[LayerError]:
    """Return every layer with weights, the most sensitive first; ``wanted``: the float model's answers."""
    nodes = quantiser.weighed()
    some = samples[:SAMPLES]
    found = []
    for number, node in enumerate(nodes):
        outputs = run(quantiser.static(plan, only=[node]), some)
        found.append(LayerError(node, relative_error(outputs, wanted[: len(some)])))
        progress("looking at each layer", number + 1, len(nodes))
    return sorted(found, key=lambda each: -each.error)


def steps(layers: int) -> list[int]:
    """Return how many layers to leave in float, in the order tried: 1, 2, 4, ... up to half of them."""
    tried, count = [], 1
    while count <= layers // 2:
        tried.append(count)
        count *= 2
    return tried
