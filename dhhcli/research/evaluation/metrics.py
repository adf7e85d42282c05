"""metrics: distances (q, n) and relevance (q, n) -> mean average precision, precision at k, ties by expectation.

Short codes tie by the thousand, and the average precision of a list with ties depends on how a sort happens
to break them. Here it is the expectation over all orders of the tied items (McSherry and Najork, ECIR 2008),
so equal distances give equal figures whatever the order of the database. Precision at k and the precision-recall
curve are expectations in the same sense: inside a tie every place holds a relevant item with the same probability.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Numbers


def average_precision(distances: Numbers, relevant: npt.NDArray[np.bool_]) -> float:
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
    distances: Numbers, relevant: npt.NDArray[np.bool_], keep: npt.NDArray[np.bool_] | None = None
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


def expected_hits(distances: Numbers, relevant: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How many relevant items the first k places hold, for k = 1..n, ties in random order.

    Behind R relevant items, the first i places of a tie of t items, r of them relevant, add i r / t.

    Args:
        distances: (n,), smaller is better.
        relevant: (n,) bool.

    Returns:
        (n,), rising to the number of relevant items.
    """
    order = np.argsort(distances, kind="stable")
    values, relevant = np.asarray(distances)[order], relevant[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(values) else np.empty(0, np.int64)
    sizes = np.diff(np.r_[starts, len(values)])
    hits = np.add.reduceat(relevant.astype(np.int64), starts) if len(starts) else np.empty(0, np.int64)
    return np.cumsum(np.repeat(hits / np.maximum(sizes, 1), sizes))


@dataclass(frozen=True, eq=False)
class Ranking:
    """What lists of every length k = 1..n hold, mean over the queries that have anything relevant."""

    precision: npt.NDArray[np.float64]  # (n,) share of the first k places that is relevant
    recall: npt.NDArray[np.float64]  # (n,) share of the relevant items that stands in the first k places

    def precision_at(self, k: int) -> float:
        """Expected precision of the first k places; nan without queries. Places behind a list's end hold nothing."""
        if not len(self.precision):
            return float("nan")
        return float(self.precision[min(k, len(self.precision)) - 1] * min(k, len(self.precision)) / k)


def ranking(distances: Numbers, relevant: npt.NDArray[np.bool_], keep: npt.NDArray[np.bool_] | None = None) -> Ranking:
    """Precision and recall at every list length: the precision-recall curve, its points in order.

    Args:
        distances: (q, n).
        relevant: (q, n) bool.
        keep: (q, n) bool, what belongs to a query's database; shorter lists hold nothing behind their end.

    Returns:
        n points, none when no query has anything relevant.
    """
    precision, recall, queries = np.zeros(distances.shape[1]), np.zeros(distances.shape[1]), 0
    places = np.arange(1, distances.shape[1] + 1)
    longest = 0
    for i, (row, rel) in enumerate(zip(np.asarray(distances), relevant, strict=True)):
        hits = expected_hits(row, rel) if keep is None else expected_hits(row[keep[i]], rel[keep[i]])
        if not len(hits) or hits[-1] == 0:
            continue
        longest = max(longest, len(hits))
        hits = np.pad(hits, (0, len(places) - len(hits)), mode="edge")
        precision += hits / places
        recall += hits / hits[-1]
        queries += 1
    return Ranking(precision[:longest] / max(queries, 1), recall[:longest] / max(queries, 1))


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
