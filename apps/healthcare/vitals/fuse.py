"""Several sensors, one belief: which value of each sign counts now, how old it is, and how far it can be trusted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from apps.healthcare.vitals.signs import CONTINUOUS, PLAUSIBLE, Measurement, Origin, Sign

SMOOTHED_S = 15.0
"""A continuous value is the median of so long: half of it may be artefact."""

FRESH_S = 15.0
"""A continuous sensor that has given nothing plausible for so long says nothing."""

AGREE = 0.10
"""Heart rates within so much of each other (as a share) agree."""

LEAST_QUALITY = 0.4
LEAST_PULSE_PRESSURE = 8.0
"""A systolic less than so much above the diastolic is a damped line or a flush, no pressure."""

LARGEST_FALL = {Sign.SPO2: 0.7}
"""SpO2 that falls faster than this, in per cent a second, has lost the finger and not the oxygen.

In apnoea the steep part of the curve is some 30 to 40 per cent a minute (J. L. Benumof et al., Anesthesiology
87:979-982, 1997, figure 1).
"""


@dataclass(frozen=True)
class Value:
    """What is believed of one sign. ``origins`` agree on it, the best first."""

    value: float
    age_s: float
    quality: float
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Belief:
    """All signs at one moment. ``silent``: measured continuously before, and not now; ``implausible``: why not."""

    time_s: float
    values: Mapping[Sign, Value] = field(default_factory=dict)
    silent: frozenset[Sign] = frozenset()
    implausible: frozenset[Sign] = frozenset()

    def plain(self) -> dict[Sign, float]:
        """Return the values alone."""
        return {sign: each.value for sign, each in self.values.items()}


@dataclass(frozen=True)
class MaxAges:
    """How long values that are taken now and then count, in seconds."""

    cuff_s: float = 3600.0
    charted_s: float = 4 * 3600.0
    charted_temperature_s: float = 12 * 3600.0

    def of(self, sign: Sign, origin: Origin) -> float:
        """Return how old a value of an origin may be."""
        if origin in CONTINUOUS:
            return FRESH_S
        if origin is Origin.CUFF:
            return self.cuff_s
        return self.charted_temperature_s if sign is Sign.TEMPERATURE else self.charted_s


class Fusion:
    """Takes measurements in the order of their times and says what to believe."""

    def __init__(self, max_ages: MaxAges | None = None) -> None:
        self._max_ages = max_ages or MaxAges()
        self._series: dict[tuple[Sign, Origin], deque[tuple[float, Measurement]]] = {}
        self._continuous: set[Sign] = set()
        self._rejected_s: dict[Sign, float] = {}

    def take(self, measurements: tuple[Measurement, ...], time_s: float) -> None:
        """Take what was measured at one moment; what cannot be is left out and remembered as such."""
        pressures: dict[tuple[Origin, Sign], float] = {
            (each.origin, each.sign): each.value
            for each in measurements
            if each.sign in (Sign.SYSTOLIC, Sign.DIASTOLIC)
        }
        for each in measurements:
            if each.origin in CONTINUOUS:
                self._continuous.add(each.sign)
            if not self._plausible(each, time_s, pressures):
                self._rejected_s[each.sign] = time_s
                continue
            series = self._series.setdefault((each.sign, each.origin), deque())
            if series and time_s < series[-1][0]:
                continue  # a newer one is known
            series.append((time_s, each))
            while series[0][0] < time_s - SMOOTHED_S:
                series.popleft()

    def believe(self, now_s: float) -> Belief:
        """Return what to believe now."""
        values: dict[Sign, Value] = {}
        for sign in Sign:
            candidates = [
                candidate
                for (of, origin), series in self._series.items()
                if of is sign and (candidate := self._candidate(sign, origin, series, now_s)) is not None
            ]
            if candidates:
                values[sign] = _heart_rate(candidates) if sign is Sign.HEART_RATE else _best(candidates)
        silent = frozenset(self._continuous - values.keys())
        recent = frozenset(sign for sign, at_s in self._rejected_s.items() if now_s - at_s < FRESH_S)
        return Belief(now_s, values, silent, silent & recent)

    def _candidate(
        self, sign: Sign, origin: Origin, series: deque[tuple[float, Measurement]], now_s: float
    ) -> Value | None:
        newest_s = series[-1][0]
        if now_s - newest_s > self._max_ages.of(sign, origin):
            return None
        if origin not in CONTINUOUS:
            return Value(series[-1][1].value, now_s - newest_s, series[-1][1].quality, (origin,))
        recent = [each for at_s, each in series if at_s >= now_s - SMOOTHED_S]
        quality = median(each.quality for each in recent)
        if quality < LEAST_QUALITY:
            return None
        good = [each.value for each in recent if each.quality >= LEAST_QUALITY]
        return Value(median(good), now_s - newest_s, quality, (origin,))

    def _plausible(
        self, each: Measurement, time_s: float, pressures: Mapping[tuple[Origin, Sign], float]
    ) -> bool:
        low, high = PLAUSIBLE[each.sign]
        if not low <= each.value <= high:
            return False
        if each.sign in (Sign.SYSTOLIC, Sign.DIASTOLIC, Sign.MEAN_PRESSURE):
            systolic = pressures.get((each.origin, Sign.SYSTOLIC))
            diastolic = pressures.get((each.origin, Sign.DIASTOLIC))
            if systolic is not None and diastolic is not None and systolic - diastolic < LEAST_PULSE_PRESSURE:
                return False
        fall = LARGEST_FALL.get(each.sign)
        series = self._series.get((each.sign, each.origin))
        if fall is not None and each.origin in CONTINUOUS and series and len(series) > 3:
            held = median(old.value for _, old in series)
            gone_s = max(1.0, time_s - series[-1][0])
            # A true fall goes on: after the time it would take at this pace, it is believed.
            return held - each.value <= fall * gone_s + 4.0
        return True


def _best(candidates: list[Value]) -> Value:
    """Return the continuous value of the best quality, else the newest."""
    running = [each for each in candidates if each.origins[0] in CONTINUOUS]
    if running:
        return max(running, key=lambda each: each.quality)
    return min(candidates, key=lambda each: each.age_s)


def _heart_rate(candidates: list[Value]) -> Value:
    """Return the mean, by quality, of the sources that agree with each other and are best together.

    One source that stands alone against two that agree is not believed, whatever it says of itself.
    """
    running = [each for each in candidates if each.origins[0] in CONTINUOUS]
    if not running:
        return min(candidates, key=lambda each: each.age_s)
    groups = [
        [other for other in running if abs(other.value - each.value) <= AGREE * each.value]
        for each in running
    ]
    group = max(groups, key=lambda each: (len(each), sum(one.quality for one in each)))
    weight = sum(each.quality for each in group)
    best = sorted(group, key=lambda each: -each.quality)
    return Value(
        sum(each.value * each.quality for each in group) / weight,
        min(each.age_s for each in group),
        best[0].quality,
        tuple(each.origins[0] for each in best),
    )
