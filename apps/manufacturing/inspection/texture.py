"""Texture near the image: small marks, lines and changes that a network is too coarse for, as a few numbers.

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
_LARGE_PX = 4.0
_EDGES_PX = (1.5, 3.0)
_LINE_PX, _LINE_LENGTH_PX, _LINE_GAP_PX = 0.8, 7.0, 81
_STEP_PX, _STEP_MEAN_PX, _LIGHT_PX = 14, 9, 40.0
_BORDER_PX, _CORE_PX = 5, 14

TEXTURE = 4 * 5 + 2 * 4 + 2 * 8 + 2 * 4
"""How many numbers: spots at four sizes, edges along both axes, lines along both axes, changes along both axes."""


def texture(pixels: Pixels) -> Floats:
    """Return (TEXTURE,) of a picture of any size, grey or colour."""
    picture = grey(pixels)
    scale = _SIDE_PX / max(picture.shape)
    size = (max(48, round(picture.shape[1] * scale)), max(48, round(picture.shape[0] * scale)))
    light = np.log(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) + 4.0)
    return np.array([*_spots(light), *_edges(light), *_lines(light), *_changes(light)], np.float32)


def _spots(light: Floats) -> list[float]:
    """Dark and bright spots, on what is left when slow changes along the columns (grain, light) are taken away.

    Large ones are looked for at half the size.
    """
    marks = light - _blur(light, 0.6, 18.0)
    half = np.asarray(cv2.resize(marks, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    out: list[float] = []
    for sigma in _SPOTS_PX:
        picture, scale = (marks, 1) if sigma < _LARGE_PX else (half, 2)
        spots = _blur(picture, sigma / scale) - _blur(picture, 2.2 * sigma / scale)
        inner, core = (spots[_inside(spots, border // scale)] for border in (_BORDER_PX, _CORE_PX))
        spread = _spread(inner)
        for part in (inner, core):
            out += [_log(part.max() / spread), _log(-part.min() / spread)]
        out.append(_log(_top(np.abs(inner), 1 / 500) / spread))
    return out


def _edges(light: Floats) -> list[float]:
    core = _inside(light, _CORE_PX)
    out: list[float] = []
    for sigma in _EDGES_PX:
        soft = _blur(light, sigma)
        for along in ((1, 0), (0, 1)):
            edges = np.abs(cv2.Sobel(soft, cv2.CV_32F, *along)[core])
            spread = _spread(edges)
            out += [_log(edges.max() / spread), _log(_top(edges, 1 / 200) / spread)]
    return out


def _lines(light: Floats) -> list[float]:
    """Thin dark and bright lines along the columns and the rows; and those of them that do not go right through."""
    core = _inside(light, _CORE_PX)
    out: list[float] = []
    for picture in (light, np.ascontiguousarray(light.T)):
        lines = _blur(picture, 3 * _LINE_PX, _LINE_LENGTH_PX) - _blur(picture, _LINE_PX, _LINE_LENGTH_PX)
        dark = lines[core if picture is light else core[::-1]]
        ending = dark - cv2.blur(dark, (1, _LINE_GAP_PX), borderType=cv2.BORDER_REFLECT)
        for found in (dark, ending):
            spread = _spread(found)
            for signed in (found, -found):
                top = max(_top(signed, 1 / 1000), 0.0)
                out += [_log(signed.max() / spread), _log(top / spread)]
    return out


def _changes(light: Floats) -> list[float]:
    """Where a picture goes over from one surface to another: the largest step of four measures along each axis.

    The measures are the energy of fine detail across and along the rows, how far fine detail goes on from one row to
    the next (grain), and the light.
    """
    core = _inside(light, _CORE_PX)
    fine = light - _blur(light, 3.0)
    across = np.log(cv2.Sobel(light, cv2.CV_32F, 1, 0) ** 2 + 1e-4)[core]
    along = np.log(cv2.Sobel(light, cv2.CV_32F, 0, 1) ** 2 + 1e-4)[core]
    wide = (light - _blur(light, _LIGHT_PX))[core]
    out: list[float] = []
    for axis in (1, 0):
        first, second = (fine[1:], fine[:-1]) if axis == 1 else (fine[:, 1:], fine[:, :-1])
        energy = ((first**2 + second**2) / 2)[core].mean(axis=axis) + 1e-5
        profiles = [each.mean(axis=axis) for each in (across, along, wide)]
        profiles.append((first * second)[core].mean(axis=axis) / energy)
        out += [float(np.log(_step(profile) + 1e-3)) for profile in profiles]
    return out


def _step(profile: Floats) -> float:
    """The largest difference between means of two stretches of a profile that lie a little apart."""
    means = np.convolve(profile, np.full(_STEP_MEAN_PX, 1 / _STEP_MEAN_PX), "valid")
    return float(np.abs(means[_STEP_PX:] - means[:-_STEP_PX]).max()) if len(means) > _STEP_PX else 0.0


def _inside(light: Floats, border: int) -> tuple[slice, slice]:
    """The picture without its border."""
    return slice(border, light.shape[0] - border), slice(border, light.shape[1] - border)


def _blur(light: Floats, sigma_x: float, sigma_y: float = 0.0) -> Floats:
    """A Gaussian blur; a wide one by three boxes, which cost the same whatever their size."""
    sigma_y = sigma_y or sigma_x
    if max(sigma_x, sigma_y) <= 3.0:
        return np.asarray(
            cv2.GaussianBlur(light, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT)
        )
    size = tuple(
        max(1, int(2 * round((np.sqrt(4 * sigma**2 + 1) - 1) / 2) + 1)) for sigma in (sigma_x, sigma_y)
    )
    out = light
    for _ in range(3):
        out = np.asarray(cv2.blur(out, size, borderType=cv2.BORDER_REFLECT), np.float32)
    return np.asarray(out, np.float32)


def _log(value: float | np.floating) -> float:
    return float(np.log1p(max(float(value), 0.0)))


def _spread(values: Floats) -> float:
    """The spread of the bulk: a robust standard deviation, of every fifteenth value."""
    some = values[::3, ::5].ravel()
    middle = len(some) // 2
    away = np.abs(some - np.partition(some, middle)[middle])
    return 1.4826 * float(np.partition(away, middle)[middle]) + 1e-4


def _top(values: Floats, share: float) -> float:
    """The mean of the largest share of some values."""
    flat = values.ravel()
    count = max(1, int(len(flat) * share))
    return float(np.partition(flat, -count)[-count:].mean())
