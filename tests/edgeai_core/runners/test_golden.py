"""Golden vectors: read back to the bit, and never anything but numbers within a limit."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgeai_core.errors import ModelError
from edgeai_core.runners.card import Golden
from edgeai_core.runners.golden import GoldenVector, read_golden, write_golden

names = st.text(st.sampled_from("abc.:/_ 0"), min_size=1, max_size=8)
tensors = st.dictionaries(
    names,
    st.sampled_from(["float32", "int64", "bool", "float16"]).flatmap(
        lambda d: arrays(d, array_shapes(max_side=3))
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(tensors, tensors), min_size=1, max_size=12))
def test_vectors_are_read_back_to_the_bit_whatever_their_names(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]
) -> None:
    path = tmp_path_factory.mktemp("golden") / "a.npz"
    golden = write_golden(path, [GoldenVector(*call) for call in calls], 1e-5, 1e-4)
    assert golden == Golden("a.npz", hashlib.sha256(path.read_bytes()).hexdigest(), 1e-5, 1e-4)
    found = read_golden(path, golden)
    assert len(found) == len(calls)
    for vector, (inputs, outputs) in zip(found, calls, strict=True):
        for read, written in ((vector.inputs, inputs), (vector.outputs, outputs)):
            assert read.keys() == written.keys()
            for name, array in written.items():
                assert read[name].dtype == array.dtype
                assert read[name].shape == array.shape
                assert read[name].tobytes() == array.tobytes()


def stated(path: Path, data: bytes) -> Golden:
    """Write a file and return a golden section that vouches for it."""
    path.write_bytes(data)
    return Golden(path.name, hashlib.sha256(data).hexdigest(), 0, 0)


def packed(**arrays: np.ndarray) -> bytes:
    """Return the bytes of an ``.npz``."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Trap:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was run')",))


def huge_header() -> bytes:
    """A file that claims an array of 2**62 bytes."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": (1 << 62,)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0.input.x.npy", array.getvalue())
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"not a zip", "cannot be read as golden vectors"),
        (packed()[:10], "cannot be read as golden vectors"),
        (packed(), "holds no golden vector"),
        (packed(surprise=np.zeros(1)), "cannot be read as golden vectors"),
        (packed(**{"0.sideways.x": np.zeros(1)}), "cannot be read as golden vectors"),
        (packed(**{"zero.input.x": np.zeros(1)}), "cannot be read as golden vectors"),
        (packed(**{"0.input.x": np.array([Trap()])}), "cannot be read as golden vectors"),
        (pickle.dumps(Trap()), "cannot be read as golden vectors"),
        (huge_header(), "cannot be read as golden vectors"),
    ],
)
def test_what_is_no_file_of_golden_vectors_is_refused(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "a.npz"
    golden = stated(path, data)
    with pytest.raises(ModelError, match=complaint):
        read_golden(path, golden)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeai_core.runners.golden.MAX_GOLDEN_BYTES", 10_000)
    vector = GoldenVector({"x": np.zeros(100_000, np.uint8)}, {"y": np.zeros(1)})
    golden = write_golden(tmp_path / "a.npz", [vector], 0, 0)
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(ModelError, match=r"unpacks to .* at most 10,000 are read"):
        read_golden(tmp_path / "a.npz", golden)


def test_a_file_of_another_digest_is_refused(tmp_path: Path) -> None:
    golden = stated(tmp_path / "a.npz", packed(**{"0.input.x": np.zeros(1)}))
    with pytest.raises(ModelError, match="not those of the card"):
        read_golden(tmp_path / "a.npz", Golden("a.npz", "0" * 64, golden.atol, golden.rtol))


def test_objects_and_nothing_at_all_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="input x holds objects"):
        write_golden(tmp_path / "a.npz", [GoldenVector({"x": np.array([object()])}, {})], 0, 0)
    with pytest.raises(ModelError, match="at least one call"):
        write_golden(tmp_path / "a.npz", [], 0, 0)
    assert list(tmp_path.iterdir()) == []
