"""Fitting of the beat scorer: annotated leads, as they are and as bad recorders would have them, to a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.signal import lfilter
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from apps.healthcare.ecg.beat_matching import TOLERANCE_S
from apps.healthcare.ecg.beat_scorer import BeatScorer
from apps.healthcare.ecg.candidates import FEATURE_COUNT, CandidateFinder
from edgeai_core.errors import InputError
from edgeai_core.runners.card import ModelCard, TensorSpec, TrainingData, card_path, digest_of, write_card
from edgeai_core.signals.resample import StreamResampler

_MEMBERS = 3  # networks whose logits are averaged, as one network: it depends less on the seed
_HIDDEN = (24, 12)
_PHASES = ((3e-3, 3), (1e-3, 2), (2e-4, 2))  # learning rate, passes through the examples
_DECAY = 1e-4
_DOUBTFUL_WEIGHT = 0.3  # of a second candidate near a beat: found first, it would count as the beat
_FIRST_LEAD_WEIGHT, _OTHER_WEIGHT = (
    1.0,
    0.5,
)  # beats are annotated where they are seen best: in the first lead
_BORDER_S = 0.5  # so near to what is left out, nothing is learnt either
_RATES_HZ = (100, 125, 128, 200, 250, 360, 500, 1000)
_PACES = (0.9, 1.2)  # how fast a record is played again: fast rhythms are rare in recordings
_PIECE_S = 10.0  # noise keeps its kind and strength for so long

Doubles = NDArray[np.float64]
Stretches = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class BeatExamples:
    """Candidates with what they are: ``is_beat`` (k,), and ``weights`` (k,) in the fit."""

    features: NDArray[np.float32]
    is_beat: NDArray[np.bool_]
    weights: NDArray[np.float32]


def beat_examples(
    samples_mv: NDArray[np.floating], rate_hz: float, beat_s: Doubles, excluded: Stretches = (), seed: int = 0
) -> list[BeatExamples]:
    """Make examples of a record (n, leads) whose QRS complexes are at ``beat_s``, in order.

    Stretches in ``excluded`` (start, end in seconds) are left out: flutter, noise, what no one annotated.
    Every lead is used as it is, and once more at another rate and pace, with noise, mains, steps, gaps and
    standstills of the heart put in; ``seed`` makes them the same again.
    """
    random = np.random.default_rng(seed)
    examples = []
    for lead in range(samples_mv.shape[1]):
        weight = _OTHER_WEIGHT if lead else _FIRST_LEAD_WEIGHT
        values = np.asarray(samples_mv[:, lead], dtype=np.float64)
        examples.append(_labelled(values, rate_hz, beat_s, excluded, weight))
        other_hz, pace = float(random.choice(_RATES_HZ)), random.uniform(*_PACES)
        values = StreamResampler(rate_hz, other_hz).push(values[:, None])[:, 0]
        played_hz, played_s = other_hz * pace, beat_s / pace
        stills = _stills(random, played_s)
        values = _stood_still(values, played_hz, stills) + _noise(random, len(values), played_hz)
        kept = played_s[~_within(played_s, stills, 0)]
        left_out = [(start_s / pace, end_s / pace) for start_s, end_s in excluded]
        examples.append(_labelled(values, played_hz, kept, left_out, _OTHER_WEIGHT))
    return examples


def fit_beat_scorer(examples: Iterable[BeatExamples], seed: int = 0) -> BeatScorer:
    """Fit a scorer; the same for the same build and ``seed``. Raises InputError without both kinds of candidates."""
    parts = list(examples)
    is_beat = np.concatenate([part.is_beat for part in parts]) if parts else np.empty(0, bool)
    if is_beat.all() or not is_beat.any():
        raise InputError("no beats to fit the beat scorer on: it needs records with beat annotations")
    features = np.concatenate([part.features for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64) + 1e-6
    values = (features - mean.astype(np.float32)) / scale.astype(np.float32)
    members = [_fitted(values, is_beat, weights, seed * _MEMBERS + member) for member in range(_MEMBERS)]
    firsts = [
        member.coefs_[0] / scale[:, None] for member in members
    ]  # standardising is part of the first layer
    biases = [member.intercepts_[0] - mean @ first for member, first in zip(members, firsts, strict=True)]
    return BeatScorer(
        (
            _single(np.concatenate(firsts, axis=1)),
            _single(block_diag(*(member.coefs_[1] for member in members))),
            _single(np.concatenate([member.coefs_[2] for member in members]) / _MEMBERS),
        ),
        (
            _single(np.concatenate(biases)),
            _single(np.concatenate([member.intercepts_[1] for member in members])),
            _single(np.mean([member.intercepts_[2] for member in members], axis=0)),
        ),
    )


def save_beat_scorer(
    scorer: BeatScorer, path: Path, version: str, licence: str, training_data: Sequence[TrainingData]
) -> ModelCard:
    """Write a scorer to ``path`` (.npz) and its card beside it; gives the card."""
    scorer.save(path)
    card = ModelCard(
        name="beats",
        version=version,
        task="healthcare.ecg",
        file=path.name,
        digest=digest_of(path),
        licence=licence,
        intended_use=(
            "Candidates for QRS complexes in a surface ECG lead of adults under monitoring: which are beats."
            " Not a medical device; not cleared by any authority."
        ),
        limits=(
            "Fitted on ambulatory recordings of adults; children and pacing spikes of high voltage are not in them.",
            "In ventricular fibrillation there are no beats to find: what is reported then means nothing.",
        ),
        inputs=(
            TensorSpec(
                "features", ("candidates", FEATURE_COUNT), "float32", "1", "from the candidate finder"
            ),
        ),
        outputs=(
            TensorSpec(
                "logit", ("candidates",), "float32", "1", "log odds that a candidate is a QRS complex"
            ),
        ),
        training_data=tuple(training_data),
    )
    write_card(card, card_path(path))
    return card


def _fitted(
    values: NDArray[np.float32], is_beat: NDArray[np.bool_], weights: NDArray[np.float32], seed: int
) -> Any:
    network = MLPClassifier(_HIDDEN, batch_size=512, alpha=_DECAY, random_state=seed, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the passes are few on purpose
        for rate, passes in _PHASES:
            network.set_params(learning_rate_init=rate, max_iter=passes)
            network.fit(values, is_beat, sample_weight=weights)
    return network


def _single(array: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(array, dtype=np.float32)


def _labelled(
    lead_mv: Doubles, rate_hz: float, beat_s: Doubles, excluded: Stretches, weight: float
) -> BeatExamples:
    finder = CandidateFinder(rate_hz)
    found = [*finder.push(lead_mv), *finder.flush()]
    centres_s = np.concatenate([part.centres_s for part in found]) if found else np.empty(0)
    features = (
        np.concatenate([part.features for part in found])
        if found
        else np.empty((0, FEATURE_COUNT), np.float32)
    )
    is_beat, weights = np.zeros(len(centres_s), bool), np.full(len(centres_s), weight, np.float32)
    first = np.searchsorted(centres_s, beat_s - TOLERANCE_S)
    last = np.searchsorted(centres_s, beat_s + TOLERANCE_S, side="right")
    for beat, start, end in zip(beat_s, first, last, strict=True):
        if start == end:
            continue
        near = slice(start, end)
        weights[near] = np.where(is_beat[near], weight, _DOUBTFUL_WEIGHT * weight)
        best = start + int(np.argmax(features[near, 0] - np.abs(centres_s[near] - beat) / 0.1))
        is_beat[best], weights[best] = True, weight
    kept = ~_within(centres_s, excluded, _BORDER_S)
    return BeatExamples(features[kept], is_beat[kept], weights[kept])


def _within(times_s: Doubles, stretches: Stretches, border_s: float) -> NDArray[np.bool_]:
    inside = np.zeros(len(times_s), bool)
    for start_s, end_s in stretches:
        inside |= (times_s >= start_s - border_s) & (times_s <= end_s + border_s)
    return inside


def _stills(random: np.random.Generator, beat_s: Doubles) -> Stretches:
    """Where the heart is made to stand still: from a while after one beat to a while before another, 3 to 20 s on."""
    stretches: list[tuple[float, float]] = []
    at_s = random.uniform(20, 120)
    while len(beat_s) and at_s < beat_s[-1] - 30:
        inside = beat_s[(beat_s > at_s) & (beat_s < at_s + random.uniform(4, 20))]
        if len(inside) > 2:
            stretches.append((float(inside[0]) + 0.5 * float(inside[1] - inside[0]), float(inside[-1]) + 0.1))
        at_s += random.uniform(60, 240)
    return [(start_s, end_s) for start_s, end_s in stretches if end_s > start_s]


def _stood_still(lead_mv: Doubles, rate_hz: float, stretches: Stretches) -> Doubles:
    """The lead with straight lines in place of what lies in the stretches."""
    out = lead_mv.copy()
    for start_s, end_s in stretches:
        start, end = (min(len(out) - 1, round(at * rate_hz)) for at in (start_s, end_s))
        out[start:end] = np.linspace(out[start], out[end], end - start, endpoint=False)
    return out


def _noise(random: np.random.Generator, samples: int, rate_hz: float) -> Doubles:
    """Muscle noise, wander, mains, steps and gaps (n,), each on for some pieces, at strengths drawn anew for each."""
    pieces = int(samples / (_PIECE_S * rate_hz)) + 1

    def level(share: float, low_mv: float, high_mv: float) -> Doubles:
        drawn = np.exp(random.uniform(np.log(low_mv), np.log(high_mv), pieces)) * (
            random.random(pieces) < share
        )
        return np.repeat(drawn, int(_PIECE_S * rate_hz) + 1)[:samples]

    bandwidth = np.sqrt(rate_hz / 250)  # white noise of the same density at every rate
    muscle = level(0.5, 0.006, 0.25) * bandwidth * random.standard_normal(samples)
    wander = level(0.3, 0.03, 1.0) * lfilter(
        [np.sqrt(2 * 1.0 / rate_hz)], [1, -np.exp(-1.0 / rate_hz)], random.standard_normal(samples)
    )
    phase = 2 * np.pi * random.choice([50.0, 60.0]) / rate_hz * np.arange(samples)
    mains = level(0.25, 0.01, 0.2) * np.sin(phase)
    steps = np.zeros(samples)
    steps[random.random(samples) < 1 / (60 * rate_hz)] = 1
    total = muscle + wander + mains + np.cumsum(steps * random.normal(0, 1.0, samples))
    for start in np.flatnonzero(random.random(samples) < 1 / (120 * rate_hz)):
        total[start : start + int(random.uniform(0.1, 3) * rate_hz)] = np.nan
    return np.asarray(total)
