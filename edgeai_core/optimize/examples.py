"""Labelled examples from outside: a folder of pictures by class, or arrays in one ``.npz``."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeai_core.arrayfile import read_npy, read_npz
from edgeai_core.errors import InputError

MAX_EXAMPLES = 200_000
MAX_BYTES = 4 << 30
"""The most that a set of examples may hold once it is unpacked."""

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Examples:
    """``inputs`` (n, channels, ...) float32, ``labels`` (n,) numbers of ``classes``; ``groups`` stay together.

    A group is what must not be split between learning and judging: a patient, a part, a recording. ``digest`` is
    that of all arrays. ``origin`` says where they came from, ``judged`` marks what the data's own split sets apart.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    origin: str
    judged: NDArray[np.bool_]

    @property
    def digest(self) -> str:
        """SHA-256 of inputs and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.inputs).view(np.uint8).tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    def rows(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Examples:
        """Return some of the examples."""
        index = np.arange(len(self.labels))[rows]
        return replace(
            self,
            inputs=self.inputs[index],
            labels=self.labels[index],
            groups=tuple(self.groups[row] for row in index),
            judged=self.judged[index],
        )


def read_examples(path: Path, side: int, channels: int = 3) -> Examples:
    """Read labelled examples.

    A folder holds ``labels.csv`` (columns ``file`` and ``label``; ``group`` or ``patient``, and ``split``, are
    heeded) beside the pictures it names, or a folder of pictures for each class. Pictures become (channels, side,
    side) from 0 to 1, squeezed to a square; ``channels`` is 1 (grey) or 3 (red, green, blue). An ``.npz`` holds
    ``inputs`` (n, channels, ...) or (n, length), ``labels`` (n,), and ``groups`` (n,) and ``judged`` (n,) if there are.
    Raises InputError that names the file and what is wrong.
    """
    if path.is_dir():
        return _from_folder(path, side, channels)
    if path.suffix == ".npz":
        return _from_arrays(path)
    raise InputError(f"{path}: labelled examples are a folder of pictures or an .npz file")


def split_by_group(examples: Examples, share: float, seed: int = 0) -> tuple[Examples, Examples]:
    """Return (rest, part): groups drawn whole, class by class, until about ``share`` of each class is apart.

    Raises InputError where a class has fewer than two groups.
    """
    rng = np.random.default_rng(seed)
    groups = np.array(examples.groups)
    label_of = {group: int(label) for group, label in zip(examples.groups, examples.labels, strict=True)}
    apart: set[str] = set()
    for number, name in enumerate(examples.classes):
        own = sorted(group for group, label in label_of.items() if label == number)
        if len(own) < 2:
            raise InputError(f"{examples.origin}: class {name} has {len(own)} groups; two or more are needed")
        apart.update(rng.permutation(own)[: max(1, round(share * len(own)))])
    part = np.isin(groups, sorted(apart))
    return examples.rows(~part), examples.rows(part)


def read_picture(path: Path, side: int, channels: int) -> NDArray[np.float32]:
    """Return a picture as (channels, side, side) from 0 to 1. Raises InputError."""
    import cv2

    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path}: the picture cannot be read: {error.strerror}") from error
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = cv2.imdecode(raw, flags) if raw.size else None
    if image is None:
        raise InputError(f"{path}: this is no picture that can be decoded")
    smaller = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    planes = smaller[None] if channels == 1 else smaller[..., ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(planes, dtype=np.float32)


def _from_folder(path: Path, side: int, channels: int) -> Examples:
    table = path / "labels.csv"
    if table.is_file():
        entries = _table(table)
    else:
        entries = [
            (file, folder.name, file.stem, "")
            for folder in sorted(path.iterdir())
            if folder.is_dir()
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in PICTURES
        ]
    if not entries:
        raise InputError(f"{path}: holds neither labels.csv nor a folder of pictures for each class")
    if len(entries) > MAX_EXAMPLES or len(entries) * channels * side * side * 4 > MAX_BYTES:
        raise InputError(
            f"{path}: {len(entries)} pictures of {side} pixels are more than can be held in memory"
        )
    classes = tuple(sorted({label for _, label, _, _ in entries}))
    _check_classes(path, classes)
    inputs = np.stack([read_picture(file, side, channels) for file, _, _, _ in entries])
    return Examples(
        inputs,
        np.array([classes.index(label) for _, label, _, _ in entries], dtype=np.int64),
        tuple(group for _, _, group, _ in entries),
        classes,
        path.name,
        np.array([split in ("val", "test") for _, _, _, split in entries]),
    )


def _table(path: Path) -> list[tuple[Path, str, str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from error
    found = []
    for number, row in enumerate(rows, start=2):
        name, label = row.get("file"), row.get("label")
        if not name or not label:
            raise InputError(f"{path}:{number}: a row needs file and label")
        place = (path.parent / name).resolve()
        if not place.is_relative_to(path.parent.resolve()):
            raise InputError(f"{path}:{number}: {name} lies outside the folder")
        found.append((place, label, row.get("group") or row.get("patient") or name, row.get("split") or ""))
    return found


def _from_arrays(path: Path) -> Examples:
    arrays = read_arrays(path)
    if "inputs" not in arrays or "labels" not in arrays:
        raise InputError(f"{path}: holds {', '.join(sorted(arrays))}; inputs and labels are needed")
    inputs, labels = arrays["inputs"], arrays["labels"]
    if inputs.ndim == 2:
        inputs = inputs[:, None]
    if inputs.dtype.kind not in "fiu" or inputs.ndim < 3 or not len(inputs):
        raise InputError(
            f"{path}: inputs are {inputs.dtype}{list(inputs.shape)}; numbers (n, channels, ...) are needed"
        )
    if labels.shape != (len(inputs),):
        raise InputError(f"{path}: {list(labels.shape)} labels for {len(inputs)} inputs")
    groups, judged = (
        arrays.get("groups", np.arange(len(inputs))),
        arrays.get("judged", np.zeros(len(inputs), bool)),
    )
    if groups.shape != labels.shape or judged.shape != labels.shape:
        raise InputError(f"{path}: groups and judged must have one entry for each input")
    if not np.isfinite(inputs).all():
        raise InputError(f"{path}: inputs hold what is not a number")
    names, numbers = np.unique(labels, return_inverse=True)
    classes = tuple(str(name) for name in names)
    _check_classes(path, classes)
    return Examples(
        np.asarray(inputs, dtype=np.float32), np.asarray(numbers, dtype=np.int64), tuple(map(str, groups)), classes,
        path.name, np.asarray(judged, dtype=bool),
    )  # fmt: skip


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an ``.npz`` of at most ``MAX_BYTES``, or the one of an ``.npy`` by the name ``inputs``.

    Raises InputError; nothing in the file is run.
    """
    name = f"{path}: cannot be read as arrays"
    if path.suffix != ".npy":
        return read_npz(path, name, MAX_BYTES)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{name}: is larger than {MAX_BYTES >> 30} GiB")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    return {"inputs": read_npy(content, name, MAX_BYTES)}


def _check_classes(path: Path, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise InputError(f"{path}: all examples are of class {', '.join(classes)}; two classes are needed")
