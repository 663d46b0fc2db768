"""Times of calls that take turns, so that what else a machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

BLOCK_S = 0.02
"""About as long each call keeps its turn: long against a switch, short against what a machine does besides."""

MAX_BLOCK = 200


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    min_rounds: int = 5,
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, np.ndarray]:
    """Return by name the times of its calls in ns, shape (rounds, calls a round).

    In every round each call has a block of about ``BLOCK_S``; the order turns from round to round. It ends after
    ``seconds``, not before ``min_rounds``. ``report`` is told the share that is done.
    """
    sizes = {name: _block(call) for name, call in calls.items()}
    names = list(calls)
    rounds: dict[str, list[list[int]]] = {name: [] for name in names}
    begun = time.monotonic()
    turn = 0
    while turn < min_rounds or time.monotonic() - begun < seconds:
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            call, times = calls[name], []
            for _ in range(sizes[name]):
                start = time.perf_counter_ns()
                call()
                times.append(time.perf_counter_ns() - start)
            rounds[name].append(times)
        turn += 1
        report(min(1.0, max(turn / min_rounds, (time.monotonic() - begun) / seconds) if seconds else 1.0))
    return {name: np.array(times) for name, times in rounds.items()}


def ratios(times: Mapping[str, np.ndarray], baseline: str) -> dict[str, float]:
    """Return by name how many times the baseline's time a call takes: the median over rounds of paired ratios.

    Of a round the lower quartile counts: a call that was held up says nothing of the call.
    """
    of_round = {name: np.percentile(each, 25, axis=1) for name, each in times.items()}
    return {name: float(np.median(each / of_round[baseline])) for name, each in of_round.items()}


def _block(call: Callable[[], object]) -> int:
    """Return how many calls fill a block, from the quickest of three after one that warms up."""
    call()
    quickest = min(_once(call) for _ in range(3))
    return max(1, min(MAX_BLOCK, round(BLOCK_S * 1e9 / max(1, quickest))))


def _once(call: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start
