"""KITTI's tracking files: detections, labels, calibration and poses in; tracks in the same format out.

Axes of KITTI are those of the rectified camera (x right, y down, z ahead; a box stands on its middle below; ``ry``
turns about y). Inside, boxes are upright ones as in ``edgeai_core.fusion.boxes``: x ahead, y left, z up, yaw from x
to y. A. Geiger, P. Lenz, R. Urtasun, "Are we ready for autonomous driving?", CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_OCCLUSION = 2
MAX_TRUNCATION = 0
MAX_BYTES = 200_000_000

IMAGE_PX = (1242, 375)
"""Width and height of KITTI's pictures; they vary by a few pixels, and the files do not say."""

CAR = 2

_SIGNS = np.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])


@dataclass(frozen=True)
class Detections:
    """Detected cars of a sequence, sorted by frame.

    ``box`` (n, 7); ``image_px`` (n, 4) left, top, right, bottom; ``score`` (n,).
    """

    frame: Ints
    box: Floats
    image_px: Floats
    score: Floats


@dataclass(frozen=True)
class Labels:
    """Truth of a sequence: cars and vans, and the areas in which nobody labelled (``dont_care_px``)."""

    frame: Ints
    id: Ints
    box: Floats
    ignored: NDArray[np.bool_]
    dont_care_frame: Ints
    dont_care_px: Floats


@dataclass(frozen=True)
class Drive:
    """A sequence: its name, how many frames, what was detected; where given, truth, poses and calibration.

    ``poses`` (frames, 3, 4) take points from the camera to that of frame 0; ``projection`` (3, 4) is the left colour
    camera's.
    """

    name: str
    frames: int
    detections: Detections
    labels: Labels | None = None
    poses: Floats | None = None
    projection: Floats | None = None


@dataclass(frozen=True)
class Result:
    """Tracked cars of a sequence, row by row, as ``Detections``, with the track's number (from 1)."""

    frame: Ints
    id: Ints
    box: Floats
    image_px: Floats
    score: Floats


def read_drives(folder: Path, poses: bool = False) -> list[Drive]:
    """Read every sequence of a folder with ``detections/``, and ``label_02/`` and ``ego_poses/`` where they are.

    ``sequences.txt`` lists names and frame counts; without it every file of ``detections/`` is one, and its last
    frame is its length. Raises InputError where a file is missing or makes no sense.
    """
    if not (folder / "detections").is_dir():
        raise InputError(f"{folder}: no folder 'detections' in it; each sequence needs detections/NNNN.txt")
    listing = folder / "sequences.txt"
    if listing.exists():
        lengths = dict(_listed(listing, line) for line in _text(listing).splitlines() if line.strip())
    else:
        lengths = {path.stem: 0 for path in sorted((folder / "detections").glob("*.txt"))}
    if not lengths:
        raise InputError(f"{folder / 'detections'}: holds no sequence (NNNN.txt)")
    return [_drive(folder, name, frames, poses) for name, frames in lengths.items()]


def write_result(path: Path, result: Result) -> None:
    """Write tracks in KITTI's result format; ``alpha`` is the yaw as seen along the ray to the box."""
    rows = []
    x, y, z, length, width, height, yaw = _to_kitti(result.box)
    alpha = _turned(yaw - np.arctan2(x, z))
    for i in range(len(result.frame)):
        pixels = " ".join(f"{value:.4f}" for value in result.image_px[i])
        rows.append(
            f"{result.frame[i]} {result.id[i]} Car 0 0 {alpha[i]:.6f} {pixels} {height[i]:.6f} {width[i]:.6f} "
            f"{length[i]:.6f} {x[i]:.6f} {y[i]:.6f} {z[i]:.6f} {yaw[i]:.6f} {result.score[i]:.6f}\n"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(rows))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def picture_boxes(projection: Floats, box: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return where boxes (n, 7) stand in the picture (n, 4), clipped to it, and whether their middle is in view.

    ``projection`` is ``P2`` of the calibration, (3, 4).
    """
    cos, sin = np.cos(box[:, 6:7]), np.sin(box[:, 6:7])
    dx, dy = box[:, 3:4] / 2 * _SIGNS[0], box[:, 4:5] / 2 * _SIGNS[1]
    ahead = np.maximum(box[:, 0:1] + dx * cos - dy * sin, 0.5)
    left = box[:, 1:2] + dx * sin + dy * cos
    focal, middle_x, middle_y = projection[0, 0], projection[0, 2], projection[1, 2]
    across = middle_x - focal * left / ahead
    top = middle_y - focal * (box[:, 2:3] + box[:, 5:6] / 2) / ahead
    bottom = middle_y - focal * (box[:, 2:3] - box[:, 5:6] / 2) / ahead
    pixels = np.column_stack([across.min(axis=1), top.min(axis=1), across.max(axis=1), bottom.max(axis=1)])
    width, height = IMAGE_PX
    middle = middle_x - focal * box[:, 1] / np.maximum(box[:, 0], 0.5)
    in_view = (box[:, 0] > 1.0) & (middle > 0) & (middle < width)
    return np.clip(pixels, 0, [width, height, width, height]), in_view


def _drive(folder: Path, name: str, frames: int, poses: bool) -> Drive:
    path = folder / "detections" / f"{name}.txt"
    detections = _detections(path)
    last = int(detections.frame[-1]) + 1 if len(detections.frame) else 0
    labels_path = folder / "label_02" / f"{name}.txt"
    labels = _labels(labels_path) if labels_path.exists() else None
    frames = frames or max(last, int(labels.frame.max()) + 1 if labels and len(labels.frame) else 0)
    if last > frames:
        raise InputError(f"{path}: frame {last - 1} is beyond the {frames} frames of the sequence")
    camera = _poses(folder / "ego_poses" / f"{name}.txt", frames) if poses else None
    calibration = folder / "calib" / f"{name}.txt"
    projection = _projection(calibration) if calibration.exists() else None
    return Drive(name, frames, detections, labels, camera, projection)


def _listed(path: Path, line: str) -> tuple[str, int]:
    fields = line.split()
    if len(fields) < 2 or not fields[-1].isdigit() or "/" in fields[0]:
        raise InputError(f"{path}: {line!r} is no 'name frames'")
    return fields[0], int(fields[-1])


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which no sequence is")
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text of numbers") from error


def _numbers(path: Path, lines: Sequence[list[str]], columns: int) -> Floats:
    for i, fields in enumerate(lines):
        if len(fields) < columns:
            raise InputError(f"{path}: line {i + 1} of the boxes has {len(fields)} columns, not {columns}")
    try:
        table = np.array([fields[:columns] for fields in lines], dtype=np.float64).reshape(-1, columns)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not np.isfinite(table).all():
        raise InputError(f"{path}: holds values that are no finite numbers")
    return table


def _detections(path: Path) -> Detections:
    table = _numbers(path, [line.split(",") for line in _text(path).splitlines() if line.strip()], 15)
    table = table[table[:, 1] == CAR]
    table = table[np.argsort(table[:, 0], kind="stable")]
    if len(table) and (table[0, 0] < 0 or (table[:, 7:10] <= 0).any()):
        raise InputError(f"{path}: holds a frame below 0 or a box without extent")
    height, width, length, x, y, z, ry = table[:, 7:14].T
    box = _from_kitti(x, y, z, length, width, height, ry)
    return Detections(table[:, 0].astype(np.int64), box, table[:, 2:6], table[:, 6])


def _labels(path: Path) -> Labels:
    lines = [line.split() for line in _text(path).splitlines() if line.strip()]
    kinds = [fields[2].lower() if len(fields) > 2 else "" for fields in lines]
    cars = [fields for fields, kind in zip(lines, kinds, strict=True) if kind in ("car", "van")]
    areas = [fields for fields, kind in zip(lines, kinds, strict=True) if kind == "dontcare"]
    van = np.array([fields[2].lower() == "van" for fields in cars], np.bool_)
    table = _numbers(path, [[*fields[:2], *fields[3:]] for fields in cars], 16)
    blank = _numbers(path, [[*fields[:2], *fields[3:]] for fields in areas], 16)
    ignored = van | (table[:, 2] > MAX_TRUNCATION) | (table[:, 3] > MAX_OCCLUSION)
    height, width, length, x, y, z, ry = table[:, 9:16].T
    box = _from_kitti(x, y, z, length, width, height, ry)
    return Labels(
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), box, ignored,
        blank[:, 0].astype(np.int64), blank[:, 5:9],
    )  # fmt: skip


def _poses(path: Path, frames: int) -> Floats:
    table = _numbers(path, [line.split() for line in _text(path).splitlines() if line.strip()], 12)
    if len(table) < frames:
        raise InputError(f"{path}: {len(table)} poses for {frames} frames")
    return table[:frames].reshape(-1, 3, 4)


def _projection(path: Path) -> Floats:
    for fields in (line.split() for line in _text(path).splitlines()):
        if fields and fields[0].rstrip(":") == "P2":
            return _numbers(path, [fields[1:]], 12).reshape(3, 4)
    raise InputError(f"{path}: holds no projection 'P2'")


def _from_kitti(
    x: Floats, y: Floats, z: Floats, length: Floats, width: Floats, height: Floats, ry: Floats
) -> Floats:
    return np.column_stack([z, -x, height / 2 - y, length, width, height, -ry - np.pi / 2])


def _to_kitti(box: Floats) -> tuple[Floats, ...]:
    ahead, left, up, length, width, height, yaw = box.T
    return -left, height / 2 - up, ahead, length, width, height, _turned(-yaw - np.pi / 2)


def _turned(angle: Floats) -> Floats:
    """Return angles in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi
