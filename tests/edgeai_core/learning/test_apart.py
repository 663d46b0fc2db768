"""Weights of each part's own: parts that contradict each other are learnt together, each known by its looks."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adapter
from edgeai_core.learning.apart import MAX_PARTS, Parts
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


def parts_of(first: Samples, *more: Samples) -> Parts:
    parts = Parts.first(first)
    for each in more:
        parts = parts.and_one(each)
    return parts


def test_a_sample_is_told_by_its_looks_and_its_features_stand_in_its_parts_place() -> None:
    parts = parts_of(part(0, 1), part(1, 1), part(2, 1))
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
    parts = parts_of(first, second)
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


def test_one_part_more_changes_no_decision_before_it_is_learnt() -> None:
    first, second = part(0, 1), part(1, 1)
    parts = Parts.first(first)
    options = LearnOptions(passes=20)
    adapter = learn(parts.begun(np.zeros((6, 2)), np.zeros(2)), parts.spread(first), options)
    more = parts.and_one(second)
    grown = more.grown(adapter, parts, second)
    for samples in (first, second, part(2, 4)):
        before = adapter.logits(parts.spread(samples).features)
        assert np.allclose(grown.logits(more.spread(samples).features), before, atol=1e-4)


def test_a_model_needs_one_matrix_for_each_part_and_no_spread_features() -> None:
    parts = parts_of(part(0, 1), part(1, 1))
    both = Samples.joined([parts.spread(part(0, 1)), parts.spread(part(1, 1))])
    adapter = learn(parts.begun(np.zeros((6, 2)), np.zeros(2)), both, LearnOptions(passes=5))
    matrix, offset = parts.folded(adapter)
    fresh = Samples.joined([part(0, 5), part(1, 5)])
    z = (fresh.features - parts.centre) / parts.scale
    logits = np.einsum("nd,ndk->nk", z, matrix[parts.tell(fresh.features)]) + offset
    assert np.allclose(logits, adapter.logits(parts.spread(fresh).features), atol=1e-3)


def test_what_is_rehearsed_is_spread_as_what_is_new() -> None:
    parts = parts_of(part(0, 1), part(1, 1))
    memory = RehearsalMemory()
    remember(memory, part(1, 1), 0)
    wide, labels = parts.spread_memory(memory).draw(50)
    assert wide.shape == (50, 18)
    assert (np.abs(wide[:, 12:]).sum(axis=1) > 0).mean() > 0.99
    assert set(labels.tolist()) == {0, 1}


def test_parts_are_the_same_after_they_were_kept() -> None:
    parts = parts_of(part(0, 1), part(1, 1))
    again = Parts.of(parts.arrays())
    assert np.array_equal(again.spread(part(1, 2)).features, parts.spread(part(1, 2)).features)
    with pytest.raises(InputError, match="no parts: means missing"):
        Parts.of({"parts_centre": parts.centre, "parts_scale": parts.scale})


def test_what_makes_no_sense_is_refused() -> None:
    parts = Parts.first(part(0, 1))
    with pytest.raises(InputError, match="every part needs samples"):
        parts.and_one(part(1, 1, n=0))
    with pytest.raises(InputError, match=r"\(n, 6\) is wanted"):
        parts.tell(np.zeros((2, 5)))
    with pytest.raises(InputError, match="does not grow"):
        parts.grown(parts.begun(np.zeros((6, 2)), np.zeros(2)), parts, part(1, 1))
    while len(parts) < MAX_PARTS:
        parts = parts.and_one(part(1, 1))
    with pytest.raises(InputError, match="for more teach a model of its own"):
        parts.and_one(part(1, 1))
