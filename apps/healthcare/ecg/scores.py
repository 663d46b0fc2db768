"""What a network says of the windows of whole records, and how to read that: calibration and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.rhythm import CLASSES, LONG, RATE_HZ, WINDOWS, Reading, is_flat, log_odds, vfvt_of
from apps.healthcare.ecg.windows import Record, Truth, truth_of
from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import fit_platt
from edgeai_core.metrics.curves import threshold_at
from edgeai_core.runners.runner import Runner

HOP = round(2.0 * RATE_HZ)
"""Windows are judged every 2 s; a 2 s window is the end of the 4 s window of the same moment."""

WANTED_SPECIFICITY = 0.979
"""Thresholds are set to this on the windows of the training side; patients never seen cost about half a point of it."""

_SCORED_AT_ONCE = 256


@dataclass(frozen=True)
class Scores:
    """A record's windows, every 2 s, as a network saw them.

    ``starts``: (windows,) of the 4 s windows in the trace. ``logits``: by window length, (windows, classes).
    ``flat``: by window length, (windows,).
    """

    record: Record
    starts: NDArray[np.intp]
    logits: dict[str, NDArray[np.float32]]
    flat: dict[str, NDArray[np.bool_]]

    def truth(self, window: str, record: Record | None = None) -> Truth:
        """What the windows are by the labels of the record, or of ``record`` where its labels are read otherwise."""
        samples = WINDOWS[window]
        return truth_of((record or self.record).shares(self.starts + LONG - samples, samples))


def score(runner: Runner, record: Record) -> Scores:
    """Run the network on a record's windows, all leads joined."""
    starts = np.arange(0, len(record.trace) - LONG + 1, HOP)
    logits: dict[str, list[NDArray[np.float32]]] = {window: [] for window in WINDOWS}
    flat: dict[str, list[NDArray[np.bool_]]] = {window: [] for window in WINDOWS}
    for first in range(0, len(starts), _SCORED_AT_ONCE):
        at = starts[first : first + _SCORED_AT_ONCE]
        ecg = np.ascontiguousarray(record.trace[at[:, None] + np.arange(LONG)].transpose(0, 2, 1))
        outputs = runner.run({"ecg": ecg})
        for window, samples in WINDOWS.items():
            logits[window].append(outputs[f"logits_{window}"])
            flat[window].append(is_flat(ecg[:, :, -samples:]))
    empty = np.empty((0, len(CLASSES)), dtype=np.float32)
    return Scores(
        record,
        starts,
        {window: np.concatenate([empty, *parts]) for window, parts in logits.items()},
        {window: np.concatenate([np.empty(0, dtype=bool), *parts]) for window, parts in flat.items()},
    )


def fit_readings(scores: Sequence[Scores]) -> dict[str, Reading]:
    """Fit calibration and threshold of both window lengths on scores of patients the networks had not seen.

    The threshold is the one that reaches ``WANTED_SPECIFICITY`` there. Raises InputError where the scores hold no
    positive or no negative window.
    """
    readings = {}
    for window in WINDOWS:
        logits, flat, label = [], [], []
        for each in scores:
            truth = each.truth(window)
            judged = truth.positive | truth.negative
            logits.append(each.logits[window][judged])
            flat.append(each.flat[window][judged])
            label.append(truth.positive[judged])
        logit, is_silent, positive = np.concatenate(logits), np.concatenate(flat), np.concatenate(label)
        if positive.all() or not positive.any():
            raise InputError(
                f"cannot set a threshold: {int(positive.sum())} of {len(positive)} windows of {window} are VF or VT;"
                " both kinds are needed"
            )
        curve = fit_platt(log_odds(logit)[~is_silent], positive[~is_silent])
        reading = Reading(curve.slope, curve.intercept, 1.0)
        vfvt = vfvt_of(reading.probabilities(logit, is_silent))
        point = threshold_at(positive, vfvt, specificity=WANTED_SPECIFICITY)
        readings[window] = replace(reading, threshold=point.threshold)
    return readings
