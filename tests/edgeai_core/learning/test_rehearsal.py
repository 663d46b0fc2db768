"""The rehearsal memory: never above its size, fair to every sample and every key, the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.learning.rehearsal import CAPACITY, RehearsalMemory


def offered(memory: RehearsalMemory, keys: list[int]) -> None:
    rows = np.arange(len(keys), dtype=np.float32)[:, None]
    memory.add(rows, np.array(keys, np.int64), np.array(keys, np.int64))


@given(st.lists(st.integers(0, 4), max_size=300), st.integers(1, 40), st.integers(0, 9))
def test_it_never_holds_more_than_its_capacity_nor_less_than_it_could(
    keys: list[int], capacity: int, seed: int
) -> None:
    memory = RehearsalMemory(capacity, seed)
    offered(memory, keys)
    assert len(memory) == min(capacity, len(keys))
    assert all(count <= keys.count(key) for key, count in memory.counts().items())


def test_a_thousand_are_remembered_of_however_many_come() -> None:
    memory = RehearsalMemory()
    offered(memory, [0] * (CAPACITY + 500))
    assert len(memory) == CAPACITY == 1000


@given(st.permutations([0] * 60 + [1] * 5 + [2] * 30), st.integers(0, 9))
def test_a_rare_key_is_not_crowded_out(keys: list[int], seed: int) -> None:
    memory = RehearsalMemory(15, seed)
    offered(memory, keys)
    assert memory.counts() == {0: 5, 1: 5, 2: 5}


def test_a_part_that_comes_later_gets_its_share_of_a_full_memory() -> None:
    memory = RehearsalMemory(100)
    offered(memory, [0] * 1000)
    offered(memory, [1] * 1000)
    assert sorted(memory.counts().values()) == [50, 50]


def test_every_sample_has_the_same_chance_to_stay() -> None:
    n, capacity, runs = 40, 10, 3000
    stayed = np.zeros(n)
    for seed in range(runs):
        memory = RehearsalMemory(capacity, seed)
        offered(memory, [0] * n)
        stayed[memory.arrays()["memory_features"][:, 0].astype(int)] += 1
    # Binomial with p = 1/4: its standard deviation is 24; five of them are a chance of one in two million a sample.
    assert np.abs(stayed - runs * capacity / n).max() < 5 * np.sqrt(runs * 0.25 * 0.75)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.lists(st.integers(0, 3), max_size=50))
def test_what_a_checkpoint_keeps_is_the_same_memory(before: list[int], after: list[int]) -> None:
    memory = RehearsalMemory(20)
    offered(memory, before)
    again = RehearsalMemory.of(memory.arrays(), 20)
    assert again.counts() == memory.counts()
    offered(again, after)
    assert len(again) == min(20, len(before) + len(after))


def test_samples_are_drawn_with_the_same_chance_for_every_key() -> None:
    memory = RehearsalMemory(1000)
    offered(memory, [0] * 900 + [1] * 20)
    _, labels = memory.draw(2000)
    assert 800 < (labels == 1).sum() < 1200


def test_what_does_not_fit_together_is_refused() -> None:
    memory = RehearsalMemory(5)
    with pytest.raises(InputError, match="nothing is remembered"):
        memory.draw(3)
    with pytest.raises(InputError, match="3 samples with 2 labels"):
        memory.add(np.zeros((3, 1)), np.zeros(2, np.int64), np.zeros(3, np.int64))
    offered(memory, [0] * 5)
    with pytest.raises(InputError, match="at most 2"):
        RehearsalMemory.of(memory.arrays(), 2)
    with pytest.raises(InputError, match="no rehearsal memory"):
        RehearsalMemory.of({})
    broken = {**memory.arrays(), "memory_features": np.full((5, 1), np.nan)}
    with pytest.raises(InputError, match="no rehearsal memory"):
        RehearsalMemory.of(broken)
