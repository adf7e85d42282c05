"""frame_distances: codes of frames (f, B) of n tracks + a person's rows (r, K) -> distances and scores of tracks (n,).

Methods that hash pictures only have a code for every frame of a track. A track is as far from a photo as its frames
are on average, which is how the paper searches with such methods (Qiao et al., TIP 2019, section V), or as the nearest
of them. Averages are quotients of whole numbers in float64, which are equal exactly where the quotients are (frames and
bits are too few for two unequal ones to round alike), so ties are as exact as those of codes. The score, which decides
among equal distances, is the average of the frames' soft distances to the nearest row, or the least of the frames at
the least distance. By `Rank.soft` it is the other way round: the score, average or least of what frames' bits cost,
comes first, and the distance is the average Hamming distance to the nearest row, or the least of the frames at the
least score.

All frames are compared, in chunks that fit into a cache, whatever index there is: an index holds codes of tracks. What
is asked with is photos' codes, or the one code of each stored track: its frames are not asked with one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Ints
from dhhcli.errors import ShardError
from dhhcli.index.codes import WORDS, Allowed, Queries, mask_of, measurer, tile, width_of
from dhhcli.index.flat import THREAD_FROM, cores, in_threads
from dhhcli.models.binary_codes import (
    UNIT,
    SoftCodes,
    binarise,
    cost_tables,
    hamming,
    pack,
    soft_codes,
    soft_distance,
    unpack,
    weighed,
    weighed_distances,
)
from dhhcli.search.distances import Distances, Scores, Soft, last_distance, reach, rows_of
from dhhcli.search.options import FrameDistance, Rank
from dhhcli.search.unique import distinct
from dhhcli.storage.codes_file import Shard

MAX_FRAMES: Final = 2**15 - 1  # of a track, as TRACK_DTYPE counts them: as many fit into a chunk
SCORED: Final = 1 << 14  # frames whose soft distances are computed at once
FramePiece = tuple[NDArray[np.uint8], NDArray[np.int64]]  # codes (f, B), and where each track's end in them (t,)
Distance = Callable[[NDArray[np.uint8]], NDArray[np.unsignedinteger[Any]]]  # codes (c, B) -> (c,)
Chunk = tuple[NDArray[np.uint8], NDArray[np.int64], int]  # codes (c, B), where each track's begin (s,), first track


def track_distances(
    pieces: Sequence[FramePiece],
    queries: Queries,
    way: FrameDistance,
    allowed: Allowed | None = None,
    threads: int | None = None,
) -> Distances:
    """Distances of all tracks to the nearest of queries (r, B): averages (n,) float64, or minima (n,) int32.

    Hamming, or weighed in UNITths of a bit where the queries say what their bits cost.
    Tracks that are not `allowed` are at infinity, or 2^31 - 1. Their number of `threads` (default: one a core) changes
    nothing. Raises ShardError where a track has no frames, or more than a track can have.
    """
    n = sum(len(ends) for _, ends in pieces)
    mask = None if allowed is None else mask_of(allowed, n)
    average = way is FrameDistance.average
    nearest = np.full(n, np.inf if average else np.iinfo(np.int32).max, np.float64 if average else np.int32)
    chunks = list(_chunks(pieces, width_of(queries), mask))
    words = sum(len(codes) for codes, *_ in chunks) * len(queries) * max(1, width_of(queries) // 8)
    count = max(1, min(cores() if threads is None else threads, len(chunks), words // THREAD_FROM))
    reduce: Any = np.add if average else np.minimum

    def work(part: int) -> None:
        measures = _measures(queries)
        for codes, starts, first in chunks[part::count]:
            here = nearest[first : first + len(starts)]
            frames = np.diff(starts, append=len(codes))
            for measure in measures:
                found = reduce.reduceat(measure(codes), starts, dtype=np.int32)
                np.minimum(here, found / frames if average else found, out=here)

    in_threads(work, range(count), count)
    if mask is not None:
        nearest[~mask] = np.inf if average else np.iinfo(np.int32).max
    return nearest


def _measures(queries: Queries) -> list[Distance]:
    """For every query a function of codes (c, B), at most WORDS words: distances (c,)."""
    if isinstance(queries, SoftCodes):
        tables = [cost_tables(costs, code) for costs, code in zip(queries.costs, queries.codes, strict=True)]
        return [partial(weighed, table) for table in tables]
    measure = measurer(queries.shape[1])

    def to(query: NDArray[Any]) -> Distance:
        return lambda codes: measure(codes, query)

    return [to(tile(query)) for query in queries]


def _chunks(pieces: Sequence[FramePiece], width: int, mask: NDArray[np.bool_] | None) -> Iterator[Chunk]:
    """Whole tracks, at most WORDS words of their frames at once; without those that the mask excludes altogether."""
    most = WORDS // max(1, width // 8)
    before = 0
    for codes, ends in pieces:
        frames = np.diff(ends, prepend=0)
        if len(frames) and not (frames.min() > 0 and frames.max() <= MAX_FRAMES and ends[-1] == len(codes)):
            raise ShardError("frames of tracks do not fit their table: damaged codes file; encode again")
        first = 0
        while first < len(ends):
            begin = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, begin + most, "right")))
            if mask is None or mask[before + first : before + last].any():
                starts = np.concatenate([[begin], ends[first : last - 1]]) - begin
                yield codes[begin : ends[last - 1]], starts, before + first
            first = last
        before += len(ends)


def track_scores(
    pieces: Sequence[FramePiece], ids: Ints, soft: Soft, distances: Distances, way: FrameDistance
) -> NDArray[np.float32]:
    """Scores (c,) of tracks `ids` (c,), whose distances (c,) to the nearest of the rows (r, K) are known."""
    scores = np.empty(len(ids), np.float32)
    soft = np.asarray(soft, np.float64)
    queries = pack(binarise(soft))
    for at, codes, starts in _some(pieces, ids, queries.shape[1]):
        frames = np.diff(starts, append=len(codes))
        bits = unpack(codes, soft.shape[1])
        found = hamming(queries, codes)  # (r, frames)
        best = np.full(len(at), np.inf)
        if way is FrameDistance.average:
            # from the share of ones, so that tracks of the same frames in any order are equal
            share = np.add.reduceat(bits, starts, axis=0, dtype=np.int64) / frames[:, None]  # (c, K)
            for q, row in zip(soft, found, strict=True):
                near = np.add.reduceat(row, starts, dtype=np.int64) / frames == distances[at]
                best[near] = np.minimum(best[near], (q + share[near] * (1 - 2 * q)).sum(axis=1))
        else:
            least = distances[at].repeat(frames)
            for q, row in zip(soft, found, strict=True):
                each = np.where(row == least, soft_distance(q, bits), np.inf)
                best = np.minimum(best, np.minimum.reduceat(each, starts))
        scores[at] = best
    return scores


def track_bits(
    pieces: Sequence[FramePiece], ids: Ints, soft: Soft, scores: Scores, way: FrameDistance
) -> NDArray[np.float64] | NDArray[np.int32]:
    """Hamming distances (c,) of tracks `ids` (c,) to the row that is nearest by what bits cost: scores (c,), bits."""
    asked = soft_codes(soft)
    average = way is FrameDistance.average
    found: Any = np.empty(len(ids), np.float64 if average else np.int32)
    for at, codes, starts in _some(pieces, ids, width_of(asked)):
        frames = np.diff(starts, append=len(codes))
        best = np.full(len(at), np.inf)
        for row, costs in zip(hamming(asked.codes, codes), weighed_distances(asked, codes), strict=True):
            if average:
                near = np.add.reduceat(costs, starts, dtype=np.int64) / frames / UNIT == scores[at]
                bits = np.add.reduceat(row, starts, dtype=np.int64) / frames
                best = np.where(near, np.minimum(best, bits), best)
            else:
                near = costs / UNIT == scores[at].repeat(frames)
                best = np.minimum(best, np.minimum.reduceat(np.where(near, row, np.inf), starts))
        found[at] = best
    return np.asarray(found)


def _some(pieces: Sequence[FramePiece], ids: Ints, width: int) -> Iterator[tuple[Ints, NDArray[np.uint8], Ints]]:
    """Places (s,) in `ids`, codes of those tracks' frames (c, B), where each one's begin (s,); about SCORED codes."""
    before = 0
    for codes, ends in pieces:
        own = np.flatnonzero((ids >= before) & (ids < before + len(ends)))
        local = ids[own] - before
        begins = np.where(local > 0, ends[local - 1], 0)
        frames = ends[local] - begins
        total = np.cumsum(frames)
        first = 0
        while first < len(own):
            done = int(total[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(total, done + SCORED, "right")))
            counts = frames[first:last]
            starts = np.cumsum(counts) - counts
            rows = np.arange(counts.sum()) + (begins[first:last] - starts).repeat(counts)
            yield own[first:last], codes[rows].reshape(-1, width), starts
            first = last
        before += len(ends)


class ByFrames:
    """`measures.Measure` of the codes of all frames: what every track ranks by for every person, computed once."""

    def __init__(
        self,
        shard: Shard,
        people: Sequence[Soft],
        wanted: int,
        way: FrameDistance,
        allowed: Allowed | None = None,
        rank: Rank = Rank.soft,
    ) -> None:
        self.shard, self.people, self.wanted, self.way, self.rank = shard, people, wanted, way, rank
        self.pieces = shard.frame_pieces
        # the others only matter for tracks that somebody who is wanted is near to
        found = [track_distances(self.pieces, rows_of(soft, rank), way, allowed) for soft in people]
        self.farthest = reach(rank, people)
        self.first = [each / UNIT for each in found] if rank is Rank.soft else found

    def radius(self, shots: int) -> float:
        """See `measures.Measure`."""
        first = self.first[0]
        n, k = len(first), 4 * shots
        while k < n:
            ids = np.argpartition(first, k - 1)[:k]
            ids = ids[first[ids] <= self.farthest]
            near = self.shard.track_rows(ids)["shot"]
            if len(distinct(near)) >= shots:
                return last_distance(first[ids], near, shots)
            if len(ids) < k:
                break
            k *= 8
        return self.farthest

    def candidates(self, radius: float) -> Ints:
        """See `measures.Measure`."""
        least = np.minimum.reduce(self.first[: self.wanted])
        return np.flatnonzero(least <= min(radius, self.farthest)).astype(np.int64)

    def measured(self, ids: Ints) -> tuple[Distances, Scores]:
        """See `measures.Measure`."""
        first = np.stack([each[ids] for each in self.first])
        then: Any = track_bits if self.rank is Rank.soft else track_scores
        second = np.stack(
            [then(self.pieces, ids, soft, own, self.way) for soft, own in zip(self.people, first, strict=True)]
        )
        return (second, first) if self.rank is Rank.soft else (first, second)
