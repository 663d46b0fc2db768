"""Intervals: against scipy's, and against what must hold of any interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgeai_core.errors import InputError
from edgeai_core.metrics.intervals import grouped_bootstrap, poisson, ratio_bootstrap, wilson

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_the_published_formula(count: tuple[int, int], confidence: float) -> None:
    k, n = count
    z = stats.norm.ppf(0.5 + confidence / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    assert wilson(k, n, confidence) == pytest.approx(
        (max(0, centre - half), min(1, centre + half)), abs=1e-12
    )


@given(counts)
def test_wilson_covers_the_share_and_mirrors_for_its_complement(count: tuple[int, int]) -> None:
    k, n = count
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_knows_nothing_without_trials() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0.0)])
def test_wilson_refuses_what_cannot_be(k: int, n: int, confidence: float) -> None:
    with pytest.raises(InputError):
        wilson(k, n, confidence)


group_values = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


@given(group_values, st.integers(0, 2**32 - 1))
def test_a_bootstrap_interval_of_a_mean_covers_it(values: list[float], seed: int) -> None:
    low, high = grouped_bootstrap(values, lambda drawn: float(np.mean(drawn)), n_resamples=200, seed=seed)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_a_bootstrap_agrees_with_scipys() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    ours = grouped_bootstrap(values.tolist(), lambda drawn: float(np.mean(drawn)), n_resamples=5000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=1)
    width = ours[1] - ours[0]
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.05 * width)


def test_a_bootstrap_by_patient_is_wider_than_one_that_takes_windows_as_independent() -> None:
    patients = [[True] * 50, [True] * 50, [False] * 50, [True] * 50]

    def share(drawn: object) -> float:
        return float(np.mean(np.ravel(drawn)))

    by_patient = grouped_bootstrap(patients, share)
    by_window = grouped_bootstrap([[window] for patient in patients for window in patient], share)
    assert by_patient[1] - by_patient[0] > 3 * (by_window[1] - by_window[0])


def test_a_bootstrap_gives_the_same_interval_for_the_same_seed_and_another_for_another() -> None:
    values = list(range(20))
    first, again, other = (
        grouped_bootstrap(values, lambda v: float(np.mean(v)), 100, seed=s) for s in (1, 1, 2)
    )
    assert first == again != other


@settings(max_examples=25)
@given(
    st.lists(
        st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        min_size=2,
        max_size=20,
    )
)
def test_the_ratio_bootstrap_is_the_grouped_bootstrap_of_a_ratio(groups: list[tuple[int, int]]) -> None:
    top, bottom = zip(*groups, strict=True)
    fast = ratio_bootstrap(top, bottom, n_resamples=1000)
    slow = grouped_bootstrap(
        groups, lambda g: sum(t for t, _ in g) / sum(b for _, b in g), n_resamples=1000, seed=1
    )
    spread = max(t / b for t, b in groups) - min(t / b for t, b in groups)
    assert fast == pytest.approx(slow, abs=0.2 * spread + 1e-9)


def test_one_group_tells_no_interval() -> None:
    assert all(math.isnan(edge) for edge in grouped_bootstrap([1.0], lambda drawn: drawn[0]))
    assert all(math.isnan(edge) for edge in ratio_bootstrap([1], [2]))


def test_a_statistic_that_is_mostly_undefined_tells_no_interval() -> None:
    def only_with_both_rare_groups(drawn: Sequence[int]) -> float:  # in 40 % of the resamples
        return 1.0 if {0, 1} <= set(drawn) else math.nan

    low, high = grouped_bootstrap(range(100), only_with_both_rare_groups, n_resamples=500)
    assert math.isnan(low)
    assert math.isnan(high)


def test_resamples_without_any_positive_are_left_out() -> None:
    # One patient in three carries all positives: about 30 % of the resamples have none.
    assert ratio_bootstrap([3, 0, 0], [4, 0, 0]) == (0.75, 0.75)


def test_a_ratio_wants_one_numerator_for_each_denominator() -> None:
    with pytest.raises(InputError, match="one numerator"):
        ratio_bootstrap([1, 2], [1, 2, 3])


@pytest.mark.parametrize("count", [0, 1, 7, 120])
def test_a_count_carries_the_means_under_which_it_is_not_too_rare(count: int) -> None:
    low, high = poisson(count)
    assert stats.poisson.cdf(count, high) == pytest.approx(0.025)
    if count:
        assert stats.poisson.sf(count - 1, low) == pytest.approx(0.025)
    else:
        assert low == 0.0
