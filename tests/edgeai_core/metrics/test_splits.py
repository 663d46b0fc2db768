"""Splits: no group is ever on both sides, and every row is tested once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.metrics.splits import check_groups_apart, grouped_folds

rows = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 1)), min_size=10, max_size=80)


@given(rows, st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_no_group_is_split_and_every_row_is_tested_once(
    data: list[tuple[str, int]], n: int, seed: int
) -> None:
    groups, labels = [g for g, _ in data], [y for _, y in data]
    try:
        folds = grouped_folds(groups, labels, n, seed)
    except InputError as error:
        assert "groups" in str(error)  # noqa: PT017 - too few, or too unequal, is the only reason to refuse
        return
    assert len(folds) == n
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(data)))
    for fold in folds:
        assert len(fold.test)
        assert sorted(np.concatenate([fold.train, fold.test]).tolist()) == list(range(len(data)))
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.test}


def test_a_rare_label_is_spread_over_the_folds() -> None:
    groups = [f"patient {i // 10}" for i in range(300)]
    labels = [int(i // 10 < 5) for i in range(300)]
    for fold in grouped_folds(groups, labels, n_folds=5, seed=9):
        assert {groups[i] for i in fold.test if labels[i]} != set()
        assert len(fold.test) == 60


def test_the_seed_alone_decides() -> None:
    groups, labels = [i // 3 for i in range(90)], [i % 2 for i in range(90)]

    def tests(seed: int) -> list[list[int]]:
        return [fold.test.tolist() for fold in grouped_folds(groups, labels, 5, seed)]

    assert tests(1) == tests(1) != tests(2)


def test_a_label_rarer_than_the_folds_is_no_reason_to_refuse() -> None:
    folds = grouped_folds(list("aabbccdd"), [0, 0, 0, 0, 0, 0, 0, 1], n_folds=4)
    assert sum(len(fold.test) for fold in folds) == 8


@pytest.mark.parametrize("n_folds", [0, 1, 4])
def test_more_folds_than_groups_are_refused(n_folds: int) -> None:
    with pytest.raises(InputError, match="3 groups cannot be split"):
        grouped_folds(list("aabbcc"), [0, 1] * 3, n_folds)


def test_labels_that_are_all_rare_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be spread"):
        grouped_folds(list("abcdef"), list(range(6)), 3)


def test_a_row_without_a_group_is_refused() -> None:
    with pytest.raises(InputError, match="as many groups"):
        grouped_folds(["a", "b"], [0, 1, 1], 2)


def test_a_leak_is_named() -> None:
    check_groups_apart(["a", "b"], ["c"])
    with pytest.raises(InputError, match=r"both sides of a split: b, c$"):
        check_groups_apart(["a", "b", "c", "b"], ["c", "b", "d"])
