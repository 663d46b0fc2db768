"""A card for a model that has none: its tensors as the engine tells them, and nothing that nobody said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_core.errors import ModelError, first_line
from edgeai_core.runners.card import ModelCard, TensorSpec, Weights, digest_of, read_limited
from edgeai_core.runners.model_file import MAX_MODEL_BYTES, check_onnx, check_room, check_xml

UNSAID = "not stated: the file has no card"


def bare_card(model: Path, max_bytes: int = MAX_MODEL_BYTES) -> ModelCard:
    """Return a card with the names, shapes and dtypes of a model's tensors; all else says that it is not stated.

    It is for measuring a file, not for running it in a loop. Raises ModelError where the file cannot be loaded.
    """
    raw = read_limited(model, max_bytes, "model")
    check_room(model, len(raw))
    beside, weights = model.with_suffix(".bin"), None
    if model.suffix == ".onnx":
        check_onnx(model, raw)
        inputs, outputs = _onnx(model, raw)
    elif model.suffix == ".tflite":
        inputs, outputs = _tflite(model, raw)
    elif model.suffix == ".xml":
        check_xml(model, raw)
        inputs, outputs = _openvino(model, raw, read_limited(beside, max_bytes, "file of weights"))
        weights = Weights(beside.name, digest_of(beside))
    else:
        raise ModelError(f"{model}: is no .onnx, .tflite or .xml file")
    return ModelCard(
        name=model.stem, version="0", task="none", file=model.name, digest=digest_of(model), licence=UNSAID,
        intended_use=UNSAID, limits=(UNSAID,), inputs=inputs, outputs=outputs, weights=weights,
    )  # fmt: skip


def _onnx(model: Path, raw: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    from edgeai_core.runners.onnx import open_bare

    session = open_bare(model, raw)
    return _specs(model, session[0]), _specs(model, session[1])


def _tflite(model: Path, raw: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    from edgeai_core.runners.litert import open_bare

    inputs, outputs = open_bare(model, raw)
    return _specs(model, inputs), _specs(model, outputs)


def _openvino(
    model: Path, raw: bytes, weights: bytes
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    from edgeai_core.runners.openvino import open_bare

    inputs, outputs = open_bare(model, raw, weights)
    return _specs(model, inputs), _specs(model, outputs)


def _specs(model: Path, found: Any) -> tuple[TensorSpec, ...]:
    made = []
    for name, tensor in found.items():
        shape = tuple(
            size if isinstance(size, int) else f"{name}_{axis}" if not isinstance(size, str) else size
            for axis, size in enumerate(tensor.shape)
        )
        try:
            made.append(TensorSpec(name, shape, tensor.dtype))
        except ValueError as error:
            raise ModelError(f"{model}: {first_line(error)}") from error
    return tuple(made)
