"""tasks: groups of vectors (n, ...) with their people (n,) -> retrieval figures and curve of every direction.

A direction is a kind of query and a kind of database: stills find sets, shots find stills. Where both are one kind,
nobody finds themselves. Mean average precision, precision at k and the curve are means over queries (metrics.py); the
recall at a false-match rate takes all pairs of a query and an item of a direction together, with one threshold that
lets that share of the pairs of two people through (evaluation/verification.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.models.binary_codes import binarise, hamming, pack, soft_codes, weighed_distances
from dhhcli.research.evaluation.metrics import Ranking, mean_average_precision, ranking
from dhhcli.research.evaluation.verification import rates
from dhhcli.search.options import Rank

Soft = npt.NDArray[np.floating[Any]]
Distance = Callable[[Any, Any], npt.NDArray[Any]]  # vectors (q, ...), (n, ...) -> (q, n), smaller is nearer


@dataclass(frozen=True, eq=False)
class Group:
    """Things of one kind: what ``vectors`` are, only the distance knows."""

    vectors: Any  # (n, ...)
    people: npt.NDArray[np.integer]  # (n,)


@dataclass(frozen=True)
class Line:
    """One line of the table: one representation in one direction."""

    weights: str
    representation: str
    query: str
    database: str
    mean_ap: float
    precision_at_1: float
    precision_at_5: float
    precision_at_10: float
    recall_at_fmr_1e2: float | None  # None: no pair of two people, or none of one
    recall_at_fmr_1e3: float | None
    queries: int
    items: int


@dataclass(frozen=True, eq=False)
class Result:
    """A line and the curve behind it."""

    line: Line
    curve: Ranking


def directions(kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every ordered pair of kinds, those of two kinds first."""
    yield from ((a, b) for a in kinds for b in kinds if a != b)
    yield from ((a, a) for a in kinds)


def measured(
    weights: str,
    representation: str,
    query: str,
    database: str,
    distances: npt.NDArray[Any],
    relevant: npt.NDArray[np.bool_],
    keep: npt.NDArray[np.bool_] | None = None,
) -> Result | None:
    """Figures of one direction; None where no query has anything to find.

    Args:
        weights, representation, query, database: the line's names.
        distances: (q, n).
        relevant: (q, n) bool.
        keep: (q, n) bool, what belongs to a query's database; None: everything.
    """
    if not (relevant if keep is None else relevant & keep).any():
        return None
    within = np.ones_like(relevant) if keep is None else keep
    same, other = distances[relevant & within], distances[~relevant & within]
    found = rates(same, other) if len(same) and len(other) else None
    curve = ranking(distances, relevant, keep)
    line = Line(
        weights,
        representation,
        query,
        database,
        mean_average_precision(distances, relevant, keep),
        curve.precision_at(1),
        curve.precision_at(5),
        curve.precision_at(10),
        found.true_accepts_at(1e-2) if found else None,
        found.true_accepts_at(1e-3) if found else None,
        *relevant.shape,
    )
    return Result(line, curve)


def code_distances(rank: Rank) -> Distance:
    """What `query` ranks codes by: soft bits (q, K) that ask, soft bits (n, K) of which codes are stored -> (q, n)."""

    def distances(asking: Soft, stored: Soft) -> npt.NDArray[Any]:
        codes = pack(binarise(stored))
        if rank is Rank.soft:
            return weighed_distances(soft_codes(asking), codes)
        return hamming(pack(binarise(asking)), codes)

    return distances


def results(
    weights: str,
    representation: str,
    groups: dict[str, Group],
    distance: Distance,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Result]:
    """Figures of some directions (default: all) between groups; those with nothing to find are left out."""
    found = []
    for query, database in pairs if pairs is not None else directions(list(groups)):
        a, b = groups[query], groups[database]
        relevant = a.people[:, None] == b.people[None]
        keep = ~np.eye(len(relevant), dtype=bool) if query == database else None  # nobody finds themselves
        if relevant.size and (relevant if keep is None else relevant & keep).any():
            result = measured(weights, representation, query, database, distance(a.vectors, b.vectors), relevant, keep)
            found += [result] if result else []
    return found
