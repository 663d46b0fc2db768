"""A model file as its card vouches for it: read once, so that what was checked is what runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_core.errors import ModelError
from edgeai_core.runners.budget import available_memory_bytes
from edgeai_core.runners.card import ModelCard, card_path, read_card, read_limited
from edgeai_core.runners.golden import GoldenVector, check_golden, read_golden
from edgeai_core.runners.runner import Runner
from edgeai_core.runners.structure import read_structure
from edgeai_core.runners.tensors import check_outputs, noise, zeros

if TYPE_CHECKING:
    import numpy as np

MAX_MODEL_BYTES = 1 << 30
MAX_OPERATORS = 50_000
"""The most operators a graph may have: a thousand times those of a detector; optimising more takes minutes."""

_COPIES = 2
"""Of its weights a model holds this many while it loads: the file as read, and the engine's own layout."""


@dataclass(frozen=True)
class ModelFile:
    """The bytes of ``path``, whose digest is its card's; ``folder`` is where the card's golden vectors lie.

    ``weights`` are the bytes of the second file, where the card names one.
    """

    path: Path
    raw: bytes
    card: ModelCard
    folder: Path
    weights: bytes = b""

    @property
    def size_bytes(self) -> int:
        """How large the model is, all of it."""
        return len(self.raw) + len(self.weights)

    def golden(self) -> list[GoldenVector]:
        """Return the card's golden vectors, none where it names none. Raises ModelError."""
        if self.card.golden is None:
            return []
        return read_golden(self.folder / self.card.golden.file, self.card.golden)

    def example(self) -> dict[str, np.ndarray]:
        """Return inputs to time the model with: its first golden vector's, of the sizes it meets at work.

        A model without golden vectors gets noise, in which dimensions that may vary are 1.
        """
        vectors = self.golden()
        return dict(vectors[0].inputs) if vectors else noise(self.card.inputs)


def read_model_file(
    path: Path, card: ModelCard | Path | None = None, max_bytes: int = MAX_MODEL_BYTES
) -> ModelFile:
    """Read a model and its card, given or beside it as ``<stem>.card.toml``.

    Raises ModelError that names the file: where it is missing, empty or larger than ``max_bytes`` or than the
    memory that is free; where its name or digest is not the card's; and for an ONNX file that is corrupt, has
    more than ``MAX_OPERATORS``, or keeps weights in another file. Of OpenVINO's form (``.xml``) the card vouches for
    the weights too (``.bin``), which are read with it.
    """
    raw = read_limited(path, max_bytes, "model")
    place = card if isinstance(card, Path) else card_path(path)
    read = card if isinstance(card, ModelCard) else read_card(place)
    if read.file != path.name:
        raise ModelError(f"{path}: the card is of the file {read.file!r}")
    digest = hashlib.sha256(raw).hexdigest()
    if digest != read.digest:
        raise ModelError(
            f"{path}: this is not the file of its card, model {read.name} {read.version}: its SHA-256 is "
            f"{digest}, the card's {read.digest}; take model and card from the same place"
        )
    weights = _read_weights(path, read, max_bytes)
    check_room(path, len(raw) + len(weights))
    if path.suffix == ".onnx":
        check_onnx(path, raw)
    elif path.suffix == ".xml":
        check_xml(path, raw)
    return ModelFile(path, raw, read, place.parent, weights)


def _read_weights(path: Path, card: ModelCard, max_bytes: int) -> bytes:
    if path.suffix != ".xml":
        if card.weights is not None:
            raise ModelError(
                f"{path}: the card names weights in {card.weights.file!r}; only OpenVINO's form (.xml) has such a file"
            )
        return b""
    if card.weights is None:
        raise ModelError(
            f"{path}: the card does not vouch for its weights; it needs [weights] file and digest"
        )
    place = path.with_name(card.weights.file)
    weights = read_limited(place, max_bytes, "file of weights")
    if hashlib.sha256(weights).hexdigest() != card.weights.digest:
        raise ModelError(
            f"{place}: these are not the weights of model {card.name} {card.version} (their digest differs)"
        )
    return weights


def check_room(path: Path, size_bytes: int) -> None:
    """Raise ModelError where a model of ``size_bytes`` would not fit into the memory that is free."""
    free = available_memory_bytes()
    if free is not None and _COPIES * size_bytes > free:
        raise ModelError(
            f"{path}: the model has {size_bytes >> 20} MiB and needs about {_COPIES * size_bytes >> 20} MiB to "
            f"load; {free >> 20} MiB of memory are free"
        )


def check_onnx(path: Path, raw: bytes) -> None:
    """Raise ModelError for ONNX bytes that are corrupt, too large a graph, or not all of the model."""
    try:
        structure = read_structure(raw)
    except ValueError as error:
        raise ModelError(f"{path}: the model is corrupt: {error}") from error
    if structure.weights_outside:
        raise ModelError(
            f"{path}: the model keeps weights in another file, which the card's digest does not cover; "
            f"export it as one file"
        )
    if structure.operators > MAX_OPERATORS:
        raise ModelError(
            f"{path}: the model has {structure.operators} operators; at most {MAX_OPERATORS} are loaded"
        )


def check_xml(path: Path, raw: bytes) -> None:
    """Raise ModelError for OpenVINO's form where it is none, or too large a graph."""
    if b"<net" not in raw[:4096]:
        raise ModelError(f"{path}: is no model in OpenVINO's form")
    operators = raw.count(b"<layer ")
    if operators > MAX_OPERATORS:
        raise ModelError(f"{path}: the model has {operators} operators; at most {MAX_OPERATORS} are loaded")


def prove(runner: Runner, file: ModelFile, warm_up: int) -> None:
    """Show that an engine answers as the card says: golden vectors where there are, else zeros, once at least.

    ``warm_up`` calls of the first of them follow. Raises ModelError.
    """
    vectors = file.golden()
    if file.card.golden is not None:
        check_golden(runner, vectors, file.card.golden)
    first = vectors[0].inputs if vectors else zeros(file.card.inputs)
    if vectors or warm_up:
        check_outputs(file.path, runner.run(first), file.card.outputs)
    for _ in range(warm_up - 1):
        runner.run(first)
