"""Temperature -> decision: the only place that knows alarm words and limits."""

from __future__ import annotations

from dataclasses import dataclass

from edgeai_core.decision import Condition, Decision, Priority


@dataclass(frozen=True)
class Output:
    """What this loop tells others; the temperature is None where nobody knows it."""

    status: str
    celsius: float | None = None


def decide(celsius: float, limit_celsius: float, place: str) -> Decision[Output]:
    """Return what holds at this temperature."""
    if celsius <= limit_celsius:
        return Decision(Output("FINE", celsius))
    warm = Condition("TOO_WARM", place, Priority.HIGH, f"{place} is too warm", {"celsius": celsius})
    return Decision(Output("TOO_WARM", celsius), (warm,))
