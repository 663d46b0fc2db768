"""The structure of an ONNX file, read before any engine sees it: how large its graph is, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass

# Which fields of which message hold further messages, by field number: onnx.proto.
_HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_EXTERNAL = 1

_32_BITS = 0xFFFFFFFF  # a parser of tags and enumerations drops what is above

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Structure:
    """``operators`` in all graphs, sub-graphs and functions; whether any tensor's data are in another file."""

    operators: int
    weights_outside: bool


def read_structure(model: bytes) -> Structure:
    """Return the structure of a model.

    It reads the wire format of Protocol Buffers, and of that only the structure: weights are skipped, not read,
    and the package onnx is not needed. Raises ValueError where the bytes are no such message.
    """
    operators, outside = 0, False
    waiting = [("model", 0, len(model))]
    while waiting:
        kind, at, end = waiting.pop()
        operators += kind == "node"
        holds = _HOLDS[kind]
        while at < end:
            key, at = _varint(model, at, end)
            number, wire = (key & _32_BITS) >> 3, key & 7
            value = 0
            if wire == _VARINT:
                value, at = _varint(model, at, end)
            elif wire == _BYTES:
                size, at = _varint(model, at, end)
                if number in holds and at + size <= end:
                    waiting.append((holds[number], at, at + size))
                at += size
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise ValueError(f"not an ONNX model: wire type {wire} at byte {at}")
            if at > end:
                raise ValueError(f"not an ONNX model: a field runs past byte {end}")
            if kind == "tensor" and (
                number == _EXTERNAL_DATA or (number, value & _32_BITS) == (_DATA_LOCATION, _EXTERNAL)
            ):
                outside = True
    return Structure(operators, outside)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends."""
    value = 0
    for place in range(min(10, end - at)):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(f"not an ONNX model: no number at byte {at}")
