"""What a network sees does not depend on what only tells the source: frames, brightness, size, shape, background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.imaging.augment import augment, match_histogram
from apps.healthcare.imaging.preprocess import SIDE, Grey, head_mask, prepare
from tests.apps.healthcare.imaging.conftest import phantom


def head(height: int = 200, width: int = 200, centre: tuple[int, int] = (100, 100), radius: int = 60) -> Grey:
    canvas = np.zeros((height, width), np.uint8)
    cv2.circle(canvas, centre, radius, 120, cv2.FILLED)
    cv2.circle(canvas, centre, radius, 220, max(radius // 12, 1))
    cv2.circle(canvas, (centre[0] + radius // 3, centre[1]), radius // 5, 240, cv2.FILLED)
    return canvas


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of what both show in the large: a shift by a pixel or two is no difference."""
    soft = [cv2.GaussianBlur(each, (0, 0), 8.0).ravel() for each in (first, second)]
    return float(np.corrcoef(*soft)[0, 1])


@pytest.mark.parametrize("shade", [0, 255, 128])
def test_a_frame_around_a_film_changes_nothing(shade: int) -> None:
    picture = phantom()[20:-20, 40:-40]
    framed = cv2.copyMakeBorder(picture, 14, 9, 20, 5, cv2.BORDER_CONSTANT, value=shade)
    assert alike(prepare(np.asarray(framed, np.uint8), "xray").square, prepare(picture, "xray").square) > 0.97


@pytest.mark.parametrize("shade", [0, 255, 128])
@pytest.mark.parametrize(
    ("size", "centre", "radius"), [(200, (100, 100), 60), (400, (200, 150), 100), (256, (90, 150), 70)]
)
def test_of_a_slice_the_head_alone_is_kept_wherever_it_lies_and_whatever_frames_it(
    shade: int, size: int, centre: tuple[int, int], radius: int
) -> None:
    framed = cv2.copyMakeBorder(
        head(size, size, centre, radius), 14, 9, 20, 5, cv2.BORDER_CONSTANT, value=shade
    )
    box = prepare(np.asarray(framed, np.uint8), "mri").box
    found = np.array([box.left, box.top, box.left + box.width, box.top + box.height])
    true = np.array(
        [20 + centre[0] - radius, 14 + centre[1] - radius, 20 + centre[0] + radius, 14 + centre[1] + radius]
    )
    assert np.abs(found - true).max() <= 0.13 * 2 * radius


@pytest.mark.parametrize("modality", ["xray", "ct"])
def test_a_film_squeezed_to_a_square_looks_as_the_film_with_its_own_shape(modality: str) -> None:
    picture = phantom(300, 480)
    squeezed = np.asarray(cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)
    assert alike(prepare(picture, modality).square, prepare(squeezed, modality).square) > 0.98


def test_a_caption_beside_the_head_is_gone() -> None:
    captioned = head(300, 300, (150, 130), 80)
    cv2.putText(captioned, "T2 AX 1.5T", (10, 290), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    usual = prepare(head(300, 300, (150, 130), 80), "mri").square
    assert alike(prepare(captioned, "mri").square, usual) > 0.95
    assert not head_mask(captioned)[275:, :].any()


@pytest.mark.parametrize("modality", ["xray", "ct", "mri"])
def test_brighter_and_flatter_pictures_are_evened_out(modality: str) -> None:
    picture = head() if modality == "mri" else phantom()
    faint = np.asarray(picture * 0.5, np.uint8)
    assert np.abs(prepare(faint, modality).square - prepare(picture, modality).square).mean() < 0.03


@settings(max_examples=30, deadline=None)
@given(
    st.integers(48, 400), st.integers(48, 400), st.integers(0, 10_000), st.sampled_from(["xray", "ct", "mri"])
)
def test_any_picture_becomes_a_square_from_0_to_1_and_so_does_its_variation(
    height: int, width: int, seed: int, modality: str
) -> None:
    rng = np.random.default_rng(seed)
    picture = (
        rng.integers(0, 256, (height, width)).astype(np.uint8)
        if seed % 3
        else np.full((height, width), seed % 256, np.uint8)
    )
    for shown in (picture, augment(picture, [phantom()], modality, rng)):
        square = prepare(shown, modality).square
        assert square.shape == (SIDE, SIDE)
        assert square.dtype == np.float32
        assert 0 <= square.min() <= square.max() <= 1


def test_variations_are_the_same_for_the_same_seed() -> None:
    first, second = (augment(phantom(), [head()], "xray", np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_matched_histogram_is_the_donors_and_keeps_the_order_of_grey_levels() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(10, 80, (100, 100)).astype(np.uint8)
    donor = rng.integers(100, 250, (100, 100)).astype(np.uint8)
    matched = match_histogram(picture, donor)
    assert abs(float(matched.mean()) - float(donor.mean())) < 3
    order = np.argsort(picture.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()
