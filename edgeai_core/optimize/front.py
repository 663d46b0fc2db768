"""The picture of a search: latency against accuracy, the Pareto front, and the target, as an SVG of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from edgeai_core.optimize.trial import Trial, pareto

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 46, 60


def draw_front(trials: Sequence[Trial], best: Trial, target_ms: float) -> str:
    """Return an SVG of all candidates.

    Filled points are on the front; a cross was given up early; what was not taught is a tick below.
    """
    front = pareto(trials)
    tried = [trial for trial in trials if trial.accuracy is not None]
    latencies = [trial.latency_ms for trial in trials] + [target_ms]
    low, high = min(latencies) / 1.25, max(latencies) * 1.25
    accuracies = [100 * (trial.accuracy or 0.0) for trial in tried]
    bottom, top = math.floor(min(accuracies) - 1), math.ceil(max(accuracies) + 1)

    def x(latency: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(latency / low) / math.log(high / low)

    def y(accuracy: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (top - 100 * accuracy) / (top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Latency and accuracy of {len(tried)} networks">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">Accuracy against latency: {len(tried)} of {len(trials)} '
        "candidates taught</text>",
    ]
    parts += _axes(x, y, low, high, bottom, top)
    target = x(target_ms)
    parts.append(
        f'<line x1="{target:.1f}" x2="{target:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#b00" '
        f'stroke-dasharray="5 4"/><text x="{target - 6:.1f}" y="{_HEIGHT - _BOTTOM - 12}" fill="#b00" '
        f'text-anchor="end">target {target_ms:.3g} ms</text>'
    )
    line = " ".join(f"{x(each.latency_ms):.1f},{y(each.accuracy or 0):.1f}" for each in front)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="1.5"/>')
    parts += [_point(trial, trial in front, trial == best, x(trial.latency_ms), y) for trial in trials]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(x: object, y: object, low: float, high: float, bottom: int, top: int) -> list[str]:
    assert callable(x)
    assert callable(y)
    base = _HEIGHT - _BOTTOM
    parts = []
    for accuracy in range(bottom, top + 1, max(1, (top - bottom) // 8)):
        at = y(accuracy / 100)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{accuracy} %</text>'
        )
    for latency in _ticks(low, high):
        parts.append(
            f'<line x1="{x(latency):.1f}" x2="{x(latency):.1f}" y1="{base}" y2="{base + 5}" stroke="#333"/>'
            f'<text x="{x(latency):.1f}" y="{base + 19}" text-anchor="middle">{latency:g}</text>'
        )
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}" stroke="#333"/>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 14}" text-anchor="middle">ms a call, log</text>'
    )
    return parts


def _point(trial: Trial, on_front: bool, is_best: bool, x: float, y: object) -> str:
    assert callable(y)
    title = f"<title>{escape(str(trial.candidate))}, {trial.latency_ms:.2f} ms</title>"
    if trial.accuracy is None:
        base = _HEIGHT - _BOTTOM
        return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{base - 7}" y2="{base}" stroke="#999">{title}</line>'
    at = y(trial.accuracy)
    if trial.pruned:
        return f'<path d="M{x - 4:.1f} {at - 4:.1f}l8 8m0 -8l-8 8" stroke="#666" fill="none">{title}</path>'
    fill, width = ("#06c", 1) if on_front else ("#fff", 1.5)
    name = f"{trial.candidate.width:g} @ {trial.candidate.resolution}"
    side, anchor = (x - 8, "end") if x > _WIDTH * 0.6 else (x + 8, "start")
    size = 7 if is_best else 4.5
    return (
        f'<circle cx="{x:.1f}" cy="{at:.1f}" r="{size}" fill="{fill}" stroke="#06c" '
        f'stroke-width="{width}">{title}</circle>'
        f'<text x="{side:.1f}" y="{at - 7:.1f}" text-anchor="{anchor}">{name}</text>'
    )


def _ticks(low: float, high: float) -> Sequence[float]:
    steps = [m * 10.0**e for e in range(-3, 5) for m in (1, 1.5, 2, 3, 5, 7)]
    return [step for step in steps if low <= step <= high]
