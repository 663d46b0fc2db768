"""Boxes: overlap, suppression of doubles, matching with the truth and average precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeai_core.vision.boxes import Detections, average_precision, match, overlap, suppress

corners = arrays(np.float64, (6, 4), elements=st.floats(-50, 50))


def boxes(raw: np.ndarray) -> np.ndarray:
    return np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:])], axis=1)


@given(corners, corners)
def test_overlap_is_a_share_and_does_not_care_for_order(a: np.ndarray, b: np.ndarray) -> None:
    ious = overlap(boxes(a), boxes(b))
    assert ((ious >= 0) & (ious <= 1 + 1e-12)).all()
    np.testing.assert_allclose(ious, overlap(boxes(b), boxes(a)).T)


def test_overlap_of_known_boxes() -> None:
    one = [[0.0, 0.0, 2.0, 2.0]]
    np.testing.assert_allclose(overlap(one, [[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6]]), [[1 / 3, 1, 0]])


@given(
    corners, arrays(np.float64, 6, elements=st.floats(0, 1)), arrays(np.int64, 6, elements=st.integers(0, 1))
)
def test_after_suppression_no_two_of_a_class_overlap_and_the_best_stays(
    raw: np.ndarray, score: np.ndarray, label: np.ndarray
) -> None:
    found = Detections(boxes(raw), score, label)
    kept = suppress(found, 0.4)
    assert kept.score[0] == score.max()
    doubles = (overlap(kept.box_px, kept.box_px) > 0.4) & (kept.label[:, None] == kept.label[None])
    assert not np.triu(doubles, 1).any()
    assert (np.diff(kept.score) <= 0).all()


def test_no_detection_at_all_is_suppressed_to_none_and_a_flood_is_bounded() -> None:
    none = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    assert len(suppress(none, 0.5)) == 0
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 1e6, (20_000, 2))
    flood = Detections(np.concatenate([low, low + 1], axis=1), rng.random(20_000), np.zeros(20_000, np.int64))
    assert len(suppress(flood, 0.5, limit=50)) == 50


def test_each_true_box_is_found_once_and_only_by_its_class() -> None:
    truth, label = np.array([[0.0, 0, 10, 10]]), np.array([0])
    found = Detections(
        np.array([[0.0, 0, 10, 9], [0, 0, 10, 10], [0, 0, 10, 10]]),
        np.array([0.5, 0.9, 0.99]),
        np.array([0, 0, 1]),
    )
    assert match(found, truth, label, 0.5).tolist() == [-1, 0, -1]


def test_average_precision_of_cases_counted_by_hand() -> None:
    assert average_precision(np.array([0.9, 0.8]), np.array([True, True]), 2) == 1.0
    assert average_precision(np.array([0.9, 0.8]), np.array([True, False]), 2) == 0.5
    # wrong first: precision 1/2 holds up to recall 1
    assert average_precision(np.array([0.9, 0.8]), np.array([False, True]), 1) == 0.5
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0.0
    assert np.isnan(average_precision(np.zeros(0), np.zeros(0, bool), 0))
    assert average_precision(np.array([0.1, 0.9, 0.5]), np.array([True, True, False]), 2) == pytest.approx(
        5 / 6
    )
