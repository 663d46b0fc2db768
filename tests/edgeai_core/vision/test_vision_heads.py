"""Decoders of detector heads, on tensors made by hand for each layout."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_core.errors import ModelError
from edgeai_core.vision.heads import HEADS, yolov5, yolov8, yolox

WIDTH, HEIGHT = 64, 32
CELLS = (8 * 4) + (4 * 2) + (2 * 1)


def test_a_yolox_cell_is_placed_by_its_column_row_and_stride() -> None:
    raw = np.zeros((1, CELLS, 5 + 3), dtype=np.float32)
    cell = 32 + 1 * 4 + 2  # stride 16, row 1, column 2
    raw[0, cell] = [0.5, 0.25, np.log(2.0), np.log(0.5), 0.8, 0.1, 0.9, 0.3]
    found = yolox(raw, WIDTH, HEIGHT, 0.5)
    x, y = (2 + 0.5) * 16, (1 + 0.25) * 16
    np.testing.assert_allclose(found.box_px, [[x - 16, y - 4, x + 16, y + 4]], rtol=1e-6)
    assert found.label.tolist() == [1]
    assert found.score == pytest.approx([0.72])


def test_a_yolov5_row_is_in_pixels_and_its_score_is_objectness_times_class() -> None:
    raw = np.zeros((1, 4, 7), dtype=np.float32)
    raw[0, 2] = [20, 10, 8, 4, 0.9, 0.2, 0.5]
    found = yolov5(raw, WIDTH, HEIGHT, 0.4)
    np.testing.assert_allclose(found.box_px, [[16, 8, 24, 12]])
    assert found.label.tolist() == [1]
    assert found.score == pytest.approx([0.45])
    assert len(yolov5(raw, WIDTH, HEIGHT, 0.46)) == 0


def test_a_yolov8_column_has_no_objectness() -> None:
    raw = np.zeros((1, 4 + 2, 5), dtype=np.float32)
    raw[0, :, 3] = [20, 10, 8, 4, 0.7, 0.6]
    found = yolov8(raw, WIDTH, HEIGHT, 0.5)
    np.testing.assert_allclose(found.box_px, [[16, 8, 24, 12]])
    assert found.label.tolist() == [0]
    assert found.score == pytest.approx([0.7])


def test_a_head_of_another_size_is_refused() -> None:
    with pytest.raises(ModelError, match="42"):
        yolox(np.zeros((1, 10, 8), np.float32), WIDTH, HEIGHT, 0.5)
    for head in HEADS.values():
        with pytest.raises(ModelError, match="head of shape"):
            head(np.zeros((7, 3), np.float32), WIDTH, HEIGHT, 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_no_detection(bad: float) -> None:
    for name, shape in (("yolox", (1, CELLS, 8)), ("yolov5", (1, 5, 8)), ("yolov8", (1, 8, 5))):
        raw = np.full(shape, bad, dtype=np.float32)
        assert len(HEADS[name](raw, WIDTH, HEIGHT, 0.3)) == 0
