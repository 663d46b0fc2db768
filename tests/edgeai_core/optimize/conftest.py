"""Small networks for the tests of quantisation, written with onnx alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Network = Callable[..., bytes]
Pictures = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture(name="small_network")
def small_network_fixture() -> Network:
    """What writes the small network."""
    pytest.importorskip("onnx", reason="needs the extra `teach`")
    return small_network


@pytest.fixture(name="pictures")
def pictures_fixture() -> Pictures:
    """What draws calls of it."""
    return pictures


def small_network(seed: int = 0, *, batch: int | str = "n", side: int | str = 16) -> bytes:
    """Three convolutions, one of them depthwise, and a linear layer: image (n, 3, 16, 16) -> logits (n, 5)."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> str:
        scale = (2 / np.prod(shape[1:])) ** 0.5
        stored.append(numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name))
        return name

    stored: list[Any] = []
    nodes = [
        helper.make_node(
            "Conv", ["image", weights("w0", 16, 3, 3, 3), weights("b0", 16)], ["c0"], pads=[1] * 4
        ),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node(
            "Conv", ["r0", weights("w1", 16, 1, 3, 3), weights("b1", 16)], ["c1"], pads=[1] * 4, group=16
        ),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", weights("w2", 32, 16, 1, 1), weights("b2", 32)], ["c2"]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", weights("w3", 5, 32), weights("b3", 5)], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5])],
        stored,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def pictures(count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
    """Calls of the network: smooth random pictures."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, 1, 3, 4, 4), dtype=np.float32)
    return [{"image": np.repeat(np.repeat(each, 4, axis=2), 4, axis=3)} for each in coarse]


def left_or_right() -> bytes:
    """A network that says on which side a picture (1, 1, 32, 32) is brighter: logits (1, 2)."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((32 * 32, 2), np.float32)
    columns = np.tile(np.arange(32), 32)
    weights[columns < 16, 0] = weights[columns >= 16, 1] = 0.02
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "sides",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())
