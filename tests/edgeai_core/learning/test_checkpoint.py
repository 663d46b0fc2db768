"""Checkpoints: arrays that come back as they were, from files that can run no code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeai_core.errors import InputError
from edgeai_core.learning.checkpoint import load_arrays, save_arrays


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0), elements=st.floats(width=32)), st.integers())
def test_what_is_saved_comes_back_bit_by_bit(array: np.ndarray, number: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        save_arrays(path, {"a/b": array}, {"number": number})
        arrays, about = load_arrays(path)
    assert arrays["a/b"].shape == array.shape
    assert arrays["a/b"].tobytes() == array.tobytes()
    assert about == {"number": number}


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "ran"),)

    path = tmp_path / "c.npz"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="not a checkpoint"):
        load_arrays(path)
    np.savez(path, allow_pickle=True, a=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="not a checkpoint"):
        load_arrays(path)
    assert not (tmp_path / "ran").exists()


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Python objects"):
        save_arrays(tmp_path / "c.npz", {"a": np.array([None])}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no zip at all"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        load_arrays(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        load_arrays(tmp_path / "absent.npz")
