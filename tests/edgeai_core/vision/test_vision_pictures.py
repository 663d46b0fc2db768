"""Quality of pictures, and drawing on them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeai_core.errors import InputError
from edgeai_core.vision.drawing import draw_boxes, jpeg
from edgeai_core.vision.quality import picture_quality

SCENE = np.random.default_rng(0).integers(0, 255, (12, 20, 3), dtype=np.uint8).repeat(30, 0).repeat(30, 1)


def test_a_picture_out_of_focus_is_less_sharp() -> None:
    blurred = np.asarray(cv2.GaussianBlur(SCENE, (0, 0), 15))
    assert picture_quality(blurred).sharpness < 0.3 * picture_quality(SCENE).sharpness


def test_a_covered_lens_is_dark_and_a_blinded_one_bright() -> None:
    assert picture_quality(np.zeros_like(SCENE)).dark == 1.0
    assert picture_quality(np.full_like(SCENE, 255)).bright == 1.0
    fine = picture_quality(SCENE)
    assert fine.dark < 0.1
    assert fine.bright < 0.1
    assert 0.2 < fine.brightness < 0.8


def test_a_grey_picture_has_a_quality_too() -> None:
    assert picture_quality(SCENE[..., 0]).contrast > 0.05


def test_boxes_are_drawn_on_a_copy_and_nowhere_else() -> None:
    before = SCENE.copy()
    drawn = draw_boxes(SCENE, [[100, 100, 200, 200]], [""], [(0, 0, 255)])
    assert (before == SCENE).all()
    assert drawn[100, 150, 2] > 200
    assert drawn[100, 150, :2].max() < 60
    assert (drawn[220:] == SCENE[220:]).all()


def test_a_label_at_the_edge_and_a_box_outside_harm_nothing() -> None:
    boxes = [[-50, -50, 10, 10], [1e5, 1e5, 2e5, 2e5]]
    assert draw_boxes(SCENE, boxes, ["car", "far"], [(255, 255, 255)] * 2).shape == SCENE.shape


def test_a_jpeg_shows_the_picture_and_what_is_none_is_refused() -> None:
    data = jpeg(SCENE, quality=95)
    again = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again.astype(int) - SCENE.astype(int)).mean() < 4
    with pytest.raises(InputError, match="no JPEG"):
        jpeg(np.zeros((0, 0, 3), np.uint8))
