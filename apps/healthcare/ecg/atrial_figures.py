"""Figures of atrial fibrillation: labelled episodes that were found, and what was called so, by overlap and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from apps.healthcare.ecg.annotations import Labels
from apps.healthcare.ecg.atrial import FEATURES, AtrialReading, AtrialTracker
from apps.healthcare.ecg.beat_class import Labelled
from apps.healthcare.ecg.beat_reader import CERTAIN
from apps.healthcare.ecg.decide import ATRIAL_AFTER_S, ATRIAL_CLEAR_AFTER_S, Limits
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import ratio_bootstrap

AFIB, AFL = "AFIB", "AFL"

LEAST_EPISODE_S = 30.0
"""An episode lasts so long at least (G. Hindricks et al., 2020 ESC Guidelines, Eur. Heart J. 42:373-498, 2021)."""

EVERY_BEATS = 4

Doubles = NDArray[np.float64]
Stretch = tuple[float, float]


@dataclass(frozen=True)
class AtrialTrace:
    """One record's features every few beats, (k,) and (k, FEATURES), with its labels."""

    patient: str
    name: str
    times_s: Doubles
    features: Doubles
    labels: Labels

    @classmethod
    def of(cls, patient: str, name: str, beats: Labelled, labels: Labels) -> AtrialTrace:
        """Follow a record's classified beats as the loop does."""
        tracker = AtrialTracker(None)
        times_s, features = [], []
        for first in range(0, len(beats), EVERY_BEATS):
            some = beats[first : first + EVERY_BEATS]
            tracker.push(some)
            if (found := tracker.features()) is not None:
                times_s.append(float(some.times_s[-1]))
                features.append(found)
        return cls(patient, name, np.array(times_s), np.array(features).reshape(-1, len(FEATURES)), labels)

    def stretches(self, rhythm: str) -> list[Stretch]:
        """The labelled stretches of a rhythm."""
        return [(each.start_s, each.end_s) for each in self.labels.rhythms if each.rhythm == rhythm]

    def truth(self) -> NDArray[np.float64]:
        """At each time 1 in labelled fibrillation, 0 in another labelled rhythm, nan in flutter and where none is."""
        out = np.full(len(self.times_s), np.nan)
        for each in self.labels.rhythms:
            inside = (self.times_s >= each.start_s) & (self.times_s < each.end_s)
            out[inside] = np.nan if each.rhythm == AFL else float(each.rhythm == AFIB)
        return out


def certain(trace: AtrialTrace, reading: AtrialReading, times_s: Doubles) -> NDArray[np.bool_]:
    """Whether fibrillation was certain at the latest look at or before each time (k,)."""
    sure = np.array([False, *(reading.probability(each) >= CERTAIN for each in trace.features)])
    return np.asarray(sure[np.searchsorted(trace.times_s, times_s, side="right")])


def fit_atrial(traces: Sequence[AtrialTrace]) -> AtrialReading:
    """Fit the reading; every patient counts as the root of what it has. Raises InputError without both kinds."""
    features = np.concatenate([trace.features for trace in traces])
    truth = np.concatenate([trace.truth() for trace in traces])
    patients = np.concatenate([[trace.patient] * len(trace.times_s) for trace in traces])
    known = np.isfinite(truth)
    if not known.any() or len(set(truth[known].tolist())) < 2:
        raise InputError(
            "atrial fibrillation is fitted on records with it and without it, with rhythm labels"
        )
    features, truth, patients = features[known], truth[known], patients[known]
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    weights = np.zeros(len(truth))
    for value in (0.0, 1.0):
        for patient in set(patients[truth == value].tolist()):
            own = (truth == value) & (patients == patient)
            weights[own] = 1 / np.sqrt(own.sum())
        weights[truth == value] *= len(truth) / 2 / weights[truth == value].sum()
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(np.clip((features - mean) / scale, -4, 4), truth, sample_weight=weights)
    return AtrialReading(mean.tolist(), scale.tolist(), model.coef_[0].tolist(), float(model.intercept_[0]))


def cross_fitted(traces: Sequence[AtrialTrace], folds: int) -> list[AtrialReading]:
    """A reading for each trace, fitted on the other folds' patients; those with fibrillation are spread evenly."""
    with_af = list(dict.fromkeys(t.patient for t in traces if t.stretches(AFIB)))
    without = [p for p in dict.fromkeys(t.patient for t in traces) if p not in with_af]
    fold_of = {p: i % folds for i, p in enumerate([*with_af, *without])}
    readings = [fit_atrial([t for t in traces if fold_of[t.patient] != fold]) for fold in range(folds)]
    return [readings[fold_of[trace.patient]] for trace in traces]


def called(trace: AtrialTrace, reading: AtrialReading, limits: Limits) -> list[Stretch]:
    """The stretches that would be one alert each, from when it is raised until it last held."""
    out: list[Stretch] = []
    began_s: float | None = None
    last_s, standing = 0.0, False
    for time_s, features in zip(trace.times_s.tolist(), trace.features, strict=True):
        standing = reading.probability(features) >= (limits.atrial_over if standing else limits.atrial)
        if standing:
            if began_s is None or time_s - last_s > ATRIAL_CLEAR_AFTER_S:
                out += _alert(began_s, last_s)
                began_s = time_s
            last_s = time_s
    return out + _alert(began_s, last_s)


def atrial_figures(
    traces: Sequence[AtrialTrace], readings: Sequence[AtrialReading], note: str
) -> dict[str, Figure]:
    """Episodes of ``LEAST_EPISODE_S`` and more found (any overlap), alerts that overlap a labelled one, and times.

    What lies in labelled atrial flutter counts neither way: an alert that is half in it or more is left out. Intervals
    are by patient.
    """
    limits = Limits()
    alerts = [called(trace, reading, limits) for trace, reading in zip(traces, readings, strict=True)]
    sums: dict[str, dict[str, float]] = {}
    for trace, own in zip(traces, alerts, strict=True):
        true, flutter = trace.stretches(AFIB), trace.stretches(AFL)
        long = [each for each in true if each[1] - each[0] >= LEAST_EPISODE_S]
        judged = [each for each in own if overlap_s([each], flutter) < 0.5 * (each[1] - each[0])]
        counts = {
            "episodes": len(long),
            "found": sum(overlap_s([each], own) > 0 for each in long),
            "alerts": len(judged),
            "right": sum(overlap_s([each], true) > 0 for each in judged),
            "true_s": sum(end - start for start, end in true),
            "called_s": sum(end - start for start, end in own) - overlap_s(own, flutter),
            "both_s": overlap_s(own, true),
        }
        of_patient = sums.setdefault(trace.patient, dict.fromkeys(counts, 0.0))
        for key, value in counts.items():
            of_patient[key] += value
    return {
        "af_sensitivity": _ratio(sums, "found", "episodes", note),
        "af_ppv": _ratio(sums, "right", "alerts", note),
        "af_time_sensitivity": _ratio(sums, "both_s", "true_s", note),
        "af_time_ppv": _ratio(sums, "both_s", "called_s", note),
    }


def atrial_rows(traces: Sequence[AtrialTrace], readings: Sequence[AtrialReading]) -> list[dict[str, object]]:
    """One row for each alert, with the share of it that is labelled so."""
    return [
        {
            "record": trace.name,
            "alert": "ATRIAL_FIBRILLATION",
            "start_s": round(start, 1),
            "end_s": round(end, 1),
            "labelled_share": round(
                overlap_s([(start, end)], trace.stretches(AFIB)) / max(end - start, 1e-9), 3
            ),
        }
        for trace, reading in zip(traces, readings, strict=True)
        for start, end in called(trace, reading, Limits())
    ]


def overlap_s(some: Sequence[Stretch], others: Sequence[Stretch]) -> float:
    """How long both hold; the stretches of one side do not overlap."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in some for c, d in others)


def _alert(began_s: float | None, last_s: float) -> list[Stretch]:
    raised_s = 0.0 if began_s is None else began_s + ATRIAL_AFTER_S
    return [] if began_s is None or last_s < raised_s else [(raised_s, last_s)]


def _ratio(sums: dict[str, dict[str, float]], top: str, bottom: str, note: str) -> Figure:
    tops, bottoms = ([each[key] for each in sums.values()] for key in (top, bottom))
    n = round(sum(bottoms))
    if not n:
        return Figure(None, None, None, 0, note="the data hold no such episode")
    return Figure.of(sum(tops) / sum(bottoms), ratio_bootstrap(tops, bottoms), n, note=note)
