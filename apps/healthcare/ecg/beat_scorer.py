"""The beat scorer: a small network that says how surely a candidate is a QRS complex, and its file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.candidates import FEATURE_COUNT
from edgeai_core.errors import ModelError
from edgeai_core.runners.card import card_path, read_card, read_limited

SHIPPED = Path(__file__).parent / "models" / "beats.npz"
"""The scorer that ships with this loop."""

_MAX_FILE_BYTES = 4_000_000


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

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the log odds (k,) that each of the candidates (k, FEATURE_COUNT) is a QRS complex."""
        values = features
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = values @ weight
            values += bias
            np.maximum(values, 0, out=values)
        return np.asarray((values @ self.weights[-1])[:, 0] + self.biases[-1][0])

    def save(self, path: Path) -> None:
        """Write the arrays to a file (.npz, no pickle in it); its card is written beside it by who fitted them."""
        layers: dict[str, Any] = {f"weight_{i}": weight for i, weight in enumerate(self.weights)}
        layers |= {f"bias_{i}": bias for i, bias in enumerate(self.biases)}
        np.savez(path, **layers)

    @classmethod
    def load(cls, path: Path) -> BeatScorer:
        """Read a file that ``save`` wrote; where a card lies beside it, it must be the file that this speaks of.

        Raises ModelError where the file is missing or damaged, or not the card's.
        """
        raw = read_limited(path, _MAX_FILE_BYTES, "beat scorer")
        card = card_path(path)
        if card.exists() and hashlib.sha256(raw).hexdigest() != read_card(card).digest:
            raise ModelError(f"{path}: is not the file its card speaks of (its SHA-256 differs); fit it anew")
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
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
