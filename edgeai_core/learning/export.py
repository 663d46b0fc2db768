"""From a trained network to an ONNX file that is proved to compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError, MissingExtraError, ModelError
from edgeai_core.learning.training import torch_or_explain

if TYPE_CHECKING:
    import torch

OPSET = 17
"""Old enough for the engines on devices in the field (ONNX Runtime 1.12 and later), new enough for LayerNorm."""


def export_onnx(
    network: torch.nn.Module,
    path: Path,
    examples: Sequence[Mapping[str, NDArray[np.float32]]],
    outputs: Sequence[str],
    *,
    free: Mapping[str, Mapping[int, str]] | None = None,
    tolerance: float = 1e-4,
) -> float:
    """Write ``network`` to ``path`` and return the largest difference from it over the examples.

    ``examples``: inputs by name, in the order of the network's arguments; the first one is traced, all are
    compared. ``free``: by input, the axes that may have any length, with their names. A file that differs by
    more than ``tolerance`` (absolute) is removed and ModelError raised; a folder that is not there is InputError.
    """
    torch = torch_or_explain()
    if not examples:
        raise InputError(f"{path}: an export needs at least one example to prove that it agrees")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder to write a model to")
    names = list(examples[0])
    network.eval()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every constant that it folds; parity below is the proof that folding was right.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                tuple(torch.from_numpy(examples[0][name]) for name in names),
                str(path),
                input_names=names,
                output_names=list(outputs),
                dynamic_axes={name: dict(axes) for name, axes in (free or {}).items()},
                opset_version=OPSET,
                dynamo=False,
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "exporting needs the extra `train`: pip install 'edgeai[train]'"
            ) from error
    _state_shapes(network, path, examples[0], free or {})
    difference = _difference(network, path, examples, names)
    if not difference <= tolerance:
        path.unlink()
        raise ModelError(
            f"{path}: the exported model differs from the network by {difference:g} (allowed {tolerance:g}); removed"
        )
    return difference


def _state_shapes(
    network: torch.nn.Module,
    path: Path,
    example: Mapping[str, NDArray[np.float32]],
    free: Mapping[str, Mapping[int, str]],
) -> None:
    """Write the outputs' shapes into the file: the tracer leaves those open that it cannot infer."""
    import onnx

    torch = torch_or_explain()
    with torch.no_grad():
        results = network(*(torch.from_numpy(array) for array in example.values()))
    model = onnx.load(str(path))
    for output, result in zip(
        model.graph.output, results if isinstance(results, tuple) else (results,), strict=True
    ):
        axes = free.get(output.name, {})
        for axis, dimension in enumerate(output.type.tensor_type.shape.dim):
            if axis in axes:
                dimension.dim_param = axes[axis]
            else:
                dimension.dim_value = result.shape[axis]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _difference(
    network: torch.nn.Module,
    path: Path,
    examples: Sequence[Mapping[str, NDArray[np.float32]]],
    names: Sequence[str],
) -> float:
    import onnxruntime

    torch = torch_or_explain()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for example in examples:
        with torch.no_grad():
            wanted = network(*(torch.from_numpy(example[name]) for name in names))
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for ours, theirs in zip(wanted, session.run(None, dict(example)), strict=True):
            if ours.shape != theirs.shape or not np.isfinite(theirs).all():
                return float("inf")
            worst = max(worst, float(np.abs(ours.numpy() - theirs).max(initial=0.0)))
    return worst
