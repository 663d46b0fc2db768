"""A simulated part, drawn: a flange of brushed metal with six holes and a printed mark, good or with a known defect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 224

MAX_ROTATION_DEGREES = 6.0
MAX_SHIFT_PX = 4.0

_CENTRE = SIDE_PX / 2
_RADIUS = 88.0
_HOLES, _HOLE_RING, _HOLE_RADIUS = 6, 64.0, 9.0
_BORE_RADIUS = 24.0
_MARK = "EA-7"


class Defect(StrEnum):
    """What can be wrong with a part."""

    SCRATCH = "scratch"
    DENT = "dent"
    MISSING_PIECE = "missing piece"
    STAIN = "stain"
    MISPRINT = "misprint"


@dataclass(frozen=True)
class Scene:
    """How a part lies before the camera, and in which light."""

    rotation_degrees: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    slope: tuple[float, float] = (0.0, 0.0)
    noise: float = 2.0
    blur_px: float = 0.6


@dataclass(frozen=True)
class DrawnPart:
    """``pixels`` (SIDE_PX, SIDE_PX) grey uint8; ``mask``, of the same shape, is True where the defect is."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    defect: Defect | None

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """The defect's box as x1 y1 x2 y2 in pixels; None for a good part."""
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return None
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def draw_scene(random: np.random.Generator) -> Scene:
    """Return a pose and a light within what a fixture and a lamp allow."""
    return Scene(
        rotation_degrees=float(random.uniform(-1, 1) * MAX_ROTATION_DEGREES),
        shift_px=(float(random.uniform(-1, 1) * MAX_SHIFT_PX), float(random.uniform(-1, 1) * MAX_SHIFT_PX)),
        gain=float(random.uniform(0.88, 1.12)),
        slope=(float(random.uniform(-0.08, 0.08)), float(random.uniform(-0.08, 0.08))),
    )


def draw_part(random: np.random.Generator, defect: Defect | None = None, scene: Scene | None = None) -> DrawnPart:
    """Draw one part. The same generator state gives the same pixels."""
    scene = draw_scene(random) if scene is None else scene
    metal = _metal(random, misprint=defect is Defect.MISPRINT)
    before = metal.copy()
    if defect is not None and defect is not Defect.MISPRINT:
        _DAMAGES[defect](metal, random)
    plain = _metal_without_mark(before, defect)
    mask = (np.abs(metal - plain) > 6.0).astype(np.uint8) if defect is not None else np.zeros_like(metal, np.uint8)
    turn = cv2.getRotationMatrix2D((_CENTRE, _CENTRE), scene.rotation_degrees, 1.0)
    turn[:, 2] += scene.shift_px
    laid = cv2.warpAffine(metal, turn, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderValue=_BELT)
    mask = cv2.warpAffine(mask, turn, (SIDE_PX, SIDE_PX), flags=cv2.INTER_NEAREST)
    return DrawnPart(photograph(laid, scene, random), mask > 0, defect)


def photograph(light: NDArray[np.float32], scene: Scene, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return what a camera makes of a scene: its light, blur and noise."""
    rows, columns = np.mgrid[-1 : 1 : SIDE_PX * 1j, -1 : 1 : SIDE_PX * 1j]
    lit = light * scene.gain * (1 + scene.slope[0] * columns + scene.slope[1] * rows)
    blurred = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), scene.blur_px) if scene.blur_px > 0 else lit
    noisy = blurred + random.normal(0.0, scene.noise, light.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


_BELT = 38.0


def _metal(random: np.random.Generator, *, misprint: bool) -> NDArray[np.float32]:
    """A good part, straight and evenly lit; with ``misprint`` its mark is wrong, and that alone."""
    brushed = cv2.GaussianBlur(random.normal(0, 14, (SIDE_PX, SIDE_PX)).astype(np.float32), (0, 0), 5.0, sigmaY=0.4)
    part = 150.0 + brushed
    _circle(part, _CENTRE, _CENTRE, _BORE_RADIUS + 6, 128.0, 3)
    for number in range(_HOLES):
        angle = 2 * math.pi * number / _HOLES
        x, y = _CENTRE + _HOLE_RING * math.cos(angle), _CENTRE + _HOLE_RING * math.sin(angle)
        _circle(part, x, y, _HOLE_RADIUS + 2, 175.0, -1)
        _circle(part, x, y, _HOLE_RADIUS, 30.0, -1)
    _circle(part, _CENTRE, _CENTRE, _BORE_RADIUS, 25.0, -1)
    outside = np.full_like(part, 255.0)
    _circle(outside, _CENTRE, _CENTRE, _RADIUS, 0.0, -1)
    part = np.where(outside > 127, _BELT, part).astype(np.float32)
    _circle(part, _CENTRE, _CENTRE, _RADIUS - 2, 180.0, 2)
    if misprint:
        kind = int(random.integers(3))
        text = ("EA-1", "", "EA-7")[kind]
        _print(part, text, smear=kind == 2)
    else:
        _print(part, _MARK)
    return part


def _print(part: NDArray[np.float32], text: str, *, smear: bool = False) -> None:
    drawn = np.zeros(part.shape, np.uint8)
    cv2.putText(drawn, text, (84, 156), cv2.FONT_HERSHEY_SIMPLEX, 0.62, 255, 2, cv2.LINE_AA)
    ink = drawn.astype(np.float32) / 255
    if smear:
        ink = np.clip(cv2.blur(ink, (13, 3)) * 1.3, 0, 1).astype(np.float32)
    part -= ink * 105.0


def _metal_without_mark(before: NDArray[np.float32], defect: Defect | None) -> NDArray[np.float32]:
    """What a defect's pixels are told against: for a misprint the place of the mark, else the part before damage."""
    if defect is not Defect.MISPRINT:
        return before
    place = before.copy()
    place[140:160, 82:142] -= 50.0
    return place


def _scratch(part: NDArray[np.float32], random: np.random.Generator) -> None:
    angle = random.uniform(0, 2 * math.pi)
    at = _on_metal(random)
    length = random.uniform(22, 48)
    along = np.array([math.cos(angle), math.sin(angle)])
    steps = np.linspace(-length / 2, length / 2, 12)[:, None]
    bend = np.array([-along[1], along[0]]) * (random.uniform(-6, 6) * (steps / length) ** 2 * 4)
    points = np.round((at + along * steps + bend) * 8).astype(np.int32)
    cv2.polylines(part, [points], False, float(random.choice([70.0, 232.0])), 1, cv2.LINE_AA, 3)


def _dent(part: NDArray[np.float32], random: np.random.Generator) -> None:
    x, y = _on_metal(random)
    size = random.uniform(5, 9)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    fall = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * size**2))
    part += (fall * ((columns - x) + (rows - y)) / size * random.uniform(38, 60)).astype(np.float32)


def _missing_piece(part: NDArray[np.float32], random: np.random.Generator) -> None:
    angle = random.uniform(0, 2 * math.pi)
    x, y = _CENTRE + _RADIUS * math.cos(angle), _CENTRE + _RADIUS * math.sin(angle)
    turned = angle + random.uniform(-0.6, 0.6) + np.arange(7) * 2 * math.pi / 7
    reach = random.uniform(8, 16, 7)
    points = np.stack([x + reach * np.cos(turned), y + reach * np.sin(turned)], axis=1)
    cv2.fillPoly(part, [np.round(points * 8).astype(np.int32)], _BELT, cv2.LINE_AA, 3)


def _stain(part: NDArray[np.float32], random: np.random.Generator) -> None:
    x, y = _on_metal(random)
    blot = np.zeros_like(part)
    for _ in range(5):
        dx, dy, size = random.normal(0, 5, 1)[0], random.normal(0, 5, 1)[0], random.uniform(4, 9)
        _circle(blot, x + dx, y + dy, size, 1.0, -1)
    part -= cv2.GaussianBlur(blot, (0, 0), 2.0) * random.uniform(32, 60)


_DAMAGES = {
    Defect.SCRATCH: _scratch,
    Defect.DENT: _dent,
    Defect.MISSING_PIECE: _missing_piece,
    Defect.STAIN: _stain,
}


def _on_metal(random: np.random.Generator) -> NDArray[np.float64]:
    """A place on the flange, between bore and rim and off the holes."""
    while True:
        angle, radius = random.uniform(0, 2 * math.pi), random.uniform(_BORE_RADIUS + 14, _RADIUS - 12)
        step = 2 * math.pi / _HOLES
        nearest = round(angle / step) * step
        hole = _HOLE_RING * np.array([math.cos(nearest), math.sin(nearest)])
        at = radius * np.array([math.cos(angle), math.sin(angle)])
        if float(np.linalg.norm(at - hole)) > _HOLE_RADIUS + 9:
            return np.asarray(at + _CENTRE, np.float64)


def _circle(
    part: NDArray[np.float32], x: float, y: float, radius: float, grey: float, thickness: int
) -> None:
    cv2.circle(part, (round(x * 8), round(y * 8)), round(radius * 8), grey, thickness, cv2.LINE_AA, 3)
