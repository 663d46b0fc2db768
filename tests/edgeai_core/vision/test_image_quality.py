"""Image quality: what a dark, a blurred and a moved camera look like in numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from edgeai_core.errors import InputError
from edgeai_core.vision.quality import measure, moved_share, usual


def scene(seed: int = 0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=(300, 300)), 3.0)
    return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


def test_a_blurred_picture_is_less_sharp_whatever_its_light() -> None:
    sharp = measure(scene()).sharpness
    assert measure(gaussian_filter(scene(), 6.0)).sharpness < 0.5 * sharp
    assert measure((scene() * 0.6).astype(np.uint8)).sharpness == pytest.approx(sharp, rel=0.1)


def test_brightness_is_the_share_of_full_light() -> None:
    assert measure(np.full((64, 64), 51, np.uint8)).brightness == pytest.approx(0.2)
    assert measure(np.full((64, 64, 3), 51, np.uint8)).brightness == pytest.approx(0.2)


def test_a_camera_that_moved_is_told_by_the_median_of_its_pictures() -> None:
    reference = usual([measure(scene())])
    away = np.roll(scene(), 60, axis=1)
    assert moved_share([measure(scene()).thumbnail] * 3, reference.thumbnail) < 0.02
    assert moved_share([measure(away).thumbnail] * 3, reference.thumbnail) == pytest.approx(0.2, abs=0.03)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match="8 pixels or more"):
        measure(np.zeros((4, 40), np.uint8))
    with pytest.raises(InputError, match="at least one"):
        usual([])
