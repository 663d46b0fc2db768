"""Duplicates: the same thing in another form is found, another thing is not, and leaks are named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.metrics.duplicates import (
    across_splits,
    check_splits_apart,
    content_digest,
    exact_groups,
    feature_groups,
    hash_distance,
    hash_groups,
    perceptual_hash,
)

seeds = st.integers(0, 2**32 - 1)


def picture(seed: int) -> np.ndarray:
    """A smooth random picture of shape (96, 128), 0 to 255."""
    noise = np.random.default_rng(seed).normal(size=(96, 128)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 8)
    return cv2.normalize(smooth, None, 30, 220, cv2.NORM_MINMAX).astype(np.uint8)


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    """The groups as sets of rows, whatever their numbers."""
    return {frozenset(np.flatnonzero(groups == number).tolist()) for number in set(groups.tolist())}


def test_a_digest_tells_bits_shape_and_dtype_apart() -> None:
    array = np.arange(6, dtype=np.int32)
    same = [array, array.copy(), np.arange(12, dtype=np.int32)[:6]]
    other = [array[::-1], array.reshape(2, 3), array.astype(np.int64), array.view(np.uint32), array[:0]]
    assert len({content_digest(a) for a in same}) == 1
    assert len({content_digest(a) for a in [array, *other]}) == 6
    assert content_digest(array.reshape(2, 3).T) == content_digest(
        np.ascontiguousarray(array.reshape(2, 3).T)
    )


@settings(max_examples=25)
@given(seeds)
def test_a_picture_keeps_its_hash_when_scaled_brightened_or_compressed(seed: int) -> None:
    original = picture(seed)
    kept = perceptual_hash(original)
    scaled = cv2.resize(original, (200, 150), interpolation=cv2.INTER_LINEAR)
    brighter = cv2.convertScaleAbs(original, alpha=1.05, beta=10)
    decoded = cv2.imdecode(
        cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR
    )
    for changed in (scaled, brighter, decoded):
        assert hash_distance(kept, perceptual_hash(changed)) <= 6
    assert hash_distance(kept, perceptual_hash(picture(seed ^ 1))) > 6


def test_pictures_without_structure_share_one_hash() -> None:
    flat = [np.full((40, 50), value, np.uint8) for value in (0, 7, 255)]
    assert {perceptual_hash(image) for image in flat} == {0}


def test_a_picture_of_another_shape_or_with_nan_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        perceptual_hash(np.zeros(5))
    with pytest.raises(InputError, match="finite"):
        perceptual_hash(np.full((4, 4), np.nan))


@given(st.lists(st.integers(0, 5), max_size=30))
def test_equal_keys_and_no_others_share_a_number(keys: list[int]) -> None:
    groups = exact_groups(keys)
    assert groups.shape == (len(keys),)
    assert all((groups[i] == groups[j]) == (keys[i] == keys[j]) for i in range(len(keys)) for j in range(i))


few_bits = st.lists(st.integers(0, 63), max_size=12).map(lambda places: sum({1 << place for place in places}))


@settings(max_examples=25)
@given(st.lists(few_bits, min_size=1, max_size=12), st.integers(0, 8), st.randoms(use_true_random=False))
def test_groups_of_hashes_are_chains_of_near_ones_in_any_order(
    hashes: list[int], limit: int, random: object
) -> None:
    groups = hash_groups(hashes, limit)
    n = len(hashes)
    linked = {(i, j) for i in range(n) for j in range(n) if hash_distance(hashes[i], hashes[j]) <= limit}
    assert all(groups[i] == groups[j] for i, j in linked)
    for members in partition(groups):
        reached = {min(members)}
        while step := {j for i, j in linked if i in reached} - reached:
            reached |= step
        assert reached == members
    order = list(range(n))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = hash_groups([hashes[i] for i in order], limit)
    assert partition(groups) == {frozenset(order[i] for i in members) for members in partition(shuffled)}


@settings(max_examples=30)
@given(seeds, st.floats(0.01, 100), st.floats(-50, 50))
def test_a_window_is_found_again_with_another_gain_and_offset_and_a_little_noise(
    seed: int, gain: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    windows = rng.normal(size=(5, 200))
    again = gain * (windows[2] + 0.01 * rng.normal(size=200)) + offset
    groups = feature_groups(np.vstack([windows, again]))
    assert groups[5] == groups[2]
    assert len(set(groups.tolist())) == 5


@pytest.mark.parametrize("limit", [0.3, 0.99, 1.0])
def test_flat_windows_are_like_each_other_and_like_nothing_else(limit: float) -> None:
    wave = np.sin(np.arange(50.0))
    groups = feature_groups(
        [wave, np.zeros(50), np.full(50, 0.1), 1e-9 * wave, np.cos(np.arange(50.0))], limit
    )
    assert partition(groups) == {frozenset({0, 3}), frozenset({1, 2}), frozenset({4})}


def test_features_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        feature_groups([[1.0, np.nan]])
    with pytest.raises(InputError, match="correlation"):
        feature_groups([[1.0, 2.0]], min_correlation=0)
    with pytest.raises(InputError, match="64 bits"):
        hash_groups([1 << 64])
    assert hash_groups([]).shape == (0,)


labelled = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["train", "test", "check"])), max_size=30)


@given(labelled)
def test_a_pair_is_named_exactly_where_two_splits_share_a_group(data: list[tuple[int, str]]) -> None:
    groups, splits = [g for g, _ in data], [s for _, s in data]
    found = across_splits(np.array(groups), splits)
    assert all(a < b and groups[a] == groups[b] and splits[a] != splits[b] for a, b in found)
    named = {(groups[a], frozenset((splits[a], splits[b]))) for a, b in found}
    wanted = {(g, frozenset((s, t))) for g, s in data for h, t in data if g == h and s != t}
    assert named == wanted
    assert len(found) == len(wanted)


def test_a_leak_between_splits_names_both_samples() -> None:
    check_splits_apart([0, 0, 1], ["train", "train", "test"], ["a", "b", "c"])
    with pytest.raises(InputError, match=r"across splits: b\.png \(train\) and c\.png \(test\)$"):
        check_splits_apart([0, 1, 1], ["train", "train", "test"], ["a.png", "b.png", "c.png"])
