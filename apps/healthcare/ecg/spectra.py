"""Spectra of windows, in numpy: features for learning where there is no network and no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.options import FederatedOptions
from apps.healthcare.ecg.rhythm import LONG, RATE_HZ
from apps.healthcare.ecg.windows import Record, load_records, truth_of
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.continual import Samples

BINS, BIN_HZ = 120, 0.25
LAGS = range(5, 215, 3)
FEATURES = BINS // 2 + len(LAGS) + 4
"""Power in steps of 0.5 Hz to 30 Hz, autocorrelation at 0.04 to 1.7 s, size, and three numbers of the shape."""


def federated(options: FederatedOptions, progress: Progress) -> Samples:
    """Return the windows of all records with known rhythms. Raises InputError where there are none."""
    records = [
        record for record in load_records(options.data, progress) if record.labels.rhythms_from != "none"
    ]
    if not records:
        raise InputError("no record has rhythm labels: there is nothing to learn from")
    return window_samples(records, options.every_s, progress)


def spectra_of(windows_mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n, FEATURES) of windows (n, 500) mV at 125 Hz.

    The spectrum and the autocorrelation (its cosine transform, Wiener and Khinchin) of the window brought to size 1;
    the logarithm of its size; and how much of it lies near the baseline, its steepest slope and its crest factor.
    """
    centred = windows_mv - windows_mv.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-4)
    scaled = centred / size
    parts = scaled @ _BASIS
    power = parts[:, :BINS] ** 2 + parts[:, BINS:] ** 2
    power /= power.sum(axis=1, keepdims=True) + 1e-6
    correlation = power @ _LAGS
    correlation = correlation[:, 1:] / (correlation[:, :1] + 1e-6)
    coarse = power.reshape(len(power), BINS // 2, 2).sum(axis=2)
    shape = np.stack(
        [
            (np.abs(scaled) < 0.25).mean(axis=1),
            np.log(np.abs(np.diff(scaled, axis=1)).max(axis=1) + 1e-3),
            np.log(np.abs(scaled).max(axis=1) + 1e-3),
        ],
        axis=1,
    )
    return np.hstack([np.log(50 * coarse + 1e-3), correlation, np.log(size), shape]).astype(np.float32)


def window_samples(records: Sequence[Record], every_s: float, progress: Progress) -> Samples:
    """Return the windows of records, every so many seconds: spectra of the first lead, 1 for VF, flutter or VT.

    Windows that are neither (mixed, noise, slow VT, unlabelled) are left out; groups are patients.
    """
    features, labels, groups = [], [], []
    step = round(every_s * RATE_HZ)
    for number, record in enumerate(records):
        progress("spectra", number, len(records))
        starts = np.arange(0, len(record.trace) - LONG + 1, step)
        truth = truth_of(record.shares(starts, LONG))
        kept = truth.positive | truth.negative
        for at in np.array_split(starts[kept], max(1, int(kept.sum()) // 1024)):
            features.append(spectra_of(record.trace[at[:, None] + np.arange(LONG), 0]))
        labels.append(truth.positive[kept].astype(np.int64))
        groups.append(np.full(int(kept.sum()), record.patient))
    progress("spectra", len(records), len(records))
    return Samples(np.concatenate(features), np.concatenate(labels), np.concatenate(groups))


_TIME_S = np.arange(LONG) / RATE_HZ
_HZ = np.arange(1, BINS + 1) * BIN_HZ
_PHASE = 2 * np.pi * np.outer(_TIME_S, _HZ)
_BASIS = (np.hstack([np.cos(_PHASE), np.sin(_PHASE)]) * np.hanning(LONG)[:, None]).astype(np.float32)
_LAGS = np.cos(2 * np.pi * np.outer(_HZ, np.array([0, *LAGS]) / RATE_HZ)).astype(np.float32)
