"""A bar chart as SVG, drawn without a library: plain shapes and text that any page shows."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_COLOURS = ("#1f6fb4", "#c4500c", "#2e7d32", "#7b3fa0", "#6d4c41")
"""Dark enough on white for bars beside text (contrast over 4.5)."""

_LEFT, _WIDTH, _ROW, _TOP, _RIGHT = 260, 900, 22, 60, 90


@dataclass(frozen=True)
class Bar:
    """A bar to ``value``, a thin line on to ``high``; bars of one ``kind`` share a colour."""

    label: str
    value: float
    high: float
    kind: str


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return the chart; the axis is logarithmic, from the power of ten below the least value."""
    shown = [bar for bar in bars if bar.value > 0 and math.isfinite(bar.high)]
    if not shown:
        return ""
    low = math.floor(math.log10(min(bar.value for bar in shown)))
    high = max(low + 1, math.ceil(math.log10(max(bar.high for bar in shown))))
    span = _WIDTH - _LEFT - _RIGHT
    kinds = list(dict.fromkeys(bar.kind for bar in shown))
    height = _TOP + _ROW * len(shown) + 40

    def at(value: float) -> float:
        return _LEFT + span * (math.log10(max(value, 10.0**low)) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" fill="#111111">{html.escape(title)}</text>',
    ]
    for place, kind in enumerate(kinds):
        left = _LEFT + 150 * place
        colour = _COLOURS[place % len(_COLOURS)]
        parts.append(f'<rect x="{left}" y="32" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + 17}" y="42" fill="#111111">{html.escape(kind)}</text>')
    bottom = _TOP + _ROW * len(shown)
    for power in range(low, high + 1):
        mark = at(10.0**power)
        parts.append(
            f'<line x1="{mark:.1f}" y1="{_TOP - 6}" x2="{mark:.1f}" y2="{bottom}" stroke="#cccccc"/>'
        )
        parts.append(
            f'<text x="{mark:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#333333">{10.0**power:g}</text>'
        )
    for row, bar in enumerate(shown):
        y = _TOP + _ROW * row
        colour = _COLOURS[kinds.index(bar.kind) % len(_COLOURS)]
        middle = y + _ROW / 2 - 2
        parts.append(
            f'<text x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#111111">'
            f"{html.escape(bar.label)}</text>"
        )
        parts.append(
            f'<rect x="{_LEFT}" y="{y}" width="{max(1.0, at(bar.value) - _LEFT):.1f}" height="{_ROW - 6}" '
            f'fill="{colour}"/>'
        )
        parts.append(
            f'<line x1="{at(bar.value):.1f}" y1="{middle:.1f}" x2="{at(bar.high):.1f}" y2="{middle:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(
            f'<text x="{at(bar.high) + 6:.1f}" y="{middle + 4:.1f}" fill="#333333">{bar.value:.3g}</text>'
        )
    return "".join([*parts, "</svg>"])
