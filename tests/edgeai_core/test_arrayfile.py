"""Files of arrays that may be anything: their arrays, or one line that says why not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.arrayfile import read_npy, read_npz
from edgeai_core.errors import InputError

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_arrays_come_back_from_a_path_and_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(rows=ROWS, name=np.array("x")))
    for file in (tmp_path / "a.npz", npz(rows=ROWS, name=np.array("x"))):
        arrays = read_npz(file, "a.npz", 1000)
        np.testing.assert_array_equal(arrays["rows"], ROWS)
        assert str(arrays["name"]) == "x"
    np.testing.assert_array_equal(read_npy(npy(ROWS), "a.npy", 1000), ROWS)


@given(st.data())
def test_damaged_bytes_give_arrays_or_one_line_and_nothing_else(data: st.DataObject) -> None:
    told: list[str] = []
    for content, read in ((npz(rows=ROWS), read_npz), (npy(ROWS), read_npy)):
        at = data.draw(st.integers(0, len(content)))
        junk = data.draw(st.binary(max_size=8))
        damaged = content[:at] + junk + content[at + len(junk) :]
        try:
            read(damaged[: data.draw(st.integers(0, len(damaged)))], "a", 10_000)
        except InputError as error:
            told.append(str(error))
    assert not any("\n" in each for each in told)


def test_a_header_that_is_no_python_is_damage() -> None:
    content = npy(np.zeros((80, 90), np.uint8))
    with pytest.raises(InputError, match="damaged"):
        read_npy(content[:18] + b"[" + content[19:], "a.npy", 10_000)


def test_what_is_too_large_or_a_pickle_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at most 100 are read"):
        read_npz(npz(rows=np.zeros(10_000)), "a.npz", 100)
    with pytest.raises(InputError, match=r"at most 100 are read"):
        read_npy(npy(np.zeros(10_000)), "a.npy", 100)
    thing = np.array([{}], dtype=object)
    with pytest.raises(InputError, match="damaged"):
        read_npz(npz(thing=thing), "a.npz", 10_000)
    with pytest.raises(InputError, match="damaged"):
        read_npy(npy(thing), "a.npy", 10_000)
    with pytest.raises(InputError, match="No such file"):
        read_npz(tmp_path / "none.npz", "none.npz", 100)
