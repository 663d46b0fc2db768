"""NEWS2, the National Early Warning Score, exactly as its chart has it.

Source: Royal College of Physicians, "National Early Warning Score (NEWS) 2: Standardising the assessment of
acute-illness severity in the NHS", London 2017, charts 1 (scoring) and 2 (thresholds and triggers). It is made for
adults of 16 years and more who are not pregnant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from apps.healthcare.vitals.signs import Sign

Scale = Literal[1, 2]
Risk = Literal["low", "low-medium", "medium", "high"]

PARAMETERS = (
    Sign.RESPIRATION,
    Sign.SPO2,
    Sign.OXYGEN,
    Sign.SYSTOLIC,
    Sign.HEART_RATE,
    Sign.CONSCIOUSNESS,
    Sign.TEMPERATURE,
)
"""What the score is made of, in the order of the chart."""

# (up to and including this value, points); the last row has no end.
_RESPIRATION = ((8, 3), (11, 1), (20, 0), (24, 2), (math.inf, 3))
_SPO2_1 = ((91, 3), (93, 2), (95, 1), (math.inf, 0))
_SPO2_2 = ((83, 3), (85, 2), (87, 1), (math.inf, 0))
_SPO2_2_ON_OXYGEN = ((94, 1), (96, 2), (math.inf, 3))
_SYSTOLIC = ((90, 3), (100, 2), (110, 1), (219, 0), (math.inf, 3))
_PULSE = ((40, 3), (50, 1), (90, 0), (110, 1), (130, 2), (math.inf, 3))
_TEMPERATURE = ((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1), (math.inf, 2))


@dataclass(frozen=True)
class News2:
    """A score. ``points`` by parameter, of those that are known; without all seven ``total`` is the least it can be."""

    total: int
    points: Mapping[Sign, int]
    missing: tuple[Sign, ...] = ()

    @property
    def risk(self) -> Risk:
        """The clinical risk of chart 2: 7 and more is high, 5 and 6 medium, a 3 in one parameter low-medium."""
        if self.total >= 7:
            return "high"
        if self.total >= 5:
            return "medium"
        return "low-medium" if 3 in self.points.values() else "low"


def news2(values: Mapping[Sign, float], scale: Scale = 1) -> News2:
    """Return the score of what is known. Scale 2 is for hypercapnic respiratory failure, on a clinician's word alone.

    Values are first rounded to the chart's own steps: whole numbers, temperature to a tenth. Without knowing whether
    the patient breathes oxygen scale 2 scores SpO2 as on air.
    """
    on_oxygen = values.get(Sign.OXYGEN, 0.0) > 0
    points: dict[Sign, int] = {}
    for sign in PARAMETERS:
        if sign in values:
            points[sign] = _points(sign, values[sign], scale, on_oxygen)
    missing = tuple(sign for sign in PARAMETERS if sign not in points)
    return News2(sum(points.values()), points, missing)


def _points(sign: Sign, value: float, scale: Scale, on_oxygen: bool) -> int:
    whole = math.floor(value + 0.5)
    match sign:
        case Sign.RESPIRATION:
            return _row(_RESPIRATION, whole)
        case Sign.SPO2 if scale == 1:
            return _row(_SPO2_1, whole)
        case Sign.SPO2:
            return _row(_SPO2_2_ON_OXYGEN if on_oxygen and whole > 92 else _SPO2_2, whole)
        case Sign.OXYGEN:
            return 2 if value > 0 else 0
        case Sign.SYSTOLIC:
            return _row(_SYSTOLIC, whole)
        case Sign.HEART_RATE:
            return _row(_PULSE, whole)
        case Sign.CONSCIOUSNESS:
            return 0 if whole == 0 else 3
        case Sign.TEMPERATURE:
            return _row(_TEMPERATURE, math.floor(value * 10 + 0.5) / 10)
        case _:
            raise ValueError(f"{sign} is no part of NEWS2")


def _row(rows: tuple[tuple[float, int], ...], value: float) -> int:
    return next(points for limit, points in rows if value <= limit)
