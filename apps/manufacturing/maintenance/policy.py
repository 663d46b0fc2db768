"""What a way of maintaining costs: run to failure, fixed interval, and by what is foretold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """Downtime in hours and cost in the price of one planned visit: assumptions, to be replaced by a plant's own.

    A planned visit takes a part out of a machine that stands still anyway; a failure stops the line without notice.
    """

    planned_h: float = 8.0
    failure_h: float = 48.0
    planned: float = 1.0
    failure: float = 5.0


@dataclass(frozen=True)
class Life:
    """One life: ``times`` (n,) at which something was foretold, the ``alert`` then, and when it ``ends`` in failure."""

    times: Array
    alert: NDArray[np.bool_]
    ends: float


@dataclass(frozen=True)
class Result:
    """What a policy gave over all lives: per 1000 units of running time."""

    name: str
    downtime_h: float
    cost: float
    failures: int
    visits: int
    used: float
    """Mean share of a life that was used before its part was taken out."""


def run_to_failure(lives: Sequence[Life], costs: Costs) -> Result:
    """Nobody comes before it fails."""
    return _result("run to failure", lives, [life.ends for life in lives], costs)


def fixed_interval(lives: Sequence[Life], interval: float, costs: Costs) -> Result:
    """Somebody comes after a fixed running time."""
    return _result(f"every {interval:.0f}", lives, [min(life.ends, interval) for life in lives], costs)


def foretold(lives: Sequence[Life], lead: float, costs: Costs) -> Result:
    """Somebody comes ``lead`` after the first alert: the time it takes to arrange a visit."""
    stops = []
    for life in lives:
        alerts = np.flatnonzero(life.alert)
        stops.append(min(life.ends, float(life.times[alerts[0]]) + lead) if len(alerts) else life.ends)
    return _result("foretold", lives, stops, costs)


def best_interval(lives: Sequence[Life], costs: Costs, measure: Callable[[Result], float]) -> float:
    """Return the interval that is best on these lives: a peer that knows more than it could."""
    tried = np.quantile([life.ends for life in lives], np.linspace(0.02, 0.9, 23))
    return float(min(tried, key=lambda interval: measure(fixed_interval(lives, float(interval), costs))))


def _result(name: str, lives: Sequence[Life], stops: Sequence[float], costs: Costs) -> Result:
    ran = sum(stops)
    failures = sum(stop >= life.ends for life, stop in zip(lives, stops, strict=True))
    visits = len(lives) - failures
    downtime = failures * costs.failure_h + visits * costs.planned_h
    cost = failures * costs.failure + visits * costs.planned
    used = float(np.mean([stop / life.ends for life, stop in zip(lives, stops, strict=True)]))
    return Result(name, 1000 * downtime / ran, 1000 * cost / ran, failures, visits, used)
