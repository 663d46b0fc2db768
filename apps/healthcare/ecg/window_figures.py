"""Figures of windows: how many that show VF, flutter or VT are called so, and how many others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.rhythm import WINDOWS, Reading, vfvt_of
from apps.healthcare.ecg.scores import Scores
from apps.healthcare.ecg.windows import by_bare_labels
from edgeai_core.metrics.calibration import expected_calibration_error
from edgeai_core.metrics.curves import area_interval, roc_auc
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.metrics.intervals import ratio_bootstrap

Readings = Mapping[str, Reading]


@dataclass(frozen=True)
class Judged:
    """One record's windows of one length: what they are and what was said of them; all of shape (windows,)."""

    patient: str
    folder: str
    name: str
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    mixed: NDArray[np.bool_]
    noisy: NDArray[np.bool_]
    slow: NDArray[np.bool_]
    bare_positive: NDArray[np.bool_]
    bare_negative: NDArray[np.bool_]
    called: NDArray[np.bool_]
    untold: NDArray[np.bool_]
    vfvt: NDArray[np.float64]


def judge(scores: Scores, reading: Reading, window: str) -> Judged:
    """Hold what a network said of a record's windows against the labels."""
    record = scores.record
    truth, bare = scores.truth(window), scores.truth(window, by_bare_labels(record))
    probabilities = reading.probabilities(scores.logits[window], scores.flat[window])
    return Judged(
        record.patient,
        record.folder,
        record.name,
        truth.positive,
        truth.negative,
        truth.mixed,
        truth.noisy,
        truth.slow,
        bare.positive,
        bare.negative,
        reading.positive(probabilities),
        reading.cannot_tell(probabilities),
        vfvt_of(probabilities),
    )


def window_figures(scores: Sequence[tuple[Scores, Readings]]) -> dict[str, Figure]:
    """Every figure of windows; intervals by patient. Each record's scores come with the readings for them."""
    figures: dict[str, Figure] = {}
    for window in WINDOWS:
        judged = [judge(each, readings[window], window) for each, readings in scores]
        name = f"vfvt_{window}"
        figures[f"{name}_sensitivity"] = share(judged, "positive", "called")
        figures[f"{name}_specificity"] = share(judged, "negative", "called", of_not=True)
        figures[f"{name}_auc"] = _auc(judged)
        figures[f"{name}_calibration_error"] = _calibration_error(judged)
        for folder in dict.fromkeys(each.folder for each in judged):
            of_folder = [each for each in judged if each.folder == folder]
            if len(of_folder) > 1:
                figures[f"{name}_sensitivity_mean_of_{folder}_records"] = _mean(
                    of_folder, "positive", of_not=False
                )
                figures[f"{name}_specificity_mean_of_{folder}_records"] = _mean(
                    of_folder, "negative", of_not=True
                )
        suffix = "" if window == "4s" else f"_{window}"
        figures[f"cannot_tell_share{suffix}"] = share(judged, "judged", "untold")
        figures[f"noise_share{suffix}"] = share(judged, "all", "noisy")
        figures[f"noise_alarm_rate{suffix}"] = share(judged, "noisy", "called")
        figures[f"noise_cannot_tell_share{suffix}"] = share(judged, "noisy", "untold")
        figures[f"mixed_share{suffix}"] = share(judged, "all", "mixed")
        figures[f"mixed_alarm_rate{suffix}"] = share(judged, "mixed", "called")
        figures[f"slow_vt_alarm_rate{suffix}"] = share(judged, "slow", "called")
        figures[f"{name}_sensitivity_bare_labels"] = share(judged, "bare_positive", "called")
        figures[f"{name}_specificity_bare_labels"] = share(judged, "bare_negative", "called", of_not=True)
    return figures


def window_rows(scores: Sequence[tuple[Scores, Readings]]) -> list[dict[str, object]]:
    """One row for each record and window length: counts, and what was missed or called wrongly."""
    rows: list[dict[str, object]] = []
    for each, readings in scores:
        for window in WINDOWS:
            judged = judge(each, readings[window], window)
            rows.append(
                {
                    "record": judged.name,
                    "window": window,
                    "positive": int(judged.positive.sum()),
                    "missed": int((judged.positive & ~judged.called).sum()),
                    "negative": int(judged.negative.sum()),
                    "false_calls": int((judged.negative & judged.called).sum()),
                    "cannot_tell": int((judged.untold & (judged.positive | judged.negative)).sum()),
                    "mixed": int(judged.mixed.sum()),
                    "noisy": int(judged.noisy.sum()),
                    "slow_vt": int(judged.slow.sum()),
                }
            )
    return rows


def share(judged: Sequence[Judged], among: str, what: str, *, of_not: bool = False) -> Figure:
    """The share of the windows of one sort that are (or with ``of_not`` are not) of another; interval by patient."""
    top: dict[str, int] = {}
    bottom: dict[str, int] = {}
    for each in judged:
        group, said = _sort(each, among), _sort(each, what)
        hits = group & ~said if of_not else group & said
        bottom[each.patient] = bottom.get(each.patient, 0) + int(group.sum())
        top[each.patient] = top.get(each.patient, 0) + int(hits.sum())
    patients = [patient for patient, count in bottom.items() if count]
    n = sum(bottom.values())
    if not n:
        return Figure(None, None, None, 0, note="the data hold no such window")
    interval = ratio_bootstrap([top[p] for p in patients], [bottom[p] for p in patients])
    return Figure.of(sum(top.values()) / n, interval, n)


def _sort(judged: Judged, sort: str) -> NDArray[np.bool_]:
    if sort == "judged":
        return judged.positive | judged.negative
    if sort == "all":
        return judged.positive | judged.negative | judged.mixed | judged.noisy | judged.slow
    chosen: NDArray[np.bool_] = getattr(judged, sort)
    return chosen


def _mean(judged: Sequence[Judged], among: str, *, of_not: bool) -> Figure:
    """The mean of the records' own shares, each record counting once."""
    shares = [figure.value for each in judged if (figure := share([each], among, "called", of_not=of_not)).n]
    known = [value for value in shares if value is not None]
    if not known:
        return Figure(None, None, None, 0, note="the data hold no such window")
    return Figure.of(float(np.mean(known)), ratio_bootstrap(known, np.ones(len(known))), len(known))


def _auc(judged: Sequence[Judged]) -> Figure:
    labels, values, patients = _pooled(judged)
    if not labels.size or labels.all() or not labels.any():
        return Figure(None, None, None, len(labels), note="needs windows with and without VF/VT")
    interval = area_interval(labels, values, patients, n_resamples=100)
    return Figure.of(roc_auc(labels, values), interval, len(labels))


def _calibration_error(judged: Sequence[Judged]) -> Figure:
    labels, values, _ = _pooled(judged)
    return Figure.of(expected_calibration_error(values, labels) if labels.size else None, None, len(labels))


def _pooled(judged: Sequence[Judged]) -> tuple[NDArray[np.bool_], NDArray[np.float64], list[str]]:
    labels, values, patients = [np.empty(0, dtype=bool)], [np.empty(0)], []
    for each in judged:
        kept = each.positive | each.negative
        labels.append(each.positive[kept])
        values.append(each.vfvt[kept])
        patients += [each.patient] * int(kept.sum())
    return np.concatenate(labels), np.concatenate(values), patients
