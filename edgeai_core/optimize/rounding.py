"""Weights of a quantised graph, rounded anew so that a processor without VNNI multiplies them exactly.

Without VNNI, x86 multiplies unsigned activations with signed weights in pairs and adds each pair into 16 bits, which
saturates (instruction VPMADDUBSW; ONNX Runtime's MLAS and oneDNN use it). The usual way out, ``reduce_range``, gives
every weight 7 bits. Here a weight keeps 8 bits and only the sum of two neighbours of one sign is held to 128:
255 * 128 fits into 16 bits. Few pairs come near it, so that little is lost.

What rounding shifts in the mean is then put into the bias (M. Nagel et al., Data-Free Quantization Through Weight
Equalization and Bias Correction, ICCV 2019, with measured means), and every channel's scale is the one with the least
error of its output, by the mean squares of its inputs.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAIR = 128
"""The most that two neighbouring weights of one sign may have in sum: 255 * 128 < 2 ** 15."""

WEIGHED = ("Conv", "Gemm", "MatMul")
"""Operators with weights."""

_SCALES = np.append(np.linspace(0.7, 1.98, 33), 2.0)
"""Scales tried, as shares of the one at which the largest weight is 127; at 2 all fits into 7 bits."""

_INT32 = 2**31 - 1

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of a tensor's channels, over samples and places: ``mean`` and ``square`` (mean of squares), (channels,)."""

    mean: Float
    square: Float


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this processor's int8 products may saturate: x86 without VNNI, or not known to have it."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return False  # ARM multiplies into 16 bits, or into 32 with dot products
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    flags = next(
        (line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("flags")), []
    )
    return not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags)


def measure_moments(model: Any, samples: Sequence[Mapping[str, NDArray[np.generic]]]) -> dict[str, Moments]:
    """Run the float model and return, by node, the moments of what each operator with weights takes in."""
    import copy

    import onnxruntime
    from onnx import helper

    probed = copy.deepcopy(model)
    inputs = {node.name: node.input[0] for node in probed.graph.node if node.op_type in WEIGHED}
    given = {each.name for each in probed.graph.input} | {each.name for each in probed.graph.output}
    stored = {each.name for each in probed.graph.initializer}
    wanted = sorted(set(inputs.values()) - given - stored)
    probed.graph.output.extend([helper.make_empty_tensor_value_info(name) for name in wanted])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(
        probed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    channels_last = {node.input[0] for node in probed.graph.node if node.op_type in ("Gemm", "MatMul")}
    sums: dict[str, tuple[Float, Float]] = {}
    for sample in samples:
        values = dict(zip(wanted, session.run(wanted, dict(sample)), strict=True)) if wanted else {}
        for name in set(inputs.values()) - stored:
            value = values.get(name, sample.get(name))
            if value is None or np.ndim(value) < 2:
                continue
            array = np.asarray(value, dtype=np.float64)
            last = name in channels_last
            array = np.moveaxis(array, -1 if last else 1, 0).reshape(array.shape[-1 if last else 1], -1)
            mean, square = sums.get(name, (np.zeros(len(array)), np.zeros(len(array))))
            sums[name] = mean + array.mean(axis=1), square + (array**2).mean(axis=1)
    count = len(samples)
    return {
        node: Moments(sums[name][0] / count, sums[name][1] / count)
        for node, name in inputs.items()
        if name in sums
    }


def round_anew(model: Any, quantised: Any, moments: Mapping[str, Moments], *, limited: bool) -> None:
    """Replace the int8 weights, their scales and the int32 biases of ``quantised``, a QDQ graph of ``model``.

    ``limited`` holds pairs of weights to ``PAIR``. Nodes whose weights are shared, or have one scale for all
    channels, stay as they are.
    """
    from onnx import numpy_helper

    plain = {each.name: each for each in model.graph.initializer}
    stored = {each.name: each for each in quantised.graph.initializer}
    opened = {node.output[0]: node for node in quantised.graph.node if node.op_type == "DequantizeLinear"}
    uses: dict[str, int] = {}
    for node in quantised.graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1

    def store(name: str, array: NDArray[np.generic]) -> None:
        stored[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    for node in quantised.graph.node:
        weight = opened.get(node.input[1]) if node.op_type in WEIGHED and len(node.input) > 1 else None
        source = opened.get(node.input[0])
        if weight is None or source is None or node.name not in moments or uses[weight.output[0]] > 1:
            continue
        original = plain.get(weight.input[0].removesuffix("_quantized"))
        if original is None or numpy_helper.to_array(stored[weight.input[1]]).ndim != 1:
            continue
        array = numpy_helper.to_array(original).astype(np.float64)
        axis = next((each.i for each in weight.attribute if each.name == "axis"), 1) % array.ndim
        if array.ndim > 2 and axis:
            continue
        rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        own = moments[node.name]
        places = rows.shape[1] // max(1, len(own.mean) // groups)
        depthwise = groups == len(rows) == len(own.mean)
        if not depthwise and (groups > 1 or places * len(own.mean) != rows.shape[1]):
            continue
        means = own.mean[:, None] if depthwise else np.repeat(own.mean, places)[None]
        squares = own.square[:, None] if depthwise else np.repeat(own.square, places)[None]
        spread = np.maximum(squares - means**2, 1e-3 * squares + 1e-12)
        # Depthwise kernels multiply into wider registers. Of kernels with places the order of pairs is the engine's.
        limit = "none" if depthwise or not limited else "pairs" if places == 1 else "seven bits"
        whole, scales = round_rows(rows, spread, limit)
        shape = np.moveaxis(array, axis, 0).shape
        store(weight.input[0], np.moveaxis(whole.reshape(shape), 0, axis).astype(np.int8))
        store(weight.input[1], scales.astype(np.float32))
        bias = opened.get(node.input[2]) if len(node.input) > 2 else None
        unquantised = plain.get(bias.input[0].removesuffix("_quantized")) if bias is not None else None
        if bias is None or unquantised is None or numpy_helper.to_array(stored[source.input[1]]).ndim:
            continue
        shift = ((rows - whole * scales[:, None]) * means).sum(axis=1)
        steps = (scales * float(numpy_helper.to_array(stored[source.input[1]]))).astype(np.float32)
        corrected = (numpy_helper.to_array(unquantised).astype(np.float64) + shift) / steps
        store(bias.input[0], np.clip(np.rint(corrected), -_INT32, _INT32).astype(np.int32))
        store(bias.input[1], steps)


def round_rows(rows: Float, spread: Float, limit: str = "pairs") -> tuple[Float, Float]:
    """Return whole numbers (outputs, inputs) from -127 to 127 and the scale of each row (outputs,).

    Of the scales tried each row takes the one with the least squared error, weighed by ``spread``: the variance of
    each input, (outputs or 1, inputs or 1). ``limit``: "pairs" holds neighbours to ``PAIR``, "seven bits" each weight
    to half of it, "none" neither.
    """
    top = PAIR // 2 if limit == "seven bits" else 127
    peaks = np.abs(rows).max(axis=1, initial=0.0)
    peaks = np.where(peaks > 0, peaks, 1.0)
    best = np.full(len(rows), np.inf)
    whole, scales = np.zeros_like(rows), peaks / top
    for share in _SCALES:
        tried = peaks * share / top
        rounded = np.clip(np.rint(rows / tried[:, None]), -top, top)
        if limit == "pairs":
            rounded = hold_pairs(rounded)
        error = ((rounded * tried[:, None] - rows) ** 2 * spread).sum(axis=1)
        better = error < best
        best[better], scales[better], whole[better] = error[better], tried[better], rounded[better]
    return whole, scales


def hold_pairs(whole: Float) -> Float:
    """Return whole numbers (outputs, inputs), of which no pair (0, 1), (2, 3), ... of one sign has over ``PAIR``."""
    inputs = whole.shape[1]
    pairs = np.pad(whole, ((0, 0), (0, inputs % 2))).reshape(len(whole), -1, 2)
    same = pairs[..., 0] * pairs[..., 1] > 0
    excess = np.where(same, np.maximum(np.abs(pairs).sum(axis=2) - PAIR, 0), 0)
    first = np.floor(excess / 2)
    taken = np.stack([first, excess - first], axis=2) * np.sign(pairs)
    return np.asarray((pairs - taken).reshape(len(whole), -1)[:, :inputs])
