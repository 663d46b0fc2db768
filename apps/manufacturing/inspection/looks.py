"""Looking at pictures to teach on: the backbone's features and the texture of each, as it is and in further views."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from apps.manufacturing.inspection.examples import Example, read_mask
from apps.manufacturing.inspection.graph import POOLED, FeatureExtractor
from apps.manufacturing.inspection.heads import COMPONENTS, Whitening, fit_whitening
from apps.manufacturing.inspection.judge import Features
from apps.manufacturing.inspection.preprocess import Pixels, prepare
from apps.manufacturing.inspection.texture import TEXTURE, texture
from edgeai_core.app import Progress
from edgeai_core.sensors.picture import read_picture

Floats = NDArray[np.float32]

AS_IT_IS, COMPRESSED = 0, 1
"""The first view of a picture is the picture, the second the same as JPEG; further ones are turned and relit too."""

LOOKS = 9_000
"""Pictures times views that are looked at: what a quarter of an hour on two cores allows, with the rest of teaching."""

_PLACES_BYTES = 3 << 29
"""Memory for the places of looks: those of 6,400 at a side of 288 pixels."""

_WHITENED_ON, _WHITENED_FROM = 64, 20_000
"""Good pictures, and places in all, from which the spread of places is learnt."""

MAX_VIEWS = 4
"""Views of a picture beyond itself: compressed, then turned, mirrored and relit."""

_QUALITIES = (75, 96)
"""Of JPEG, as cameras and archives use them."""


@dataclass(frozen=True)
class Seen:
    """What was seen of n pictures in m looks, of which the first n are the pictures as they are.

    ``row`` (m,) says which picture a look is of and ``view`` (m,) how it is looked at. ``pooled`` (m, POOLED),
    ``texture`` (m, TEXTURE). ``place`` (m,) is where its whitened places lie in ``places`` (k, grid, grid, COMPONENTS),
    -1: not kept; ``masks`` (k) gives the share of each place that is defect, where that is known.
    """

    row: NDArray[np.int64]
    view: NDArray[np.int64]
    pooled: NDArray[np.float16]
    texture: Floats
    place: NDArray[np.int64]
    places: NDArray[np.float16]
    masks: tuple[Floats | None, ...]
    whitening: Whitening
    size: int
    files: tuple[Path, ...]
    seed: int

    def features(self, looks: NDArray[np.int64]) -> Features:
        """Return the features of looks whose places are kept; their pictures are read again when asked for."""
        return Features(
            self.pooled[looks],
            self.texture[looks],
            self.places[self.place[looks]],
            lambda: self.pictures(looks),
        )

    def pictures(self, looks: NDArray[np.int64]) -> Pixels:
        """Return what was looked at, prepared: (looks, size, size, 3)."""
        shown = []
        for row, view in zip(self.row[looks].tolist(), self.view[looks].tolist(), strict=True):
            random = np.random.default_rng((self.seed, row, view))
            shown.append(prepare(_seen_as(read_picture(self.files[row]), view, random)[0], self.size))
        return np.stack(shown)

    def matrix(self, looks: NDArray[np.int64]) -> Floats:
        """Return pooled features and texture side by side, (looks, POOLED + TEXTURE)."""
        return np.hstack([self.pooled[looks].astype(np.float32), self.texture[looks]])


def side_of(examples: Sequence[Example], wanted: int) -> int:
    """Return the side to which pictures are brought: that of the pictures, a multiple of 16 from 128 to 288."""
    if wanted:
        return max(64, wanted // 16 * 16)
    sides = [min(read_picture(each.path).shape[:2]) for each in examples[:: max(1, len(examples) // 20)]]
    return int(np.clip(round(float(np.median(sides)) / 16) * 16, 128, 288))


def look_at(
    examples: Sequence[Example],
    size: int,
    seed: int,
    threads: int,
    progress: Progress,
    *,
    views: int = MAX_VIEWS,
    most: int = LOOKS,
) -> Seen:
    """Run the backbone over all pictures, and over further views of them while there is time.

    Good and bad pictures alike are seen compressed; turned, mirrored and relit at most ``views`` times in all,
    in no more than ``most`` looks.
    """
    extractor = FeatureExtractor(size, 1)
    n, grid = len(examples), size // 8
    labels = np.array([each.bad for each in examples])
    more = _more_views(labels, views, most, seed)
    row = np.array([*range(n), *(row for row, _ in more)], np.int64)
    view = np.array([AS_IT_IS] * n + [number for _, number in more], np.int64)
    place = _kept(labels, row, max(2, _PLACES_BYTES // (grid * grid * COMPONENTS * 2)), seed)
    pooled = np.empty((len(row), POOLED), np.float16)
    textures = np.empty((len(row), TEXTURE), np.float32)
    places = np.empty((int(place.max()) + 1, grid, grid, COMPONENTS), np.float16)
    masks: list[Floats | None] = [None] * len(places)
    whitening = _whitening([each for each in examples if not each.bad] or examples, extractor, size, seed)
    looks_of: list[list[int]] = [[] for _ in range(n)]
    for at, of in enumerate(row.tolist()):
        looks_of[of].append(at)

    def look(number: int) -> None:
        example = examples[number]
        pixels = read_picture(example.path)
        mask = None if example.mask is None else read_mask(example.mask, (grid, grid))
        for at in looks_of[number]:
            shown, turn = _seen_as(
                pixels, int(view[at]), np.random.default_rng((seed, number, int(view[at])))
            )
            pooled[at], local = extractor(prepare(shown, size))
            textures[at] = texture(shown)
            if place[at] >= 0:
                places[place[at]] = whitening(local)
                masks[place[at]] = None if mask is None else np.ascontiguousarray(_turned(mask, turn))

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(look, range(n))):
            progress("looking at pictures", done, n)
    progress("looking at pictures", n, n)
    return Seen(
        row,
        view,
        pooled,
        textures,
        place,
        places,
        tuple(masks),
        whitening,
        size,
        tuple(each.path for each in examples),
        seed,
    )


def _whitening(examples: Sequence[Example], extractor: FeatureExtractor, size: int, seed: int) -> Whitening:
    """Learn from some good pictures how their places spread."""
    random = np.random.default_rng(seed)
    some = random.permutation(len(examples))[:_WHITENED_ON]
    each = max(1, _WHITENED_FROM // len(some))
    found = []
    for number in some.tolist():
        local = extractor(prepare(read_picture(examples[number].path), size))[1]
        flat = local.reshape(-1, local.shape[-1])
        found.append(flat[random.permutation(len(flat))[:each]])
    return fit_whitening(np.concatenate(found))


def _more_views(labels: NDArray[np.bool_], views: int, most: int, seed: int) -> list[tuple[int, int]]:
    """Return (picture, view) of what is looked at beyond the pictures as they are, as many as there is time for.

    Turned views serve a classifier; without bad pictures there is none.
    """
    n = len(labels)
    order = np.random.default_rng(seed).permutation(n).tolist()
    last = views if labels.any() else min(views, COMPRESSED)
    wanted = [(row, view) for view in range(COMPRESSED, last + 1) for row in order]
    return sorted(wanted[: max(0, most - n)])


def _kept(labels: NDArray[np.bool_], row: NDArray[np.int64], room: int, seed: int) -> NDArray[np.int64]:
    """Return where the places of each look are kept, -1: nowhere; first those of the pictures, both kinds alike."""
    n = len(labels)
    random = np.random.default_rng(seed)
    good, bad = (random.permutation(np.flatnonzero(labels == kind)).tolist() for kind in (False, True))
    bad = bad[: max(room // 2, room - len(good))]
    first = [*bad, *good[: room - len(bad)]]
    known = set(first)
    later = [look for look in random.permutation(np.arange(n, len(row))).tolist() if row[look] in known]
    place = np.full(len(row), -1, np.int64)
    for number, look in enumerate(sorted([*first, *later[: max(0, room - len(first))]])):
        place[look] = number
    return place


def _seen_as(pixels: Pixels, view: int, random: np.random.Generator) -> tuple[Pixels, tuple[int, bool]]:
    """Return the picture in a view, and how often it was turned by a right angle and whether it was mirrored."""
    if view == AS_IT_IS:
        return pixels, (0, False)
    if view == COMPRESSED:
        return _compressed(pixels, random), (0, False)
    turn = (int(random.integers(4)), bool(random.random() < 0.5))
    gamma = float(np.exp(random.uniform(-0.15, 0.15)))
    table = np.clip(255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    shown = np.ascontiguousarray(table[_turned(pixels, turn)])
    return (_compressed(shown, random) if random.random() < 0.5 else shown), turn


def _turned(array: NDArray[np.generic], turn: tuple[int, bool]) -> NDArray[np.generic]:
    turned = np.rot90(array, turn[0])
    return turned[:, ::-1] if turn[1] else turned


def _compressed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    quality = int(random.integers(*_QUALITIES))
    packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)
