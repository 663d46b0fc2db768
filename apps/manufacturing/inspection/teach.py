"""Teaching a judge of parts: features -> heads, joined, with the operating point set by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from apps.manufacturing.inspection.heads import (
    Floats,
    Linear,
    Whitening,
    fit_bank,
    fit_linear,
    smooth,
    top_mean,
)
from apps.manufacturing.inspection.judge import (
    LOGIT_AT_PASS,
    ONE_CLASS,
    Judge,
    Kinds,
    fit_oddness,
    oddest,
    plain,
)
from apps.manufacturing.inspection.looks import AS_IT_IS, COMPRESSED, Seen
from apps.manufacturing.inspection.mixing import best_mix, forest_mix, linear_mix
from apps.manufacturing.inspection.places import Places, fit_places
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import fit_platt
from edgeai_core.metrics.curves import roc_auc
from edgeai_core.metrics.splits import Fold, grouped_folds

MIN_GOOD = 8
"""Fewer good parts say nothing of how good parts differ."""

MIN_BAD = 4
"""With fewer bad parts only the good ones are learnt from; the bad ones are judged."""

MIN_KIND = 4
"""A kind of defect is told apart from so many pictures on."""

MANY, FEW_FOLDS = 2_000, 3
"""From so many pictures on a few folds do: each is large enough, and all are taught within a quarter of an hour."""

_STRENGTHS = (1e-4, 1e-3, 1e-2)
_KIND_STRENGTH = 1e-3
_NOVELTY_SHARE = 0.002
_MEDIAN_QUALITY = 0.999

_AT_ONCE = 64
"""Looks that are judged together: what is held in memory."""


Tune = Callable[[NDArray[np.int64], Whitening, Places], Any]
"""Teaches a network (``network.TunedNetwork``) on some rows, beginning with heads that know these rows alone."""


@dataclass(frozen=True)
class Taught:
    """A judge, and what cross-validation says of its kind: ``scores`` (n,) by judges that never saw the part.

    A score is nan where there were more pictures than there is memory for their places, or time to leave each out
    once; ``split`` says how parts were kept apart. ``usual_bad`` is the share of
    bad parts at which the quality is the probability of a good one; None where nothing is known of bad parts.
    """

    judge: Judge
    method: str
    scores: Floats
    tried: dict[str, float]
    split: str
    usual_bad: float | None = None


def teach(
    seen: Seen, labels: NDArray[np.int64], groups: Sequence[str], rows: NDArray[np.int64], *,
    method: str, folds: int, seed: int, threads: int, false_reject_rate: float, progress: Progress,
    tune: Tune | None = None,
) -> Taught:  # fmt: skip
    """Teach on the pictures ``rows``. Raises InputError where there are too few good parts.

    ``tune`` teaches a network on some of them, from heads that were taught on them; without it only heads are taught.
    Beyond MANY pictures that is done once, a third held out; else once for each fold, and for all of them.
    """
    supervised = _supervised(labels[rows], [groups[row] for row in rows], method)
    judged = rows[seen.place[rows] >= 0]
    truth = labels[judged]
    parts = _folds(groups, truth, judged, min(folds, FEW_FOLDS) if len(judged) > MANY else folds, seed)
    held_out = tune is not None and len(judged) > MANY
    strength = _best_strength(seen, labels, groups, judged, folds, seed) if supervised else 0.0
    groups_of = np.array(groups)
    compressed = _compressed_good(seen, labels, judged)
    width = 2 if not supervised else 4 if tune is None else 6

    def heads_of(own: NDArray[np.int64]) -> Judge:
        heads = _heads(seen, labels, own, strength, seed)
        if tune is None or heads.places is None:
            return heads
        return replace(heads, tuned=tune(own, heads.whitening, heads.places))

    def fold(part: Fold | None) -> tuple[Judge, Floats, Floats]:
        """Heads that saw nothing of a fold's parts, and what they say of them; None: heads of everything."""
        if part is None:
            return heads_of(rows), _NONE, _NONE
        away = ~np.isin(groups_of[rows], groups_of[judged[part.test]])
        heads = heads_of(rows[away])
        again = compressed[np.isin(seen.row[compressed], judged[part.test])]
        return heads, _evidence(seen, heads, judged[part.test], width), _evidence(seen, heads, again, width)

    split = "a third of the parts held out" if held_out else f"{len(parts)} folds by part"
    turns: list[Fold | None] = [parts[0]] if held_out else [*parts, None]
    answers = _in_turn(fold, turns, threads, progress)
    evidence = np.zeros((len(judged), width), np.float32)
    again = np.zeros((len(compressed), width), np.float32)
    for part, (_, own, own_again) in zip(parts, answers, strict=False):
        evidence[part.test] = own
        again[np.isin(seen.row[compressed], judged[part.test])] = own_again
    if held_out:  # there is time for one network: it ships, and what it had not seen is all that is judged
        kept = np.isin(seen.row[compressed], judged[parts[0].test])
        compressed, again, evidence = compressed[kept], again[kept], evidence[parts[0].test]
        judged = judged[parts[0].test]
        truth = labels[judged]
        parts = _folds(groups, truth, judged, folds, seed)
    judge, evidence, again = _rescaled(answers[-1][0], evidence, again, truth)
    tried: dict[str, float] = {}
    scores, chosen = plain(evidence), "one-class"
    if truth.any():
        tried[chosen] = roc_auc(truth, scores)
    if supervised:
        texture, parent = seen.texture[judged], np.searchsorted(judged, seen.row[compressed])
        options = {
            "linear": linear_mix(evidence[:, :4], again[:, :4], parent, truth, parts),
            "forest": forest_mix(evidence[:, :4], texture, truth, parts, seed, threads),
        }
        if tune is not None:
            options["fine-tuned"] = linear_mix(evidence, again, parent, truth, parts)
        for name, (joined, _) in options.items():
            tried[name] = roc_auc(truth, joined)
        chosen = best_mix(tried, method)
        scores, parameters = options[chosen]
        if chosen != "fine-tuned":
            judge, evidence, again = replace(judge, tuned=None), evidence[:, :4], again[:, :4]
        judge = replace(judge, **parameters)
        odd = oddest(evidence)[truth == 0]
        worst_good = float(np.quantile(scores[truth == 0], 1 - false_reject_rate))
        novelty = float(np.quantile(odd, 1 - _NOVELTY_SHARE)) + 1.0 - worst_good
        judge = replace(judge, novelty_at=novelty, places_at=_places_limit(evidence, truth))
        scores = np.maximum(scores, oddest(evidence) - np.float32(novelty))
    good_again = judge.score_of(again, seen.texture[compressed]) if len(compressed) else scores[:0]
    judge, usual_bad = _calibrated(judge, scores, good_again, truth, false_reject_rate)
    out = np.full(len(rows), np.nan, np.float32)
    out[np.isin(rows, judged)] = scores
    return Taught(judge, chosen, out, tried, split, usual_bad)


def with_kinds(judge: Judge, seen: Seen, kinds: Sequence[str]) -> Judge:
    """Teach which kind of defect a bad picture shows, from a name for each picture (empty: none).

    The judge stays as it is where there are not two kinds with MIN_KIND pictures each.
    """
    from sklearn.linear_model import LogisticRegression

    counts = {name: kinds.count(name) for name in kinds if name}
    names = tuple(sorted(name for name, count in counts.items() if count >= MIN_KIND))
    if len(names) < 2:
        return judge
    looks = np.flatnonzero(np.isin(np.array(kinds)[seen.row], names))
    truth = np.array(kinds)[seen.row[looks]]
    matrix = seen.matrix(looks)
    shift, scale = matrix.mean(axis=0), matrix.std(axis=0) + 1e-4
    fitted = LogisticRegression(C=_KIND_STRENGTH, max_iter=400, class_weight="balanced")
    fitted.fit((matrix - shift) / scale, truth)
    weight, bias = (fitted.coef_ / scale).T, fitted.intercept_ - (fitted.coef_ / scale) @ shift
    if len(names) == 2:  # one row says both
        weight, bias = np.hstack([-weight / 2, weight / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return replace(judge, kinds=Kinds(names, weight.astype(np.float32), bias.astype(np.float32)))


def with_heat_limit(judge: Judge, seen: Seen, labels: NDArray[np.int64]) -> Judge:
    """Set the heat that counts as odd: what 99 % of good pictures stay under.

    Good pictures are in the bank, so their own heat is too low; the limit is raised by half.
    """
    looks = np.flatnonzero((seen.view == AS_IT_IS) & (seen.place >= 0) & (labels[seen.row] == 0))
    peaks = [smooth(judge.bank.heat(seen.places[seen.place[[look]]])).max() for look in looks]
    return replace(judge, heat_at=1.5 * float(np.quantile(peaks, 0.99)) + 1e-6)


_NONE = np.zeros((0, 0), np.float32)


def _supervised(truth: NDArray[np.int64], groups: Sequence[str], method: str) -> bool:
    """Say whether bad parts are learnt from. Raises InputError where there are too few pictures for what is asked."""
    parts = [len({group for group, bad in zip(groups, truth, strict=True) if bad == kind}) for kind in (0, 1)]
    if (truth == 0).sum() < MIN_GOOD or parts[0] < 2:
        raise InputError(
            f"{int((truth == 0).sum())} pictures of {parts[0]} good parts; at least {MIN_GOOD} of 2 parts are needed"
        )
    enough = bool(truth.sum() >= MIN_BAD and parts[1] >= 2)
    if method in ("supervised", "fine-tuned") and not enough:
        raise InputError(f"{int(truth.sum())} bad pictures; at least {MIN_BAD} of 2 parts are needed")
    return enough and method != "one-class"


def _in_turn(
    work: Callable[[Fold | None], Any], folds: Sequence[Fold | None], threads: int, progress: Progress
) -> list[Any]:
    """Do the folds side by side."""
    done: list[Any] = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for answer in pool.map(work, folds):
            progress("cross-validation", len(done), len(folds))
            done.append(answer)
    progress("cross-validation", len(folds), len(folds))
    return done


def _compressed_good(seen: Seen, labels: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the looks at good pictures as JPEG: they must pass as well."""
    return np.flatnonzero(
        (seen.view == COMPRESSED) & (seen.place >= 0) & np.isin(seen.row, rows[labels[rows] == 0])
    )


def _evidence(seen: Seen, judge: Judge, looks: NDArray[np.int64], width: int) -> Floats:
    """Return what the heads say; 0 of a classifier that could not be taught."""
    out = np.zeros((len(looks), width), np.float32)
    for at in range(0, len(looks), _AT_ONCE):
        own = judge.evidence(seen.features(looks[at : at + _AT_ONCE]))[0]
        out[at : at + len(own), : own.shape[1]] = own
    return out


def _heads(
    seen: Seen, labels: NDArray[np.int64], rows: NDArray[np.int64], strength: float, seed: int
) -> Judge:
    """Fit bank, oddness and, with a ``strength`` and bad parts, the classifiers.

    Scales are set on the good parts themselves.
    """
    own = np.isin(seen.row, rows)
    good = own & (labels[seen.row] == 0) & (seen.view <= COMPRESSED)
    remembered = np.flatnonzero(good & (seen.place >= 0))
    if not len(remembered):
        raise InputError("no good picture is left to remember")
    bank = fit_bank([seen.places[place] for place in seen.place[remembered]], seed)
    texture = seen.texture[good]
    oddness = fit_oddness(texture)
    some = remembered[:: max(1, len(remembered) // 100)]
    tops = top_mean(smooth(bank.heat(seen.places[seen.place[some]])))
    whole: Linear | None = None
    places: Places | None = None
    if strength and labels[rows].any():
        looks = np.flatnonzero(own)
        whole = fit_linear(seen.matrix(looks), labels[seen.row[looks]], strength)
        looks = looks[seen.place[looks] >= 0]
        kept = seen.place[looks]
        places = fit_places(
            [seen.places[place] for place in kept],
            labels[seen.row[looks]],
            [seen.masks[place] for place in kept],
            seed,
        )
    mix = ONE_CLASS if whole is None else (0.0, 0.0, 0.5, 0.5)
    return Judge(seen.whitening, bank, _z(tops), oddness, _z(oddness(texture)), whole, places, mix=mix)


def _rescaled(
    judge: Judge, evidence: Floats, again: Floats, truth: NDArray[np.int64]
) -> tuple[Judge, Floats, Floats]:
    """Set the z-scores by good parts that the heads had not seen: those they remember are too like them."""
    out, out_again, scales = evidence.copy(), again.copy(), []
    for column, (centre, scale) in enumerate((judge.bank_z, judge.oddness_z)):
        good = evidence[truth == 0, column]
        middle, spread = float(np.median(good)), float(good.std()) + 1e-3
        out[:, column] = (evidence[:, column] - middle) / spread
        out_again[:, column] = (again[:, column] - middle) / spread
        scales.append((centre + scale * middle, scale * spread))
    return replace(judge, bank_z=scales[0], oddness_z=scales[1]), out, out_again


def _z(values: Floats) -> tuple[float, float]:
    return float(np.median(values)), float(values.std()) + 1e-3


def _folds(
    groups: Sequence[str], truth: NDArray[np.int64], rows: NDArray[np.int64], folds: int, seed: int
) -> Sequence[Fold]:
    """Divide pictures by part."""
    own = [groups[row] for row in rows]
    return grouped_folds(own, truth.tolist(), min(folds, len(set(own))), seed)


def _best_strength(
    seen: Seen,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    rows: NDArray[np.int64],
    folds: int,
    seed: int,
) -> float:
    """Choose how freely the classifier may fit, on pictures as they are, at most MANY of them."""
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MANY])
    matrix, truth = seen.matrix(rows), labels[rows]
    parts = _folds(groups, truth, rows, folds, seed)
    areas = []
    for strength in _STRENGTHS:
        out = np.zeros(len(rows), np.float32)
        for part in parts:
            if len(set(truth[part.train])) == 2:
                out[part.test] = fit_linear(matrix[part.train], truth[part.train], strength)(
                    matrix[part.test]
                )
        areas.append(roc_auc(truth, out))
    return _STRENGTHS[int(np.argmax(areas))]


def _places_limit(evidence: Floats, truth: NDArray[np.int64]) -> float:
    """Return the logit that the worst places of 99 % of good pictures do not pass: of the last that judges places."""
    return float(np.quantile(evidence[truth == 0, 4 if evidence.shape[1] > 4 else 3], 0.99))


def _calibrated(
    judge: Judge, scores: Floats, again: Floats, truth: NDArray[np.int64], false_reject_rate: float
) -> tuple[Judge, float | None]:
    """Set the operating point at the wanted share of good parts, as they are and as JPEG; and the quality's slope.

    The slope is that of the probability (Platt); the operating point says at which share of bad parts the quality is
    the probability of a good one. Without bad parts the median good part has a quality of 0.999.
    """
    good = np.sort(scores[truth == 0])
    both = np.sort(np.concatenate([good, again]))
    threshold = max(_exceeded_by(each, false_reject_rate) for each in (good, both))
    threshold += 1e-4 * (float(good.std()) + 1e-6)
    if judge.whole is None:
        slope = math.log(_MEDIAN_QUALITY / (1 - _MEDIAN_QUALITY)) - LOGIT_AT_PASS
        slope /= max(threshold - float(np.median(good)), 1e-3)
        return replace(judge, threshold=threshold, slope=slope), None
    curve = fit_platt(scores, truth)
    slope = max(curve.slope, 1e-3)
    prior = math.log(truth.mean() / (1 - truth.mean()))
    usual = -LOGIT_AT_PASS - (slope * threshold + curve.intercept - prior)
    return replace(judge, threshold=threshold, slope=slope), 1 / (1 + math.exp(-min(max(usual, -60.0), 60.0)))


def _exceeded_by(ordered: Floats, share: float) -> float:
    """Return the smallest of some ordered values that at most a share of them exceeds."""
    return float(ordered[len(ordered) - 1 - int(share * len(ordered))])
