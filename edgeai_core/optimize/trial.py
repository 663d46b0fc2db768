"""What a search tries: candidates of a width and a resolution, what became of each, and which are on the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Candidate:
    """One point of the grid: the multiplier of all channels, and the side of the input in pixels."""

    width: float
    resolution: int

    def __str__(self) -> str:
        return f"width {self.width:g} at {self.resolution} px"


@dataclass(frozen=True)
class Trial:
    """What became of a candidate. ``accuracy`` is None where the latency ruled it out before teaching.

    ``latency_ms`` is what one call on one thread takes undisturbed, times the device's factor. ``accuracy`` is the
    best of ``accuracies``, those after each epoch on groups that were not taught; ``pruned``: teaching was given up
    early.
    """

    candidate: Candidate
    latency_ms: float
    parameters: int
    accuracy: float | None = None
    accuracies: tuple[float, ...] = ()
    pruned: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def pareto(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the trials than which none is both as fast and as accurate, and better in one; by latency.

    Those given up early are not among them: their accuracy is not what they would have come to.
    """
    scored = [trial for trial in trials if trial.accuracy is not None and not trial.pruned]
    return tuple(
        sorted(
            (
                each
                for each in scored
                if not any(
                    other.latency_ms <= each.latency_ms
                    and (other.accuracy or 0.0) >= (each.accuracy or 0.0)
                    and (other.latency_ms, -(other.accuracy or 0.0))
                    != (each.latency_ms, -(each.accuracy or 0.0))
                    for other in scored
                )
            ),
            key=lambda trial: trial.latency_ms,
        )
    )


def outermost(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates than which none is both as wide and of as many pixels, the widest first."""
    ordered = sorted(candidates, reverse=True)
    return [
        each
        for place, each in enumerate(ordered)
        if all(each.resolution > other.resolution for other in ordered[:place])
    ]


def best_of(trials: Iterable[Trial]) -> Trial:
    """Return the most accurate of the trials that were taught; of equals the fastest."""
    return max(trials, key=lambda trial: (trial.accuracy or 0.0, -trial.latency_ms))
