"""Folders of labelled pictures: ``labels.csv`` or one folder per class; what belongs together, what is there twice."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.findings import NOTHING_FOUND
from apps.healthcare.imaging.inbox import read_limited
from apps.healthcare.imaging.pictures import Refused, read_picture
from apps.healthcare.imaging.preprocess import Grey
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.duplicates import (
    check_splits_apart,
    exact_groups,
    feature_groups,
    hash_distance,
    perceptual_hash,
)
from edgeai_core.metrics.evaluation import DataRef

CLASSES = {
    "xray": ("normal", "pneumonia"),
    "ct": ("noncovid", "covid"),
    "mri": ("no_tumor", "glioma", "meningioma", "pituitary"),
}
"""By modality, the classes in the order of a network's logits; the first is that of no finding."""

_ALIASES = {
    "xray": {"bacteria": "pneumonia", "virus": "pneumonia"},
    "ct": {"ctcovid": "covid", "ctnoncovid": "noncovid", "covid19": "covid", "normal": "noncovid"},
    "mri": {"gliomatumor": "glioma", "meningiomatumor": "meningioma", "pituitarytumor": "pituitary"},
}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".npy", ".dcm")
_MAX_ROWS = 200_000
_TOGETHER = ("group", "patient", "near_duplicate_group")
"""Columns of labels.csv: rows that share a value in any of them are never on both sides of a split."""

_NEAR = {"xray": 0.985, "ct": 0.95, "mri": 0.97}
"""Correlation of two pictures at 64 x 64 pixels from which they count as one: films of two people come to 0.97."""

_NEAR_BITS = 10
_SIDE = 64


@dataclass(frozen=True)
class Item:
    """One picture of a data set. ``group`` is what must stay together: a patient, a series, look-alikes."""

    path: Path
    label: str
    group: str
    split: str
    grey: Grey


@dataclass(frozen=True)
class Dataset:
    """Pictures of one modality. ``unreadable`` lists those that the reader refuses, with their reasons."""

    name: str
    modality: str
    items: tuple[Item, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers, (n,)."""
        order = {name: number for number, name in enumerate(CLASSES[self.modality])}
        return np.array([order[item.label] for item in self.items], dtype=np.int64)

    def of(self, split: str) -> Dataset:
        """Return the part with this split."""
        return replace(self, items=tuple(item for item in self.items if item.split == split))

    def ref(self) -> DataRef:
        """Return what an evaluation says of it."""
        counts = {"pictures": len(self.items), "groups": len({item.group for item in self.items})}
        for name in CLASSES[self.modality]:
            counts[name] = sum(item.label == name for item in self.items)
        return DataRef(self.name, "not stated in the folder", counts)


def load(folder: Path, modality: str, progress: Progress) -> Dataset:
    """Read a folder. Raises InputError that names the file, line or class that cannot be used."""
    table = folder / "labels.csv"
    rows = list(_from_table(folder, table, modality) if table.is_file() else _from_folders(folder, modality))
    if not rows:
        raise InputError(
            f"{folder}: no pictures; it needs labels.csv, or folders named {', '.join(CLASSES[modality])} "
            "(also below train, val or test)"
        )
    items, unreadable = [], []
    for number, row in enumerate(rows):
        progress(f"reading {folder.name}", number + 1, len(rows))
        try:
            content = read_limited(row.path)
            if isinstance(content, int):
                raise InputError(f"{content} bytes")
            items.append(replace(row, grey=read_picture(content).grey))
        except Refused as refusal:
            unreadable.append(f"{row.path.name}: {refusal}")
        except OSError as error:
            raise InputError(f"{row.path}: {error.strerror}") from error
    if not items:
        raise InputError(f"{folder}: none of {len(rows)} pictures can be read; the first: {unreadable[0]}")
    return Dataset(folder.resolve().name, modality, tuple(items), tuple(unreadable))


def join_look_alikes(dataset: Dataset) -> Dataset:
    """Put copies and near copies into one group, so that no split can come between them.

    Near copies correlate at 64 x 64 pixels, and their perceptual hashes agree.
    """
    alike = look_alikes(dataset)
    groups = _unite(
        [[item.group for item in dataset.items], [f"alike {number}" for number in alike.tolist()]]
    )
    return replace(
        dataset,
        items=tuple(
            replace(item, group=f"g{number}") for item, number in zip(dataset.items, groups, strict=True)
        ),
    )


def look_alikes(dataset: Dataset) -> NDArray[np.int64]:
    """Number pictures so that copies and near copies share a number, (n,)."""
    digests = [
        hashlib.sha256(item.grey.tobytes() + str(item.grey.shape).encode()).digest() for item in dataset.items
    ]
    small = np.array([_small(item.grey) for item in dataset.items])
    near = feature_groups(small, _NEAR[dataset.modality])
    hashes = [perceptual_hash(item.grey) for item in dataset.items]
    keys: list[object] = []
    for number, group in enumerate(near.tolist()):
        first = int(np.flatnonzero(near == group)[0])
        agrees = hash_distance(hashes[first], hashes[number]) <= _NEAR_BITS
        keys.append(("near", group) if agrees else ("alone", number))
    return np.asarray(_unite([digests, keys]), dtype=np.int64)


def check_apart(dataset: Dataset) -> None:
    """Raise InputError where copies, near copies or one group lie on both sides of a split."""
    splits = [item.split or "all" for item in dataset.items]
    names = [item.path.name for item in dataset.items]
    check_splits_apart(look_alikes(dataset), splits, names)
    check_splits_apart(exact_groups([item.group for item in dataset.items]), splits, names)


def _from_table(folder: Path, table: Path, modality: str) -> Iterator[Item]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [row for _, row in zip(range(_MAX_ROWS), csv.DictReader(file), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read: {error}") from error
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise InputError(f"{table}: it needs the columns file and label, and where known group and split")
    columns = [
        [
            f"{column} {row[column]}" if row.get(column) else f"alone {number}"
            for number, row in enumerate(rows)
        ]
        for column in _TOGETHER
        if column in rows[0]
    ]
    groups = _unite(columns or [[f"alone {number}" for number in range(len(rows))]])
    files = [row["file"] for row in rows]
    if len(set(files)) < len(files):
        twice = max(set(files), key=files.count)
        raise InputError(
            f"{table}: {twice!r} stands in {files.count(twice)} lines; a line is a picture of its own"
        )
    root = folder.resolve()
    for number, (row, group) in enumerate(zip(rows, groups, strict=True)):
        path = (root / (row["file"] or "")).resolve()
        if not path.is_relative_to(root):
            raise InputError(f"{table}: line {number + 2}: {row['file']!r} lies outside the folder")
        label = _class(row["label"] or "", modality, f"{table}: line {number + 2}")
        yield Item(
            path,
            label,
            f"g{group}",
            _SPLITS.get((row.get("split") or "").lower(), row.get("split") or ""),
            _NONE,
        )


def _from_folders(folder: Path, modality: str) -> Iterator[Item]:
    places = [(folder, "")]
    if folder.is_dir():
        places += [
            (each, _SPLITS[each.name.lower()])
            for each in sorted(folder.iterdir())
            if each.name.lower() in _SPLITS
        ]
    number = 0
    for place, split in places:
        for each in sorted(place.iterdir()) if place.is_dir() else ():
            if not each.is_dir() or (place == folder and each.name.lower() in _SPLITS):
                continue
            label = _class(each.name, modality, str(each))
            for path in sorted(each.rglob("*")):
                if path.suffix.lower() in _SUFFIXES:
                    number += 1
                    yield Item(path, label, f"g{number}", split, _NONE)


def _class(text: str, modality: str, where: str) -> str:
    plain = "".join(letter for letter in text.lower() if letter.isalnum())
    for name in CLASSES[modality]:
        if plain == name.replace("_", ""):
            return name
    found = _ALIASES[modality].get(plain)
    if found is None:
        raise InputError(
            f"{where}: {text!r} is no class of {modality}; known are {', '.join(CLASSES[modality])}, where "
            f"{NOTHING_FOUND[modality]} is that of no finding"
        )
    return found


def _unite(columns: Sequence[Sequence[object]]) -> list[int]:
    """Number rows so that those that share a value in any column share a number."""
    parent: dict[object, object] = {}

    def root(node: object) -> object:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for row in range(len(columns[0])):
        for place, column in enumerate(columns):
            parent[root((place, column[row]))] = root(("row", row))
    numbers: list[int] = exact_groups([str(root(("row", row))) for row in range(len(columns[0]))]).tolist()
    return numbers


def _small(grey: Grey) -> NDArray[np.float32]:
    return np.asarray(
        cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32
    ).ravel()


_NONE: Grey = np.zeros((0, 0), dtype=np.uint8)
