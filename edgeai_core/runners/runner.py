"""The contract of a runner: a model and its card as one function from named arrays to named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from edgeai_core.runners.card import ModelCard


@dataclass(frozen=True)
class EngineDescription:
    """What runs a model: ``backend`` as the configuration names it, the engine with its version, and the device.

    ``fallback`` says why the device is another than the one asked for; empty where it is that one.
    """

    backend: str
    engine: str
    version: str
    device: str
    threads: int
    fallback: str = ""

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.device == "CPU" else ""
        fallback = f" ({self.fallback})" if self.fallback else ""
        return f"{self.engine} {self.version} on {self.device}{threads}{fallback}"

    def to_json(self) -> dict[str, str | int]:
        """Return it as plain values."""
        return asdict(self)


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


class EngineRunner(Runner, Protocol):
    """A runner that says what it runs on: what ``open_runner`` returns."""

    @property
    def description(self) -> EngineDescription:
        """The engine, its version, and the device."""
        ...
