"""Figures of beats: how many were found, missed and made up, against annotated ones within 150 ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap


@dataclass(frozen=True)
class BeatCounts:
    """How many beats of a record were found, were missed, and were none; ``seconds`` is what finding them cost."""

    patient: str
    name: str
    found: int
    missed: int
    false: int
    seconds: float

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and positive predictive value; nan without any beat."""
        return f1([self])


def beat_figures(counts: Sequence[BeatCounts]) -> dict[str, Figure]:
    """The figures of beats, pooled over records, intervals by patient; None where there are no annotated beats."""
    n = sum(each.found + each.missed for each in counts)
    if not n:
        nothing = Figure(None, None, None, 0, note="no record has annotated beats")
        return dict.fromkeys(("qrs_sensitivity", "qrs_ppv", "qrs_f1", "qrs_worst_record_f1"), nothing)
    patients = [
        [each for each in counts if each.patient == p] for p in dict.fromkeys(each.patient for each in counts)
    ]
    found = [sum(each.found for each in group) for group in patients]
    beats = [sum(each.found + each.missed for each in group) for group in patients]
    detections = [sum(each.found + each.false for each in group) for group in patients]
    interval = grouped_bootstrap(
        patients, lambda groups: f1([each for group in groups for each in group]), 1000
    )
    worst = min((each for each in counts if each.found + each.missed), key=lambda each: each.f1)
    total = sum(detections)
    return {
        "qrs_sensitivity": Figure.of(sum(found) / n, ratio_bootstrap(found, beats), n),
        "qrs_ppv": Figure.of(
            sum(found) / total if total else None, ratio_bootstrap(found, detections), total
        ),
        "qrs_f1": Figure.of(f1(counts), interval, n),
        "qrs_worst_record_f1": Figure.of(
            worst.f1, None, worst.found + worst.missed, note=f"record {worst.name}"
        ),
        "qrs_seconds": Figure.of(
            sum(each.seconds for each in counts),
            None,
            len(counts),
            "s",
            note="processor time of the detector",
        ),
    }


def f1(counts: Sequence[BeatCounts]) -> float:
    """The pooled F1 of some records; nan without any beat."""
    found = sum(each.found for each in counts)
    wrong = sum(each.missed + each.false for each in counts)
    return 2 * found / (2 * found + wrong) if found + wrong else float("nan")
