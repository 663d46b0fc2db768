"""Smaller variants of an ONNX model: weights in half precision, and int8 by whatever mix of methods stands the gate.

Needs the package onnx (extra ``teach`` or ``train``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError, MissingExtraError, ModelError
from edgeai_core.optimize.rounding import Moments, measure_moments, round_anew, saturates

Kind = Literal["auto", "static", "dynamic", "float16"]
KINDS: tuple[str, ...] = get_args(Kind)

Method = Literal["min-max", "entropy", "percentile"]
"""How the range of an activation is found: the extremes; the range that changes the distribution least (S. Migacz,
8-bit Inference with TensorRT, 2017); the 99.99th percentile."""
METHODS: tuple[Method, ...] = get_args(Method)

Sample = Mapping[str, NDArray[np.generic]]

OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Clip", "Relu", "GlobalAveragePool", "AveragePool", "MaxPool")
"""What is quantised; pools and sums so that a chain of convolutions never leaves int8."""

_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")

_HISTOGRAMS = 32
"""Samples that entropy and percentile look at: they keep every activation in memory."""


@dataclass(frozen=True)
class Plan:
    """How to make one int8 variant.

    ``rounding``: "anew" is ``edgeai_core.optimize.rounding``, "reduced" 7 bits for every weight, "plain" 8 bits.
    ``left_out``: nodes that stay in float.
    """

    method: Method = "min-max"
    rounding: Literal["anew", "reduced", "plain"] = "anew"
    left_out: frozenset[str] = frozenset()

    def __str__(self) -> str:
        rounding = {"anew": "weights rounded anew", "reduced": "7-bit weights", "plain": "8-bit weights"}[
            self.rounding
        ]
        left = f", {len(self.left_out)} nodes in float" if self.left_out else ""
        return f"static int8 (QDQ, per channel), {self.method} ranges, {rounding}{left}"


class Quantiser:
    """One model, made ready for quantisation, with what calibration found on it.

    ``samples``: calls of the model, its inputs by name, as it will see them at work. Raises ModelError for a model
    that cannot be made ready, InputError without samples.
    """

    def __init__(self, model: bytes, samples: Sequence[Sample], name: str = "model") -> None:
        self.onnx = onnx_or_explain()
        if not samples:
            raise InputError(f"{name}: no sample to calibrate with")
        self.name = name
        self.samples = samples
        self.ready = ready_model(model, name)
        self._ranges: dict[str, Any] = {}
        self._moments: dict[str, Moments] | None = None

    def weighed(self) -> list[str]:
        """Return the nodes with weights of their own, in the order of the graph."""
        return [node.name for node, shared in self._with_weights() if not shared]

    def _with_weights(self) -> list[tuple[Any, bool]]:
        """Return the nodes with weights, each with whether another node reads them, too.

        Those stay in float: ONNX Runtime gives shared weights the channels of the node that it meets first.
        """
        stored = {each.name for each in self.ready.graph.initializer}
        uses = Counter(name for node in self.ready.graph.node for name in set(node.input))
        return [
            (node, uses[node.input[1]] > 1)
            for node in self.ready.graph.node
            if node.op_type in ("Conv", "Gemm", "MatMul") and len(node.input) > 1 and node.input[1] in stored
        ]

    def static(self, plan: Plan, only: Sequence[str] | None = None) -> bytes:
        """Return the int8 model that ``plan`` makes; ``only``: the nodes to quantise, None: all.

        Raises ModelError where the quantiser cannot.
        """
        import copy

        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        nodes = self.weighed()
        if not nodes:
            raise ModelError(f"{self.name}: has no convolution or matrix product with weights to quantise")
        left_out = plan.left_out | {node.name for node, shared in self._with_weights() if shared}
        with _quiet(self.name):
            quantiser = QDQQuantizer(
                copy.deepcopy(self.ready), True, plan.rounding == "reduced", QuantType.QInt8, QuantType.QUInt8,
                self.ranges(plan.method), list(only or ()), sorted(left_out), list(OPERATORS),
                {"WeightSymmetric": True},
            )  # fmt: skip
            quantiser.quantize_model()
            quantiser.model.topological_sort()
            made = quantiser.model.model
            if plan.rounding == "anew":
                if self._moments is None:
                    self._moments = measure_moments(self.ready, self.samples[:_HISTOGRAMS])
                round_anew(self.ready, made, self._moments, limited=saturates())
        return bytes(made.SerializeToString())

    def ranges(self, method: Method) -> Any:
        """Return the range of every activation, found once for each method."""
        from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

        if method not in self._ranges:
            kind = {
                "min-max": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy,
                "percentile": CalibrationMethod.Percentile,
            }[method]  # fmt: skip
            samples = self.samples if method == "min-max" else self.samples[:_HISTOGRAMS]
            extra = {"percentile": 99.99} if method == "percentile" else {}
            with TemporaryDirectory(prefix="edgeai-quantise-") as folder, _quiet(self.name):
                path = Path(folder) / "ready.onnx"
                path.write_bytes(self.ready.SerializeToString())
                calibrator = create_calibrator(
                    str(path), list(OPERATORS), augmented_model_path=str(Path(folder) / "probed.onnx"),
                    calibrate_method=kind, extra_options=extra,
                )  # fmt: skip
                for sample in samples:  # one by one: ranges alone are kept
                    calibrator.collect_data(_Reader([sample]))
                self._ranges[method] = calibrator.compute_data()
        return self._ranges[method]


def dynamic(model: bytes, name: str = "model") -> bytes:
    """Return the model with int8 weights; activations are quantised at every call by what they then are.

    Matrix products only: ONNX Runtime's convolution of this kind is slower than the float one.
    """
    onnx_or_explain()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory(prefix="edgeai-quantise-") as folder, _quiet(name):
        ready, made = Path(folder) / "ready.onnx", Path(folder) / "made.onnx"
        prepared = ready_model(model, name)
        stored = {each.name: len(each.dims) for each in prepared.graph.initializer}
        products = [
            node
            for node in prepared.graph.node
            if node.op_type in ("MatMul", "Gemm") and node.input[1] in stored
        ]
        vectors = [node.name for node in products if stored[node.input[1]] < 2]  # those have no channels
        if len(vectors) == len(products):
            raise ModelError(f"{name}: has no matrix product with weights to quantise")
        ready.write_bytes(prepared.SerializeToString())
        quantize_dynamic(
            ready,
            made,
            ["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=saturates(),
            weight_type=QuantType.QInt8,
            nodes_to_exclude=vectors,
        )
        return made.read_bytes()


def float16(model: bytes, name: str = "model") -> bytes:
    """Return the model with its weights in half precision, widened when it is loaded.

    Half the size, the same time: on a processor without half-precision arithmetic, computing in it is slower.
    Weights that half precision cannot hold stay as they are.
    """
    onnx = onnx_or_explain()
    from onnx import TensorProto, helper, numpy_helper

    made = _parsed(model, name)
    widened = []
    limit = float(np.finfo(np.float16).max)
    for stored in list(made.graph.initializer):
        array = numpy_helper.to_array(stored) if stored.data_type == TensorProto.FLOAT else None
        if array is None or array.size < 16 or not (np.abs(array) <= limit).all():
            continue
        made.graph.initializer.remove(stored)
        half = f"{stored.name}.half"
        made.graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), half))
        widened.append(
            helper.make_node("Cast", [half], [stored.name], f"{stored.name}.widen", to=TensorProto.FLOAT)
        )
    if not widened:
        raise ModelError(f"{name}: has no weights in single precision to halve")
    nodes = [*widened, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def onnx_or_explain() -> Any:
    """Import onnx, or raise MissingExtraError that says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("quantisation needs the package onnx: pip install 'edgeai[teach]'") from error
    return onnx


class _Reader:
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples: Iterator[Sample] = iter(samples)

    def get_next(self) -> Sample | None:
        return next(self._samples, None)

    def __iter__(self) -> Iterator[Sample]:
        return self._samples

    def __len__(self) -> int:
        return 1


def _parsed(model: bytes, name: str) -> Any:
    onnx = onnx_or_explain()
    try:
        parsed = onnx.load_model_from_string(model)
        if any(node.op_type in _QUANTISED for node in parsed.graph.node):
            raise ModelError(f"{name}: is quantised already; start from the float model")
        onnx.checker.check_model(parsed)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{name}: is no valid ONNX model: {_first(error)}") from error
    return parsed


def ready_model(model: bytes, name: str) -> Any:
    """Return the model with constants folded, batch norms joined, a name for every node, and shapes where known."""
    import onnxruntime

    onnx = onnx_or_explain()
    _parsed(model, name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with TemporaryDirectory(prefix="edgeai-quantise-") as folder:
        path = Path(folder) / "ready.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            ready = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        except Exception as error:
            raise ModelError(f"{name}: cannot be made ready for quantisation: {_first(error)}") from error
    taken = {node.name for node in ready.graph.node}
    for number, node in enumerate(ready.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{number}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
    return ready


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep the quantiser's chatter from the terminal, and make its errors ours."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except (InputError, ModelError, MissingExtraError):
        raise
    except Exception as error:
        raise ModelError(f"{name}: cannot be quantised: {_first(error)}") from error
    finally:
        root.setLevel(level)


def _first(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
