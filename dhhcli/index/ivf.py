"""ivf: codes (n, B) -> centres (L, B), the list of every code (n,), and how many lists a query must look through.

What building costs: every code is compared with every centre. Centres are found by k-majority (Grana et al., "A fast
approach for integrating ORB descriptors in the bag of words model", 2013: k-means on bits, where the mean of a cluster
is the majority of each bit) on a sample; whole numbers only, so the same sample gives the same centres everywhere.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.codes import Codes
from dhhcli.index.flat import Flat, in_threads
from dhhcli.index.ivf_file import Lists, owners_of, probing_order

if TYPE_CHECKING:
    from numpy.random import Generator  # numpy loads its generators when they are named, in 10 ms


RECALL_AT: Final = 20
RECALL_WANTED: Final = 0.99
QUERIES: Final = 1000  # that recall is measured on
FLIPPED: Final = 0.1  # of the bits of a stored code, to make a query of it
LEAST: Final = 39  # codes a list
SAMPLED: Final = 40  # codes a list that are clustered
ROUNDS: Final = 10
ROWS: Final = 1 << 16  # codes that a thread takes at once


def list_count(n: int) -> int:
    """How many lists n codes are put into: a power of two near 2 sqrt(n), with at least LEAST codes each."""
    wanted = 2 ** max(0, round(math.log2(max(1.0, 2 * n**0.5))))
    return int(max(1, min(wanted, n // LEAST)))


def cluster(codes: Codes, count: int, rng: "Generator") -> NDArray[np.uint8]:
    """Centres (count, B) by k-majority on SAMPLED codes a list; `rng` draws these, and the first centres of them."""
    n, width = len(codes), codes.width
    rows = np.arange(n) if n <= SAMPLED * count else np.unique(rng.integers(0, n, SAMPLED * count))
    sample = codes.gather(rows)
    centres = sample[np.sort(rng.choice(len(sample), count, replace=False))]
    for _ in range(ROUNDS):
        owners, distances = _nearest_centres(sample, centres)
        sizes = np.bincount(owners, minlength=count)
        ones = np.zeros((count, 8 * width), np.int64)
        order = np.argsort(owners, kind="stable")
        starts = np.cumsum(sizes) - sizes
        for first in range(0, count, 256):  # the bits of so many lists at once
            some = first + np.flatnonzero(sizes[first : first + 256])
            if len(some):
                own = order[starts[some[0]] : starts[some[-1]] + sizes[some[-1]]]
                bits = np.unpackbits(sample[own], axis=1)
                ones[some] = np.add.reduceat(bits, starts[some] - starts[some[0]], axis=0, dtype=np.int64)
        old = np.unpackbits(centres, axis=1).astype(np.bool_)
        twice = 2 * ones - sizes[:, None]
        majority = np.packbits(np.where(twice == 0, old, twice > 0), axis=1)
        empty = np.flatnonzero(sizes == 0)
        majority[empty] = sample[np.lexsort((np.arange(len(sample)), -distances))[: len(empty)]]  # the worst served
        if (majority == centres).all():
            break
        centres = majority
    return centres


def assign(codes: Codes, centres: NDArray[np.uint8], owners: NDArray[np.int32], ranges: list[tuple[int, int]]) -> None:
    """Put into `owners` (n,) the centre (the first of several) nearest to each code of some id ranges."""
    for first, last in ranges:
        for start in range(first, last, ROWS * 64):
            stop = min(last, start + ROWS * 64)
            owners[start:stop] = _nearest_centres(codes.gather(np.arange(start, stop)), centres)[0]


def kept_owners(old: Lists, videos: NDArray[np.void]) -> tuple[NDArray[np.int32], list[tuple[int, int]]]:
    """The lists of the codes (n,) of `videos` as far as an older index knows them, and the id ranges it does not.

    Raises ValueError where that is damaged.
    """
    known = dict(_ranges(old.videos))
    before = owners_of(old)
    owners = np.full(int(videos["track_end"][-1]) if len(videos) else 0, -1, np.int32)
    new: list[tuple[int, int]] = []
    for digest, (first, last) in _ranges(videos):
        start, stop = known.get(digest, (0, 0))
        if stop - start == last - first:
            owners[first:last] = before[start:stop]
        elif new and new[-1][1] == first:
            new[-1] = (new[-1][0], last)
        else:
            new.append((first, last))
    return owners, new


def probes(
    codes: Codes,
    centres: NDArray[np.uint8],
    owners: NDArray[np.int32],
    rng: "Generator",
    nprobe: int | None = None,
) -> tuple[int, float]:
    """How many lists to look through (unless given), and the recall at 20 that this gives.

    The fewest whose recall lies two standard errors above RECALL_WANTED, so that other queries reach it too. Measured
    on up to QUERIES codes with a tenth of their bits flipped; what is tied with the 20th neighbour, up to the 60th, may
    stand for it. What any number of lists would find follows from where the neighbours lie, so nothing is tried.
    """
    n, width = len(owners), codes.width
    k = min(RECALL_AT, n)
    queries = codes.gather(np.sort(rng.choice(n, min(QUERIES, n), replace=False)))
    queries = queries ^ np.packbits(rng.random((len(queries), 8 * width)) < FLIPPED, axis=1)
    distances, ids = Flat(codes).nearest(queries, 3 * k)
    needed = np.empty((len(queries), k), np.int64)  # so many lists for each neighbour
    for row in range(len(queries)):
        place = np.empty(len(centres), np.int64)
        place[probing_order(centres, queries[row : row + 1])] = np.arange(len(centres))
        good = ids[row][distances[row] <= distances[row, k - 1]]
        needed[row] = np.sort(place[owners[good]])[:k] + 1
    if nprobe is None:
        tried = np.unique(needed)
        low = 0
        while low < len(tried) - 1:  # recall only grows with the number of lists
            middle = (low + len(tried) - 1) // 2
            found = (needed <= tried[middle]).mean(axis=1)
            sure = found.mean() - 2 * found.std() / len(found) ** 0.5 >= RECALL_WANTED
            low, tried = (low, tried[: middle + 1]) if sure else (middle + 1, tried)
        nprobe = int(tried[low])
    nprobe = min(nprobe, len(centres))
    return nprobe, float((needed <= nprobe).mean())


def _ranges(videos: NDArray[np.void]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Digest and ids [first, last) of every video."""
    first = 0
    for digest, last in zip(videos["digest"], videos["track_end"].tolist(), strict=True):
        yield digest.tobytes(), (first, last)
        first = last


def _nearest_centres(
    codes: NDArray[np.uint8], centres: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For codes (c, B) the nearest centre (c,), the first of several, and its distance (c,)."""
    from dhhcli.index.faiss_backend import knn

    owners, distances = np.empty(len(codes), np.int32), np.empty(len(codes), np.int32)

    def work(first: int) -> None:
        near, who = knn(centres, codes[first : first + ROWS], 1)
        owners[first : first + ROWS], distances[first : first + ROWS] = who[:, 0], near[:, 0]

    in_threads(work, range(0, len(codes), ROWS))
    return owners, distances
