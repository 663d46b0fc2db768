"""Detected beats held against annotated ones, one to one, within 150 ms (ANSI/AAMI EC57)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.annotations import Interval
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import grouped_bootstrap, ratio_bootstrap

TOLERANCE_S = 0.15


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


def match_beats(
    reference_s: NDArray[np.float64], detected_s: NDArray[np.float64], tolerance_s: float = TOLERANCE_S
) -> int:
    """Return how many beats pair off, one to one, not more than ``tolerance_s`` apart; both in order.

    Earliest with earliest: for intervals of one width that gives the most pairs there can be.
    """
    i = j = pairs = 0
    while i < len(reference_s) and j < len(detected_s):
        apart_s = detected_s[j] - reference_s[i]
        # A hundredth of a millisecond of slack: times at exactly 150 ms must not hang on rounding.
        if abs(apart_s) <= tolerance_s + 1e-5:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif apart_s < 0:
            j += 1
        else:
            i += 1
    return pairs


def count_beats(
    patient: str,
    name: str,
    reference_s: NDArray[np.float64],
    detected_s: NDArray[np.float64],
    excluded: Sequence[Interval],
    seconds: float,
) -> BeatCounts:
    """Score one record, without what lies in the ``excluded`` stretches (flutter has no beats to mark)."""
    reference, detected = _outside(reference_s, excluded), _outside(detected_s, excluded)
    found = match_beats(reference, detected)
    return BeatCounts(patient, name, found, len(reference) - found, len(detected) - found, seconds)


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


def _outside(times_s: NDArray[np.float64], excluded: Sequence[Interval]) -> NDArray[np.float64]:
    kept = np.ones(len(times_s), dtype=bool)
    for interval in excluded:
        kept &= (times_s < interval.start_s) | (times_s > interval.end_s)
    return times_s[kept]
