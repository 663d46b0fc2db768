"""Registration: displacement found to a fraction of a pixel, and never along an edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from edgeai_core.errors import InputError
from edgeai_core.vision.registration import align, find_displacement, find_shift

SIDE = 192


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    smooth = gaussian_filter(noise, 4.0)
    return np.asarray((smooth > 0).astype(np.float32))


def moved(picture: np.ndarray, dx: np.ndarray | float, dy: np.ndarray | float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    return map_coordinates(picture, [rows - dy, columns - dx], order=1, mode="nearest").astype(np.float32)


@given(st.integers(-6, 6), st.integers(-6, 6))
@settings(max_examples=20)
def test_a_whole_shift_is_found_exactly(dx: int, dy: int) -> None:
    picture = textured()
    assert find_shift(picture, np.roll(picture, (dy, dx), (0, 1)), 8) == (dx, dy)


@given(st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=10)
def test_a_shift_is_found_to_a_fraction_of_a_pixel(dx: float, dy: float) -> None:
    picture = gaussian_filter(textured(1), 1.0)
    field = find_displacement(picture, moved(picture, dx, dy))
    middle = field[40:-40, 40:-40]
    assert np.abs(np.median(middle, axis=(0, 1)) - (dx, dy)).max() < 0.35


def test_a_reference_laid_by_its_displacement_is_nearer_to_a_bent_picture() -> None:
    picture = textured(2)
    bend = 4 * np.sin(np.linspace(0, np.pi, SIDE))[None, :] * np.ones((SIDE, 1))
    bent = moved(picture, 0.0, bend)
    before = np.abs(picture - bent).mean()
    laid = align(picture, find_displacement(picture, bent))
    assert np.abs(laid - bent).mean() < before / 2


def test_along_parallel_lines_nothing_is_moved() -> None:
    lines = np.tile((np.arange(SIDE) // 12 % 2).astype(np.float32), (SIDE, 1))
    assert find_shift(lines, lines, 8) == (0.0, 0.0)
    assert np.abs(find_displacement(lines, lines)).max() < 0.1


def test_pictures_of_other_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="of its own size"):
        find_displacement(np.zeros((64, 64), np.float32), np.zeros((64, 65), np.float32))
