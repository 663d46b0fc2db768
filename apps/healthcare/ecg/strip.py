"""The strip: seconds of ECG drawn on paper as people read it, 25 mm a second and 10 mm a millivolt, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

MM_PER_S = 25.0
"""Speed of the paper (IEC 60601-2-25)."""

GAINS_MM_PER_MV = (10.0, 5.0, 2.5)
"""The usual gain, and those for leads that would not fit their lane."""

MAX_LEADS = 12


@dataclass(frozen=True)
class StripLead:
    """One lead: its name, its samples in mV (NaN is a gap), and whether its electrode is off at the end."""

    name: str
    samples_mv: Sequence[float]
    off: bool = False


@dataclass(frozen=True)
class Strip:
    """What is drawn.

    ``from_s`` is the time of the first sample, on the clock of ``beats`` (time in s, letter of its class or empty)
    and of ``alert_s``, at which the alert was raised. ``title``, ``patient`` and ``when`` are for people.
    """

    leads: tuple[StripLead, ...]
    rate_hz: float
    from_s: float
    beats: tuple[tuple[float, str], ...]
    alert_s: float
    title: str
    patient: str
    when: str
    simulated: bool = False


def strip_svg(strip: Strip) -> str:
    """Return the drawing as an SVG document whose unit is the millimetre."""
    leads = strip.leads[:MAX_LEADS]
    samples = max((len(lead.samples_mv) for lead in leads), default=0)
    paper_mm = _up_to_square(samples / strip.rate_hz * MM_PER_S)
    lanes = [_Lane.of(lead) for lead in leads]
    tops = [_HEAD_MM + sum(lane.height_mm for lane in lanes[:at]) for at in range(len(lanes))]
    height_mm = sum(lane.height_mm for lane in lanes)
    width_mm, whole_mm = _LEFT_MM + paper_mm, _HEAD_MM + height_mm + _FOOT_MM
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm:g}mm" height="{whole_mm:g}mm"'
        f' viewBox="0 0 {width_mm:g} {whole_mm:g}" role="img" aria-labelledby="t" font-family="sans-serif">',
        f'<title id="t">{_escaped(_spoken(strip))}</title>',
        f'<rect width="{width_mm:g}" height="{whole_mm:g}" fill="#fff"/>',
        *_paper(width_mm, height_mm),
        *_head(strip, width_mm),
        *_marks(strip, samples, height_mm),
    ]
    for lane, top_mm in zip(lanes, tops, strict=True):
        body += _trace(lane, top_mm, strip.rate_hz)
    gains = sorted({lane.gain for lane in lanes}, reverse=True)
    told = " · ".join((f"{MM_PER_S:g} mm/s", *(f"{gain:g} mm/mV" for gain in gains), _FILTERS))
    body.append(_text(_LEFT_MM, whole_mm - 1.6, told, 2.8, _GREY))
    return "\n".join([*body, "</svg>", ""])


@dataclass(frozen=True)
class _Lane:
    lead: StripLead
    gain: float
    middle_mv: float
    height_mm: float

    @classmethod
    def of(cls, lead: StripLead) -> _Lane:
        known = sorted(value for value in lead.samples_mv if value == value)
        low, high = (known[0], known[-1]) if known else (-0.5, 0.5)
        gain = next(
            (gain for gain in GAINS_MM_PER_MV if (high - low) * gain <= _LANE_MAX_MM - 10),
            GAINS_MM_PER_MV[-1],
        )
        height_mm = min(max(_up_to_square((high - low) * gain + 10), _LANE_MIN_MM), _LANE_MAX_MM)
        return cls(lead, gain, (high + low) / 2, height_mm)


_SQUARE_MM = 5.0
_LEFT_MM, _HEAD_MM, _FOOT_MM = 10.0, 15.0, 5.0
_LANE_MIN_MM, _LANE_MAX_MM = 25.0, 45.0
_FILTERS = "filters: high-pass 0.5 Hz, mains notch"
_INK, _GREY, _FINE, _BOLD, _ALERT = "#111", "#555", "#f6cfcf", "#e79a9a", "#b00020"


def _up_to_square(length_mm: float) -> float:
    return -(-length_mm // _SQUARE_MM) * _SQUARE_MM


def _paper(width_mm: float, height_mm: float) -> Iterator[str]:
    for step_mm, colour, thickness in ((1.0, _FINE, 0.1), (_SQUARE_MM, _BOLD, 0.2)):
        across = "".join(
            f"M{i * step_mm:g} {_HEAD_MM:g}v{height_mm:g}" for i in range(int(width_mm / step_mm) + 1)
        )
        down = "".join(
            f"M0 {_HEAD_MM + i * step_mm:g}h{width_mm:g}" for i in range(int(height_mm / step_mm) + 1)
        )
        yield f'<path d="{across}{down}" stroke="{colour}" stroke-width="{thickness:g}" fill="none"/>'


def _head(strip: Strip, width_mm: float) -> Iterator[str]:
    yield _text(_LEFT_MM, 6.0, strip.title, 4.4, _INK, bold=True)
    yield _text(_LEFT_MM, 11.4, f"{strip.patient} · {strip.when}", 3.2, _GREY)
    if strip.simulated:
        yield _text(width_mm - 2, 6.0, "SIMULATION", 4.4, _ALERT, bold=True, anchor="end")


def _marks(strip: Strip, samples: int, height_mm: float) -> Iterator[str]:
    for time_s, letter in strip.beats:
        at_mm = _LEFT_MM + (time_s - strip.from_s) * MM_PER_S
        if _LEFT_MM <= at_mm <= _LEFT_MM + samples / strip.rate_hz * MM_PER_S:
            yield f'<path d="M{at_mm:.2f} {_HEAD_MM + 2.4:g}l-0.9 -1.8h1.8z" fill="{_INK}"/>'
            if letter:
                yield _text(
                    at_mm, _HEAD_MM + 5.4, letter, 2.8, _INK if letter == "N" else _ALERT, anchor="middle"
                )
    at_mm = _LEFT_MM + (strip.alert_s - strip.from_s) * MM_PER_S
    if _LEFT_MM <= at_mm <= _LEFT_MM + samples / strip.rate_hz * MM_PER_S:
        yield (
            f'<path d="M{at_mm:.2f} {_HEAD_MM:g}v{height_mm:g}" stroke="{_ALERT}" stroke-width="0.4"'
            ' stroke-dasharray="1.5 1" fill="none"/>'
        )
        yield _text(at_mm, _HEAD_MM - 0.8, "alert", 2.8, _ALERT, anchor="middle")


def _trace(lane: _Lane, top_mm: float, rate_hz: float) -> Iterator[str]:
    middle_mm = top_mm + lane.height_mm / 2
    base_mm = middle_mm + lane.middle_mv * lane.gain
    pulse_mm = min(max(base_mm, top_mm + lane.gain + 1), top_mm + lane.height_mm - 1)
    yield (
        f'<path d="M2 {pulse_mm:.2f}h1.5v{-lane.gain:g}h3v{lane.gain:g}h1.5" stroke="{_INK}" stroke-width="0.3"'
        ' fill="none"/>'
    )
    path, pen_down = [], False
    for i, value in enumerate(lane.lead.samples_mv):
        if value != value:
            pen_down = False
            continue
        at_mm = min(max(base_mm - value * lane.gain, top_mm), top_mm + lane.height_mm)
        path.append(f"{'L' if pen_down else 'M'}{_LEFT_MM + i / rate_hz * MM_PER_S:.2f} {at_mm:.2f}")
        pen_down = True
    yield f'<path d="{"".join(path)}" stroke="{_INK}" stroke-width="0.3" stroke-linejoin="round" fill="none"/>'
    name = f"{lane.lead.name}: lead off" if lane.lead.off else lane.lead.name
    yield _text(_LEFT_MM + 1, top_mm + lane.height_mm - 1.4, name, 3.6, _INK, bold=True)


def _text(
    x_mm: float, y_mm: float, words: str, size_mm: float, colour: str, *, bold: bool = False, anchor: str = ""
) -> str:
    looks = (' font-weight="bold"' if bold else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x_mm:.2f}" y="{y_mm:g}" font-size="{size_mm:g}" fill="{colour}"{looks}>{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    """The words as XML takes them; what it cannot hold (control characters, halves of pairs) is left out."""
    return escape("".join(each for each in words if each.isprintable()))


def _spoken(strip: Strip) -> str:
    kind = "Simulated ECG strip" if strip.simulated else "ECG strip"
    leads = ", ".join(lead.name for lead in strip.leads)
    return f"{kind}: {strip.title}, {strip.patient}, {strip.when}; leads {leads}"
