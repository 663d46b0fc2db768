"""Letterboxing: boxes find their way back into the picture, and no picture is stretched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.errors import InputError
from edgeai_core.vision.letterbox import letterbox

sizes = st.integers(16, 900)


@given(sizes, sizes, sizes, sizes, st.booleans(), st.data())
def test_a_box_taken_to_the_input_and_back_is_the_same_box(
    columns: int, rows: int, width: int, height: int, centred: bool, data: st.DataObject
) -> None:
    pixels = np.zeros((rows, columns, 3), dtype=np.uint8)
    boxed, fit = letterbox(pixels, width, height, centred=centred)
    assert boxed.shape == (height, width, 3)
    corners = [data.draw(st.floats(0, limit)) for limit in (columns, rows, columns, rows)]
    box = np.array([[min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])]])
    inside = fit.to_input(box)
    assert (inside >= -0.51).all()
    assert (inside <= np.array([width, height] * 2) + 0.51).all()
    np.testing.assert_allclose(fit.to_picture(inside), box, atol=1e-6)


def test_what_the_picture_does_not_cover_is_filled_and_the_rest_is_the_picture() -> None:
    pixels = np.full((100, 200, 3), 9, dtype=np.uint8)
    boxed, fit = letterbox(pixels, 200, 200)
    assert (boxed[:100] == 9).all()
    assert (boxed[100:] == 114).all()
    assert (fit.left_px, fit.top_px, fit.scale) == (0, 0, 1.0)
    centred, _ = letterbox(pixels, 200, 200, centred=True)
    assert (centred[50:150] == 9).all()
    assert (centred[:50] == 114).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((9, 9, 3)),
    ],
)
def test_what_is_no_picture_of_three_channels_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="must be"):
        letterbox(pixels, 32, 32)
