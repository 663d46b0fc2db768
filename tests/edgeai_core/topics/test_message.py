"""Messages: what goes in comes out, and nothing malformed gets through."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.topics.message import decode, encode, plain_fields, rebuild


class Status(StrEnum):
    NORMAL = "NORMAL"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True)
class Track:
    id: int
    position_m: NDArray[np.float64]


@dataclass(frozen=True)
class Output:
    status: Status
    confidence: float | None
    tracks: tuple[Track, ...] = ()
    names: list[str] = field(default_factory=list)
    limits: Mapping[str, float] = field(default_factory=dict)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_plain_values_arrive_as_they_were_sent(value: Any) -> None:
    assert decode(encode(value)) == value


@given(
    hnp.arrays(
        st.sampled_from(["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]),
        hnp.array_shapes(max_dims=4, min_side=0),
    )
)
def test_arrays_keep_dtype_shape_and_bytes_and_are_read_only(array: NDArray[Any]) -> None:
    back = decode(encode(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable


@given(hnp.arrays("f8", hnp.array_shapes(max_dims=3), elements=st.floats(allow_nan=False)))
def test_a_reader_without_numpy_gets_arrays_as_nested_lists(array: NDArray[np.float64]) -> None:
    assert decode(encode(array), arrays=False) == array.tolist()


def test_a_non_contiguous_view_is_sent_as_what_it_shows() -> None:
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    assert np.array_equal(decode(encode(array)), array)


def test_a_dataclass_with_enums_arrays_and_nested_dataclasses_comes_back_whole() -> None:
    sent = Output(Status.CRITICAL, 1, (Track(7, np.array([1.0, 2.0])),), ["a"], {"x": 2})
    back = rebuild(decode(encode(sent)), Output)
    assert back.status is Status.CRITICAL
    assert back.confidence == 1.0
    assert isinstance(back.confidence, float)
    assert back.tracks[0].id == 7
    assert np.array_equal(back.tracks[0].position_m, [1.0, 2.0])
    assert (back.names, back.limits) == (["a"], {"x": 2.0})


def test_a_field_that_a_newer_sender_added_is_ignored_and_a_missing_one_is_named() -> None:
    assert rebuild({"status": "NORMAL", "confidence": None, "added": 1}, Output).confidence is None
    with pytest.raises(InputError, match="confidence"):
        rebuild({"status": "NORMAL"}, Output)
    with pytest.raises(InputError, match="ASLEEP"):
        rebuild({"status": "ASLEEP", "confidence": None}, Output)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array([object()]), 2**70, np.array(["text"]), np.arange(3).astype(">i4")]
)
def test_what_cannot_travel_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(InputError, match="cannot be sent"):
        encode(value)


def test_a_message_larger_than_the_limit_is_refused() -> None:
    assert encode(b"x" * 100, max_bytes=200)
    with pytest.raises(InputError, match="too large"):
        encode(b"x" * 300, max_bytes=200)


@given(st.binary(max_size=200))
def test_any_bytes_either_decode_or_are_refused(payload: bytes) -> None:
    for arrays in (True, False):
        with contextlib.suppress(InputError):
            decode(payload, arrays=arrays)


@pytest.mark.parametrize(
    "parts",
    [
        ["f8", [2], b"short"],
        ["O", [1], b"12345678"],
        ["f8", [-1], b""],
        ["f8", [1] * 9, b"12345678"],
        ["f8", "2", b""],
        [["f8"], [1], b"12345678"],
        "text",
    ],
)
def test_a_forged_array_is_refused(parts: object) -> None:
    payload = msgpack.packb(msgpack.ExtType(1, msgpack.packb(parts)))
    for arrays in (True, False):
        with pytest.raises(InputError):
            decode(payload, arrays=arrays)


def test_plain_fields_are_what_json_can_show() -> None:
    @dataclass(frozen=True)
    class Shown:
        status: Status
        value: float
        rate: Any
        array: Any

    assert plain_fields(Shown(Status.NORMAL, float("nan"), np.float32(1.5), np.zeros(3))) == {
        "status": "NORMAL",
        "value": None,
        "rate": 1.5,
    }
    assert plain_fields("no dataclass") == {}
