"""Weights outside a model's file are seen wherever a tensor can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeai_core.runners.structure import read_structure

OPSETS = [helper.make_opsetid("", 17)]


def tensor(outside: bool) -> onnx.TensorProto:
    """A tensor of four numbers, in the file or said to be in another."""
    made = numpy_helper.from_array(np.arange(4, dtype=np.float32), "weights")
    if outside:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        entry = made.external_data.add()
        entry.key, entry.value = "location", "weights.bin"
    return made


def model(nodes: list[onnx.NodeProto], *initializers: onnx.TensorProto) -> onnx.ModelProto:
    """A model of these parts; whether an engine would run it does not matter here."""
    return helper.make_model(
        helper.make_graph(nodes, "graph", [], [], list(initializers)), opset_imports=OPSETS
    )


def constant(outside: bool) -> onnx.NodeProto:
    """A node that holds a tensor."""
    return helper.make_node("Constant", [], ["c"], value=tensor(outside))


def in_branch(outside: bool) -> onnx.ModelProto:
    """A tensor in a branch in a branch."""
    inner = helper.make_graph([constant(outside)], "inner", [], [])
    outer = helper.make_graph([helper.make_node("If", ["a"], ["b"], then_branch=inner)], "outer", [], [])
    return model([helper.make_node("If", ["a"], ["b"], else_branch=outer)])


def in_function(outside: bool) -> onnx.ModelProto:
    """A tensor in a function."""
    made = model([])
    made.functions.append(helper.make_function("own", "f", [], ["c"], [constant(outside)], OPSETS))
    return made


def in_sparse(outside: bool) -> onnx.ModelProto:
    """A tensor in a sparse one."""
    made = model([])
    sparse = made.graph.sparse_initializer.add()
    sparse.values.CopyFrom(tensor(outside))
    sparse.indices.CopyFrom(tensor(False))
    return made


def in_list(outside: bool) -> onnx.ModelProto:
    """A tensor in a list of them, after one that is whole."""
    return model([helper.make_node("Any", [], ["c"], values=[tensor(False), tensor(outside)])])


def in_training(outside: bool) -> onnx.ModelProto:
    """A tensor in the part that trains."""
    made = model([])
    made.training_info.add().algorithm.initializer.append(tensor(outside))
    return made


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize(
    "build",
    [
        lambda outside: model([], tensor(False), tensor(outside)),
        lambda outside: model([constant(outside)]),
        in_branch,
        in_function,
        in_sparse,
        in_list,
        in_training,
    ],
)
def test_a_tensor_outside_is_seen_wherever_it_is(
    build: Callable[[bool], onnx.ModelProto], outside: bool
) -> None:
    assert read_structure(build(outside).SerializeToString()).weights_outside is outside


def test_either_sign_of_it_is_enough() -> None:
    said, named = tensor(True), tensor(True)
    del said.external_data[:]
    named.data_location = TensorProto.DEFAULT
    assert read_structure(model([], said).SerializeToString()).weights_outside
    assert read_structure(model([], named).SerializeToString()).weights_outside


def test_a_model_cut_short_is_never_called_whole() -> None:
    data = model([constant(False)], tensor(False)).SerializeToString()
    whole = onnx.ModelProto.FromString(data)
    for length in range(len(data)):
        try:
            kept = onnx.ModelProto.FromString(data[:length])
        except Exception:
            with pytest.raises(ValueError, match="not an ONNX model"):
                read_structure(data[:length])
        else:
            assert kept != whole
            assert not read_structure(data[:length]).weights_outside


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_judged_or_refused(data: bytes) -> None:
    try:
        read_structure(data)
    except ValueError as error:
        assert str(error).startswith("not an ONNX model")  # noqa: PT017 - both ends are allowed


def test_operators_are_counted_in_branches_and_functions_too() -> None:
    assert read_structure(model([constant(False), constant(False)]).SerializeToString()).operators == 2
    assert read_structure(in_branch(False).SerializeToString()).operators == 3
    assert read_structure(in_function(False).SerializeToString()).operators == 1
