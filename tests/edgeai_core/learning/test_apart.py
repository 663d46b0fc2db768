"""Weights of each part's own: parts that contradict each other are learnt together, each known by its looks."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.apart import Parts
from edgeai_core.learning.continual import LearnOptions, Samples, accuracy, learn, remember
from edgeai_core.learning.rehearsal import RehearsalMemory


def part(number: int, seed: int, n: int = 200) -> Samples:
    """Parts lie apart along the first feature; the second says good or bad, of every other part the other way round."""
    rng = np.random.default_rng((number, seed))
    labels = np.arange(n) % 2
    features = rng.normal(0, 1, (n, 6)).astype(np.float32)
    features[:, 0] += 12 * number
    features[:, 1] += (4 * labels - 2) * (-1) ** number
    return Samples(features, labels.astype(np.int64), np.arange(n).astype(str))


def test_a_sample_is_told_by_its_looks_and_its_features_stand_in_its_parts_place() -> None:
    learnt = [part(0, 1), part(1, 1), part(2, 1)]
    parts = Parts.of(learnt)
    for number in range(3):
        fresh = part(number, 2)
        assert (parts.tell(fresh.features) == number).mean() > 0.99
    wide = parts.spread(part(1, 1)).features.reshape(200, 4, 6)
    mine = parts.tell(part(1, 1).features) == 1
    assert np.array_equal(wide[mine, 0], wide[mine, 2])
    assert not wide[mine, 1].any()
    assert not wide[mine, 3].any()


def test_parts_that_contradict_each_other_are_both_kept_where_one_decision_fails() -> None:
    first, second = part(0, 1), part(1, 1)
    parts = Parts.of([first, second])
    found, options = {}, LearnOptions(passes=100)
    for way, made in (("apart", parts.spread), ("one decision", lambda samples: samples)):
        old, new = made(first), made(second)
        size = old.features.shape[1]
        adapter = learn(Adapter.around(np.zeros((size, 2)), np.zeros(2)), old, options)
        memory = RehearsalMemory()
        remember(memory, old, 0)
        adapter = learn(adapter, new, options, memory)
        found[way] = [accuracy(adapter, made(part(number, 3))) for number in (0, 1)]
    assert min(found["apart"]) > 0.9
    assert min(found["one decision"]) < 0.8


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="every part needs samples"):
        Parts.of([])
    with pytest.raises(InputError, match=r"\(n, 6\) is wanted"):
        Parts.of([part(0, 1)]).tell(np.zeros((2, 5)))
