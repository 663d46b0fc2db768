"""Weights rounded anew: exact on a processor without VNNI, and nearer to the float model than seven bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeai_core.optimize.rounding import PAIR, hold_pairs, round_rows, saturates

ROWS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-50, 50, allow_subnormal=False),
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_no_pair_of_products_with_unsigned_bytes_leaves_sixteen_bits(rows: np.ndarray) -> None:
    whole, scales = round_rows(rows, np.ones((1, rows.shape[1])))
    padded = np.pad(whole, ((0, 0), (0, whole.shape[1] % 2))).reshape(len(whole), -1, 2)
    most = 255 * np.where(padded > 0, padded, 0).sum(axis=2)
    least = 255 * np.where(padded < 0, padded, 0).sum(axis=2)
    assert most.max() <= 2**15 - 1
    assert least.min() >= -(2**15)
    assert np.abs(whole).max() <= 127
    assert (scales > 0).all()


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_rounding_with_pairs_held_is_never_worse_than_seven_bits(rows: np.ndarray) -> None:
    def error(limit: str) -> np.ndarray:
        whole, scales = round_rows(rows, np.ones((1, rows.shape[1])), limit)
        made: np.ndarray = ((whole * scales[:, None] - rows) ** 2).sum(axis=1)
        return made

    plain = np.abs(rows).max(axis=1) / 63.5  # seven bits with the usual scale
    usual = ((np.rint(rows / np.where(plain > 0, plain, 1)[:, None]) * plain[:, None] - rows) ** 2).sum(
        axis=1
    )
    assert (error("pairs") <= usual * (1 + 1e-9) + 1e-9).all()


def test_pairs_that_fit_are_left_alone() -> None:
    whole = np.array([[127.0, 1.0, -127.0, 127.0, 64.0]])
    np.testing.assert_array_equal(hold_pairs(whole), whole)
    assert np.abs(hold_pairs(np.array([[100.0, 100.0]]))).sum() == PAIR


@pytest.mark.parametrize(
    ("flags", "wanted"), [("fpu avx2", True), ("fpu avx2 avx_vnni", False), ("avx512f avx512_vnni", False)]
)
def test_a_processor_without_vnni_is_known_by_its_flags(
    flags: str, wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="utf-8")
    assert saturates(path) is wanted
    assert saturates(tmp_path / "none") is True
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert saturates(path) is False
