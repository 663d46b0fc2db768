"""Quantisation: int8 and half-precision variants that answer as their source does, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from edgeai_core.errors import InputError, ModelError
from edgeai_core.optimize.quantize import METHODS, Plan, Quantiser, dynamic, float16

Network = Callable[..., bytes]
Pictures = Callable[..., list[dict[str, np.ndarray]]]


def answers(model: bytes, samples: list[dict[str, np.ndarray]]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, sample)[0] for sample in samples])


def error(model: bytes, source: bytes, samples: list[dict[str, np.ndarray]]) -> float:
    got, wanted = answers(model, samples), answers(source, samples)
    return float(np.sqrt(((got - wanted) ** 2).mean()) / wanted.std())


@pytest.mark.parametrize("method", METHODS)
def test_int8_answers_nearly_as_the_float_model_does(
    method: str, small_network: Network, pictures: Pictures
) -> None:
    source, samples = small_network(), pictures(24)
    made = Quantiser(source, samples[:12]).static(Plan(method=method))  # type: ignore[arg-type]
    assert len(made) < len(source) * 1.5
    assert error(made, source, samples[12:]) < 0.1


def test_weights_rounded_anew_are_nearer_than_seven_bits(small_network: Network, pictures: Pictures) -> None:
    source, samples = small_network(), pictures(40)
    quantiser = Quantiser(source, samples[:20])
    anew, reduced = (
        error(quantiser.static(Plan(rounding=rounding)), source, samples[20:])  # type: ignore[arg-type]
        for rounding in ("anew", "reduced")
    )
    assert anew < reduced


def test_what_is_left_out_stays_in_float(small_network: Network, pictures: Pictures) -> None:
    import onnx

    quantiser = Quantiser(small_network(), pictures(8))
    nodes = quantiser.weighed()
    assert len(nodes) == 4
    made = onnx.load_model_from_string(quantiser.static(Plan(left_out=frozenset(nodes[1:]))))
    assert [
        each.name for each in made.graph.initializer if each.data_type == onnx.TensorProto.INT8 and each.dims
    ] != []
    whole = [
        each
        for each in made.graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert len(whole) == 1


def test_weights_that_two_layers_read_stay_in_float_and_the_rest_is_quantised(
    small_network: Network, pictures: Pictures
) -> None:
    """As in a kernel machine: distances to vectors, then a sum of the same vectors."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(small_network())
    random = np.random.default_rng(1)
    for name, shape in (("vectors", (7, 32)), ("offsets", (7,))):
        values = random.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    model.graph.node.append(
        helper.make_node("Gemm", ["flat", "vectors", "offsets"], ["near"], name="distances", transB=1)
    )
    model.graph.node.append(helper.make_node("MatMul", ["near", "vectors"], ["sum"], name="sums"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 32]))
    source, samples = model.SerializeToString(), pictures(16)
    quantiser = Quantiser(source, samples[:8])
    assert not {"distances", "sums"} & set(quantiser.weighed())
    made = quantiser.static(Plan())
    assert error(made, source, samples[8:]) < 0.1
    kept = {each.name: each.data_type for each in onnx.load_model_from_string(made).graph.initializer}
    assert kept["vectors"] == TensorProto.FLOAT
    assert TensorProto.INT8 in kept.values()


def test_half_precision_halves_the_file_and_keeps_the_answers(
    small_network: Network, pictures: Pictures
) -> None:
    source, samples = small_network(), pictures(8)
    made = float16(source)
    assert len(made) < 0.75 * len(source)
    assert error(made, source, samples) < 0.01


def test_dynamic_quantises_the_matrix_products(small_network: Network, pictures: Pictures) -> None:
    source, samples = small_network(), pictures(8)
    assert error(dynamic(source), source, samples) < 0.1


def test_dynamic_leaves_a_product_with_a_vector_in_float(small_network: Network, pictures: Pictures) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(small_network())
    model.graph.initializer.append(numpy_helper.from_array(np.ones(5, np.float32), "vector"))
    model.graph.node.append(helper.make_node("MatMul", ["logits", "vector"], ["total"], name="total"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n"]))
    source, samples = model.SerializeToString(), pictures(16)
    assert error(dynamic(source), source, samples) < 0.5


def test_a_model_with_free_sizes_is_quantised_too(small_network: Network, pictures: Pictures) -> None:
    source, samples = small_network(batch="n", side="s"), pictures(8)
    assert error(Quantiser(source, samples).static(Plan()), source, samples) < 0.1


def test_without_a_sample_nothing_is_calibrated(small_network: Network, pictures: Pictures) -> None:
    with pytest.raises(InputError, match="no sample"):
        Quantiser(small_network(), [])


def test_a_sample_of_a_wrong_shape_is_refused_in_one_line(small_network: Network, pictures: Pictures) -> None:
    with pytest.raises(ModelError, match="cannot be quantised"):
        Quantiser(small_network(), [{"image": np.zeros((1, 4, 16, 16), np.float32)}]).static(Plan())


@pytest.mark.parametrize("junk", [b"", b"junk", b"half"])
def test_what_is_no_model_is_refused(junk: bytes, small_network: Network, pictures: Pictures) -> None:
    whole = small_network()
    with pytest.raises(ModelError):
        Quantiser(junk if junk != b"half" else whole[: len(whole) // 2], pictures(2))


def test_a_model_that_is_quantised_already_is_refused(small_network: Network, pictures: Pictures) -> None:
    once = Quantiser(small_network(), pictures(4)).static(Plan())
    with pytest.raises(ModelError, match="quantised already"):
        Quantiser(once, pictures(4))
