"""Averaging: it is the weighted mean, the mix is the published one, and what may not be averaged is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeai_core.errors import InputError
from edgeai_core.learning.averaging import PUBLISHED_MIX, mixed, moments, refusal, scale_of, weighted_mean

NUMBERS = st.floats(-1e3, 1e3, width=32)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=NUMBERS),
    st.data(),
)
def test_the_federated_average_is_the_weighted_mean(rows: np.ndarray, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 10_000), min_size=len(rows), max_size=len(rows)))
    (joined,) = weighted_mean([((row,), count) for row, count in zip(rows, counts, strict=True)])
    np.testing.assert_allclose(joined, np.average(rows, axis=0, weights=counts), rtol=1e-4, atol=1e-3)


@given(hnp.arrays(np.float32, (2, 4), elements=NUMBERS), st.integers(1, 1000))
def test_one_client_or_equal_ones_are_their_own_average(row: np.ndarray, count: int) -> None:
    (alone,) = weighted_mean([((row,), count)])
    (both,) = weighted_mean([((row,), count), ((row,), 3 * count)])
    np.testing.assert_array_equal(alone, row)
    np.testing.assert_allclose(both, row, rtol=1e-6)


def test_the_published_mix_is_four_fifths_of_ones_own() -> None:
    (made,) = mixed((np.array([1.0]),), (np.array([0.0]),), PUBLISHED_MIX)
    assert made[0] == pytest.approx(0.8)
    assert mixed((np.array([1.0]),), (np.array([0.5]),), 1.0)[0][0] == 0.5
    assert mixed(None, (np.array([0.5]),), PUBLISHED_MIX)[0][0] == 0.5


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(4, 40), st.just(3)), elements=st.floats(-50, 50, width=32))
)
def test_a_common_scale_from_moments_is_that_of_all_rows(rows: np.ndarray) -> None:
    half = len(rows) // 2
    parts = [rows[:half], rows[half:]]
    mean, square = weighted_mean([(moments(part), len(part)) for part in parts])
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-2)
    np.testing.assert_allclose(scale_of(mean, square), rows.std(axis=0) + 1e-3, atol=0.1)


@pytest.mark.parametrize(
    ("arrays", "samples", "reason"),
    [
        ([np.array([np.nan, 0.0], np.float32)], 100, "not finite"),
        ([np.array([np.inf, 0.0], np.float32)], 100, "not finite"),
        ([np.array([1e9, 0.0], np.float32)], 100, "beyond"),
        ([np.zeros(3, np.float32)], 100, r"float32\[3\] where float\[2\] is wanted"),
        ([np.zeros(2, np.int64)], 100, "int64"),
        ([], 100, "0 arrays where 1"),
        ([np.zeros(2, np.float32)], 3, "stands on 3 samples; 20 are the least"),
        ([np.zeros(2, np.float32)], -5, "stands on -5"),
        ([np.zeros(2, np.float32)], "many", "stands on many"),
    ],
)
def test_an_update_that_may_not_be_averaged_is_refused_with_its_reason(
    arrays: list[np.ndarray], samples: object, reason: str
) -> None:
    import re

    said = refusal(arrays, samples, [np.zeros(2, np.float32)])
    assert said is not None
    assert re.search(reason, said)


def test_a_good_update_is_not_refused() -> None:
    assert refusal([np.ones(2, np.float32)], 20, [np.zeros(2, np.float32)]) is None
    with pytest.raises(InputError, match="no update"):
        weighted_mean([])
