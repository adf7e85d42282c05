"""search: soft bits of query photos (q, K) -> shots in order, each by its best track.

Short codes tie by the thousand, so the order is complete: Hamming distance, then soft distance
sum |q_k - b_k|, then video path, shot number and track row. Every track tied at the last place is looked at,
so the result is what sorting all tracks would give, whatever finds the candidates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import binarise, hamming, pack, soft_distance, unpack
from .index import Index, Source, all_within, nearest
from .shards import Shard

CHUNK = 1 << 16  # tracks whose soft distances are computed at once


@dataclass(frozen=True)
class Hit:
    """One shot of a ranking; the numbers are those of its best track."""

    rank: int  # 1-based
    distance: int  # Hamming, bits
    score: float  # soft distance, 0 to K
    track: int  # row in the shard
    shot: int  # row in the shard
    tracks: int  # of this shot, how many are no farther than the last hit of the ranking


def search(shard: Shard, soft_queries: NDArray[np.floating[Any]], top: int, index: Index | None = None) -> list[Hit]:
    """The `top` nearest shots (all, when there are fewer) to one person's photos, soft bits (q, K) in [0, 1].

    A track's distance is the smallest over the photos, its score the smallest among the photos at that
    distance; a shot is as near as its first track in the order of the module docstring. Rows of a shard are
    sorted by video path and shot number, so shot rows and track rows stand for the last terms. Exact, unless
    `index` is an ivf index: then the ranking of what its probed lists hold. Raises ValueError for soft bits
    of another shape or not in [0, 1], and for top < 1.
    """
    soft = np.asarray(soft_queries)
    K = shard.tag.bits
    if soft.ndim != 2 or soft.shape[1] != K or not len(soft) or not ((soft >= 0) & (soft <= 1)).all():
        raise ValueError(f"soft bits (q, {K}) between 0 and 1 expected, not {soft.shape}")
    if top < 1:
        raise ValueError(f"top {top} is less than 1")
    queries = pack(binarise(soft))
    source: Source = shard.codes if index is None else index
    radius = _radius(shard, source, queries, top)
    ids = np.unique(np.concatenate([all_within(source, query, radius)[0] for query in queries]))
    if not len(ids):
        return []
    distances = hamming(queries, shard.codes[ids])  # (q, c)
    shots = shard.track_rows(ids)["shot"]  # (c,)
    kept = distances.min(axis=0) <= _last_distance(distances.min(axis=0), shots, top)
    ids, shots, distances = ids[kept], shots[kept], distances[:, kept]
    scores = _scores(shard, soft, distances, ids)
    order = np.lexsort((ids, shots, scores, distances.min(axis=0)))
    found, first, counts = np.unique(shots[order], return_index=True, return_counts=True)
    tracks_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return [
        Hit(
            rank=rank,
            distance=int(distances[:, at].min()),
            score=float(scores[at]),
            track=int(ids[at]),
            shot=int(shots[at]),
            tracks=tracks_of[int(shots[at])],
        )
        for rank, at in enumerate(order[np.sort(first)[:top]].tolist(), start=1)
    ]


def _radius(shard: Shard, source: Source, queries: NDArray[np.uint8], top: int) -> int:
    """A distance within which at least `top` shots lie, or all when there are fewer; and not many more."""
    k = 4 * top
    while True:
        distances, ids = nearest(source, queries, k)  # (q, k)
        found = ids >= 0
        near, shots = distances[found], shard.track_rows(ids[found])["shot"]
        if len(np.unique(shots)) >= top:
            return _last_distance(near, shots, top)
        if k >= len(shard) or not found[:, -1].any():
            return 8 * int(queries.shape[1])
        k *= 8


def _last_distance(distances: NDArray[np.int32], shots: NDArray[np.int32], top: int) -> int:
    """How far the `top`-th shot's nearest track is, or the last shot's when there are fewer."""
    rows, inverse = np.unique(shots, return_inverse=True)
    best: NDArray[np.int32] = np.full(len(rows), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(best, inverse, distances)
    return int(np.sort(best)[min(top, len(best)) - 1])


def _scores(
    shard: Shard, soft: NDArray[np.floating[Any]], distances: NDArray[np.int32], ids: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Per track the smallest soft distance among the photos at the smallest Hamming distance, (c,)."""
    scores = np.empty(len(ids), np.float32)
    for start in range(0, len(ids), CHUNK):
        part = slice(start, start + CHUNK)
        bits = unpack(shard.codes[ids[part]], shard.tag.bits)
        each = np.stack([soft_distance(photo, bits) for photo in soft])  # (q, chunk)
        scores[part] = np.where(distances[:, part] == distances[:, part].min(axis=0), each, np.inf).min(axis=0)
    return scores
