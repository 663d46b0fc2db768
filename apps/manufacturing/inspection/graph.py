"""ONNX graphs of the models: picture -> features of the backbone, and the heads that are taught on top of them.

The features that heads are taught on come from the graph that is later written out, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import MissingExtraError, ModelError
from edgeai_core.runners.onnx import OnnxRunner

BACKBONE = Path(__file__).parent / "models" / "backbone.onnx"

OPSET = 17
IR_VERSION = 8


def onnx_or_explain() -> Any:
    """Import onnx. Raises MissingExtraError where it is not installed: only teaching needs it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "teaching an inspection model needs the extra `teach`: pip install 'edgeai[teach]'"
        ) from error
    return onnx


class Graph:
    """An ONNX graph that grows at its end. Methods return the name of what they computed."""

    def __init__(self) -> None:
        onnx_or_explain()
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self._count = 0

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node with one output."""
        from onnx import helper

        self._count += 1
        output = name or f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array."""
        from onnx import numpy_helper

        self._count += 1
        name = f"constant_{self._count}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any], name: str) -> Any:
        """Return the checked model, without what no output needs."""
        from onnx import checker, helper

        needed = {each.name for each in outputs}
        kept: list[Any] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        used = [each for each in self.initialisers if each.name in needed]
        graph = helper.make_graph(kept[::-1], name, list(inputs), list(outputs), used)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
        made = helper.make_model(graph, opset_imports=opsets, producer_name="edgeai", ir_version=IR_VERSION)
        checker.check_model(made)
        return made


def tensor(name: str, dtype: str, shape: Sequence[int | str]) -> Any:
    """Return what a graph says of one input or output."""
    from onnx import TensorProto, helper

    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    return helper.make_tensor_value_info(name, kinds[dtype], list(shape))


def append_features(graph: Graph, size: int) -> tuple[str, str]:
    """Append picture -> features to an empty graph; return the names of (``pooled``, ``local``).

    ``picture`` is (n, size, size, 3) uint8. ``pooled`` (n, POOLED): mean, maximum and spread over the picture of what
    the backbone sees at strides 8, 16 and 32. ``local`` (n, size / 8, size / 8, LOCAL): strides 4 (mean and maximum),
    8 and 16 on one grid. ``size`` is a multiple of 16.
    """
    onnx = onnx_or_explain()
    OnnxRunner(BACKBONE)  # it is what its card says, or it is not used
    backbone = onnx.load(str(BACKBONE))
    image = graph.node("Cast", "picture", to=onnx.TensorProto.FLOAT)
    image = graph.node("Sub", image, graph.constant(127.0))
    image = graph.node("Mul", image, graph.constant(1 / 128.0))
    graph.node("Transpose", image, name="image", perm=[0, 3, 1, 2])
    graph.nodes += list(backbone.graph.node)
    graph.initialisers += list(backbone.graph.initializer)
    pooled = []
    for tap in ("stride8", "stride16", "stride32"):
        mean = graph.node("ReduceMean", tap, axes=[2, 3], keepdims=0)
        square = graph.node("ReduceMean", graph.node("Mul", tap, tap), axes=[2, 3], keepdims=0)
        variance = graph.node("Relu", graph.node("Sub", square, graph.node("Mul", mean, mean)))
        pooled += [mean, graph.node("ReduceMax", tap, axes=[2, 3], keepdims=0), graph.node("Sqrt", variance)]
    graph.node("Concat", *pooled, name="pooled", axis=1)
    if size % 16:
        raise ModelError(f"a side of {size} pixels; it must be a multiple of 16")
    return "pooled", append_local(graph, "stride4", "stride8", "stride16", name="local")


def append_local(graph: Graph, stride4: str, stride8: str, stride16: str, name: str = "") -> str:
    """Append what places are judged by: three taps on the grid of stride 8, (n, size / 8, size / 8, LOCAL)."""
    fine = graph.node("AveragePool", stride4, kernel_shape=[2, 2], strides=[2, 2])
    coarse = graph.node(
        "Resize", stride16, "", graph.constant([1, 1, 2, 2]), mode="linear",
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    peak = graph.node("MaxPool", stride4, kernel_shape=[2, 2], strides=[2, 2])
    local = graph.node("Concat", fine, peak, stride8, coarse, axis=1)
    return graph.node("Transpose", local, name=name, perm=[0, 2, 3, 1])


POOLED = 3 * (40 + 112 + 320)
LOCAL = 2 * 24 + 40 + 112


def features_model(size: int) -> Any:
    """Return a session of the features alone, for teaching: ``run(pictures)`` -> (pooled, local)."""
    graph = Graph()
    append_features(graph, size)
    grid = size // 8
    return graph.model(
        [tensor("picture", "uint8", ["n", size, size, 3])],
        [tensor("pooled", "float32", ["n", POOLED]), tensor("local", "float32", ["n", grid, grid, LOCAL])],
        "features",
    )


class FeatureExtractor:
    """Runs the features' graph while a model is taught."""

    def __init__(self, size: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            features_model(size).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (pooled (POOLED,), local (grid, grid, LOCAL)) of one prepared picture."""
        pooled, local = self._session.run(["pooled", "local"], {"picture": picture[None]})
        return pooled[0], local[0]
