"""Pictures to teach and judge on: folders of good and bad parts, their masks, and which pictures show one part."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.preprocess import MIN_SIDE_PX, Pixels, grey
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.duplicates import content_digest
from edgeai_core.sensors.picture import pictures_in, read_picture

MAX_PICTURES = 50_000
_UNREADABLE_SHARE = 0.1
_THUMBNAIL_PX = 32
_ALIKE = (0.96, 0.98, 0.99, 0.999)
"""Correlation of fine structure from which on two pictures show one part; the first that does not chain them all."""

_HASH_BITS = 12
_NEAREST = 30


@dataclass(frozen=True)
class Example:
    """One picture: its file, whether the part is bad, which part it shows; mask and kind of defect where known."""

    path: Path
    bad: bool
    group: str
    mask: Path | None = None
    kind: str = ""


@dataclass(frozen=True)
class Examples:
    """All pictures, the files that could not be read, and how parts are told apart (``groups_from``)."""

    rows: tuple[Example, ...]
    unreadable: tuple[str, ...]
    groups_from: str

    def some(self, which: NDArray[np.bool_]) -> Examples:
        """Return those of the pictures for which ``which`` (n,) is true."""
        return replace(self, rows=tuple(row for row, keep in zip(self.rows, which, strict=True) if keep))

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for bad parts."""
        return np.array([row.bad for row in self.rows], np.int64)

    @property
    def kinds(self) -> list[str]:
        """Which kind of defect each picture shows; empty: good, or not known."""
        return [row.kind for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """Which part each picture shows."""
        return [row.group for row in self.rows]


def read_examples(
    good: Sequence[Path],
    bad: Sequence[Path],
    masks: Sequence[Path] = (),
    groups: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Examples:
    """List the pictures of some folders, read each once, and find out which show one part.

    Masks lie in ``masks``, or beside a picture under another suffix (``x.jpg`` with ``x.png``); such a file is not
    taken for a picture. A bad picture's kind of defect is named by its sub-folder of ``bad``, else by that of its mask
    in ``masks``, else, with several folders in ``bad``, by its folder.

    Raises InputError where there is none, where more than a tenth cannot be read, and, with their names, where pictures
    are in both kinds of folder.
    """
    listed = [(path, False) for path in _pictures(good)] + [(path, True) for path in _pictures(bad)]
    if not listed:
        raise InputError("no pictures: name folders with --good and --bad")
    if len(listed) > MAX_PICTURES:
        raise InputError(f"{len(listed)} pictures; at most {MAX_PICTURES} are taken")
    kept: list[tuple[Path, bool]] = []
    problems: list[str] = []
    digests: dict[str, tuple[Path, bool]] = {}
    both: list[str] = []
    thumbnails = []
    for done, (path, is_bad) in enumerate(listed):
        progress("reading pictures", done, len(listed))
        try:
            pixels = _usable(path)
        except InputError as error:
            problems.append(str(error))
            continue
        first, first_bad = digests.setdefault(content_digest(pixels), (path, is_bad))
        if first_bad != is_bad:
            both.append(f"{first} and {path}")
        kept.append((path, is_bad))
        thumbnails.append(_thumbnail(pixels))
    progress("reading pictures", len(listed), len(listed))
    if both:
        more = f" and {len(both) - 5} more" if len(both) > 5 else ""
        raise InputError(f"the same picture among good and bad: {'; '.join(both[:5])}{more}; take one away")
    if not kept or len(problems) > _UNREADABLE_SHARE * len(listed):
        raise InputError(f"{len(problems)} of {len(listed)} pictures cannot be read; first: {problems[0]}")
    if groups is not None:
        names, said = _stated_groups(groups, [path for path, _ in kept]), f"column group of {groups.name}"
    else:
        names, said = look_alikes(np.stack(thumbnails)), "look-alikes, turned and mirrored too"
    found = _masks(masks)
    rows = tuple(
        _bad(path, group, bad, masks, found) if is_bad else Example(path, False, group)
        for (path, is_bad), group in zip(kept, names, strict=True)
    )
    return Examples(rows, tuple(problems), said)


def read_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return which share of each cell of a grid of ``shape`` is defect, 0 to 1: pixels above 127."""
    import cv2

    mask = (grey(read_picture(path)) > 127).astype(np.float32)
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)


def look_alikes(thumbnails: NDArray[np.float32]) -> list[str]:
    """Return a name for each picture, the same for those that show one part, turned by right angles or mirrored.

    ``thumbnails`` (n, side, side). Pairs are proposed by a hash of the coarse structure and kept where the fine
    structure correlates.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(thumbnails)
    first, second, alike = _proposed(thumbnails)
    for least in _ALIKE:
        keep = alike >= least
        links = coo_matrix((np.ones(keep.sum()), (first[keep], second[keep])), shape=(n, n))
        numbers = connected_components(links, directed=False)[1]
        if n < 10 or np.bincount(numbers).max() <= max(10, 0.25 * n):
            break
    return [f"part-{number}" for number in numbers]


def _proposed(
    thumbnails: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return pairs (first, second) with near hashes, and how much their fine structure correlates."""
    from edgeai_core.metrics.duplicates import perceptual_hash

    n = len(thumbnails)
    turned = [np.stack([_turn(each, way) for each in thumbnails]) for way in range(8)]
    hashes = np.array([[perceptual_hash(each) for each in way] for way in turned], np.uint64)
    fine = [_fine(way) for way in turned]
    pairs: dict[tuple[int, int], float] = {}
    for row in range(n):
        for way in range(8):
            distance = np.bitwise_count(hashes[way, row + 1 :] ^ hashes[0, row])
            near = np.flatnonzero(distance <= _HASH_BITS)
            if len(near) > _NEAREST:
                near = near[np.argsort(distance[near], kind="stable")[:_NEAREST]]
            if not len(near):
                continue
            others = near + row + 1
            for other, value in zip(
                others.tolist(), (fine[way][others] @ fine[0][row]).tolist(), strict=True
            ):
                pairs[row, other] = max(value, pairs.get((row, other), -1.0))
    first, second = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return first, second, np.array(list(pairs.values()), np.float64)


def _turn(picture: NDArray[np.float32], way: int) -> NDArray[np.float32]:
    turned = np.rot90(picture, way % 4)
    return np.ascontiguousarray(turned.T if way >= 4 else turned)


def _fine(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return unit vectors of what is finer than an eighth of the picture."""
    import cv2

    rows = np.stack([(each - cv2.GaussianBlur(each, (0, 0), _THUMBNAIL_PX / 8)).ravel() for each in pictures])
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-3), np.float32)


def _thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    import cv2

    size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
    return np.asarray(cv2.resize(grey(pixels), size, interpolation=cv2.INTER_AREA), np.float32)


def _usable(path: Path) -> Pixels:
    pixels = read_picture(path)
    if min(pixels.shape[:2]) < MIN_SIDE_PX:
        raise InputError(
            f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels; {MIN_SIDE_PX} a side are the least"
        )
    if int(pixels.max()) - int(pixels.min()) < 8:
        raise InputError(f"{path}: all of one grey; there is nothing to see")
    return pixels


def _pictures(folders: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        files = pictures_in(folder)
        lossy = {path.with_suffix("") for path in files if path.suffix.lower() in (".jpg", ".jpeg")}
        found += [p for p in files if p.suffix.lower() != ".png" or p.with_suffix("") not in lossy]
    return found


def _masks(folders: Sequence[Path]) -> dict[str, Path]:
    return {
        path.stem: path for folder in folders for path in pictures_in(folder) if path.suffix.lower() == ".png"
    }


def _mask_of(path: Path, found: dict[str, Path]) -> Path | None:
    beside = path.with_suffix(".png")
    return found.get(path.stem) or (beside if path.suffix.lower() != ".png" and beside.is_file() else None)


def _bad(
    path: Path, group: str, bad: Sequence[Path], masks: Sequence[Path], found: dict[str, Path]
) -> Example:
    mask = _mask_of(path, found)
    kind = _sub_folder(path, bad) or ("" if mask is None else _sub_folder(mask, masks))
    return Example(path, True, group, mask, kind or (path.parent.name if len(bad) > 1 else ""))


def _sub_folder(path: Path, roots: Sequence[Path]) -> str:
    """Return the first folder below a root on the way to a file; empty where the file lies in the root itself."""
    for root in roots:
        if path.is_relative_to(root):
            return next(iter(path.relative_to(root).parts[:-1]), "")
    return ""


def _stated_groups(table: Path, paths: Sequence[Path]) -> list[str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as CSV: {error}") from error
    if not rows or not {"file", "group"} <= rows[0].keys():
        raise InputError(f"{table}: it needs columns file and group")
    by_name = {Path(row["file"] or "").name: row["group"] or "" for row in rows}
    missing = [path.name for path in paths if path.name not in by_name]
    if missing:
        raise InputError(
            f"{table}: no group for {', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}"
        )
    return [by_name[path.name] for path in paths]
