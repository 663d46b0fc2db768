"""Federated averaging: what clients send is checked, weighed and joined; the arithmetic, whatever carries it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError

PUBLISHED_MIX = 0.2
"""Of the global weights in a client's own: 0.8 local and 0.2 global. 1 is plain federated averaging."""

MIN_SAMPLES = 20
"""A client with fewer is refused: its update says more of single samples than of anything common."""

MAX_WEIGHT = 1e6

Arrays = Sequence[NDArray[np.floating]]


def weighted_mean(updates: Sequence[tuple[Arrays, int]]) -> tuple[NDArray[np.float32], ...]:
    """Return the mean of clients' weights, each counting by its number of samples.

    B. McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017.
    Raises InputError without an update.
    """
    total = sum(count for _, count in updates)
    if total <= 0:
        raise InputError("no update to average")
    return tuple(
        np.asarray(
            sum(
                np.asarray(each, np.float64) * (count / total)
                for each, (_, count) in zip(same, updates, strict=True)
            ),
            np.float32,
        )
        for same in zip(*(arrays for arrays, _ in updates), strict=True)
    )


def mixed(local: Arrays | None, common: Arrays, share: float) -> tuple[NDArray[np.float32], ...]:
    """Return a client's weights for its next round: ``share`` of the common ones, the rest its own.

    Without own ones yet, or with a share of 1, the common ones are taken as they are.
    """
    if local is None or share >= 1:
        return tuple(np.asarray(each, np.float32) for each in common)
    return tuple(
        np.asarray((1 - share) * own + share * each, np.float32)
        for own, each in zip(local, common, strict=True)
    )


def refusal(arrays: Arrays, samples: object, wanted: Arrays, min_samples: int = MIN_SAMPLES) -> str | None:
    """Return why a client's update may not be averaged; None where it may.

    ``wanted``: the weights that were sent to it, whose shapes it must keep.
    """
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < min_samples:
        return f"stands on {samples} samples; {min_samples} are the least"
    if len(arrays) != len(wanted):
        return f"sent {len(arrays)} arrays where {len(wanted)} are wanted"
    for number, (array, like) in enumerate(zip(arrays, wanted, strict=True)):
        if array.shape != like.shape or array.dtype.kind != "f":
            return f"sent array {number} as {array.dtype}{list(array.shape)} where float{list(like.shape)} is wanted"
        if not np.isfinite(array).all():
            return f"sent array {number} with numbers that are not finite"
        if np.abs(array).max(initial=0) > MAX_WEIGHT:
            return f"sent array {number} with numbers beyond {MAX_WEIGHT:g}"
    return None


def moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and mean square (d,) of a client's features: what a common scale is made of, and no sample."""
    rows = features.astype(np.float64)
    return rows.mean(axis=0).astype(np.float32), (rows**2).mean(axis=0).astype(np.float32)


def scale_of(mean: NDArray[np.floating], square: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the spread (d,) that belongs to averaged moments."""
    return np.asarray(
        np.sqrt(np.maximum(square.astype(np.float64) - mean.astype(np.float64) ** 2, 0)) + 1e-3, np.float32
    )
