"""The beat scorer: a small network that says how surely a candidate is a QRS complex; its file, and its fitting."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.candidates import FEATURE_COUNT, CandidateFinder
from edgeai_core.errors import InputError, ModelError

SHIPPED = Path(__file__).parent / "models" / "beats.npz"
"""The scorer that ships with this loop."""

TOLERANCE_S = 0.15
"""A detection within so much of an annotated beat is right (ANSI/AAMI EC57: 150 ms)."""

_MAX_FILE_BYTES = 4_000_000
_HIDDEN = (48, 24)
_PHASES = ((3e-3, 3), (1e-3, 2), (2e-4, 2))  # learning rate, passes through the examples
_DOUBTFUL_WEIGHT = 0.3  # of a second candidate near a beat: found first, it would count as the beat


@dataclass(frozen=True)
class BeatScorer:
    """Features through layers of rectified units to one logit; nothing but arrays."""

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]

    def __post_init__(self) -> None:
        width = FEATURE_COUNT
        shapes_ok = len(self.weights) == len(self.biases) > 0
        for weight, bias in zip(self.weights, self.biases, strict=False):
            shapes_ok = (
                shapes_ok and weight.ndim == 2 and weight.shape[0] == width and bias.shape == weight.shape[1:]
            )
            width = weight.shape[-1]
        arrays = (*self.weights, *self.biases)
        if not (shapes_ok and width == 1 and all(np.isfinite(array).all() for array in arrays)):
            raise ModelError(
                f"beat scorer: its arrays do not fit {FEATURE_COUNT} features and one score; fit it anew"
            )

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the chance (k,), 0 to 1, that each of the candidates (k, FEATURE_COUNT) is a QRS complex."""
        values = features
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = values @ weight
            values += bias
            np.maximum(values, 0, out=values)
        logit = (values @ self.weights[-1])[:, 0] + self.biases[-1][0]
        return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the arrays to a file (.npz, no pickle in it)."""
        layers = {f"weight_{i}": w for i, w in enumerate(self.weights)} | {
            f"bias_{i}": b for i, b in enumerate(self.biases)
        }
        np.savez(path, allow_pickle=False, **layers)

    @classmethod
    def load(cls, path: Path) -> BeatScorer:
        """Read a file that ``save`` wrote; raises ModelError where it is missing, damaged or of another version."""
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ModelError(f"{path}: larger than a beat scorer can be")
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: np.asarray(file[name], dtype=np.float32) for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise ModelError(f"{path}: not a readable beat scorer ({error})") from error
        layers = sum(name.startswith("weight_") for name in arrays)
        try:
            return cls(
                tuple(arrays[f"weight_{i}"] for i in range(layers)),
                tuple(arrays[f"bias_{i}"] for i in range(layers)),
            )
        except KeyError as error:
            raise ModelError(f"{path}: has no array {error}; not a beat scorer") from error


@cache
def shipped_scorer() -> BeatScorer:
    """The scorer that ships with this loop, opened once."""
    return BeatScorer.load(SHIPPED)


@dataclass(frozen=True)
class BeatExamples:
    """Candidates with what they are: ``is_beat`` (k,) bool, and ``weights`` (k,) in the fit."""

    features: NDArray[np.float32]
    is_beat: NDArray[np.bool_]
    weights: NDArray[np.float32]


def beat_examples(
    samples_mv: NDArray[np.floating],
    rate_hz: float,
    beat_s: NDArray[np.float64],
    excluded: Sequence[tuple[float, float]] = (),
) -> BeatExamples:
    """Make examples of one lead (n,) whose QRS complexes are at ``beat_s``.

    Stretches in ``excluded`` (start, end in seconds) are left out: flutter, noise, signal that no one annotated.
    """
    finder = CandidateFinder(rate_hz)
    found = [*finder.push(samples_mv), *finder.flush()]
    if not found:
        empty = np.empty(0)
        return BeatExamples(
            np.empty((0, FEATURE_COUNT), np.float32), empty.astype(bool), empty.astype(np.float32)
        )
    centres_s = np.concatenate([part.centres_s for part in found])
    features = np.concatenate([part.features for part in found])
    is_beat, weights = np.zeros(len(centres_s), bool), np.ones(len(centres_s), np.float32)
    first = np.searchsorted(centres_s, beat_s - TOLERANCE_S)
    last = np.searchsorted(centres_s, beat_s + TOLERANCE_S, side="right")
    for beat, start, end in zip(beat_s, first, last, strict=True):
        if start == end:
            continue
        near = slice(start, end)
        weights[near] = np.where(is_beat[near], 1, _DOUBTFUL_WEIGHT)
        best = start + int(np.argmax(features[near, 0] - np.abs(centres_s[near] - beat) / 0.1))
        is_beat[best], weights[best] = True, 1
    kept = np.ones(len(centres_s), bool)
    for start_s, end_s in excluded:
        kept &= (centres_s < start_s - 0.5) | (centres_s > end_s + 0.5)
    return BeatExamples(features[kept], is_beat[kept], weights[kept])


def fit_beat_scorer(examples: Iterable[BeatExamples], seed: int = 0) -> BeatScorer:
    """Fit a scorer; deterministic for one build and ``seed``. Raises InputError without both kinds of candidates."""
    from sklearn.exceptions import ConvergenceWarning  # here, for a loop needs none of it
    from sklearn.neural_network import MLPClassifier

    parts = list(examples)
    is_beat = np.concatenate([part.is_beat for part in parts]) if parts else np.empty(0, bool)
    if is_beat.all() or not is_beat.any():
        raise InputError("no beats to fit the beat scorer on: it needs records with beat annotations")
    features = np.concatenate([part.features for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64) + 1e-6
    values = ((features - mean) / scale).astype(np.float32)
    network: Any = MLPClassifier(_HIDDEN, batch_size=512, alpha=1e-4, random_state=seed, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the passes are few on purpose
        for rate, passes in _PHASES:
            network.set_params(learning_rate_init=rate, max_iter=passes)
            network.fit(values, is_beat, sample_weight=weights)
    inner, biases = network.coefs_, network.intercepts_
    first = inner[0] / scale[:, None]  # standardising is part of the first layer
    return BeatScorer(
        tuple(np.asarray(weight, dtype=np.float32) for weight in (first, *inner[1:])),
        tuple(np.asarray(bias, dtype=np.float32) for bias in (biases[0] - mean @ first, *biases[1:])),
    )
