"""Fitting the wear model's calibration on machines that ran to failure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.manufacturing.maintenance.fleet import Seen, lines
from apps.manufacturing.maintenance.wear import Calibration
from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import fit_platt

HORIZON_H = 72.0
COVERAGE = 0.9


def fit_calibration(fleet: Sequence[Seen], horizon_h: float = HORIZON_H) -> Calibration:
    """Fit log odds on whether a failure came, and the line's levels between which 90 % of the failures lay.

    Raises InputError where too few lines could be drawn.
    """
    drawn = [lines(seen, horizon_h) for seen in fleet]
    within, came, at_end = (np.concatenate(part) for part in zip(*drawn, strict=True))
    at_end = at_end[np.isfinite(at_end)]
    if len(at_end) < 50 or not came.any() or came.all():
        raise InputError(f"{len(at_end)} lines of {len(fleet)} machines are too few to fit on; run more")
    platt = fit_platt(np.log(within / (1 - within)), came.astype(int))
    tail = (1 - COVERAGE) / 2
    low, middle, high = np.clip(np.quantile(at_end, [tail, 0.5, 1 - tail]), 0.001, 0.999)
    return Calibration(platt.slope, platt.intercept, float(low), float(middle), float(high))
