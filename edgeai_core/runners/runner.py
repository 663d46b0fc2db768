"""The contract of a runner: a model and its card as one function from named arrays to named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from edgeai_core.runners.card import ModelCard


class Runner(Protocol):
    """Runs one model. What it takes and gives is what ``card.inputs`` and ``card.outputs`` say."""

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output by name.

        Raises ModelError for an input that is missing, unknown, or of another shape or dtype than the card's,
        and where the engine fails. Values are not looked at: whether NaN may come is the caller's to know.
        """
        ...
