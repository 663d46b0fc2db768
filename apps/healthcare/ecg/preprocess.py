"""Preprocessing: raw ECG chunks to clean samples at one rate, with each lead's quality, as they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.signals.filters import CausalFilter, high_pass, low_pass, notch
from edgeai_core.signals.resample import StreamResampler

WORKING_RATE_HZ = 250.0
"""The rate at which beats and rhythms are looked at: the least at which ANSI/AAMI EC38 lets QRS shapes be kept."""

QUALITY_WINDOW_S = 2.0
"""A lead's quality is that of so much signal before now,"""

QUALITY_HOP_S = 0.5
"""judged anew so often."""

MAX_LEADS = 32

_BASELINE_HZ = 0.5
_CLEAN_TO_HZ = 40.0
_MAINS_HZ = (50.0, 60.0)
_FLAT_MV = 0.005  # a lead on a body moves more than this within the window, if only by its noise
_STUCK_SHARE = 0.5  # of the samples equal to their neighbour, at the window's own extremes: saturated
_LARGEST_MV = 1e4
_MAX_RESAMPLING_DELAY_S = 0.04

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clean:
    """Samples (n, leads) at WORKING_RATE_HZ; sample i stands for the input at (first_index + i) / WORKING_RATE_HZ s.

    ``samples_mv``: without baseline wander, mains and what lies above 40 Hz. ``raw_mv``: only resampled.
    ``quality`` (leads,): 0 cannot be used, 1 clean; ``lead_off`` (leads,): nothing of a heart can be in it, for
    it is missing, flat or saturated. Both speak of the last QUALITY_WINDOW_S.
    """

    samples_mv: Array
    raw_mv: Array
    first_index: int
    quality: Array
    lead_off: NDArray[np.bool_]
