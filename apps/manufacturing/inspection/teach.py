"""Teaching a judge of parts: features of pictures -> heads, joined, with the operating point set by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.examples import Example
from apps.manufacturing.inspection.forest import fit_forest
from apps.manufacturing.inspection.graph import LOCAL, POOLED, FeatureExtractor
from apps.manufacturing.inspection.heads import Floats, Linear, fit_bank, fit_linear, smooth, top_mean
from apps.manufacturing.inspection.judge import Features, Judge, Oddness
from apps.manufacturing.inspection.preprocess import Pixels, prepare
from apps.manufacturing.inspection.texture import TEXTURE, texture
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.splits import grouped_folds
from edgeai_core.sensors.picture import read_picture

MIN_GOOD = 8
"""Fewer good parts say nothing of how good parts differ."""

MIN_BAD = 4
"""With fewer bad parts only the good ones are learnt from; the bad ones are judged."""

_EXTRACTIONS = 16_000
"""Pictures times views that are looked at: what a quarter of an hour on two cores allows."""

_LOCAL_BYTES = 1 << 30
_STRENGTHS = (1e-4, 1e-3, 1e-2)
_NOVELTY_SHARE = 0.002


@dataclass(frozen=True)
class Seen:
    """Features of all pictures as they are, and ``turned``: pooled features and texture of further views.

    ``has_local`` (n,) says whose places are kept; ``turned_rows`` which picture each further view is of.
    """

    features: Features
    has_local: NDArray[np.int64]
    turned: NDArray[np.float16]
    turned_rows: NDArray[np.int64]
    size: int


@dataclass(frozen=True)
class Taught:
    """A judge, and what cross-validation says of its kind: ``scores`` (n,) of pictures by judges that never saw their part."""

    judge: Judge
    method: str
    scores: Floats
    tried: dict[str, float]


def side_of(examples: Sequence[Example], wanted: int) -> int:
    """Return the side to which pictures are brought: that of the pictures, a multiple of 16 from 128 to 288."""
    if wanted:
        return max(64, wanted // 16 * 16)
    sides = [min(read_picture(each.path).shape[:2]) for each in examples[:: max(1, len(examples) // 20)]]
    return int(np.clip(round(float(np.median(sides)) / 16) * 16, 128, 288))


def look_at(examples: Sequence[Example], size: int, seed: int, threads: int, progress: Progress) -> Seen:
    """Run the backbone over all pictures, and over turned, mirrored and relit views of them while there is time."""
    extractor = FeatureExtractor(size, threads)
    random = np.random.default_rng(seed)
    n = len(examples)
    labels = np.array([each.bad for each in examples])
    views = int(np.clip(_EXTRACTIONS // n - 1, 0, 3)) if labels.sum() >= MIN_BAD else 0
    grid = size // 8
    kept = max(MIN_GOOD, _LOCAL_BYTES // (grid * grid * LOCAL * 2))
    order = np.concatenate([random.permutation(np.flatnonzero(labels == kind))[: kept // 2] for kind in (0, 1)])
    has_local = np.sort(order)
    place = {int(row): number for number, row in enumerate(has_local)}
    pooled = np.empty((n, POOLED), np.float16)
    textures = np.empty((n, TEXTURE), np.float32)
    local = np.empty((len(has_local), grid, grid, LOCAL), np.float16)
    turned, turned_rows = [], []
    for row, example in enumerate(examples):
        progress("looking at pictures", row, n)
        pixels = read_picture(example.path)
        prepared = prepare(pixels, size)
        pooled[row], places = extractor(prepared)
        textures[row] = texture(pixels)
        if row in place:
            local[place[row]] = places
        for _ in range(views):
            view = _another_view(pixels, random)
            turned.append(np.concatenate([extractor(prepare(view, size))[0], texture(view)]).astype(np.float16))
            turned_rows.append(row)
    progress("looking at pictures", n, n)
    more = np.array(turned, np.float16).reshape(-1, POOLED + TEXTURE)
    return Seen(Features(pooled, textures, local), has_local, more, np.array(turned_rows, np.int64), size)


def teach(
    seen: Seen, labels: NDArray[np.int64], groups: Sequence[str], rows: NDArray[np.int64], *,
    method: str, folds: int, seed: int, threads: int, false_reject_rate: float, progress: Progress,
) -> Taught:  # fmt: skip
    """Teach on the pictures ``rows``. Raises InputError where there are too few good parts."""
    truth = labels[rows]
    good_groups = len({groups[row] for row in rows if not labels[row]})
    if (truth == 0).sum() < MIN_GOOD or good_groups < 2:
        raise InputError(
            f"{int((truth == 0).sum())} pictures of {good_groups} good parts; at least {MIN_GOOD} of 2 parts are needed"
        )
    enough = truth.sum() >= MIN_BAD and len({groups[row] for row in rows if labels[row]}) >= 2
    if method == "supervised" and not enough:
        raise InputError(f"{int(truth.sum())} bad pictures; at least {MIN_BAD} of 2 parts are needed")
    supervised = enough and method != "one-class"
    parts = grouped_folds(
        [groups[row] for row in rows], truth.tolist(), min(folds, len({groups[row] for row in rows})), seed
    )
    strength = _best_strength(seen, labels, rows, parts) if supervised else 0.0
    evidence = np.full((len(rows), 3 if supervised else 2), np.nan, np.float32)
    for number, part in enumerate(parts):
        progress("cross-validation", number, len(parts))
        heads = _heads(seen, labels, rows[part.train], strength, seed)
        evidence[part.test] = _evidence(seen, heads, rows[part.test])
    progress("cross-validation", len(parts), len(parts))
    judge = _heads(seen, labels, rows, strength, seed)
    tried: dict[str, float] = {}
    texture_rows = seen.features.texture[rows]
    known = np.isfinite(evidence).all(axis=1)
    plain = evidence[:, :2].mean(axis=1)
    scores, chosen = plain, "one-class"
    if truth.any():
        tried["one-class"] = roc_auc(truth[known], plain[known])
    if supervised:
        filled = np.where(np.isfinite(evidence), evidence, 0.0)
        options = {"linear": _linear_mix(filled, truth, parts), "forest": _forest_mix(filled, texture_rows, truth, parts, seed, threads)}
        for name, (joined, _) in options.items():
            tried[name] = roc_auc(truth, joined)
        chosen = max(options, key=lambda name: (tried[name] > tried["linear"] + _CLEARLY, name == "linear"))
        scores, parameters = options[chosen]
        judge = replace(judge, **parameters)
        odd = evidence[known & (truth == 0), 0]
        novelty = float(np.quantile(odd, 1 - _NOVELTY_SHARE)) if len(odd) else math.inf
        worst = float(np.quantile(scores[truth == 0], 1 - false_reject_rate))
        judge = replace(judge, novelty_at=novelty + 1.0 - worst)
        scores = np.fmax(scores, evidence[:, 0] - judge.novelty_at)
    scores = np.where(np.isfinite(scores), scores, np.nanmedian(scores)).astype(np.float32)
    return Taught(_calibrated(judge, scores, truth, false_reject_rate), chosen, scores, tried)


_CLEARLY = 0.01
"""A forest, whose scores are coarse, must beat the linear mix by so much area under the curve."""


def _heads(seen: Seen, labels: NDArray[np.int64], rows: NDArray[np.int64], strength: float, seed: int) -> Judge:
    """Fit bank, oddness and, with a ``strength``, the classifier. Scales are set on the good parts themselves."""
    inside = np.isin(seen.has_local, rows) & (labels[seen.has_local] == 0)
    good_local = seen.features.local[inside]
    if not len(good_local):
        raise InputError("no good picture is left to remember")
    bank = fit_bank(good_local, seed)
    textures = seen.features.texture[rows[labels[rows] == 0]]
    oddness = Oddness(np.median(textures, axis=0), textures.std(axis=0) + 1e-3)
    tops = top_mean(smooth(bank.heat(good_local)))
    odd = oddness(textures)
    whole: Linear | None = None
    if strength:
        views = np.isin(seen.turned_rows, rows)
        matrix = np.vstack([_matrix(seen, rows), seen.turned[views].astype(np.float32)])
        truth = np.concatenate([labels[rows], labels[seen.turned_rows[views]]])
        whole = fit_linear(matrix, truth, strength)
    return Judge(bank, _z(tops), oddness, _z(odd), whole, heat_at=1.0, mix=(0.5, 0.5) if whole is None else (0.0, 0.0, 1.0))


def _matrix(seen: Seen, rows: NDArray[np.int64]) -> Floats:
    return np.hstack([seen.features.pooled[rows].astype(np.float32), seen.features.texture[rows]])


def _z(values: Floats) -> tuple[float, float]:
    return float(np.median(values)), float(values.std()) + 1e-3


def _evidence(seen: Seen, judge: Judge, rows: NDArray[np.int64]) -> Floats:
    """What the heads say of some pictures; nan for the bank where their places were not kept."""
    out = np.full((len(rows), 2 if judge.whole is None else 3), np.nan, np.float32)
    place = {int(row): number for number, row in enumerate(seen.has_local)}
    at = [number for number, row in enumerate(rows) if int(row) in place]
    local = seen.features.local[[place[int(rows[number])] for number in at]]
    out[at, 0] = (top_mean(smooth(judge.bank.heat(local))) - judge.bank_z[0]) / judge.bank_z[1]
    out[:, 1] = (judge.oddness(seen.features.texture[rows]) - judge.oddness_z[0]) / judge.oddness_z[1]
    if judge.whole is not None:
        out[:, 2] = judge.whole(_matrix(seen, rows))
    return out


def _best_strength(seen: Seen, labels: NDArray[np.int64], rows: NDArray[np.int64], parts: Sequence[Any]) -> float:
    """Choose how freely the classifier may fit, on pictures as they are."""
    matrix, truth = _matrix(seen, rows), labels[rows]
    areas = []
    for strength in _STRENGTHS:
        out = np.zeros(len(rows), np.float32)
        for part in parts:
            if len(set(truth[part.train])) == 2:
                out[part.test] = fit_linear(matrix[part.train], truth[part.train], strength)(matrix[part.test])
        areas.append(roc_auc(truth, out))
    return _STRENGTHS[int(np.argmax(areas))]


def _linear_mix(evidence: Floats, truth: NDArray[np.int64], parts: Sequence[Any]) -> tuple[Floats, dict[str, Any]]:
    out = np.zeros(len(truth), np.float32)
    bounded = np.clip(evidence, -30, 30)
    for part in parts:
        if len(set(truth[part.train])) == 2:
            out[part.test] = fit_linear(bounded[part.train], truth[part.train], 0.1)(evidence[part.test])
    mix = fit_linear(bounded, truth, 0.1)
    return out, {"mix": tuple(float(each) for each in mix.weight), "mix_bias": mix.bias}


def _forest_mix(
    evidence: Floats, textures: Floats, truth: NDArray[np.int64], parts: Sequence[Any], seed: int, threads: int
) -> tuple[Floats, dict[str, Any]]:
    matrix = np.hstack([evidence, textures]).astype(np.float32)
    out = np.full(len(truth), truth.mean(), np.float32)
    for part in parts:
        if len(set(truth[part.train])) == 2:
            forest = fit_forest(matrix[part.train], truth[part.train], seed, threads)
            out[part.test] = forest.predict_proba(matrix[part.test])[:, 1]
    whole = fit_forest(matrix, truth, seed, threads)
    return np.log((out + 0.01) / (1.01 - out)).astype(np.float32), {"forest": whole}


def _calibrated(judge: Judge, scores: Floats, truth: NDArray[np.int64], false_reject_rate: float) -> Judge:
    """Set the operating point at the wanted share of good parts, and the slope of the quality."""
    good = np.sort(scores[truth == 0])
    allowed = int(false_reject_rate * len(good))
    threshold = float(good[len(good) - 1 - allowed]) + 1e-4 * (float(good.std()) + 1e-6)
    median = float(np.median(good))
    slope = math.log(0.999 / 0.001) - math.log(0.95 / 0.05)
    return replace(judge, threshold=threshold, slope=slope / max(threshold - median, 1e-3))


def with_heat_limit(judge: Judge, seen: Seen, labels: NDArray[np.int64]) -> Judge:
    """Set the heat that counts as odd: what 99 % of good pictures stay under, left out of the bank one by one or not.

    Good pictures are in the bank, so their own heat is too low; the limit is raised by half.
    """
    good = seen.features.local[labels[seen.has_local] == 0]
    peaks = smooth(judge.bank.heat(good)).reshape(len(good), -1).max(axis=1)
    return replace(judge, heat_at=1.5 * float(np.quantile(peaks, 0.99)) + 1e-6)


def _another_view(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Return the picture turned or mirrored, and relit a little."""
    turned = np.rot90(pixels, int(random.integers(4)))
    if random.random() < 0.5:
        turned = turned[:, ::-1]
    gamma = float(np.exp(random.uniform(-0.15, 0.15)))
    table = np.clip(255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(table[turned])
