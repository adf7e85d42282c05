"""flat: codes (n, B) in pieces, mapped; queries (q, B) -> every distance -> the nearest (q, k), by numpy.

Bare codes need no index, and no faiss: a chunk of codes that fits the processor's cache is XORed with the query, bits
are counted word by word, and what comes under the k-th distance so far is kept. Ids rise along the codes, so a later
track that ties with the k-th never gets in: the order is (distance, id) without looking at ties again. Queries that say
what their bits cost are answered by weighed distances (soft.py), in the same order.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.codes import (
    WORDS,
    Allowed,
    Codes,
    Distances,
    Nearest,
    Queries,
    Within,
    mask_of,
    measurer,
    tile,
    width_of,
)
from dhhcli.index.soft import finder
from dhhcli.models.binary_codes import SoftCodes

Span = tuple[NDArray[np.uint8], int]  # codes (c, B) and the id of the first
FIRST_ROWS: Final = 1 << 12  # the first chunk is small: it gives a bound, and all of it is sorted
QUERIES: Final = 1 << 7  # that are compared with a chunk before the next is read
SOFT_QUERIES: Final = 1 << 4  # of those that are weighed, which need more memory each
SHORT_RANGE: Final = 1 << 14  # ids; shorter ranges on average are looked at through a mask
THREAD_FROM: Final = 1 << 21  # words to compare for each thread: starting one takes 0.1 ms
FAISS_ROWS: Final = 1 << 22  # codes that faiss gets at once where a mask lets some through: these are copied
NOTHING: Final = np.iinfo(np.int32).max  # the distance where fewer than k are left


@dataclass(eq=False)
class Best:
    """Candidates of one query, by rising (distance, id) once settled, and what is too far to become one."""

    bound: int  # from this distance on nothing is wanted
    distances: list[Distances] = field(default_factory=lambda: [np.empty(0, np.uint8)])
    ids: list[NDArray[np.int64]] = field(default_factory=lambda: [np.empty(0, np.int64)])
    waiting: int = 0

    def add(self, distances: Distances, ids: NDArray[np.int64], k: int | None) -> None:
        """Take candidates of higher ids than all before; keep the k nearest, or all."""
        self.distances.append(distances)
        self.ids.append(ids)
        self.waiting += len(ids)
        if k is not None and self.waiting >= 2 * k:
            near, who = np.concatenate(self.distances), np.concatenate(self.ids)
            order = np.argsort(near, kind="stable")[:k]
            self.distances, self.ids, self.waiting = [near[order]], [who[order]], len(order)
            self.bound = int(near[order[-1]])


@dataclass(frozen=True, eq=False)
class Flat:
    """`Index` of bare codes: all of them are compared, exactly, at once up to some ten million tracks.

    In at most `threads` threads (default: as many as there are cores to run on); their number changes nothing.
    """

    codes: Codes
    threads: int | None = None

    def nearest(self, queries: Queries, k: int, allowed: Allowed | None = None) -> Nearest:
        """See `Index`."""
        queries, k = self.codes.checked(queries), min(k, len(self.codes))
        distances = np.full((len(queries), k), NOTHING, np.int32)
        ids = np.full((len(queries), k), -1, np.int64)
        if k == 0:
            return distances, ids
        spans, mask = _spans(self.codes, allowed)
        most = SOFT_QUERIES if isinstance(queries, SoftCodes) else QUERIES
        for start in range(0, len(queries), most):
            block = queries[start : start + most]
            for row, parts in enumerate(_side_by_side(spans, block, k, NOTHING, mask, self.threads), start=start):
                near = np.concatenate([array for best in parts for array in best.distances])
                order = np.argsort(near, kind="stable")[:k]
                distances[row, : len(order)] = near[order]
                ids[row, : len(order)] = np.concatenate([array for best in parts for array in best.ids])[order]
        return distances, ids

    def within(self, query: Queries, radius: int, allowed: Allowed | None = None) -> Within:
        """See `Index`."""
        query = self.codes.checked(query)
        spans, mask = _spans(self.codes, allowed)
        (parts,) = _side_by_side(spans, query, None, radius + 1, mask, self.threads)
        ids = np.concatenate([array for best in parts for array in best.ids])
        return ids, np.concatenate([array for best in parts for array in best.distances]).astype(np.int32)


# ------------------------------------------------------------------------------------------------ what is scanned


def _spans(codes: Codes, allowed: Allowed | None) -> tuple[list[Span], NDArray[np.bool_] | None]:
    """Runs of codes to look at, by rising id, and which ids of these count (None: all)."""
    pieces = codes.pieces
    firsts = np.cumsum([0, *(len(piece) for piece in pieces)]).tolist()
    mask = None if allowed is None else mask_of(allowed, firsts[-1])
    ranges = [(0, firsts[-1])]
    if allowed is not None and allowed.dtype != np.bool_:
        ranges = [(first, last) for first, last in allowed.tolist() if first < last]
        if sum(last - first for first, last in ranges) >= SHORT_RANGE * len(ranges):
            mask = None
        else:
            ranges = [(ranges[0][0], ranges[-1][1])]
    spans = [
        (piece[max(first - start, 0) : last - start], max(first, start))
        for first, last in ranges
        for piece, start in zip(pieces, firsts, strict=False)
        if first < start + len(piece) and start < last
    ]
    return spans, mask


def _chunks(spans: Sequence[Span], mask: NDArray[np.bool_] | None) -> Iterator[Span]:
    """Pieces of at most WORDS words, the first of them smaller; without those that the mask excludes."""
    rows = FIRST_ROWS
    for codes, first in spans:
        start = 0
        while start < len(codes):
            part = codes[start : start + rows]
            if mask is None or mask[first + start : first + start + len(part)].any():
                yield part, first + start
                rows = WORDS // max(1, codes.shape[1] // 8)
            start += len(part)


def _shares(spans: Sequence[Span], count: int) -> list[list[Span]]:
    """The spans in `count` parts of about the same number of codes, in order."""
    total = sum(len(codes) for codes, _ in spans)
    shares: list[list[Span]] = [[] for _ in range(count)]
    done = 0
    for codes, first in spans:
        start = 0
        while start < len(codes):
            part = min(count * done // total, count - 1)
            stop = min(len(codes), start + max(1, -(-total * (part + 1) // count) - done))
            shares[part].append((codes[start:stop], first + start))
            done += stop - start
            start = stop
    return shares


# ------------------------------------------------------------------------------------------------ who scans


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _side_by_side(
    spans: list[Span],
    queries: Queries,
    k: int | None,
    bound: int,
    mask: NDArray[np.bool_] | None,
    threads: int | None,
) -> list[tuple[Best, ...]]:
    """For every query, the candidates of one part of the codes after another."""
    total, words = sum(len(codes) for codes, _ in spans), max(1, width_of(queries) // 8)
    most = cores() if threads is None else threads
    count = max(1, min(most, total, total * len(queries) * words // THREAD_FROM))
    found: list[list[Best]] = [[] for _ in range(count)]
    shares = _shares(spans, count)

    def work(part: int) -> None:
        if isinstance(queries, SoftCodes):
            found[part] = _weighed(shares[part], queries, k, bound, mask)
        elif k and _faiss_repays(total, len(queries), words, count):
            found[part] = _by_faiss(shares[part], queries, k, bound, mask)
        else:
            found[part] = _by_numpy(shares[part], queries, k, bound, mask)

    in_threads(work, range(count), count)
    return list(zip(*found, strict=True))


def _by_numpy(
    spans: Sequence[Span], queries: NDArray[np.uint8], k: int | None, bound: int, mask: NDArray[np.bool_] | None
) -> list[Best]:
    bests = [Best(bound) for _ in queries]
    measure = measurer(queries.shape[1])
    tiles = [tile(query) for query in queries]
    for codes, first in _chunks(spans, mask):
        for query, best in zip(tiles, bests, strict=True):
            distances = measure(codes, query)
            if int(distances.min()) >= best.bound:  # the usual case, and a quick one
                continue
            rows = np.flatnonzero(distances < best.bound)
            if mask is not None:
                rows = rows[mask[first + rows]]
            if len(rows):
                best.add(distances[rows], first + rows, k)
    return bests


def _weighed(
    spans: Sequence[Span], queries: SoftCodes, k: int | None, bound: int, mask: NDArray[np.bool_] | None
) -> list[Best]:
    bests = [Best(bound) for _ in range(len(queries))]
    finds = [finder(queries[row : row + 1], WORDS) for row in range(len(queries))]
    for codes, first in _chunks(spans, mask):
        wanted = None if mask is None else mask[first : first + len(codes)]
        for find, best in zip(finds, bests, strict=True):
            rows, distances = find(codes, best.bound, wanted)
            if len(rows):
                best.add(distances, first + rows, k)
    return bests


def _faiss_repays(total: int, queries: int, words: int, threads: int) -> bool:
    """Whether faiss is so much quicker that importing it, 0.15 s where nobody did yet, costs less than it saves.

    A comparison costs 0.62 ns a word here and 0.45 + 0.1 a word there, and every chunk of every query 10 us here
    (`tests/bench/bench_search.py`: one query over 1e8 codes of 128 bits 143 and 64 ms in one thread, 84 and 39 in two;
    over 1e7 of 64 bits 7.4 and 5.7). So one query in one thread repays the import from 1.5e9 codes of 64 bits or 2.3e8
    of 128 on, a thousand queries from 1.3e6 or 2e5; in two threads twice that.
    """
    chunks = 2 + total * words // WORDS
    ours = queries * (total * words * 0.62e-9 + chunks * 10e-6)
    theirs = queries * total * (0.45 + 0.1 * words) * 1e-9
    return (ours - theirs) / threads > (1e-3 if "faiss" in sys.modules else 0.15)


def _by_faiss(
    spans: Sequence[Span], queries: NDArray[np.uint8], k: int | None, bound: int, mask: NDArray[np.bool_] | None
) -> list[Best]:
    from dhhcli.index.faiss_backend import knn

    bests = [Best(bound) for _ in queries]
    for codes, first in spans:
        rows = len(codes) if mask is None else FAISS_ROWS
        for start in range(first, first + len(codes), rows):
            part = codes[start - first : start - first + rows]
            chosen = None if mask is None else np.flatnonzero(mask[start : start + len(part)])
            part = part if chosen is None else part[chosen]
            near, at = knn(part, queries, min(k or 0, len(part)))
            for best, distances, ids in zip(bests, near, at if chosen is None else chosen[at], strict=True):
                best.add(distances.astype(np.uint16), start + ids, k)
    return bests


def in_threads(work: Callable[[int], None], jobs: Iterable[int], most: int | None = None) -> None:
    """Do every job, in `most` threads (default: one a core); the first error of any is raised."""
    waiting = iter(jobs)
    failed: list[BaseException] = []

    def take() -> None:
        try:
            for job in waiting:
                work(job)
        except BaseException as error:  # noqa: BLE001  (raised below)
            failed.append(error)

    threads = [Thread(target=take) for _ in range((most or cores()) - 1)]
    for thread in threads:
        thread.start()
    take()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
