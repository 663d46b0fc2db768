"""The report of a taught model: one HTML file, with nothing fetched from anywhere, that people can check it by."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.figures import smallest_claim
from apps.manufacturing.inspection.inspector import open_inspector
from apps.manufacturing.inspection.shown import heated, thumbnail
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import wilson
from edgeai_core.runners.card import ModelCard
from edgeai_core.sensors.picture import read_picture

if TYPE_CHECKING:
    from apps.manufacturing.inspection.examples import Examples
    from apps.manufacturing.inspection.judge import Judge
    from apps.manufacturing.inspection.teach import Taught

WORST = 12
"""So many mistakes of each kind are shown."""

NEEDED_FOR_0P1 = 3000
"""Good parts without a false reject for "at most 0.1 %" at 95 %: the rule of three (J. Hanley, JAMA 249, 1983)."""

_STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1,h2{line-height:1.2}
table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #d5dae0}
td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:.4rem;width:12rem;vertical-align:top}
figure img{width:100%}
figcaption{font-size:.8rem;overflow-wrap:anywhere}
.claim{border-left:4px solid #2f6f4f;padding:.2rem 1rem;background:#f2f7f4}
@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171a}
td,th{border-color:#343a41}
.claim{background:#1b2420}
}
"""


def write_report(
    path: Path, card: ModelCard, examples: Examples, taught: Taught, scores: NDArray[np.floating],
    figures: Mapping[str, Figure], ms_per_image: float, wanted_false_rejects: float,
) -> None:  # fmt: skip
    """Write the report. No picture's score is of what has seen its part."""
    labels, judge = examples.labels, taught.judge
    good = int((labels == 0).sum())
    false = int((scores[labels == 0] >= judge.threshold).sum())
    parts = [
        f"<h1>{html.escape(card.name)} {html.escape(card.version)}</h1>",
        f"<p>Taught on {good} pictures of good and {len(labels) - good} of bad parts"
        f" ({len(set(examples.groups))} parts, told apart by {html.escape(examples.groups_from)}), by the method"
        f" <b>{html.escape(taught.method)}</b>. All figures below are of parts not seen: {html.escape(taught.split)}."
        f"{_tried(taught)}</p>",
        _claim(false, good, wanted_false_rejects),
        "<h2>Figures</h2>",
        _figures_table(figures, ms_per_image),
        "<h2>Confusion</h2>",
        _confusion(labels, scores, judge.threshold),
        "<h2>ROC near zero</h2>",
        _roc(labels, scores),
        *_calibration(card, judge, labels, scores),
        *_mistakes(path.with_name(card.file), examples, scores, judge.threshold),
    ]
    if examples.unreadable:
        parts += [
            "<h2>Left out</h2><ul>",
            *(f"<li>{html.escape(each)}</li>" for each in examples.unreadable),
            "</ul>",
        ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(card.name)}</title><style>{_STYLE}</style>{''.join(parts)}</html>"
    )
    path.write_text(page, encoding="utf-8")


def _tried(taught: Taught) -> str:
    if len(taught.tried) < 2:
        return ""
    areas = ", ".join(f"{html.escape(name)} {_percent(area)}" for name, area in taught.tried.items())
    return f" Area under the curve of what was tried: {areas}."


def _claim(false: int, good: int, wanted: float) -> str:
    low, high = wilson(false, good)
    more = (
        f" To claim at most 0.1 % takes about {NEEDED_FOR_0P1} good parts without a false reject; here are {good}."
        if smallest_claim(false, good) > 0.001
        else ""
    )
    return (
        f'<p class="claim">False rejects: {false} of {good}, {_percent(false / good)} (95 %: {_percent(low)} to'
        f" {_percent(high)}; wanted: {_percent(wanted)}). The smallest claim that this count supports is"
        f" <b>at most {_percent(high)}</b>.{more}</p>"
    )


def _figures_table(figures: Mapping[str, Figure], ms_per_image: float) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{_value(each.value)}</td>"
        f"<td>{_value(each.low)} to {_value(each.high)}</td>"
        f"<td>{each.n}</td><td>{html.escape(each.note)}</td></tr>"
        for name, each in figures.items()
    ]
    rows.append(
        f"<tr><td>time per part</td><td>{ms_per_image:.1f} ms</td><td></td><td></td>"
        "<td>one core, this machine</td></tr>"
    )
    return f"<table><tr><th>figure</th><th>value</th><th>95 %</th><th>n</th><th></th></tr>{''.join(rows)}</table>"


def _confusion(labels: NDArray[np.int64], scores: NDArray[np.floating], threshold: float) -> str:
    rows = []
    for kind, name in ((0, "good"), (1, "bad")):
        own = scores[labels == kind]
        if not len(own):
            continue
        rejected = int((own >= threshold).sum())
        low, high = wilson(rejected, len(own))
        rows.append(
            f"<tr><td>{name}</td><td>{len(own) - rejected}</td><td>{rejected}</td>"
            f"<td>{_percent(rejected / len(own))} ({_percent(low)} to {_percent(high)})</td></tr>"
        )
    head = "<tr><th></th><th>passed</th><th>rejected</th><th>share rejected (Wilson, 95 %)</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _roc(labels: NDArray[np.int64], scores: NDArray[np.floating]) -> str:
    """The curve for false-reject rates up to 10 %, as a drawing."""
    if not labels.any():
        return "<p>Without bad parts there is no curve.</p>"
    from edgeai_core.metrics.curves import curve

    points = curve(labels, scores)
    rate = 1 - points.specificity
    near = rate <= 0.1
    xs, ys = (
        [*rate[near].tolist(), 0.1],
        [*points.sensitivity[near].tolist(), float(points.sensitivity[near][-1])],
    )
    line = " ".join(f"{60 + 4000 * x:.1f},{260 - 240 * y:.1f}" for x, y in zip(xs, ys, strict=True))
    ticks = "".join(
        f'<text x="{60 + 4000 * x:.0f}" y="280" text-anchor="middle">{100 * x:.0f} %</text>'
        for x in (0, 0.02, 0.04, 0.06, 0.08, 0.1)
    ) + "".join(
        f'<text x="52" y="{264 - 240 * y:.0f}" text-anchor="end">{100 * y:.0f} %</text>'
        f'<path d="M60 {260 - 240 * y:.0f}H460" stroke="currentColor" opacity=".15"/>'
        for y in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        '<svg viewBox="0 0 480 310" width="480" role="img" aria-label="Share of bad parts found against share of good'
        f' parts rejected" font-size="12" fill="currentColor">{ticks}'
        f'<polyline points="{line}" fill="none" stroke="#2f6f9f" stroke-width="2.5"/>'
        '<text x="260" y="302" text-anchor="middle">good parts rejected</text></svg><p>Upwards: bad parts found.</p>'
    )


def _calibration(
    card: ModelCard, judge: Judge, labels: NDArray[np.int64], scores: NDArray[np.floating]
) -> list[str]:
    """How far the probability behind the quality score comes true among the pictures taught on, as a drawing."""
    usual = card.parameters.get("quality_holds_at_share_of_bad")
    if not isinstance(usual, float) or not labels.any():
        return []
    from edgeai_core.metrics.calibration import reliability

    # The quality is stated for the usual share of bad parts; here it is brought to the share among these pictures.
    quality = judge.quality_of(np.asarray(scores, np.float32)).astype(float).clip(1e-9, 1 - 1e-9)
    shift = math.log(usual / (1 - usual)) - math.log(labels.mean() / (1 - labels.mean()))
    stated = 1 / (1 + np.exp(-(np.log(quality / (1 - quality)) + shift)))
    table = reliability(stated, 1 - labels)
    error = sum(each.n * abs(each.probability - each.share) for each in table) / len(labels)
    marks = "".join(
        f'<path d="M{60 + 240 * each.probability:.1f} {260 - 240 * each.share_low:.1f}'
        f'V{260 - 240 * each.share_high:.1f}" stroke="#2f6f9f" stroke-width="1.5"/>'
        f'<circle cx="{60 + 240 * each.probability:.1f}" cy="{260 - 240 * each.share:.1f}" r="4" fill="#2f6f9f"/>'
        for each in table
    )
    ticks = "".join(
        f'<text x="{60 + 240 * x:.0f}" y="280" text-anchor="middle">{100 * x:.0f} %</text>'
        f'<text x="52" y="{264 - 240 * x:.0f}" text-anchor="end">{100 * x:.0f} %</text>'
        for x in (0, 0.5, 1)
    )
    return [
        "<h2>Calibration</h2>"
        '<svg viewBox="0 0 360 310" width="360" role="img" aria-label="Share of good parts against stated probability"'
        f' font-size="12" fill="currentColor">{ticks}'
        f'<path d="M60 260L300 20" stroke="currentColor" opacity=".3"/>{marks}'
        '<text x="180" y="302" text-anchor="middle">stated probability of a good part</text></svg>'
        f"<p>Upwards: share of good parts, with 95 % intervals. Mean difference: {_percent(error)}. The probability is"
        " stated here for the share of bad parts among these pictures. The quality score is the same for a line on"
        f" which {usual:.2g} of all parts are bad: there a part at the operating point is good with 95 %.</p>"
    ]


def _mistakes(model: Path, examples: Examples, scores: NDArray[np.floating], threshold: float) -> list[str]:
    labels = examples.labels
    missed = [row for row in np.argsort(scores) if labels[row] == 1 and scores[row] < threshold][:WORST]
    false = [row for row in np.argsort(-scores) if labels[row] == 0 and scores[row] >= threshold][:WORST]
    inspector = open_inspector(model)

    def shown(rows: Sequence[int]) -> str:
        figures = []
        for row in rows:
            pixels = read_picture(examples.rows[row].path)
            picture = thumbnail(heated(pixels, inspector.inspect(pixels).heat), 240)
            name = html.escape(examples.rows[row].path.name)
            figures.append(
                f'<figure><img src="{picture}" alt="{name}"><figcaption>{name}<br>score {scores[row]:.2f},'
                f" limit {threshold:.2f}</figcaption></figure>"
            )
        return "".join(figures) or "<p>None.</p>"

    return [
        "<h2>Bad parts that passed, worst first</h2>", shown(missed),
        "<h2>Good parts that were rejected, worst first</h2>", shown(false),
    ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _value(share: float | None) -> str:
    return "–" if share is None else _percent(share)
