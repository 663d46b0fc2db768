"""Overlap of boxes: identities, a counted reference, and properties of any pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.fusion.boxes import covered_2d, intersection_area, overlap_3d

boxes = st.tuples(
    *[st.floats(-3, 3)] * 3, *[st.floats(0.3, 5)] * 3, st.floats(-10, 10)
).map(lambda values: np.array([values]))  # fmt: skip


@given(boxes)
def test_a_box_overlaps_itself_wholly_whichever_way_it_is_turned(box: np.ndarray) -> None:
    about = box.copy()
    about[0, 6] += np.pi
    assert overlap_3d(box, box) == pytest.approx(1.0, abs=1e-7)
    assert overlap_3d(box, about) == pytest.approx(1.0, abs=1e-7)


@given(boxes, boxes, st.floats(-3, 3), st.floats(-20, 20))
def test_overlap_is_symmetric_and_the_same_in_every_frame(
    a: np.ndarray, b: np.ndarray, turn: float, shift: float
) -> None:
    there = overlap_3d(a, b)[0]
    assert -1e-9 <= there <= 1 + 1e-9
    assert overlap_3d(b, a)[0] == pytest.approx(there, abs=1e-6)
    cos, sin = np.cos(turn), np.sin(turn)
    moved = []
    for box in (a, b):
        other = box.copy()
        other[:, 0] = cos * box[:, 0] - sin * box[:, 1] + shift
        other[:, 1] = sin * box[:, 0] + cos * box[:, 1] - shift
        other[:, 6] += turn
        moved.append(other)
    assert overlap_3d(moved[0], moved[1])[0] == pytest.approx(there, abs=1e-6)


def test_shared_area_agrees_with_counting_points() -> None:
    rng = np.random.default_rng(1)
    a = np.column_stack([rng.uniform(-1, 1, (20, 2)), rng.uniform(1, 4, (20, 2)), rng.uniform(-4, 4, 20)])
    b = np.column_stack([rng.uniform(-1, 1, (20, 2)), rng.uniform(1, 4, (20, 2)), rng.uniform(-4, 4, 20)])
    grid = np.stack(np.meshgrid(*[np.linspace(-5, 5, 501)] * 2), axis=-1).reshape(-1, 2)

    def inside(rectangle: np.ndarray) -> np.ndarray:
        off = grid - rectangle[:2]
        cos, sin = np.cos(rectangle[4]), np.sin(rectangle[4])
        along, across = off[:, 0] * cos + off[:, 1] * sin, off[:, 1] * cos - off[:, 0] * sin
        return (np.abs(along) <= rectangle[2] / 2) & (np.abs(across) <= rectangle[3] / 2)

    counted = [np.count_nonzero(inside(x) & inside(y)) * 0.02**2 for x, y in zip(a, b, strict=True)]
    assert intersection_area(a, b) == pytest.approx(np.array(counted), abs=0.06)


def test_boxes_one_above_the_other_share_nothing() -> None:
    low = np.array([[0, 0, 0, 4, 2, 1.5, 0.0]])
    high = np.array([[0, 0, 2.0, 4, 2, 1.5, 0.0]])
    assert overlap_3d(low, high)[0] == 0.0


def test_half_a_length_apart_is_a_third() -> None:
    a = np.array([[0, 0, 0, 4.0, 2, 1.5, 0.3]])
    b = a + np.array([[2 * np.cos(0.3), 2 * np.sin(0.3), 0, 0, 0, 0, 0]])
    assert overlap_3d(a, b)[0] == pytest.approx(1 / 3)


def test_picture_boxes_cover_one_another_by_a_share() -> None:
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 25, 10], [20, 20, 30, 30]])
    assert covered_2d(a, b) == pytest.approx(np.array([[0.5, 0]]))
