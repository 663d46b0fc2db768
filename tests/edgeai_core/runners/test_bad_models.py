"""What no engine should be given is refused in one line, before it harms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgeai_core.errors import ModelError
from edgeai_core.runners.bare import bare_card
from edgeai_core.runners.card import TensorSpec
from edgeai_core.runners.model_file import MAX_OPERATORS, check_room
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.open import open_runner
from edgeai_core.testing import check_runner

from .conftest import MODULES, WEIGHTS


def node(operator: str, domain: str = "", **attributes: Any) -> bytes:
    """A model of one operator, from x[1, 4] to y."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return data


def write_one(toy: Any, data: bytes) -> Path:
    one = (TensorSpec("x", (1, 4), "float32"),)
    return Path(toy.write(data, inputs=one, outputs=(TensorSpec("y", (1, 4), "float32"),)))


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize(
    "data",
    [node("NoSuchOperator"), node("Relu", "some.vendor"), node("Relu").replace(b"\x10\x11", b"\x10\x7f")],
    ids=["unknown operator", "unknown domain", "opset 127"],
)
def test_what_no_engine_knows_is_refused_in_one_line(toy: Any, data: bytes, engine: str) -> None:
    pytest.importorskip(MODULES[engine])
    if engine == "openvino" and b"\x10\x7f" in data:
        pytest.skip("OpenVINO takes an opset that it does not know as the newest that it knows")
    with pytest.raises(ModelError, match="cannot load the model") as refusal:
        open_runner(write_one(toy, data), backend=engine)
    assert "\n" not in str(refusal.value)


def test_a_graph_with_too_many_operators_is_refused_before_an_engine_sees_it(toy: Any) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])] * (MAX_OPERATORS + 1)
    data = helper.make_model(helper.make_graph(nodes, "many", [], [])).SerializeToString()
    with pytest.raises(ModelError, match=rf"has {MAX_OPERATORS + 1} operators; at most {MAX_OPERATORS}"):
        OnnxRunner(write_one(toy, data))


def test_a_model_that_memory_cannot_hold_is_refused_before_it_is_loaded(toy: Any) -> None:
    with pytest.raises(ModelError, match="MiB of memory are free"):
        check_room(toy.path, 1 << 45)


def test_a_model_that_asks_for_more_memory_than_there_is_ends_in_one_line(toy: Any) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 21, 1 << 22])
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["big"]),
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "big",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [shape],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError) as refusal:
        OnnxRunner(write_one(toy, data.SerializeToString()))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("location", ["/etc/passwd", "../outside.bin", "link.bin", "weights.bin"])
def test_weights_in_another_file_are_refused_wherever_that_lies(toy: Any, location: str) -> None:
    (toy.folder / "link.bin").symlink_to("/etc/passwd")
    (toy.folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    for engine in ("onnx", "openvino"):
        with pytest.raises(ModelError, match="keeps weights in another file"):
            open_runner(toy.write(toy.bytes(weights_in=location)), backend=engine)
    with pytest.raises(ModelError, match="keeps weights in another file"):
        bare_card(toy.path)


def test_a_file_without_a_card_gets_one_that_says_that_nothing_is_stated(toy: Any) -> None:
    toy.path.write_bytes(toy.bytes())
    card = bare_card(toy.path)
    assert [str(spec) for spec in card.inputs] == ["signal float32[window, 8]", "gain float32[window, 1]"]
    assert card.licence == "not stated: the file has no card"
    check_runner(OnnxRunner(toy.path, card), toy.inputs(3))
