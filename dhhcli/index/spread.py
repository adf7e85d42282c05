"""spread: runs of a whole's codes (n, B) in several files -> `Index` of the whole: each file searched, answers joined.

A file is searched as it is, by its own rows; what it finds is counted as rows of the whole then. Rows of a file rise in
both countings, so the order (distance, id) is that of one file over everything. Who searches a file is said from
outside: this process, or a worker of a cluster that maps it (index/on_cluster.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.codes import Allowed, Codes, Nearest, Queries, Within, mask_of
from dhhcli.index.flat import NOTHING, Flat

Ranges = NDArray[np.int64]  # (r, 2) ids [first, last), rising and apart


class Search(NamedTuple):
    """What is asked of one file: its `nearest` k, or all `within` a radius (then k is 0)."""

    file: int
    queries: Queries
    k: int
    radius: int
    allowed: Ranges | None  # None: all of its rows


Answer = tuple[NDArray[np.int32], NDArray[np.int64]]  # distances, ids of the file: (q, k) or (m,)
Searcher = Callable[[Sequence[Search]], list[Answer]]


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of the whole that lie in one file: runs of them (r,), by rising row of both."""

    file: int
    rows: int  # tracks in the file
    theirs: NDArray[np.int64]  # first row in the file
    ours: NDArray[np.int64]  # first row in the whole
    lengths: NDArray[np.int64]

    def to_whole(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the file -> rows of the whole; -1 stays."""
        run = np.searchsorted(self.theirs, ids, "right") - 1
        return np.where(ids < 0, -1, ids - self.theirs[run] + self.ours[run])

    def allowed(self, allowed: Allowed | None, n: int) -> Ranges | None:
        """Which rows of the file may be found; None: all."""
        mine = np.stack([self.theirs, self.theirs + self.lengths], axis=1)
        if allowed is not None:
            ranges = _ranges(allowed, n)
            parts = []
            for start, at, length in zip(self.ours.tolist(), self.theirs.tolist(), self.lengths.tolist(), strict=True):
                near = ranges[
                    np.searchsorted(ranges[:, 1], start, "right") : np.searchsorted(ranges[:, 0], start + length)
                ]
                parts.append(np.clip(near, start, start + length) - start + at)
            mine = np.concatenate([np.empty((0, 2), np.int64), *parts])
        mine = joined_ranges(mine)
        return None if len(mine) == 1 and mine[0].tolist() == [0, self.rows] else mine


def joined_ranges(ranges: Ranges) -> Ranges:
    """Ranges that touch each other are one; empty ones none."""
    ranges = ranges[ranges[:, 0] < ranges[:, 1]]
    if len(ranges) < 2:
        return ranges
    opens = np.concatenate([[True], ranges[1:, 0] > ranges[:-1, 1]])
    closes = np.concatenate([opens[1:], [True]])
    return np.stack([ranges[opens, 0], ranges[closes, 1]], axis=1)


def _ranges(allowed: Allowed, n: int) -> Ranges:
    if allowed.dtype != np.bool_:
        mask_of(allowed, n)  # says what is wrong with it
        return np.asarray(allowed, np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask_of(allowed, n).view(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Spread:
    """`Index` of codes in several files. Made by `spread`."""

    codes: Codes  # of the whole
    parts: Sequence[Part]
    loose: Ranges  # rows of the whole that are as in none of the files: searched here
    searcher: Searcher

    def nearest(self, queries: Queries, k: int, allowed: Allowed | None = None) -> Nearest:
        """See `Index`."""
        queries, k, n = self.codes.checked(queries), min(k, len(self.codes)), len(self.codes)
        distances = np.full((len(queries), k), NOTHING, np.int32)
        ids = np.full((len(queries), k), -1, np.int64)
        if k == 0 or not len(queries):
            return distances, ids
        found = self._ask(queries, k, 0, allowed)
        near = np.concatenate([answer[0] for answer in found], axis=1)
        who = np.concatenate([answer[1] for answer in found], axis=1)
        order = np.lexsort((np.where(who < 0, n, who), near), axis=1)[:, :k]
        width = order.shape[1]
        distances[:, :width] = np.take_along_axis(near, order, axis=1)
        ids[:, :width] = np.take_along_axis(who, order, axis=1)
        return distances, ids

    def within(self, query: Queries, radius: int, allowed: Allowed | None = None) -> Within:
        """See `Index`."""
        found = self._ask(self.codes.checked(query), 0, radius, allowed)
        near = np.concatenate([np.empty(0, np.int32), *(answer[0] for answer in found)])
        who = np.concatenate([np.empty(0, np.int64), *(answer[1] for answer in found)])
        order = np.argsort(who)
        return who[order], near[order]

    def _ask(self, queries: Queries, k: int, radius: int, allowed: Allowed | None) -> list[Answer]:
        """What every file answers, in rows of the whole, and what is loose."""
        n = len(self.codes)
        asked = [
            (part, Search(part.file, queries, k, radius, rows))
            for part in self.parts
            if (rows := part.allowed(allowed, n)) is None or len(rows)
        ]
        answers = self.searcher([search for _, search in asked])
        found = [(near, part.to_whole(ids)) for (part, _), (near, ids) in zip(asked, answers, strict=True)]
        if len(self.loose):
            rows = self.loose
            if allowed is not None:
                mask = mask_of(allowed, n) & mask_of(self.loose, n)
                rows = _ranges(mask, n)
            found.append(search_in(Flat(self.codes), Search(-1, queries, k, radius, rows)))
        if not found and k:
            found.append((np.empty((len(queries), 0), np.int32), np.empty((len(queries), 0), np.int64)))
        return found


def search_in(flat: Flat, search: Search) -> Answer:
    """What one file answers."""
    if search.k:
        return flat.nearest(search.queries, search.k, search.allowed)
    ids, distances = flat.within(search.queries, search.radius, search.allowed)
    return distances, ids


def here(flats: Sequence[Flat]) -> Searcher:
    """This process searches, one file after another, each in as many threads as there are cores."""
    return lambda searches: [search_in(flats[search.file], search) for search in searches]


def spread(codes: Codes, runs: Sequence[tuple[int, int, int]], rows: Sequence[int], searcher: Searcher) -> Spread:
    """`Spread` of the whole's codes.

    Args:
        codes: of the whole (n, B).
        runs: how they lie in the files, by row of the whole: number of the file (-1: in none), first row there, rows.
        rows: of each file.
        searcher: who searches them.
    """
    ours = np.cumsum([0, *(length for _, _, length in runs)]).tolist()
    parts = []
    for file, count in enumerate(rows):
        mine = [
            (first, start, length)
            for (own, first, length), start in zip(runs, ours, strict=False)
            if own == file and length
        ]
        if mine:
            theirs, start, lengths = (np.array(column, np.int64) for column in zip(*mine, strict=True))
            parts.append(Part(file, count, theirs, start, lengths))
    loose = [(start, start + length) for (own, _, length), start in zip(runs, ours, strict=False) if own < 0]
    ranges = joined_ranges(np.array(loose, np.int64).reshape(-1, 2))
    return Spread(codes, parts, ranges, searcher)
