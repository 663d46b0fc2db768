"""Learning on: the adapter's gradients are right, it folds into one matrix, and rehearsal keeps what was known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import TRAINED, Adam, Adapter, gradients_of
from edgeai_core.learning.continual import LearnOptions, Samples, accuracy, balanced_accuracy, learn, remember
from edgeai_core.learning.forgetting import Trial, compare
from edgeai_core.learning.rehearsal import RehearsalMemory


def adapter_of(seed: int, d: int = 5, k: int = 3) -> Adapter:
    random = np.random.default_rng(seed)
    made = Adapter.around(random.normal(size=(d, k)), random.normal(size=k), rank=2, seed=seed)
    return replace(
        made,
        centre=random.normal(size=d).astype(np.float32),
        scale=random.uniform(0.5, 2, d).astype(np.float32),
        up=random.normal(size=(2, d)).astype(np.float32),
    )


@given(st.integers(0, 1000))
def test_one_matrix_gives_the_same_logits(seed: int) -> None:
    adapter = adapter_of(seed)
    features = np.random.default_rng(seed).normal(0, 3, (7, 5)).astype(np.float32)
    matrix, offset = adapter.folded()
    np.testing.assert_allclose(features @ matrix + offset, adapter.logits(features), atol=2e-3, rtol=1e-3)


def test_an_adapter_begins_as_the_layer_that_it_takes_the_place_of() -> None:
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(6, 4)), random.normal(size=4)
    features = random.normal(size=(9, 6)).astype(np.float32)
    expected = features @ weight + bias
    np.testing.assert_allclose(Adapter.around(weight, bias).logits(features), expected, atol=1e-5)


@given(st.integers(0, 200))
def test_the_gradients_are_those_of_the_loss(seed: int) -> None:
    random = np.random.default_rng(seed)
    adapter = adapter_of(seed, d=3)
    features = random.normal(size=(6, 3)).astype(np.float32)
    labels, weights = random.integers(0, 3, 6), random.uniform(0.2, 2, 6).astype(np.float32)
    _, gradients = gradients_of(adapter, features, labels, weights)
    for name in TRAINED:
        array = getattr(adapter, name)
        at = tuple(int(random.integers(0, size)) for size in array.shape)
        sides = []
        for step in (1e-2, -1e-2):
            moved = array.copy()
            moved[at] += step
            sides.append(gradients_of(replace(adapter, **{name: moved}), features, labels, weights)[0])
        assert (sides[0] - sides[1]) / 2e-2 == pytest.approx(float(gradients[name][at]), abs=3e-2, rel=0.05)


FAST = LearnOptions(40, adam=Adam(3e-2))


def part(seed: int, first: float, third: float) -> Samples:
    """Two kinds of a part that differ along the first and the third feature, so strongly and in this direction."""
    random = np.random.default_rng(seed)
    labels = np.arange(200) % 2
    features = random.normal(0, 0.5, (200, 6))
    features[:, 0] += first * (2.0 * labels - 1)
    features[:, 2] += third * (2.0 * labels - 1)
    return Samples(features.astype(np.float32), labels, np.array([f"{seed}-{n // 4}" for n in range(200)]))


def test_rehearsal_keeps_what_fine_tuning_forgets() -> None:
    old, new = part(1, 1.5, 0.0), part(2, -1.5, 3.0)
    start = learn(Adapter.fresh(old.features, 2), old, FAST)
    memory = RehearsalMemory()
    remember(memory, old, 0)
    trial = Trial(start, memory, (new,), (part(3, 1.5, 0.0), part(4, -1.5, 3.0)))
    seen: list[tuple[str, int, int]] = []
    found = compare(("old", "new"), [trial], FAST, lambda *a: seen.append(a), total=1)
    figures = found.figures()
    assert figures["old_before"].value == pytest.approx(1.0, abs=0.05)
    assert figures["new_continual"].value == pytest.approx(1.0, abs=0.1)
    naive, kept = figures["old_fall_naive"].value, figures["old_fall_continual"].value
    assert naive is not None
    assert kept is not None
    assert kept < 0.1 < naive
    assert figures["backward_transfer_naive"].value == pytest.approx(-naive)
    assert [row["learnt"] for row in found.rows()] == ["start", "then new, naive", "then new, continual"]
    assert seen[-1] == ("learning", 1, 1)
    assert len(memory) == 200  # the trial learnt with a copy


def test_the_same_seed_learns_the_same() -> None:
    old = part(1, 1.5, 0.0)
    first, second = (learn(Adapter.fresh(old.features, 2), old, FAST) for _ in range(2))
    assert all(np.array_equal(first.arrays()[name], second.arrays()[name]) for name in TRAINED)
    assert accuracy(first, old) > 0.9


def test_bad_samples_are_refused_with_their_reason() -> None:
    samples = part(1, 1.5, 0.0)
    broken = samples.features.copy()
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match="1 of 200 samples hold numbers that are not finite"):
        Samples(broken, samples.labels, samples.groups)
    with pytest.raises(InputError, match="there are 2 classes"):
        learn(Adapter.fresh(samples.features, 2), replace(samples, labels=samples.labels + 1), LearnOptions())
    with pytest.raises(InputError, match="no samples"):
        learn(Adapter.fresh(samples.features, 2), samples.rows(np.arange(0)), LearnOptions())
    with pytest.raises(InputError, match="wanted"):
        Adapter.fresh(samples.features, 2).logits(np.zeros((2, 9)))
    with pytest.raises(InputError, match="missing"):
        Adapter.of({"centre": np.zeros(2)})


def test_balanced_accuracy_counts_every_class_alike() -> None:
    assert balanced_accuracy(np.zeros(10, int), np.array([0] * 9 + [1])) == 0.5
    assert np.isnan(balanced_accuracy(np.zeros(0, int), np.zeros(0, int)))
