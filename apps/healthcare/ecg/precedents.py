"""Precedents: what was thought of earlier candidates that look like a doubtful one.

A heart repeats itself: what looks like the complexes before is one, and what looks like the P waves that were
passed over is a P wave. Only first thoughts count as precedents, never verdicts reached through other
precedents, so no mistake can feed on itself; after ``MEMORY_S`` none is left of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.candidates import Candidates

MEMORY_S = 12.0
"""How old a precedent can be."""

_REMEMBERED = 40
_DOUBT = 4.0  # a logit nearer to 0 is in doubt: a chance between 2 and 98 %
_REACH_S, _STEP_S = 0.12, 0.008  # the look of a candidate: the slope of the lead around its centre
_SHIFTS = (0, 1, 2)  # looks are compared as they lie, and one step earlier and later
_SHARPNESS = 4  # of likeness: what is half alike counts a sixteenth
_PRIOR = 0.3  # of a precedent, for and against, before any is there
_WEIGHT = 3.0

Floats = NDArray[np.float32]


class Precedents:
    """Remembers the looks and first scores of the last candidates of one lead."""

    def __init__(self) -> None:
        self._times_s = np.full(_REMEMBERED, -math.inf)
        self._looks: Floats = np.zeros((_REMEMBERED, 2 * round(_REACH_S / _STEP_S) + 1), np.float32)
        self._scores: Floats = np.zeros(_REMEMBERED, np.float32)

    def weigh(self, found: Candidates, logits: Floats) -> Floats:
        """Take the next candidates (k,) and their logits; give the logits, those in doubt with precedents weighed in.

        Likeness is 1 for two looks that are equal, in shape, sign and size, and 0 for two without relation. To
        the logit of a doubtful candidate come three times the log odds that its likes were beats.
        """
        times_s = np.concatenate([self._times_s, found.centres_s])
        looks = np.concatenate([self._looks, _looks(found)])
        scores = np.concatenate([self._scores, 1 / (1 + np.exp(-logits))])
        count = len(logits)
        self._times_s, self._looks, self._scores = times_s[count:], looks[count:], scores[count:]

        doubtful = np.flatnonzero(np.abs(logits) < _DOUBT)
        if not len(doubtful):
            return logits
        earlier = doubtful[:, None] + np.arange(_REMEMBERED)
        likeness = _likeness(looks[doubtful + _REMEMBERED], looks[earlier]) ** _SHARPNESS
        likeness[times_s[doubtful + _REMEMBERED, None] - times_s[earlier] > MEMORY_S] = 0
        beats = (likeness * scores[earlier]).sum(axis=1)
        others = likeness.sum(axis=1) - beats
        weighed = logits.copy()
        weighed[doubtful] += _WEIGHT * np.log((beats + _PRIOR) / (others + _PRIOR))
        return weighed


def _looks(found: Candidates) -> Floats:
    steps = np.rint(
        np.arange(-round(_REACH_S / _STEP_S), round(_REACH_S / _STEP_S) + 1) * _STEP_S * found.grid_hz
    )
    slope = found.grid_mv[2:] - found.grid_mv[:-2]
    return np.asarray(slope.take(found.positions[:, None] + (steps.astype(np.intp) - 1)))


def _likeness(looks: Floats, earlier: Floats) -> Floats:
    """The likeness of looks (d, m) to earlier ones (d, k, m): 2 x.y / (x.x + y.y), at the best shift, at least 0."""
    width = looks.shape[1] - len(_SHIFTS) + 1
    inner = looks[:, 1 : 1 + width]
    own = (inner * inner).sum(axis=1)[:, None]
    best = np.zeros(earlier.shape[:2], np.float32)
    for shift in _SHIFTS:
        other = earlier[:, :, shift : shift + width]
        alike = (
            2 * np.einsum("dm,dkm->dk", inner, other) / np.maximum(own + (other * other).sum(axis=2), 1e-12)
        )
        np.maximum(best, alike, out=best)
    return best
