"""neighbours: groups of tracks, by sums of their bits (g, K) -> what they become, (g,): average linkage along a graph.

Every group's neighbours, by the codes that most of its tracks have, make a graph. Groups that are each other's nearest
along its edges become one, again and again; so does, at once, everything whose nearest is a group many times as large,
as it is when one person holds much of a file: one more track hardly moves that group. Distances are means over all
tracks, as average linkage has them, so no two groups become one of which all tracks are farther apart than the limit.

Up to ALL groups are compared with all others; beyond, with those of the CELLS nearest of some 2 sqrt(g) cells, which
index/ivf.py makes, others in every pass. So some neighbours are missed, and only what is nearer than SURE of the limit
becomes one, as average linkage would have it first; what was missed is found when there are fewer groups.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.codes import codes_of
from dhhcli.index.faiss_backend import knn
from dhhcli.index.flat import in_threads
from dhhcli.index.ivf import cluster, list_count
from dhhcli.models.binary_codes import pack, unpack

ALL: Final = 150_000
CELLS: Final = 12
CHUNK: Final = 1 << 14  # tracks unpacked, and edges measured, at once
SURE: Final = 0.75
LARGER: Final = 16  # times the size of what it takes along
Labels = NDArray[np.int64]
Pairs = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Sums:
    """Of g groups of tracks."""

    bits: NDArray[np.float32]  # (g, K) sums of weighted bits
    weights: NDArray[np.float64]  # (g,)
    tracks: NDArray[np.float64]  # (g,) how many
    name: Labels  # (g,) -1: none


def summed(codes: NDArray[np.uint8], weights: NDArray[np.float64], bits: int, group: Labels, named: Labels) -> Sums:
    """Tracks (n,) -> groups (g,)."""
    count = int(group.max()) + 1
    sums = np.zeros((count, bits), np.float32)
    for start in range(0, len(codes), CHUNK):
        rows = slice(start, start + CHUNK)
        own, local = np.unique(group[rows], return_inverse=True)
        sums[own] += _added(weights[rows, None] * unpack(np.ascontiguousarray(codes[rows]), bits), local)
    name = np.full(count, -1, np.int64)
    np.maximum.at(name, group, named)
    tracks = np.bincount(group, minlength=count).astype(np.float64)
    return Sums(sums, np.asarray(np.bincount(group, weights, count), np.float64), tracks, name)


def _added(rows: NDArray[np.floating], to: Labels) -> NDArray[np.floating]:
    """Rows (r, K) added up by where they go, (r,), of which none is left out of 0 .. g - 1 -> (g, K)."""
    order = np.argsort(to, kind="stable")
    starts = np.flatnonzero(np.diff(to[order], prepend=-1))
    return np.asarray(np.add.reduceat(rows[order], starts, axis=0))


def joined_neighbours(groups: Sums, apart: Pairs, limit: float, neighbours: int, turn: int = 0) -> Labels:
    """Groups (g,) -> numbers (g,) of what they become. ``groups`` is used up.

    apart: (p, 2) that are two people. turn: of how many passes this is; other cells in each.
    """
    count = len(groups.tracks)
    label, key = np.arange(count), _edges(groups, neighbours, turn)
    a, b = np.divmod(key, count)
    changed, distances = np.ones(count, bool), np.zeros(len(key))
    apart = apart[apart[:, 0] != apart[:, 1]]
    while True:
        anew = changed[a] | changed[b]
        distances[anew] = _between(groups, a[anew], b[anew])
        kept = (distances <= limit) & ~(
            (groups.name[a] != groups.name[b]) & (groups.name[a] >= 0) & (groups.name[b] >= 0)
        )
        a, b, distances = a[kept], b[kept], distances[kept]
        never = _forbidden(a, b, label[apart], count)
        a, b, distances = a[~never], b[~never], distances[~never]
        if not len(a):
            return np.unique(label, return_inverse=True)[1]
        into, gone = _pairs(groups, a, b, distances, label[apart], count)
        _add_up(groups, into, gone)
        becomes = np.arange(count)
        becomes[gone] = into
        label = becomes[label]
        changed = np.zeros(count, bool)
        changed[into] = True
        a, b = becomes[a], becomes[b]
        a, b = np.minimum(a, b), np.maximum(a, b)
        key, at = np.unique(np.where(a == b, -1, a * count + b), return_index=True)
        at = at[key >= 0]
        a, b, distances = a[at], b[at], distances[at]


def _add_up(groups: Sums, into: Labels, gone: Labels) -> None:
    """Groups take others along; several may go into one."""
    own, local = np.unique(into, return_inverse=True)
    for start in range(0, len(own), CHUNK):
        part = np.flatnonzero((local >= start) & (local < start + CHUNK))
        rows = own[start : start + CHUNK]
        groups.bits[rows] += _added(groups.bits[gone[part]], local[part] - start)
    np.add.at(groups.weights, into, groups.weights[gone])
    np.add.at(groups.tracks, into, groups.tracks[gone])
    np.maximum.at(groups.name, into, groups.name[gone])


def _forbidden(a: Labels, b: Labels, apart: Pairs, count: int) -> NDArray[np.bool_]:
    """Which edges (e,) join what is kept apart."""
    if not len(apart) or not len(a):
        return np.zeros(len(a), np.bool_)
    first, second = np.sort(apart, axis=1).T
    known = np.unique(first * count + second)
    key = a * count + b
    return np.asarray(known[np.searchsorted(known, key).clip(max=len(known) - 1)] == key)


def _pairs(
    groups: Sums, a: Labels, b: Labels, distances: NDArray[np.float64], apart: Pairs, count: int
) -> tuple[Labels, Labels]:
    """Which groups take which along, (m,), (m,): pairs that are each other's nearest, the lower number first, and what
    is nearest to a group LARGER than itself that takes part in no such pair. There always is a pair.
    """
    node, other, far = np.concatenate([a, b]), np.concatenate([b, a]), np.concatenate([distances, distances])
    order = np.lexsort((other, far, node))
    first = order[np.unique(node[order], return_index=True)[1]]
    best = np.full(count, -1, np.int64)
    best[node[first]] = other[first]
    known = node[first]
    mutual = best[best[known]] == known
    ones = known[mutual & (known < best[known])]
    large = groups.tracks[best[known]] >= LARGER * groups.tracks[known]
    stars = known[~mutual & large]
    stars = stars[~np.isin(best[stars], stars)]
    hub = best[stars]
    again = np.isin(hub, ones) | np.isin(hub, best[ones])
    twin = np.arange(count)
    twin[best[ones]] = ones  # a hub that goes into another takes its own along
    into = np.concatenate([ones, np.where(again, twin[hub], hub)])
    gone = np.concatenate([best[ones], stars])
    return _without_clashes(groups, into, gone, apart, count, len(ones))


def _without_clashes(
    groups: Sums, into: Labels, gone: Labels, apart: Pairs, count: int, pairs: int
) -> tuple[Labels, Labels]:
    """The same, less stars (behind the first ``pairs``) that would bring to one group what is kept apart."""
    becomes = np.arange(count)
    becomes[gone] = into
    late = np.arange(len(gone)) >= pairs
    kept = ~(late & (groups.name[gone] >= 0))  # who has a name joins in a pair
    if len(apart):
        clash = becomes[apart[:, 0]] == becomes[apart[:, 1]]
        kept &= ~(late & np.isin(gone, apart[clash]))
    return into[kept], gone[kept]


def _edges(groups: Sums, neighbours: int, turn: int) -> Labels:
    """Pairs of neighbours a < b, as a g + b, rising."""
    count = len(groups.tracks)
    majority = pack(groups.bits >= 0.5 * groups.weights[:, None])
    found = [
        np.unique(np.minimum(a, b) * count + np.maximum(a, b)) for a, b in neighbours_of(majority, neighbours + 1, turn)
    ]
    return np.unique(np.concatenate([np.empty(0, np.int64), *found]))


def neighbours_of(codes: NDArray[np.uint8], k: int, turn: int = 0) -> list[tuple[Labels, Labels]]:
    """Codes (n, B) -> rows of codes and of their k nearest others (themselves among these), a piece at a time."""
    n = len(codes)
    if n <= ALL:
        jobs = [(np.arange(start, min(start + CHUNK, n)), np.arange(n)) for start in range(0, n, CHUNK)]
    else:
        jobs = _cells(codes, turn)
    found: list[tuple[Labels, Labels]] = [(np.empty(0, np.int64), np.empty(0, np.int64))] * len(jobs)

    def work(job: int) -> None:
        asked, among = jobs[job]
        _, near = knn(codes[among], codes[asked], min(k, len(among)))
        a, b = np.repeat(asked, near.shape[1]), among[near.ravel()]
        found[job] = a[a != b], b[a != b]

    in_threads(work, range(len(jobs)))
    return found


def _cells(codes: NDArray[np.uint8], turn: int) -> list[tuple[Labels, Labels]]:
    """For each cell, the rows in it, and the rows in the CELLS cells that are nearest to its centre."""
    count = list_count(len(codes))
    centres = cluster(codes_of(codes), count, np.random.default_rng(turn))
    owner = np.empty(len(codes), np.int64)

    def work(start: int) -> None:
        owner[start : start + CHUNK] = knn(centres, codes[start : start + CHUNK], 1)[1][:, 0]

    in_threads(work, range(0, len(codes), CHUNK))
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=count))
    rows = np.split(order, ends[:-1])
    _, near = knn(centres, centres, min(CELLS, count))
    return [
        (own, np.concatenate([rows[cell] for cell in cells])) for own, cells in zip(rows, near, strict=True) if len(own)
    ]


def _between(groups: Sums, a: Labels, b: Labels) -> NDArray[np.float64]:
    """Mean distances of the tracks of groups a (e,) and b (e,): see ``clustering.mean_distances``."""
    out = np.empty(len(a))
    ones = groups.bits.sum(axis=1, dtype=np.float64)
    for start in range(0, len(a), CHUNK):
        i, j = a[start : start + CHUNK], b[start : start + CHUNK]
        both = np.einsum("ek,ek->e", groups.bits[i], groups.bits[j], dtype=np.float64)
        total = groups.weights[i] * ones[j] + groups.weights[j] * ones[i] - 2 * both
        out[start : start + CHUNK] = total / (groups.tracks[i] * groups.tracks[j])
    return np.round(out, 6)
