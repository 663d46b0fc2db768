"""Pictures as other hospitals would have made them: what varies between sources is varied, what is ill is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.preprocess import Grey

_LARGEST_SIDE = 512
"""Larger pictures are made smaller first: the network sees 224 pixels."""

_MARKS = ("R", "L", "PA", "AP", "A", "1B", "SUPINE", "12/04", "kV 62")


def augment(picture: Grey, donors: Sequence[Grey], modality: str, rng: np.random.Generator) -> Grey:
    """Return one variation of a picture. ``donors`` are other pictures, of any class, that lend their grey levels.

    Varied are: part shown, aspect, turn, side; tone curve, contrast, the whole histogram (a donor's); resolution,
    sharpness, noise, compression; frames, letters and arrows. With the histogram of a random other picture, the
    tone of a source no longer goes with its class.
    """
    grey = _smaller(picture)
    grey = _geometry(grey, modality, rng)
    # The lung window of a CT slice is what shows the disease: its levels are moved less often.
    if rng.random() < (0.25 if modality == "ct" else 0.5):
        donor = donors[int(rng.integers(len(donors)))]
        grey = _mixed(grey, match_histogram(grey, _smaller(donor)), float(rng.uniform(0.4, 1.0)))
    for chance, change in _changes(modality):
        if rng.random() < chance:
            grey = change(grey, rng)
    return grey


def match_histogram(picture: Grey, donor: Grey) -> Grey:
    """Give a picture the distribution of grey levels of another, rank by rank; black stays black."""
    ours = np.cumsum(np.bincount(picture[picture > 8], minlength=256).astype(float))
    theirs = np.cumsum(np.bincount(donor[donor > 8], minlength=256).astype(float))
    if ours[-1] == 0 or theirs[-1] == 0:
        return picture
    table = np.interp(ours / ours[-1], theirs / theirs[-1], np.arange(256))
    table[:9] = np.linspace(0, table[9], 9)
    return np.asarray(table[picture], dtype=np.uint8)


def _changes(modality: str) -> Sequence[tuple[float, Callable[[Grey, np.random.Generator], Grey]]]:
    return (
        (0.7, _tone),
        (0.25, _local_contrast),
        (0.45, _resolution),
        (0.25, _sharpen),
        (0.3, _noise),
        (0.35, _compress),
        (0.4, _letters),
        (0.25, _frame),
        (0.08 if modality == "mri" else 0.0, _invert),
    )


def _geometry(grey: Grey, modality: str, rng: np.random.Generator) -> Grey:
    """Show a part of the picture, turned a little, in another aspect, perhaps mirrored."""
    height, width = grey.shape
    least = {"xray": 0.7, "ct": 0.7, "mri": 0.9}[modality]
    scale = float(rng.uniform(least, 1.04))
    stretch = float(np.exp(rng.uniform(-0.22, 0.22)))
    across, down = width * scale * np.sqrt(stretch), height * scale / np.sqrt(stretch)
    angle = float(rng.normal(0, {"xray": 4, "ct": 5, "mri": 8}[modality]))
    centre_x = width / 2 + float(rng.uniform(-0.5, 0.5)) * max(width - across, 0.08 * width)
    centre_y = height / 2 + float(rng.uniform(-0.5, 0.5)) * max(height - down, 0.08 * height)
    turn = np.vstack([cv2.getRotationMatrix2D((centre_x, centre_y), angle, 1.0), [0, 0, 1]])
    if rng.random() < 0.5:
        turn = np.array([[-1, 0, 2 * centre_x], [0, 1, 0], [0, 0, 1]]) @ turn
    move = np.array([[1, 0, across / 2 - centre_x], [0, 1, down / 2 - centre_y], [0, 0, 1.0]])
    size = (max(round(across), 16), max(round(down), 16))
    fill = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    warped = cv2.warpAffine(grey, (move @ turn)[:2], size, flags=cv2.INTER_LINEAR, borderValue=fill)
    return np.asarray(warped, dtype=np.uint8)


def _tone(grey: Grey, rng: np.random.Generator) -> Grey:
    """Bend the tone curve: a power, and a slope about the middle."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.35))
    curve = (levels - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.06)
    return np.asarray((np.clip(curve, 0, 1) * 255)[grey], dtype=np.uint8)


def _local_contrast(grey: Grey, rng: np.random.Generator) -> Grey:
    """Even contrast out locally, as many viewers do."""
    tiles = int(rng.integers(2, 9))
    changed = cv2.createCLAHE(float(rng.uniform(1.0, 4.0)), (tiles, tiles)).apply(grey)
    return np.asarray(changed, dtype=np.uint8)


def _resolution(grey: Grey, rng: np.random.Generator) -> Grey:
    """Lose resolution: a smaller picture enlarged again, or a blur."""
    height, width = grey.shape
    if rng.random() < 0.5:
        return np.asarray(
            cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.4, 1.6)) * max(height, width) / 224)
        )
    share = float(rng.uniform(64, 200)) / max(height, width)
    if share >= 1:
        return grey
    small = cv2.resize(
        grey, (max(round(width * share), 8), max(round(height * share), 8)), interpolation=cv2.INTER_AREA
    )
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=how), dtype=np.uint8)


def _sharpen(grey: Grey, rng: np.random.Generator) -> Grey:
    blurred = cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.8, 2.5)))
    return _mixed(grey, np.asarray(blurred, dtype=np.uint8), -float(rng.uniform(0.3, 1.2)))


def _noise(grey: Grey, rng: np.random.Generator) -> Grey:
    noise = rng.normal(0, float(rng.uniform(1, 9)), grey.shape)
    if rng.random() < 0.5:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), dtype=np.float64) * 2
    return np.asarray(np.clip(grey + noise, 0, 255), dtype=np.uint8)


def _compress(grey: Grey, rng: np.random.Generator) -> Grey:
    coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _letters(grey: Grey, rng: np.random.Generator) -> Grey:
    """Burn in letters, and at times an arrow, of any size, anywhere near the margin."""
    marked = grey.copy()
    height, width = grey.shape
    for _ in range(int(rng.integers(1, 4))):
        text = _MARKS[int(rng.integers(len(_MARKS)))]
        at = (
            int(rng.uniform(0, 0.9) * width),
            int(rng.choice([rng.uniform(0.04, 0.3), rng.uniform(0.7, 1.0)]) * height),
        )
        shade, size = int(rng.choice([255, 230, 0])), float(rng.uniform(0.25, 1.1)) * min(height, width) / 224
        cv2.putText(
            marked, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, shade, max(round(size * 1.8), 1), cv2.LINE_AA
        )
    if rng.random() < 0.3:
        tip = (int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.8) * height))
        tail = (tip[0] + int(rng.normal(0, 0.1) * width), tip[1] + int(rng.normal(0, 0.1) * height))
        cv2.arrowedLine(marked, tail, tip, int(rng.choice([255, 0])), 1, cv2.LINE_AA, tipLength=0.4)
    return marked


def _frame(grey: Grey, rng: np.random.Generator) -> Grey:
    """Put a frame around, black, white or grey; where it is not quite even, trimming does not find it."""
    sides = [
        int(share * side)
        for share, side in zip(rng.uniform(0, 0.1, 4), (*grey.shape, *grey.shape), strict=True)
    ]
    shade = int(rng.choice([0, 0, 255, int(rng.integers(256))]))
    framed = cv2.copyMakeBorder(
        grey, sides[0], sides[2], sides[1], sides[3], cv2.BORDER_CONSTANT, value=shade
    )
    if rng.random() < 0.5:
        framed = np.clip(framed + rng.normal(0, 4, framed.shape), 0, 255)
    return np.asarray(framed, dtype=np.uint8)


def _invert(grey: Grey, rng: np.random.Generator) -> Grey:
    """Turn the tones about inside what is not background: T2 beside T1."""
    inside = grey > 12
    high = float(np.percentile(grey[inside], 99)) if inside.any() else 255.0
    turned = np.clip(high - grey.astype(np.float32), 0, 255)
    return np.asarray(np.where(inside, turned, grey), dtype=np.uint8)


def _mixed(first: NDArray[np.uint8], second: NDArray[np.uint8], share: float) -> Grey:
    mixed = (1 - share) * first.astype(np.float32) + share * second.astype(np.float32)
    return np.asarray(np.clip(mixed, 0, 255), dtype=np.uint8)


def _smaller(picture: Grey) -> Grey:
    longest = max(picture.shape)
    if longest <= _LARGEST_SIDE:
        return picture
    share = _LARGEST_SIDE / longest
    size = (max(round(picture.shape[1] * share), 16), max(round(picture.shape[0] * share), 16))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
