"""What is said of classed beats, held against annotations: classes, runs of ventricular beats, atrial fibrillation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from apps.healthcare.ecg.annotations import Labels
from apps.healthcare.ecg.atrial import AtrialReading
from apps.healthcare.ecg.atrial_figures import (
    AFIB,
    AtrialTrace,
    atrial_figures,
    atrial_rows,
    certain,
    cross_fitted,
)
from apps.healthcare.ecg.beat_class import Labelled
from apps.healthcare.ecg.beat_class_figures import Confusion, class_figures, class_rows
from apps.healthcare.ecg.beat_reader import in_fibrillation
from apps.healthcare.ecg.beat_records import matched
from apps.healthcare.ecg.ectopy_figures import RunCounts, run_figures
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.runners.card import ModelCard

PACED = "/"
"""Records with paced beats are left out of figures of classes (ANSI/AAMI EC57)."""

Row = dict[str, object]


@dataclass(frozen=True)
class SaidBeats:
    """What the network said of one record's beats, before the rhythm around was looked at."""

    patient: str
    name: str
    said: Labelled
    labels: Labels
    duration_s: float


def beat_evaluation(
    records: Sequence[SaidBeats], card: ModelCard, folds: int, *, cross_validate: bool
) -> tuple[dict[str, Figure], list[Row]]:
    """Every figure of classed beats, with a row for each record and each alert for atrial fibrillation.

    Classes are judged on the records that the card does not name as taught on and that hold no paced beats. What
    fibrillation makes of them is read by a regression fitted on other patients, where there are enough of them; so are
    the figures of fibrillation, with ``cross_validate``.
    """
    traces = [AtrialTrace.of(each.patient, each.name, each.said, each.labels) for each in records]
    shipped = AtrialReading.of(card)
    anew: list[AtrialReading] = []
    if any(trace.stretches(AFIB) for trace in traces):
        with suppress(InputError):  # too few patients to leave some out
            anew = cross_fitted(traces, folds)
    gates: Sequence[AtrialReading | None] = anew or [shipped] * len(records)
    figures, rows = _classes(records, traces, gates, card)
    readings = anew if cross_validate else [shipped] * len(records) if shipped else []
    note = f"fitted anew, {folds} folds by patient" if cross_validate else "patients that it may be fitted on"
    more, more_rows = _fibrillation(traces, readings, note)
    return {**figures, **more}, [*rows, *more_rows]


def _classes(
    records: Sequence[SaidBeats],
    traces: Sequence[AtrialTrace],
    gates: Sequence[AtrialReading | None],
    card: ModelCard,
) -> tuple[dict[str, Figure], list[Row]]:
    taught = card.parameters.get("trained_on")
    names = taught if isinstance(taught, list) else []
    confusions, runs = [], []
    for each, trace, gate in zip(records, traces, gates, strict=True):
        if each.name in names or not each.labels.beat_s.size or PACED in each.labels.beat_symbols:
            continue
        said = in_fibrillation(each.said, certain(trace, gate, each.said.times_s)) if gate else each.said
        true, missed = matched(said.times_s, each.labels)
        confusions.append(Confusion.of(each.patient, each.name, true, said.classes, Counter(missed)))
        runs.append(RunCounts.of(each.patient, each.name, said, each.labels, each.duration_s / 3600))
    if not confusions:
        nothing = Figure(
            None, None, None, 0, note="no record has classed beats that the network has not seen"
        )
        return dict.fromkeys(("aami_v_f1", "aami_s_f1"), nothing), []
    note = f"{len(confusions)} records that the network has not seen, without paced ones"
    return class_figures(confusions, note) | run_figures(runs, note), class_rows(confusions)


def _fibrillation(
    traces: Sequence[AtrialTrace], readings: Sequence[AtrialReading], note: str
) -> tuple[dict[str, Figure], list[Row]]:
    known = [i for i, trace in enumerate(traces) if trace.labels.rhythms_from == "rhythm labels"]
    if not readings or not any(traces[i].stretches(AFIB) for i in known):
        nothing = Figure(None, None, None, 0, note="too few records have labelled atrial fibrillation")
        return dict.fromkeys(("af_sensitivity", "af_ppv"), nothing), []
    some, read = [traces[i] for i in known], [readings[i] for i in known]
    return atrial_figures(some, read, note), atrial_rows(some, read)
