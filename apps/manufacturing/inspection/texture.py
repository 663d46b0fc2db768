"""Texture near the image: small marks, lines and patches that a network's features are too coarse for, as a few numbers.

Each number is how far the most conspicuous place of a picture stands out from the rest of the same picture, so that
light and material count for little.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.preprocess import Pixels, grey

Floats = NDArray[np.float32]

_SIDE_PX = 288
_SPOTS_PX = (1.0, 2.0, 4.0, 8.0)
_EDGES_PX = (1.5, 3.0)
_PATCHES_PX = (6.0, 12.0)
_BORDER_PX, _CORE_PX = 5, 14

TEXTURE = 4 * 5 + 2 * 4 + 2 * 2 + 2 * 3 + 2
"""How many numbers: spots at four sizes, edges along both axes, their steps, patches, ridges."""


def texture(pixels: Pixels) -> Floats:
    """Return (TEXTURE,) of a picture of any size, grey or colour."""
    picture = grey(pixels)
    scale = _SIDE_PX / max(picture.shape)
    size = (max(48, round(picture.shape[1] * scale)), max(48, round(picture.shape[0] * scale)))
    light = np.log(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) + 4.0)
    inner, core = _inside(light, _BORDER_PX), _inside(light, _CORE_PX)
    out: list[float] = []
    # Spots, on what is left when slow changes along the columns (grain, light) are taken away.
    marks = light - _blur(light, 0.6, 18.0)
    level = _blur(marks, _SPOTS_PX[0])
    for sigma in _SPOTS_PX:
        wide = _blur(marks, 2.2 * sigma)
        spots = (level if sigma == _SPOTS_PX[0] else _blur(marks, sigma)) - wide
        spots /= _spread(spots[inner])
        for part in (spots[inner], spots[core]):
            out += [np.log1p(max(float(part.max()), 0.0)), np.log1p(max(-float(part.min()), 0.0))]
        out.append(np.log1p(_top(np.abs(spots[inner]), 1 / 500)))
    for sigma in _EDGES_PX:
        soft = _blur(light, sigma)
        for along in ((1, 0), (0, 1)):
            edges = np.abs(cv2.Sobel(soft, cv2.CV_32F, *along))[core]
            edges /= _spread(edges)
            out += [np.log1p(float(edges.max())), np.log1p(_top(edges, 1 / 200))]
    for axis in (0, 1):
        profile = np.median(light[core], axis=axis)
        profile = profile - cv2.blur(profile[None], (41, 1), borderType=cv2.BORDER_REFLECT)[0]
        out += [np.log(np.abs(profile).max() + 1e-3), np.log(np.abs(np.diff(cv2.blur(profile[None], (7, 1))[0])).max() + 1e-4)]
    fine = (light - _blur(light, 3.0)) ** 2
    for sigma in _PATCHES_PX:
        energy = np.log(_blur(fine, sigma) + 1e-5)[core]
        energy = energy - np.median(energy)
        out += [float(np.percentile(energy, 99)), -float(np.percentile(energy, 1)), float(energy.std())]
    for sigma_x, sigma_y in ((0.8, 3.0), (3.0, 0.8)):
        wide = (3.0, sigma_y) if sigma_x < sigma_y else (sigma_x, 3.0)
        ridges = (_blur(light, *wide) - _blur(light, sigma_x, sigma_y))[core]
        out.append(np.log1p(_top(np.abs(ridges) / _spread(ridges), 1 / 1000)))
    return np.array(out, np.float32)


def _inside(light: Floats, border: int) -> tuple[slice, slice]:
    return slice(border, light.shape[0] - border), slice(border, light.shape[1] - border)


def _blur(light: Floats, sigma_x: float, sigma_y: float = 0.0) -> Floats:
    """A Gaussian blur; a wide one by three boxes, which cost the same whatever their size."""
    sigma_y = sigma_y or sigma_x
    if max(sigma_x, sigma_y) <= 3.0:
        return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT))
    size = tuple(max(1, int(2 * round((np.sqrt(4 * sigma**2 + 1) - 1) / 2) + 1)) for sigma in (sigma_x, sigma_y))
    out = light
    for _ in range(3):
        out = cv2.blur(out, size, borderType=cv2.BORDER_REFLECT)
    return np.asarray(out, np.float32)


def _spread(values: Floats) -> float:
    """The spread of the bulk: a robust standard deviation, of every fourth value."""
    some = values.ravel()[::4]
    return 1.4826 * float(np.median(np.abs(some - np.median(some)))) + 1e-4


def _top(values: Floats, share: float) -> float:
    """The mean of the largest share of some values."""
    flat = values.ravel()
    count = max(1, int(len(flat) * share))
    return float(np.partition(flat, -count)[-count:].mean())
