"""What a recording is made of, and how it travels: from a loop's process to the recorder, and into the file.

A record is a message (msgpack) and, behind it, the bytes of its arrays. Types are named, never pickled: a name is
looked up among the dataclasses and enums of the core and of the installed apps, and nothing else is built.
"""

from __future__ import annotations

import dataclasses
import importlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgpack

from edgeai_core.errors import InputError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.sample import Sample
from edgeai_core.topics.message import decode_apart, encode_apart, rebuild

HEAD = struct.Struct("<II")
"""Bytes of the message, bytes of the arrays behind it."""

MAX_RECORD_BYTES = 256 << 20
_ALIGNMENT = 64
_PEEKED_BYTES = 1024
_OWN_PACKAGES = ("apps.", "edgeai_core.")


@dataclass(frozen=True)
class Began:
    """A loop's process has started: what follows is its ``run``. ``config`` is its app's, as JSON."""

    app: str
    loop: str
    run: str
    at_ns: int
    config: str = ""


@dataclass(frozen=True)
class Arrived:
    """One arrival at a loop's mailbox, exactly; ``type`` names the class of ``data``, empty for plain values."""

    source: str
    at_ns: int
    time_ns: int
    sequence: int | None
    count: int
    restarted: bool
    type: str
    data: Any


@dataclass(frozen=True)
class Ended:
    """A source of the loop is over."""

    source: str
    at_ns: int


@dataclass(frozen=True)
class Decided:
    """One cycle: its moment, which a replay forces, and what it decided, which a replay is compared with.

    ``conditions`` are those that count, as (code, subject, priority, title); None: "cannot tell".
    ``fault`` is its kind and input, ``note`` its words.
    """

    number: int
    release_ns: int
    now_ns: int
    level: int
    overran: bool
    start_ns: int
    end_ns: int
    type: str
    output: Any
    conditions: tuple[tuple[str, str, str, str], ...] | None
    fault: tuple[str, str] | None = None
    note: str = ""


@dataclass(frozen=True)
class Missing:
    """Records of this loop that did not get here: what follows replays without them, and says so."""

    count: int
    reason: str
    at_ns: int


Record = Began | Arrived | Ended | Decided | Missing
_KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Began, Arrived, Ended, Decided, Missing)
}


def arrival(source: str, sample: Sample[Any]) -> Arrived:
    """Return the record of one arrival."""
    return Arrived(
        source, sample.received_ns, sample.time_ns, sample.sequence, sample.count, sample.restarted,
        type_name(sample.data), sample.data,
    )  # fmt: skip


def decided(cycle: Cycle[Any]) -> Decided:
    """Return the record of one cycle."""
    snapshot, fault = cycle.snapshot, cycle.fault
    conditions = cycle.conditions_of.conditions
    return Decided(
        snapshot.number, snapshot.release_ns, snapshot.now_ns, snapshot.level, cycle.late is not None,
        cycle.start_ns, cycle.end_ns, type_name(cycle.decision.output), cycle.decision.output,
        None if conditions is None else tuple((c.code, c.subject, str(c.priority), c.title) for c in conditions),
        None if fault is None else (str(fault.kind), fault.input or ""),
        "" if fault is None else fault.message,
    )  # fmt: skip


def to_buffers(record: Record) -> list[Any]:
    """Encode a record as buffers to be written one after the other; arrays are not copied. Raises InputError."""
    kind = type(record).__name__.lower()
    message, arrays, size = encode_apart(
        [kind, *(getattr(record, f.name) for f in dataclasses.fields(record))]
    )
    buffers: list[Any] = [HEAD.pack(len(message), size) + message]
    at = 0
    for offset, array in arrays:
        if not array.size:
            continue
        if offset > at:
            buffers.append(bytes(offset - at))
        if not array.flags.c_contiguous:
            array = array.copy(order="C")
        buffers.append(array.reshape(-1).view("u1").data)
        at = offset + array.nbytes
    if size > at:
        buffers.append(bytes(size - at))
    return buffers


def from_bytes(data: bytes | memoryview, *, aligned: bool = True) -> Record:
    """Decode what ``to_buffers`` made, joined. Raises InputError.

    ``aligned``: arrays are copied to boundaries of 64 bytes, where fresh ones lie too: how sums are rounded may
    depend on it. Else they are views of ``data``.
    """
    view = memoryview(data).toreadonly()
    if len(view) < HEAD.size:
        raise InputError("a record is cut short")
    message_bytes, array_bytes = HEAD.unpack_from(view)
    if len(view) != HEAD.size + message_bytes + array_bytes:
        raise InputError("a record is cut short")
    at = HEAD.size + message_bytes
    parts = decode_apart(view[HEAD.size : at], _aligned(view[at:]) if aligned and array_bytes else view[at:])
    if not isinstance(parts, list) or not parts or parts[0] not in _KINDS:
        raise InputError("a record of an unknown kind: the recording is of another release")
    kind = _KINDS[parts[0]]
    names = [field.name for field in dataclasses.fields(kind)]
    record: Record = rebuild(dict(zip(names, parts[1:], strict=False)), kind)
    return record


def kind_and_source(data: bytes) -> tuple[str, object]:
    """Return a record's kind and, of an arrival or an end, its source, without decoding the rest. Raises InputError."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[HEAD.size : HEAD.size + _PEEKED_BYTES])
    try:
        unpacker.read_array_header()
        return unpacker.unpack(), unpacker.unpack()
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise InputError(f"a record is malformed: {error}") from error


def _aligned(data: memoryview) -> memoryview:
    import numpy as np

    room = np.empty(len(data) + _ALIGNMENT, np.uint8)
    at = -room.ctypes.data % _ALIGNMENT
    room[at : at + len(data)] = data
    return room.data[at : at + len(data)].toreadonly()


def type_name(value: object) -> str:
    """Return the name under which ``build`` finds the class of a value; empty for plain values and arrays."""
    kind = type(value)
    if kind is tuple:
        return "tuple"
    if dataclasses.is_dataclass(kind) or issubclass(kind, Enum):
        return f"{kind.__module__}:{kind.__qualname__}"
    return ""


def build(name: str, value: Any) -> Any:
    """Turn a decoded value back into the class that ``type_name`` named.

    Raises InputError for a name that is no dataclass or enum of the core or of an app: a file names no other code.
    """
    if not name:
        return value
    if name == "tuple":
        return tuple(value)
    module_name, _, class_name = name.partition(":")
    if not module_name.startswith(_OWN_PACKAGES):
        raise InputError(f"a recording names the type {name!r}, which is no app's; it is not built")
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"a recording names the type {name!r}, which this installation lacks") from error
    if not isinstance(found, type) or not (dataclasses.is_dataclass(found) or issubclass(found, Enum)):
        raise InputError(f"a recording names {name!r}, which is no record; it is not built")
    return rebuild(value, found)
