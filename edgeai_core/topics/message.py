"""What goes over a topic: msgpack, with arrays as dtype, shape and bytes. Never pickle."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

import msgpack

from edgeai_core.errors import InputError

T = TypeVar("T")

MAX_BYTES = 200_000
"""The largest message. A Unix datagram must fit the kernel's default send buffer, 212,992 bytes."""

_ARRAY = 1
_MAX_DIMENSIONS = 8
_MAX_DEPTH = 16
_FORMATS = {"b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
            "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}  # fmt: skip


def encode(value: object, max_bytes: int = MAX_BYTES) -> bytes:
    """Encode plain values, enums, dataclasses (as maps of their fields) and numpy arrays and scalars.

    Raises InputError for what cannot travel (an arbitrary object, an array of objects, a non-native byte
    order) and for a message of more than ``max_bytes``.
    """
    try:
        payload: bytes = msgpack.packb(value, default=_pack, strict_types=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a {type(value).__name__} cannot be sent over a topic: {error}") from error
    if len(payload) > max_bytes:
        raise InputError(f"a message of {len(payload)} bytes is too large for a topic (at most {max_bytes})")
    return payload


def decode(payload: bytes, *, arrays: bool = True) -> Any:
    """Decode to plain values; arrays as read-only numpy arrays, or as nested lists where ``arrays`` is False.

    With ``arrays=False`` numpy is not imported. Raises InputError for anything malformed.
    """
    try:
        return msgpack.unpackb(payload, ext_hook=_unpack_array if arrays else _unpack_list)
    except (
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise InputError(f"a message of {len(payload)} bytes is malformed: {error}") from error


def rebuild(value: Any, as_type: type[T]) -> T:
    """Turn a decoded value back into ``as_type``: a dataclass of plain values, enums, arrays and dataclasses.

    Unknown fields are ignored, so a newer sender may add some; one that is missing and has no default raises
    InputError.
    """
    try:
        return typing.cast("T", _rebuild(value, as_type, 0))
    except (TypeError, ValueError, KeyError, AttributeError, NameError) as error:
        raise InputError(
            f"a message does not make a {getattr(as_type, '__name__', as_type)}: {error}"
        ) from error


def plain_fields(output: object) -> dict[str, object]:
    """Return a dataclass's fields that people can read at a glance: text, numbers, booleans, enums, None.

    A number that is not finite becomes None, for JSON knows none.
    """
    if not dataclasses.is_dataclass(output) or isinstance(output, type):
        return {}
    result: dict[str, object] = {}
    for field in dataclasses.fields(output):
        value = getattr(output, field.name)
        if isinstance(value, Enum):
            value = value.value
        if _is_numpy(value) and getattr(value, "ndim", 1) == 0:
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        if value is None or isinstance(value, (str, int, float, bool)):
            result[field.name] = value
    return result


def _is_numpy(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def _pack(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if _is_numpy(value):
        if value.ndim == 0:
            return value.item()
        kind = value.dtype.newbyteorder("=").str[1:]
        if kind not in _FORMATS or not value.dtype.isnative:
            raise TypeError(f"an array of {value.dtype} has no place in a message")
        return msgpack.ExtType(_ARRAY, msgpack.packb([kind, list(value.shape), value.tobytes()]))
    # A subclass of a plain type (a numpy float64 is handled above) travels as the plain type.
    for plain in (int, float, str, bytes):
        if isinstance(value, plain):
            return plain(value)  # type: ignore[arg-type]
    raise TypeError(f"a {type(value).__name__} has no place in a message")


def _array_parts(code: int, data: bytes) -> tuple[str, list[int], bytes]:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    parts = msgpack.unpackb(data)
    if not (isinstance(parts, list) and len(parts) == 3):
        raise ValueError("an array needs dtype, shape and bytes")
    kind, shape, raw = parts
    if kind not in _FORMATS:
        raise ValueError(f"unknown dtype {kind!r}")
    if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_DIMENSIONS:
        raise ValueError("the shape of an array is malformed")
    if not all(isinstance(n, int) and n >= 0 for n in shape) or not isinstance(raw, bytes):
        raise ValueError("the shape of an array is malformed")
    if math.prod(shape) * int(kind[1]) != len(raw):
        raise ValueError(f"an array of shape {shape} and dtype {kind} does not hold {len(raw)} bytes")
    return kind, shape, raw


def _unpack_array(code: int, data: bytes) -> Any:
    import numpy as np

    kind, shape, raw = _array_parts(code, data)
    return np.frombuffer(raw, dtype=np.dtype(kind)).reshape(shape)


def _unpack_list(code: int, data: bytes) -> list[Any]:
    kind, shape, raw = _array_parts(code, data)
    if not raw:
        return []
    flat: list[Any] = memoryview(raw).cast(_FORMATS[kind], shape).tolist()  # type: ignore[call-overload]
    return flat


def _rebuild(value: Any, wanted: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    origin = typing.get_origin(wanted)
    arguments = typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        choices = [each for each in arguments if each is not type(None)]
        return _rebuild(value, choices[0], depth + 1) if len(choices) == 1 else value
    if origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_rebuild(each, arguments[0], depth + 1) for each in value)
        if arguments and len(arguments) != len(value):
            raise ValueError(f"{len(value)} items where {len(arguments)} belong")
        return tuple(_rebuild(v, a, depth + 1) for v, a in zip(value, arguments, strict=True))
    if origin is list and isinstance(value, list) and arguments:
        return [_rebuild(each, arguments[0], depth + 1) for each in value]
    if (
        isinstance(origin, type)
        and issubclass(origin, Mapping)
        and isinstance(value, dict)
        and len(arguments) == 2
    ):
        return {key: _rebuild(each, arguments[1], depth + 1) for key, each in value.items()}
    if not isinstance(wanted, type):
        return value
    if issubclass(wanted, Enum):
        return wanted(value)
    if dataclasses.is_dataclass(wanted):
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__} where a {wanted.__name__} belongs")
        hints = typing.get_type_hints(wanted)
        return wanted(**{
            field.name: _rebuild(value[field.name], hints[field.name], depth + 1)
            for field in dataclasses.fields(wanted)
            if field.init and field.name in value
        })  # fmt: skip
    if wanted is float and isinstance(value, int):
        return float(value)
    if wanted is tuple and isinstance(value, list):
        return tuple(value)
    return value
