"""Which part of a bearing is damaged: judged by its lines, and by what was taught of this machine before.

Lines carry over from one bearing to another, levels and bands do not. A race with a line says so itself. Without
any line the damage is more often that of a rolling element, which strikes now one race and now the other and hides
its rhythm; how much more often is counted in what was taught, and the probability says it. What was taught of one
machine (the shape of its spectrum under each damage) is believed only where a spectrum comes as near to it as other
recordings of the same bearing do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import card_path, read_card, read_limited

Array = NDArray[np.float64]

KINDS = ("outer_race", "inner_race", "ball")

SHIPPED = Path(__file__).parent / "models" / "bearing.npz"

CANNOT_TELL_UNDER = 0.5
"""A kind that is not more likely than all others together is not named."""

STEEPNESS = 3.0
"""How fast belief in a line rises with its strength: from 5 % to 95 % over two units of natural logarithm."""

_MAX_FILE_BYTES = 4_000_000


@dataclass(frozen=True)
class Verdict:
    """The kind of damage, or "cannot tell"; probabilities in the order of ``KINDS``; what it stands on."""

    kind: str
    probabilities: tuple[float, ...]
    basis: str

    @property
    def probability(self) -> float:
        """That of the likeliest kind."""
        return max(self.probabilities)


@dataclass(frozen=True)
class BearingJudge:
    """Lines and memory. ``threshold``: the strength from which a line is believed. ``without_line``: probabilities
    of the kinds where there is none. ``shapes`` (cases, bands) with the kind of each, believed within ``gate``."""

    threshold: float
    without_line: tuple[float, ...]
    shapes: Array
    kinds: tuple[int, ...] = ()
    gate: float = 0.0

    def __post_init__(self) -> None:
        fits = len(self.without_line) == len(KINDS) and len(self.kinds) == len(self.shapes)
        numbers = (self.threshold, self.gate, *self.without_line)
        if not fits or not all(map(math.isfinite, numbers)) or not np.isfinite(self.shapes).all():
            raise ModelError("bearing model: its numbers do not fit together; teach it anew")

    def judge(self, prominences: Array, bands: Array) -> Verdict:
        """Judge prominences in the order of ``bearing.LINE_NAMES`` and log10 bands (24,)."""
        outer, inner = line_strengths(prominences)
        if math.isnan(outer) or math.isnan(inner):
            return Verdict("cannot tell", self.without_line, "no line is within reach of the sensor")
        line = _logistic(STEEPNESS * (max(outer, inner) - self.threshold))
        first = _logistic(STEEPNESS * (outer - inner))
        rest, basis = np.array(self.without_line), "no line of a race stands out"
        near = self._nearest(bands)
        if near is not None:
            rest = np.full(len(KINDS), 0.02)
            rest[near] = 1 - 0.02 * (len(KINDS) - 1)
            basis = "no line of a race; most like what was taught"
        found = (1 - line) * rest + line * np.array([first, 1 - first, 0.0])
        place = int(found.argmax())
        if line > 0.5:
            basis = f"a line of the {KINDS[place].replace('_', ' ')}"
        kind = KINDS[place] if found[place] >= CANNOT_TELL_UNDER else "cannot tell"
        return Verdict(kind, tuple(found.tolist()), basis)

    def _nearest(self, bands: Array) -> int | None:
        if not len(self.shapes):
            return None
        distances = shape_distances(bands, self.shapes)
        nearest = int(distances.argmin())
        return self.kinds[nearest] if distances[nearest] <= self.gate else None

    def save(self, path: Path) -> None:
        """Write the numbers to a file (.npz, no pickle in it)."""
        np.savez(
            path,
            threshold=self.threshold,
            without_line=self.without_line,
            shapes=self.shapes,
            kinds=np.array(self.kinds, dtype=np.int64),
            gate=self.gate,
        )

    @classmethod
    def load(cls, path: Path) -> BearingJudge:
        """Read a file that ``save`` wrote; its card must speak of it. Raises ModelError."""
        raw = read_limited(path, _MAX_FILE_BYTES, "bearing model")
        if hashlib.sha256(raw).hexdigest() != read_card(card_path(path)).digest:
            raise ModelError(
                f"{path}: is not the file its card speaks of (its SHA-256 differs); teach it anew"
            )
        try:
            file = read_npz(raw, str(path), 8 * _MAX_FILE_BYTES)
            return cls(
                float(file["threshold"]),
                tuple(map(float, file["without_line"])),
                np.asarray(file["shapes"], dtype=np.float64),
                tuple(map(int, file["kinds"])),
                float(file["gate"]),
            )
        except (InputError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: not a readable bearing model ({error})") from error


@dataclass(frozen=True)
class Case:
    """One judged stretch to learn from: of which ``recording``, of which physical ``bearing``, with which kind."""

    prominences: Array
    bands: Array
    kind: str
    bearing: str
    recording: str


def fit_judge(cases: Sequence[Case]) -> BearingJudge:
    """Fit threshold, probabilities without a line, and memory. Raises InputError without a race and another kind.

    The threshold is the middle of the widest range of strengths that gets the most stretches right; each bearing
    weighs the same where no line is found.
    """
    kinds = np.array([KINDS.index(case.kind) for case in cases])
    if len(set(kinds.tolist())) < 2:
        raise InputError(f"bearings of two kinds of damage at least are needed, among {', '.join(KINDS)}")
    strengths = np.array([line_strengths(case.prominences) for case in cases])
    known = np.isfinite(strengths).all(axis=1)
    strength, race = strengths[known].max(axis=1), strengths[known].argmax(axis=1)
    threshold = _stump(strength, race == kinds[known])
    weight = np.full(len(KINDS), 0.5)
    bearings = np.array([case.bearing for case in cases])[known]
    for bearing in np.unique(bearings):
        chosen = bearings == bearing
        silent = float((strength[chosen] < threshold).mean())
        weight[kinds[known][chosen][0]] += silent
    recordings: dict[str, list[Case]] = {}
    for case in cases:
        recordings.setdefault(case.recording, []).append(case)
    shapes = np.array([np.mean([each.bands for each in group], axis=0) for group in recordings.values()])
    taught = tuple(KINDS.index(group[0].kind) for group in recordings.values())
    owners = np.array([group[0].bearing for group in recordings.values()])
    gate = _gate(shapes, owners, list(recordings.values()))
    return BearingJudge(threshold, tuple((weight / weight.sum()).tolist()), shapes, taught, gate)


def line_strengths(prominences: Array) -> tuple[float, float]:
    """Return how far the lines of the outer and of the inner race stand out: mean of first and second harmonic."""
    return float(prominences[0:2].mean()), float(prominences[2:4].mean())


def shape_distances(bands: Array, shapes: Array) -> Array:
    """Return the distances (cases,) between shapes of spectra: RMS difference of log10 bands, levels apart."""
    shape = bands - bands.mean()
    others = shapes - shapes.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.mean((others - shape) ** 2, axis=1)))


def _stump(strength: Array, right: NDArray[np.bool_]) -> float:
    """Above the threshold the stronger race is named: right or not. Below it, race or not, nothing is gained."""
    order = np.argsort(strength)
    values, gains = strength[order], np.where(right[order], 1.0, -1.0)
    above = np.concatenate([[gains.sum()], gains.sum() - np.cumsum(gains)])  # named from place k on
    edges = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    gaps = np.concatenate([[0.0], np.diff(values), [0.0]])
    best = np.flatnonzero(above >= above.max() - 1e-9)
    return float(edges[best[int(gaps[best].argmax())]])


def _gate(shapes: Array, owners: NDArray[np.str_], groups: Sequence[Sequence[Case]]) -> float:
    """How near a stretch comes to the other recordings of its own bearing; 0 where no bearing has two."""
    distances = []
    for place, group in enumerate(groups):
        others = (owners == owners[place]) & (np.arange(len(owners)) != place)
        if others.any():
            distances += [float(shape_distances(case.bands, shapes[others]).min()) for case in group]
    return 1.5 * float(np.quantile(distances, 0.95)) if distances else 0.0


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
