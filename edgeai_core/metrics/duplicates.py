"""Duplicates: the same or nearly the same sample twice, which flatters a figure when a split lies between."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from edgeai_core.errors import InputError

HASH_BITS = 64

_SIDE = 32
"""Pixels of the square to which a picture is brought before its hash."""


def content_digest(array: np.ndarray) -> str:
    """Return a SHA-256 that two arrays share exactly when dtype, shape and every bit are the same."""
    if array.dtype.hasobject:
        raise InputError("an array of objects has no digest")
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()


def perceptual_hash(image: np.ndarray) -> int:
    """Return a hash of 64 bits that stays near for a picture scaled, compressed or made brighter.

    ``image`` is (height, width) or (height, width, channels). The bits say which of the 64 slowest waves of its
    cosine transform (the constant one apart, whose bit is 0) lie above their median. Pictures without any
    structure all have the hash 0. Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash
    Functions, 2010.
    """
    import cv2
    from scipy.fft import dctn

    grey = np.asarray(image, dtype=np.float32)
    if grey.ndim == 3:
        grey = grey.mean(axis=2)
    if grey.ndim != 2 or not grey.size:
        raise InputError(
            f"a picture has shape (height, width) or (height, width, channels), not {image.shape}"
        )
    if not np.isfinite(grey).all():
        raise InputError("a picture needs finite values")
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    waves = dctn(small, norm="ortho")[:8, :8].ravel()
    waves[0] = 0.0
    waves[np.abs(waves) < 1e-6 * max(1.0, float(np.abs(small).max()))] = 0.0  # rounding is no structure
    bits = waves > np.median(waves[1:])
    bits[0] = False
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hash_distance(first: int, second: int) -> int:
    """Return how many of 64 bits differ; up to about 6 is the same picture, about 32 another."""
    return (first ^ second).bit_count()


def exact_groups(keys: Sequence[Hashable]) -> np.ndarray:
    """Number samples so that equal keys (content digests, say) share a number; shape (n,)."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=int)


def hash_groups(hashes: Sequence[int], max_distance: int = 6) -> np.ndarray:
    """Number samples so that those within ``max_distance`` bits of each other share a number; shape (n,).

    A chain of near ones is one group, though its ends may lie farther apart.
    """
    if any(not 0 <= value < 1 << HASH_BITS for value in hashes):
        raise InputError(f"a perceptual hash is a number of {HASH_BITS} bits")
    bits = [[float(value >> place & 1) for place in range(HASH_BITS)] for value in hashes]
    # Between corners of a cube the squared distance is the count of bits that differ.
    return _linked(np.array(bits).reshape(-1, HASH_BITS), float(np.sqrt(max_distance + 0.5)))


def feature_groups(features: ArrayLike, min_correlation: float = 0.99) -> np.ndarray:
    """Number rows so that those that correlate by ``min_correlation`` or more share a number; shape (n,).

    ``features`` is (n, size): feature vectors, or windows of a signal, of which scale and offset do not count.
    A window shifted in time is another window: align them first, at a beat or an edge. Rows without any
    variation are alike. A chain of near ones is one group.
    """
    rows = np.asarray(features, dtype=float)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError(f"features must be finite and of shape (n, size), not {rows.shape}")
    if not 0 < min_correlation <= 1:
        raise InputError(f"a least correlation lies above 0 and up to 1, not {min_correlation}")
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length <= 1e-12 * np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    unit = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    # Between unit vectors the squared distance is 2 - 2 * correlation. A flat row, at the origin, lies at
    # distance 1 from all others: one more coordinate sets it apart from them whatever the limit.
    return _linked(np.hstack([unit, 2.0 * flat]), float(np.sqrt(2 - 2 * min_correlation)) + 1e-7)


def across_splits(groups: ArrayLike, splits: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return, for each two splits that share a group of duplicates, one pair of its rows (first < second)."""
    group = np.asarray(groups)
    if group.shape != (len(splits),):
        raise InputError(f"{len(splits)} samples with a split need as many group numbers, not {group.shape}")
    first_rows: dict[tuple[int, Hashable], int] = {}
    members: dict[int, list[int]] = {}
    for row, (number, split) in enumerate(zip(group.tolist(), splits, strict=True)):
        if (number, split) not in first_rows:
            first_rows[number, split] = row
            members.setdefault(number, []).append(row)
    return [(a, b) for rows in members.values() for place, a in enumerate(rows) for b in rows[place + 1 :]]


def check_splits_apart(groups: ArrayLike, splits: Sequence[Hashable], names: Sequence[str]) -> None:
    """Raise InputError that names the pairs, where duplicates lie on both sides of a split."""
    pairs = across_splits(groups, splits)
    if pairs:
        shown = "; ".join(f"{names[a]} ({splits[a]}) and {names[b]} ({splits[b]})" for a, b in pairs[:5])
        more = f"; and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        raise InputError(f"duplicates across splits: {shown}{more}")


def _linked(points: np.ndarray, radius: float) -> np.ndarray:
    """Number points, of shape (n, size), so that those joined by steps up to ``radius`` share a number."""
    if not len(points):
        return np.zeros(0, dtype=int)
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import radius_neighbors_graph

    graph = radius_neighbors_graph(points, radius, mode="connectivity", include_self=True)
    return exact_groups(connected_components(graph, directed=False)[1].tolist())
