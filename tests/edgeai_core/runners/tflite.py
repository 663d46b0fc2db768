"""The toy model as a LiteRT file, written with the schema that LiteRT ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_toy_tflite(path: Path, weights: np.ndarray, windows: int = 1, *, int8: bool = False) -> Path:
    """Write ``score = (signal * gain) @ weights`` with a signature that names its tensors.

    ``int8``: every tensor is int8 with a scale, inputs and outputs too.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    buffers = [schema.BufferT(), schema.BufferT()]
    stored, largest = np.ascontiguousarray(weights.T), float(np.abs(weights).max())
    if int8:
        stored = np.rint(stored / (largest / 127)).astype(np.int8)
    buffers[1].data = np.frombuffer(stored.tobytes(), np.uint8)
    tensors = [
        _tensor(schema, "in_signal", (windows, 8), 4.0 if int8 else None),
        _tensor(schema, "in_gain", (windows, 1), 4.0 if int8 else None),
        _tensor(schema, "weights", weights.T.shape, largest if int8 else None, buffer=1),
        _tensor(schema, "scaled", (windows, 8), 8.0 if int8 else None),
        _tensor(schema, "out_score", (windows, 3), 16.0 * largest if int8 else None),
    ]
    codes = []
    for code in (schema.BuiltinOperator.MUL, schema.BuiltinOperator.FULLY_CONNECTED):
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = code
        codes.append(made)
    mul, dense = schema.OperatorT(), schema.OperatorT()
    mul.opcodeIndex, mul.inputs, mul.outputs = 0, [0, 1], [3]
    mul.builtinOptionsType, mul.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    dense.opcodeIndex, dense.inputs, dense.outputs = 1, [3, 2, -1], [4]
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0, 1], [4], [mul, dense]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_named(schema, "signal", 0), _named(schema, "gain", 1)]
    signature.outputs = [_named(schema, "score", 4)]
    model = schema.ModelT()
    model.version, model.description = 3, "toy"
    model.operatorCodes, model.subgraphs, model.buffers = codes, [graph], buffers
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(
    schema: Any, name: str, shape: tuple[int, ...], largest: float | None = None, buffer: int = 0
) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.buffer = name, list(shape), buffer
    made.type = schema.TensorType.FLOAT32
    if largest is not None:
        made.type = schema.TensorType.INT8
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [largest / 127], [0]
    return made


def _named(schema: Any, name: str, index: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made
