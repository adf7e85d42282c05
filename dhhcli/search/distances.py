"""distances: codes (n, B) + p people, soft bits (r, K) each -> distances (p, c) and scores (p, c) of candidate tracks.

What a ranking (search/ranking.py) needs to know of distances, so that these may be of the one code that every track has
(`ByCode`, here) or of codes of all its frames (search/frame_distances.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.flat import Allowed
from dhhcli.index.lookup import Source, all_within, nearest
from dhhcli.models.binary_codes import binarise, hamming, pack, soft_distance, unpack
from dhhcli.search.unique import distinct, distinct_with
from dhhcli.storage.codes_file import Shard

CHUNK = 1 << 16  # tracks whose soft distances are computed at once
Soft = NDArray[np.floating[Any]]  # (r, K): rows that are one person; stored codes are rows of 0 and 1
Ints = NDArray[np.int64]
Distances = NDArray[Any]  # int32, or float64 where they are averages


class Measure(Protocol):
    """Distances of all tracks to some people: those who are wanted, the asked one first, then others."""

    def radius(self, shots: int) -> float:
        """A distance within which at least so many shots are near the asked one, or all where there are fewer."""

    def candidates(self, radius: float) -> Ints:
        """Tracks (c,) that are allowed and within a radius of somebody who is wanted, rising."""

    def measured(self, ids: Ints) -> tuple[Distances, NDArray[np.float32]]:
        """Distance and score (p, c) of tracks (c,) to every person: of the nearest row, by distance, then score."""


@dataclass(frozen=True, eq=False)
class ByCode:
    """`Measure` of the one code that every track has."""

    shard: Shard
    source: Source
    people: Sequence[Soft]
    wanted: int  # how many of them, the first ones
    allowed: Allowed | None

    def radius(self, shots: int) -> float:
        """See `Measure`."""
        return radius_of(self.shard, self.source, pack(binarise(self.people[0])), shots, self.allowed)

    def candidates(self, radius: float) -> Ints:
        """See `Measure`."""
        wanted = self.people[: self.wanted]
        return distinct(
            np.concatenate([candidates_of(self.source, soft, math.floor(radius), self.allowed) for soft in wanted])
        )

    def measured(self, ids: Ints) -> tuple[Distances, NDArray[np.float32]]:
        """See `Measure`."""
        return measured_by_code(self.shard, self.people, ids)


def candidates_of(source: Source, soft: Soft, radius: int, allowed: Allowed | None) -> Ints:
    """Tracks (c,) that are allowed and within a radius of any row (r, K) of a person, rising."""
    return distinct(
        np.concatenate([all_within(source, query, radius, allowed)[0] for query in pack(binarise(np.asarray(soft)))])
    )


def measured_by_code(shard: Shard, people: Sequence[Soft], ids: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Distance and score (p, c) of tracks to people: of the nearest row, by distance, then score."""
    distances = np.empty((len(people), len(ids)), np.int32)
    scores = np.empty((len(people), len(ids)), np.float32)
    for start in range(0, len(ids), CHUNK):
        part = slice(start, start + CHUNK)
        codes = shard.code_rows(ids[part])
        bits = unpack(codes, shard.tag.bits)
        for number, soft in enumerate(people):
            rows = hamming(pack(binarise(soft)), codes)  # (r, chunk)
            distances[number, part] = rows.min(axis=0)
            each = np.stack([soft_distance(row, bits) for row in soft])
            scores[number, part] = np.where(rows == distances[number, part], each, np.inf).min(axis=0)
    return distances, scores


def radius_of(shard: Shard, source: Source, queries: NDArray[np.uint8], top: int, allowed: Allowed | None) -> int:
    """A distance within which at least `top` shots lie, or all when there are fewer; and not many more."""
    k = 4 * top
    while True:
        distances, ids = nearest(source, queries, k, allowed)  # (q, k)
        found = ids >= 0
        near, shots = distances[found], shard.track_rows(ids[found])["shot"]
        if len(distinct(shots)) >= top:
            return int(last_distance(near, shots, top))
        if k >= len(shard) or not found[:, -1].any():
            return 8 * int(queries.shape[1])
        k *= 8


def last_distance(distances: Distances, shots: NDArray[np.int32], top: int) -> float:
    """How far the `top`-th shot's nearest track is."""
    each = distinct_with(shots)
    best = np.full(len(each.values), np.inf)
    np.minimum.at(best, each.inverse, distances)
    return float(np.sort(best)[min(top, len(best)) - 1])
