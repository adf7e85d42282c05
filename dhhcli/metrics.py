"""metrics: distances (q, n) and relevance (q, n) -> mean average precision, ties by expectation.

Short codes tie by the thousand, and the average precision of a list with ties depends on how a sort happens
to break them. Here it is the expectation over all orders of the tied items (McSherry and Najork, ECIR 2008),
so equal distances give equal figures whatever the order of the database.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating] | npt.NDArray[np.integer]


def average_precision(distances: Floats, relevant: npt.NDArray[np.bool_]) -> float:
    """Expected average precision over the whole ranked list, ties in random order.

    Within a tie of t items, r of them relevant, behind N items of which R are relevant, the item at place i
    of the tie (1..t) is relevant with probability r/t; given that, R + 1 + (i - 1)(r - 1)/(t - 1) relevant
    items are expected up to it.

    Args:
        distances: (n,), smaller is better.
        relevant: (n,) bool.

    Returns:
        In [0, 1]; nan when nothing is relevant.
    """
    total = int(relevant.sum())
    if not total:
        return float("nan")
    order = np.argsort(distances, kind="stable")
    values, relevant = np.asarray(distances)[order], relevant[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    sizes = np.diff(np.r_[starts, len(values)])
    hits = np.add.reduceat(relevant.astype(np.int64), starts)
    before = np.cumsum(hits) - hits  # relevant items ahead of each tie
    tie = np.repeat(np.arange(len(starts)), sizes)
    t, r = sizes[tie], hits[tie]
    place = np.arange(len(values)) - starts[tie]  # 0-based inside the tie
    expected = before[tie] + 1 + place * (r - 1) / np.maximum(t - 1, 1)
    return float((r / t * expected / np.arange(1, len(values) + 1)).sum() / total)


def mean_average_precision(
    distances: Floats, relevant: npt.NDArray[np.bool_], keep: npt.NDArray[np.bool_] | None = None
) -> float:
    """Mean of ``average_precision`` over the queries that have anything relevant.

    Args:
        distances: (q, n).
        relevant: (q, n) bool.
        keep: (q, n) bool, what belongs to a query's database (its own photo does not); None: everything.

    Returns:
        In [0, 1]; nan when no query has anything relevant.
    """
    scores = [
        average_precision(row, rel) if keep is None else average_precision(row[keep[i]], rel[keep[i]])
        for i, (row, rel) in enumerate(zip(distances, relevant, strict=True))
    ]
    answered = [score for score in scores if not np.isnan(score)]
    return float(np.mean(answered)) if answered else float("nan")


def squared_distances(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Squared Euclidean distances of (n, d) and (m, d) -> (n, m)."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.asarray(np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T, 0))


def cosine_distances(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 - cosine of (n, d) and (m, d) -> (n, m)."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.asarray(
        1 - (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T
    )
