"""Figures of runs of ventricular beats: annotated ones that were found, and found ones that are true, by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from apps.healthcare.ecg.annotations import Labels
from apps.healthcare.ecg.beat_class import AAMI_OF, UNKNOWN, Labelled
from apps.healthcare.ecg.decide import ECTOPY_CLEAR_AFTER_S
from apps.healthcare.ecg.ectopy import LONGEST_COUPLING_S, RUN_BEATS, VENTRICULAR
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import ratio_bootstrap

Stretch = tuple[float, float]

_REACH_S = 0.15


@dataclass(frozen=True)
class RunCounts:
    """One record: runs that are annotated and how many of them were found, runs found and how many of them are true.

    ``alerts``: how many incidents they make, those within ``ECTOPY_CLEAR_AFTER_S`` of each other being one.
    """

    patient: str
    name: str
    hours: float
    annotated: int
    found: int
    called: int
    right: int
    alerts: int

    @classmethod
    def of(cls, patient: str, name: str, said: Labelled, labels: Labels, hours: float) -> RunCounts:
        """Count. What is called inside of annotated flutter is left out."""
        classes = [AAMI_OF.get(symbol, UNKNOWN) for symbol in labels.beat_symbols]
        annotated = runs(labels.beat_s.tolist(), classes)
        flutter = [(each.start_s, each.end_s) for each in labels.flutter]
        called = [each for each in runs(said.times_s.tolist(), said.classes) if not _meets(each, flutter)]
        breaks = sum(later[0] - earlier[1] > ECTOPY_CLEAR_AFTER_S for earlier, later in pairwise(called))
        return cls(
            patient,
            name,
            hours,
            len(annotated),
            sum(_meets(each, called) for each in annotated),
            len(called),
            sum(_meets(each, annotated) for each in called),
            breaks + 1 if called else 0,
        )


def runs(times_s: Sequence[float], classes: Sequence[str]) -> list[Stretch]:
    """The stretches of ``RUN_BEATS`` and more ventricular beats on end, as the loop counts them."""
    found: list[Stretch] = []
    chain: list[float] = []
    for time_s, kind in [*zip(times_s, classes, strict=True), (float("inf"), "")]:
        if kind == VENTRICULAR and (not chain or time_s - chain[-1] <= LONGEST_COUPLING_S):
            chain.append(time_s)
            continue
        if len(chain) >= RUN_BEATS:
            found.append((chain[0], chain[-1]))
        chain = [time_s] if kind == VENTRICULAR else []
    return found


def run_figures(counts: Sequence[RunCounts], note: str) -> dict[str, Figure]:
    """The figures, intervals by record."""
    return {
        "pvc_run_sensitivity": _share(counts, "found", "annotated", note),
        "pvc_run_ppv": _share(counts, "right", "called", note),
        "pvc_run_alerts_per_hour": _share(counts, "alerts", "hours", note, unit="1/h"),
    }


def _share(counts: Sequence[RunCounts], top: str, bottom: str, note: str, unit: str = "1") -> Figure:
    tops, bottoms = ([float(getattr(each, key)) for each in counts] for key in (top, bottom))
    if not sum(bottoms):
        return Figure(None, None, None, 0, unit, "the data hold none")
    n = round(sum(tops) if unit != "1" else sum(bottoms))
    return Figure.of(sum(tops) / sum(bottoms), ratio_bootstrap(tops, bottoms), n, unit, note)


def _meets(one: Stretch, others: Sequence[Stretch]) -> bool:
    return any(one[0] - _REACH_S <= end and start <= one[1] + _REACH_S for start, end in others)
