"""Alerts that the shipped analysis gives on a record, held against its annotations: found, late, or false."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, VF, VFL, VT, Interval, Labels
from apps.healthcare.ecg.decide import PRIORITIES, VENTRICULAR, Code, EcgOutput, Limits
from edgeai_core.decision import Decision

CLEAR_AFTER_S = 5.0
"""An alert that comes again within so much of its end is the same one, as the loop's rules have it."""

LONG_EPISODE_S = 10.0
"""Episodes of VF or flutter longer than this have to be found."""

BORDER_S = 2.0
"""Borders of labels are good to a second or so: an alert this near to one does not contradict it."""

Verdict = Literal["true", "false", "not judged"]


@dataclass(frozen=True)
class Alert:
    """One incident: a condition's code, from when it first held until it last did."""

    code: Code
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Episode:
    """A labelled stretch of ventricular rhythm.

    ``alert_s`` is when an alert for it first stood, None: never; ``already``: one stood when it began, for VT
    became VF, or for an episode just before.
    """

    rhythm: str
    start_s: float
    end_s: float
    alert_s: float | None
    already: bool

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s

    @property
    def delay_s(self) -> float | None:
        """From onset to alert; None where there was none, or where one already stood."""
        return None if self.alert_s is None or self.already else self.alert_s - self.start_s


def alerts_of(decisions: Iterable[Decision[EcgOutput]]) -> list[Alert]:
    """Join the critical conditions of a record's decisions, in order, to alerts; None changes nothing."""
    open_alerts: dict[Code, Alert] = {}
    done: list[Alert] = []
    for decision in decisions:
        if decision.conditions is None:
            continue
        now_s = decision.output.time_s
        for condition in decision.conditions:
            code = Code(condition.code)
            if code in PRIORITIES:
                continue
            before = open_alerts.get(code)
            if before is not None and now_s - before.end_s > CLEAR_AFTER_S:
                done.append(before)
                before = None
            open_alerts[code] = Alert(code, now_s if before is None else before.start_s, now_s)
    return sorted([*done, *open_alerts.values()], key=lambda alert: alert.start_s)


def episodes_of(labels: Labels, alerts: Sequence[Alert], rhythms: Sequence[str]) -> list[Episode]:
    """The labelled stretches of some rhythms, those that touch joined, each with its first ventricular alert."""
    joined: list[Interval] = []
    for interval in labels.rhythms:
        if interval.rhythm not in rhythms:
            continue
        if joined and interval.start_s - joined[-1].end_s < 0.5:
            joined[-1] = Interval(joined[-1].start_s, interval.end_s, joined[-1].rhythm)
        else:
            joined.append(interval)
    ventricular = [alert for alert in alerts if alert.code in VENTRICULAR]
    episodes = []
    for interval in joined:
        inside = [a for a in ventricular if a.start_s <= interval.end_s and a.end_s >= interval.start_s]
        first_s = min((max(alert.start_s, interval.start_s) for alert in inside), default=None)
        already = any(alert.start_s <= interval.start_s for alert in inside)
        episodes.append(Episode(interval.rhythm, interval.start_s, interval.end_s, first_s, already))
    return episodes


def verdict(alert: Alert, labels: Labels, limits: Limits) -> Verdict:
    """Say whether the annotations bear an alert out or contradict it.

    VF, flutter and VT by rhythm labels; asystole by labels or a gap between reference beats; rates by
    reference beats. Under ``(NOISE``, in unlabelled stretches, and where there is nothing to judge a
    condition by, it is not judged.
    """
    if alert.code in VENTRICULAR:
        return _by_rhythm(alert, labels, (VF, VFL, VT))
    beats = labels.beat_s
    if alert.code is Code.ASYSTOLE:
        by_label = _by_rhythm(alert, labels, (ASYSTOLE,))
        if by_label == "true" or not beats.size:
            return by_label
        near = _around(beats, alert.start_s - limits.asystole_s - 1, alert.end_s)
        gaps = np.diff(np.concatenate([[alert.start_s - limits.asystole_s - 1], near, [alert.end_s]]))
        return "true" if gaps.max() >= limits.asystole_s - 0.5 else "false"
    if not beats.size:
        return "not judged"
    if alert.code is Code.EXTREME_BRADYCARDIA:
        rates = _rates_bpm(beats, alert, limits.bradycardia_beats)
        return "true" if (rates < limits.bradycardia_bpm * (1 + _RATE_SLACK)).any() else "false"
    rates = _rates_bpm(beats, alert, limits.tachycardia_beats)
    return "true" if (rates > limits.tachycardia_bpm * (1 - _RATE_SLACK)).any() else "false"


_RATE_SLACK = 0.02  # a rate within this of a limit neither contradicts nor proves: it is let pass
_RATE_REACH_S = 30.0


def _by_rhythm(alert: Alert, labels: Labels, rhythms: Sequence[str]) -> Verdict:
    if labels.rhythms_from == "none":
        return "not judged"
    near = [
        interval
        for interval in labels.rhythms
        if interval.start_s - BORDER_S <= alert.end_s and interval.end_s + BORDER_S >= alert.start_s
    ]
    if any(interval.rhythm in rhythms for interval in near):
        return "true"
    # The moment of raising decides: what came while nobody can have seen the rhythm is not judged.
    at_start = [i for i in near if i.start_s - BORDER_S <= alert.start_s <= i.end_s + BORDER_S]
    if not at_start or any(interval.rhythm == NOISE for interval in at_start):
        return "not judged"
    return "false"


def _around(times_s: NDArray[np.float64], first_s: float, last_s: float) -> NDArray[np.float64]:
    return times_s[(times_s >= first_s) & (times_s <= last_s)]


def _rates_bpm(beats_s: NDArray[np.float64], alert: Alert, count: int) -> NDArray[np.float64]:
    """The rates over ``count`` reference beats at and before an alert."""
    near = _around(beats_s, alert.start_s - _RATE_REACH_S, alert.end_s + 1.0)
    if len(near) < count:
        return np.empty(0)
    return np.asarray(60 * (count - 1) / (near[count - 1 :] - near[: len(near) - count + 1]))
