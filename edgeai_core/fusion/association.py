"""Global nearest neighbour: which measurement goes to which track, decided for all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def assign(gain: Floats) -> tuple[Indices, Indices]:
    """Return rows and columns of the pairs that maximise the sum of ``gain`` (n, m); a gain of 0 or less is no pair.

    ``gain`` is how much better (in log-likelihood) a pair explains the data than leaving both alone; minus infinity
    forbids it. Rows and columns of which neither has a rival are settled at once, the others by the assignment of
    R. Jonker and A. Volgenant, Computing 38 (1987), in scipy's implementation.
    """
    possible = gain > 0
    per_row, per_column = possible.sum(axis=1), possible.sum(axis=0)
    rows, columns = np.nonzero(possible)
    alone = (per_row[rows] == 1) & (per_column[columns] == 1)
    if alone.all():
        return rows, columns
    r, c = np.unique(rows[~alone]), np.unique(columns[~alone])
    sub = np.where(possible[np.ix_(r, c)], gain[np.ix_(r, c)], 0.0)
    i, j = linear_sum_assignment(sub, maximize=True)
    taken = sub[i, j] > 0
    return np.concatenate([rows[alone], r[i[taken]]]), np.concatenate([columns[alone], c[j[taken]]])


def assign_in_turn(gain: Floats, first: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Return the pairs of ``assign``, where some rows choose first and the others among the columns that are left.

    With one round for all, a track that hardly exists could push one that surely does to its second choice.
    """
    chosen, others = np.nonzero(first)[0], np.nonzero(~first)[0]
    if not others.size or not chosen.size:
        return assign(gain)
    rows, columns = assign(gain[chosen])
    rest = gain[others]
    rest[:, columns] = -np.inf
    more_rows, more_columns = assign(rest)
    return np.concatenate([chosen[rows], others[more_rows]]), np.concatenate([columns, more_columns])


def log_class_likelihood(belief: Floats, observed: Floats) -> Floats:
    """Return how much likelier (n, m) the observed classes make a pair than chance, as a logarithm.

    ``belief`` (n, classes) is what each track is believed to be; ``observed`` (m, classes) the likelihood of what was
    seen of each measurement, by class, relative to chance: all ones says nothing.
    """
    return np.log(np.maximum(belief @ observed.T, 1e-6))
