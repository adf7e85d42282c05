"""distances: codes (n, B) + p people, soft bits (r, K) each -> distances (p, c) and scores (p, c) of candidate tracks.

What a ranking (search/ranking.py) needs to know of distances, so that these may be of the one code that every track has
(`ByCode`, here) or of codes of all its frames (search/frame_distances.py). By `Rank.soft` a score is the weighed
distance of `models.binary_codes.soft_codes`, in bits, and comes before the Hamming distance; by `Rank.bits` it is the
soft distance and decides among equal Hamming distances.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Ints
from dhhcli.index.codes import Allowed, Index, Queries
from dhhcli.models.binary_codes import (
    UNIT,
    binarise,
    code_bytes,
    hamming,
    pack,
    soft_codes,
    soft_distance,
    unpack,
    weighed_distances,
)
from dhhcli.search.options import Rank
from dhhcli.search.unique import distinct, distinct_with
from dhhcli.storage.codes_file import Shard

CHUNK = 1 << 16  # tracks whose soft distances are computed at once
Soft = NDArray[np.floating[Any]]  # (r, K): rows that are one person; stored codes are rows of 0 and 1
Distances = NDArray[Any]  # int32, or float64 where they are averages
Scores = NDArray[np.floating[Any]]  # float32, or float64 where they are averages


class Measure(Protocol):
    """Distances of all tracks to some people: those who are wanted, the asked one first, then others.

    A radius is of what comes first in the ranking, see `keys`.
    """

    def radius(self, shots: int) -> float:
        """A radius within which at least so many shots are near the asked one, or all where there are fewer."""

    def candidates(self, radius: float) -> Ints:
        """Tracks (c,) that are allowed and within a radius of somebody who is wanted, rising."""

    def measured(self, ids: Ints) -> tuple[Distances, Scores]:
        """Distance and score (p, c) of tracks (c,) to every person: of the nearest row, by `keys`."""


def keys(rank: Rank, distances: Distances, scores: Scores) -> tuple[NDArray[Any], NDArray[Any]]:
    """What tracks are ranked by, and what decides among equals."""
    return (scores, distances) if rank is Rank.soft else (distances, scores)


def reach(rank: Rank, people: Sequence[Soft], bits: int | None = None) -> float:
    """The largest radius that a track within so many bits (None: any track) of a row of somebody can need."""
    K = people[0].shape[1]
    if rank is Rank.bits:
        return 8 * code_bytes(K) if bits is None else min(bits, 8 * code_bytes(K))
    dearest = -np.sort(-np.concatenate([soft_codes(soft).costs for soft in people]), axis=1)
    return float(dearest[:, : K if bits is None else max(0, bits)].sum(axis=1).max()) / UNIT


@dataclass(frozen=True, eq=False)
class ByCode:
    """`Measure` of the one code that every track has."""

    shard: Shard
    index: Index
    people: Sequence[Soft]
    wanted: int  # how many of them, the first ones
    allowed: Allowed | None
    rank: Rank = Rank.soft
    found: dict[int, tuple[NDArray[np.int32], Ints]] = field(default_factory=dict)  # by k: nearest of the asked one

    def radius(self, shots: int) -> float:
        """See `Measure`."""
        top = shots
        k = 4 * top
        while True:
            distances, ids = self.found[k] = self.index.nearest(rows_of(self.people[0], self.rank), k, self.allowed)
            there = ids >= 0
            near, own = distances[there], self.shard.track_rows(ids[there])["shot"]
            if len(distinct(own)) >= top:
                return last_distance(near, own, top) / unit_of(self.rank)
            if k >= len(self.shard) or not there[:, -1].any():
                return reach(self.rank, self.people)
            k *= 8

    def candidates(self, radius: float) -> Ints:
        """See `Measure`."""
        limit = math.floor(radius * unit_of(self.rank))
        parts = [
            candidates_of(self.index, soft, limit, self.allowed, self.rank) for soft in self.people[1 : self.wanted]
        ]
        return distinct(np.concatenate([self._near(limit), *parts]))

    def measured(self, ids: Ints) -> tuple[Distances, Scores]:
        """See `Measure`."""
        return measured_by_code(self.shard, self.people, ids, self.rank)

    def _near(self, limit: int) -> Ints:
        """Tracks within a limit of the asked one: the nearest that are known already, where these are all."""
        for distances, ids in self.found.values():
            if distances.shape[1] and ((distances[:, -1] > limit) | (distances.shape[1] >= len(self.shard))).all():
                return distinct(ids[(distances <= limit) & (ids >= 0)])
        return candidates_of(self.index, self.people[0], limit, self.allowed, self.rank)


def rows_of(soft: Soft, rank: Rank) -> Queries:
    """What an index is asked with for rows (r, K) of a person."""
    return soft_codes(soft) if rank is Rank.soft else pack(binarise(soft))


def unit_of(rank: Rank) -> int:
    """Steps of an index's distances in a bit."""
    return UNIT if rank is Rank.soft else 1


def candidates_of(index: Index, soft: Soft, limit: int, allowed: Allowed | None, rank: Rank) -> Ints:
    """Tracks (c,) that are allowed and within a limit (in the index's steps) of any row (r, K) of a person, rising."""
    queries = rows_of(soft, rank)
    each = [index.within(queries[row : row + 1], limit, allowed)[0] for row in range(len(queries))]
    return distinct(np.concatenate(each))


def measured_by_code(
    shard: Shard, people: Sequence[Soft], ids: Ints, rank: Rank
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Distance and score (p, c) of tracks to people: of the nearest row, by `keys`."""
    distances = np.empty((len(people), len(ids)), np.int32)
    scores = np.empty((len(people), len(ids)), np.float32)
    measures = [_to_rows(soft, rank) for soft in people]
    for start in range(0, len(ids), CHUNK):
        part = slice(start, start + CHUNK)
        codes = shard.code_rows(ids[part])
        for number, to_rows in enumerate(measures):
            distances[number, part], scores[number, part] = nearest_row(*to_rows(codes), rank)
    return distances, scores


def _to_rows(soft: Soft, rank: Rank) -> Callable[[NDArray[np.uint8]], tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """A function of codes (c, B): distances (r, c) and scores (r, c) to rows (r, K)."""
    asked = soft_codes(soft)

    def to_rows(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        rows = hamming(asked.codes, codes)
        if rank is Rank.soft:
            return rows, weighed_distances(asked, codes).astype(np.float32) / np.float32(UNIT)
        bits = unpack(codes, soft.shape[1])
        return rows, np.stack([soft_distance(row, bits) for row in soft])

    return to_rows


def nearest_row(distances: Distances, scores: Scores, rank: Rank) -> tuple[Distances, Scores]:
    """Distances (r, c) and scores (r, c) to rows -> (c,), (c,) of the row that is nearest by `keys`."""
    first, second = keys(rank, distances, scores)
    best = first.min(axis=0)
    then = np.where(first == best, second, np.inf).min(axis=0)
    return (then, best) if rank is Rank.soft else (best, then)


def last_distance(distances: Distances, shots: NDArray[np.int32], top: int) -> float:
    """How far the `top`-th shot's nearest track is."""
    each = distinct_with(shots)
    best = np.full(len(each.values), np.inf)
    np.minimum.at(best, each.inverse, distances)
    return float(np.sort(best)[min(top, len(best)) - 1])
