"""What goes over a topic: msgpack, with arrays as dtype, shape and bytes. Never pickle."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import msgpack

from edgeai_core.errors import InputError

T = TypeVar("T")

MAX_BYTES = 200_000
"""The largest message. A Unix datagram must fit the kernel's default send buffer, 212,992 bytes."""

_ARRAY = 1
_ARRAY_APART = 2
_ALIGNMENT = 64  # of arrays that travel apart: a cache line
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


def encode_apart(value: object) -> tuple[bytes, list[tuple[int, Any]], int]:
    """Encode as ``encode`` does, but leave the arrays out: for memory that both sides share.

    Returns the message, the arrays with their offsets in that memory, and how many bytes they take there.
    Raises InputError for what cannot travel.
    """
    apart = _Apart()
    try:
        payload: bytes = msgpack.packb(value, default=apart.pack, strict_types=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a {type(value).__name__} cannot be sent over a stream: {error}") from error
    return payload, apart.arrays, apart.size


def decode_apart(payload: bytes | memoryview, memory: memoryview) -> Any:
    """Decode what ``encode_apart`` made; the arrays are views of ``memory``. Raises InputError."""

    def unpack(code: int, data: bytes) -> Any:
        return _unpack_apart(data, memory) if code == _ARRAY_APART else _unpack_array(code, data)

    return _unpacked(payload, unpack)


def decode(payload: bytes, *, arrays: bool = True) -> Any:
    """Decode to plain values; arrays as read-only numpy arrays, or as nested lists where ``arrays`` is False.

    With ``arrays=False`` numpy is not imported. Raises InputError for anything malformed.
    """
    return _unpacked(payload, _unpack_array if arrays else _unpack_list)


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


def _unpacked(payload: bytes | memoryview, hook: Callable[[int, bytes], Any]) -> Any:
    try:
        return msgpack.unpackb(payload, ext_hook=hook)
    except (
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise InputError(f"a message of {len(payload)} bytes is malformed: {error}") from error


def _is_numpy(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def _pack(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _names(type(value))}
    if isinstance(value, (tuple, list)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if _is_numpy(value):
        if value.ndim == 0:
            return value.item()
        return msgpack.ExtType(_ARRAY, msgpack.packb([_kind(value), list(value.shape), value.tobytes()]))
    # A subclass of a plain type (a numpy float64 is handled above) travels as the plain type.
    for plain in (int, float, str, bytes):
        if isinstance(value, plain):
            return plain(value)  # type: ignore[arg-type]
    raise TypeError(f"a {type(value).__name__} has no place in a message")


def _kind(array: Any) -> str:
    kind: str = array.dtype.newbyteorder("=").str[1:]
    if kind not in _FORMATS or not array.dtype.isnative:
        raise TypeError(f"an array of {array.dtype} has no place in a message")
    return kind


class _Apart:
    """Gives every array of a message its place in memory beside it."""

    def __init__(self) -> None:
        self.arrays: list[tuple[int, Any]] = []
        self.size = 0

    def pack(self, value: Any) -> Any:
        if not (_is_numpy(value) and value.ndim):
            return _pack(value)
        offset = -(-self.size // _ALIGNMENT) * _ALIGNMENT
        self.arrays.append((offset, value))
        self.size = offset + value.nbytes
        return msgpack.ExtType(_ARRAY_APART, msgpack.packb([_kind(value), list(value.shape), offset]))


def _unpack_apart(data: bytes, memory: memoryview) -> Any:
    import numpy as np

    kind, shape, offset = msgpack.unpackb(data)
    if kind not in _FORMATS:
        raise ValueError(f"unknown dtype {kind!r}")
    size = _checked_shape(shape) * int(kind[1])
    if not isinstance(offset, int) or not 0 <= offset <= len(memory) - size:
        raise ValueError(f"an array of shape {shape} at {offset} does not lie in {len(memory)} bytes")
    return np.frombuffer(memory[offset : offset + size], dtype=np.dtype(kind)).reshape(shape)


def _checked_shape(shape: Any) -> int:
    """Return how many elements a shape has. Raises ValueError for what is none."""
    if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_DIMENSIONS:
        raise ValueError("the shape of an array is malformed")
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("the shape of an array is malformed")
    return math.prod(shape)


def _array_parts(code: int, data: bytes) -> tuple[str, list[int], bytes]:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    parts = msgpack.unpackb(data)
    if not (isinstance(parts, list) and len(parts) == 3):
        raise ValueError("an array needs dtype, shape and bytes")
    kind, shape, raw = parts
    if kind not in _FORMATS:
        raise ValueError(f"unknown dtype {kind!r}")
    if not isinstance(raw, bytes):
        raise ValueError("the bytes of an array are malformed")
    if _checked_shape(shape) * int(kind[1]) != len(raw):
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
    return _builder(wanted)(value, depth)


def _as_it_is(value: Any, depth: int) -> Any:
    return value


def _number(value: Any, depth: int) -> Any:
    return float(value) if isinstance(value, int) else value


@functools.lru_cache(maxsize=1024)
def _builder(wanted: Any) -> Callable[[Any, int], Any]:
    """Return what makes a value of a type, given how deep it lies: a fast loop has no time to look at the type anew.

    Arrays, and what is not of the shape that the type expects, stay as they are.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        choices = [each for each in arguments if each is not type(None)]
        if len(choices) != 1:
            return _as_it_is
        return lambda value, depth: None if value is None else _rebuild(value, choices[0], depth + 1)
    if origin in (tuple, list) and arguments:
        return functools.partial(_build_items, origin, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        return functools.partial(_build_mapping, arguments[1])
    if not isinstance(wanted, type):
        return _as_it_is
    if issubclass(wanted, Enum):
        return lambda value, depth: value if _is_numpy(value) else wanted(value)
    if dataclasses.is_dataclass(wanted):
        return functools.partial(_build_dataclass, wanted)
    if wanted is tuple:
        return lambda value, depth: tuple(value) if isinstance(value, list) else value
    return _number if wanted is float else _as_it_is


def _build_items(origin: Any, arguments: tuple[Any, ...], value: Any, depth: int) -> Any:
    if not isinstance(value, list):
        return value
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return origin(_rebuild(each, arguments[0], depth + 1) for each in value)
    if len(arguments) != len(value):
        raise ValueError(f"{len(value)} items where {len(arguments)} belong")
    return tuple(_rebuild(v, a, depth + 1) for v, a in zip(value, arguments, strict=True))


def _build_mapping(item: Any, value: Any, depth: int) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _rebuild(each, item, depth + 1) for key, each in value.items()}


def _build_dataclass(wanted: type[Any], value: Any, depth: int) -> Any:
    if not isinstance(value, dict):
        if _is_numpy(value):
            return value
        raise ValueError(f"a {type(value).__name__} where a {wanted.__name__} belongs")
    if depth >= _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    return wanted(**{
        name: build(value[name], depth + 1) for name, build in _field_builders(wanted) if name in value  # type: ignore[arg-type]
    })  # fmt: skip


@functools.lru_cache(maxsize=256)
def _field_builders(wanted: Any) -> tuple[tuple[str, Callable[[Any, int], Any]], ...]:
    hints = _hints(wanted)
    return tuple(
        (field.name, _builder(hints[field.name])) for field in dataclasses.fields(wanted) if field.init
    )


@functools.lru_cache(maxsize=256)
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.lru_cache(maxsize=256)
def _hints(wanted: type[Any]) -> dict[str, Any]:
    """Evaluating annotations takes longer than copying an image.

    Records whose import must not cost numpy name arrays without importing their type.
    """
    try:
        return typing.get_type_hints(wanted)
    except NameError:
        import numpy as np
        from numpy.typing import NDArray

        return typing.get_type_hints(wanted, localns={"NDArray": NDArray, "np": np})
