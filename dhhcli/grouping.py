"""grouping: codes (n, B) of tracks + pairs of them that are two people (p, 2) -> which person each track is of (n,).

Average linkage (UPGMA, scipy): two groups become one while the mean distance of their tracks stays within a limit, and
while no track of one is known to be somebody else than a track of the other: two that are visible at once in one shot,
or that carry different names. Such a pair is infinitely far, so a group never holds one.

**Distances are relative to the footage.** How far strangers' codes lie apart depends on what was filmed: 64 of 128 bits
between celebrities' photos, 37 between students before one webcam, where a limit in bits makes one person of fifteen.
So the distance of two tracks is divided by how far each of them usually is from others (geometric mean of the 75th
percentiles of their distances to all tracks of the file and to STRANGERS imagined ones, which lie as strangers did
when the weights were calibrated) and multiplied by that percentile of the calibration. The imagined ones hold the
scale where a file shows few people; where one person makes up most of a large file, he comes apart into more groups.

**The limit** is the distance within which RATE of strangers' tracks lie, by the calibration in the weights' record; 40
of 128 bits. It was chosen on half of the people of faces-val.h5 (never trained on) for a precision near 0.85; these
are B-cubed precision / recall / F (Bagga and Baldwin 1998) on the other half, on webcam sessions and on film, 128 bits
(``PYTHONPATH=tests python tests/bench/bench_people.py``, which says what the columns are):

==============================  =============  =============  =============  =============  =============
way                             shots          mixed          tail           webcam         film
==============================  =============  =============  =============  =============  =============
this, RATE .01                  .87 .56 .681   .88 .72 .789   .76 .54 .630   .92 .82 .866   .92 .82 .868
RATE .003                       .94 .43 .591   .91 .64 .749   .88 .47 .615   .96 .74 .832   .92 .70 .796
RATE .02                        .82 .63 .712   .82 .78 .798   .64 .58 .607   .85 .86 .856   .88 .86 .868
distances as they are, 40 bits  .84 .57 .679   .86 .73 .789   .73 .54 .624   .20 .97 .331   .88 .86 .868
distances as they are, 26 bits  1.0 .22 .361   1.0 .31 .477   1.0 .38 .546   .88 .82 .850   1.0 .65 .784
nobody kept apart               .87 .56 .681   .88 .72 .793   .76 .54 .630   .92 .82 .866   .87 .78 .826
complete linkage, RATE .05      .83 .56 .670   .88 .64 .742   .63 .54 .582   .89 .80 .841   .92 .71 .803
components, RATE .0003          .96 .31 .470   .80 .65 .719   .98 .41 .580   .93 .84 .883   .81 .74 .775
HDBSCAN, excess of mass         .88 .46 .604   .98 .60 .740   .69 .55 .615   1.0 .51 .677   .90 .63 .745
==============================  =============  =============  =============  =============  =============

In the first three, each track is another photo of the person, often years apart: film is easier. Its figures are of
few people (23), labelled by eye. Where a file shows one person alone, in 40 such photos, recall is .37 (.52 with
distances as they are): that is what the webcam's precision costs.

Up to EXACT tracks this is exact. Beyond, it goes in rounds over blocks of at most BLOCK groups: first runs of tracks in
the order of the file, then groups that random projections of their mean codes put together. In a later round a group
counts like one track, whatever its size, and two that no round puts into one block stay two. Memory: one block's
distances, and K numbers of 4 bytes a group: 0.5 GB for a million groups of 128 bits.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .calibration import Curve
from .codes import hamming, unpack

RATE: Final = 0.01  # share of strangers' tracks within the limit
USUAL: Final = 0.75  # which quantile of a track's distances says how far it usually is from others
STRANGERS: Final = 40  # imagined ones
OTHERS: Final = 1000  # tracks, at most, that each is compared with to know what is usual
EXACT: Final = 12_000  # tracks; the distances of so many take 0.6 GB, and scipy a copy
BLOCK: Final = 4096
ROUNDS: Final = 6
FEW: Final = 0.002  # share of the groups: a round that brings fewer together is the last
FAR: Final = 1e12  # more than any mean that a limit allows, also when one of 10^8 pairs has it
CHUNK: Final = 1 << 14  # tracks unpacked at once

Labels = NDArray[np.int64]
Pairs = NDArray[np.integer]


def limit_of(curve: Curve, rate: float = RATE) -> int:
    """The largest distance, bits, that at most ``rate`` of strangers' tracks are within."""
    return max(0, int(np.searchsorted(curve.false_rate, rate, side="right")) - 1)


def usual_distances(codes: NDArray[np.uint8], curve: Curve | None) -> NDArray[np.float64]:
    """How far each track usually is from others, as a share of what the calibration says, (n,); 1 without one."""
    n = len(codes)
    if curve is None or n == 0:
        return np.ones(n)
    shares = (np.arange(STRANGERS) + 0.5) / STRANGERS
    imagined = np.searchsorted(curve.false_rate, shares)  # (s,) bits
    expected = max(1.0, float(np.searchsorted(curve.false_rate, USUAL)))
    others = np.unique(np.linspace(0, n - 1, min(n, OTHERS)).round().astype(np.int64))
    sampled = np.ascontiguousarray(codes[others])
    usual = np.empty(n)
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        distances = hamming(np.ascontiguousarray(codes[rows]), sampled)  # (r, o)
        itself = rows[:, None] == others[None]
        distances[itself] = np.iinfo(np.int32).max
        known = np.concatenate([distances, np.broadcast_to(imagined, (len(rows), STRANGERS))], axis=1)
        known.sort(axis=1)
        count = known.shape[1] - itself.sum(axis=1)
        usual[rows] = known[np.arange(len(rows)), np.ceil(USUAL * count).astype(np.int64) - 1]
    return np.maximum(usual, 1.0) / expected


def group_tracks(
    codes: NDArray[np.uint8],
    bits: int,
    apart: Pairs,
    limit: float,
    rng: np.random.Generator,
    *,
    usual: NDArray[np.float64] | None = None,
    names: NDArray[np.integer] | None = None,
    exact: int = EXACT,
    block: int = BLOCK,
) -> Labels:
    """Group tracks by who they show; groups are numbered by their first track.

    Args:
        codes: (n, B) of K = ``bits`` bits.
        apart: (p, 2) rows of tracks that are two people.
        limit: mean distance of the tracks of two groups, bits, up to which they become one.
        rng: draws the blocks where there are several.
        usual: (n,) of ``usual_distances``; None: distances are taken as they are.
        names: (n,) number of a name that each track was given, -1 for none. Tracks of one name end in one group, and
            a group holds one name at most.
        exact: up to so many tracks are one block.
        block: groups in a block otherwise.
    """
    n = len(codes)
    weights = np.ones(n) if usual is None else 1 / np.sqrt(usual)
    named = np.full(n, -1, np.int64) if names is None else np.asarray(names, np.int64)
    group = np.arange(n)
    for number in range(ROUNDS):
        count = int(group.max(initial=-1)) + 1
        if count < 2:
            break
        whole = count <= (exact if number == 0 else max(block, exact // 2))
        if whole:
            blocks: Iterator[Labels] = iter([np.arange(count)])
        elif number == 0:
            blocks = iter(np.array_split(np.arange(count), -(-count // block)))
        else:
            blocks = _near(_means(codes, weights, bits, group, count)[0], np.arange(count), block, rng)
        merged = _round(codes, weights, bits, group, apart, named, limit, blocks)
        left = int(merged.max()) + 1
        group = merged[group]
        if whole or (number and count - left <= FEW * count):
            break
    return _numbered(_one_of_a_name(group, named))


def _round(
    codes: NDArray[np.uint8],
    weights: NDArray[np.float64],
    bits: int,
    group: Labels,
    apart: Pairs,
    named: Labels,
    limit: float,
    blocks: Iterator[Labels],
) -> Labels:
    """Groups (g,) -> what they become, (g,), when each block is looked at alone."""
    count = int(group.max()) + 1
    means, sums = _means(codes, weights, bits, group, count)
    name = np.full(count, -1, np.int64)
    np.maximum.at(name, group, named)
    a, b = (group[column] for column in np.asarray(apart, np.int64).reshape(-1, 2).T)
    merged, place, owner = np.arange(count), np.empty(count, np.int64), np.empty(count, np.int64)
    parts = list(blocks)
    for number, part in enumerate(parts):
        place[part], owner[part] = np.arange(len(part)), number
    inside = owner[a] == owner[b]
    order = np.argsort(owner[a][inside], kind="stable")
    a, b = a[inside][order], b[inside][order]
    starts = np.searchsorted(owner[a], np.arange(len(parts) + 1))
    for number, part in enumerate(parts):
        mine = slice(starts[number], starts[number + 1])
        distances = condensed(means[part], sums[part])
        far = np.stack([place[a[mine]], place[b[mine]]], axis=1)
        labels = linked(distances, len(part), np.concatenate([far, _other_names(name[part])]), limit)
        merged[part] = part[np.unique(labels, return_index=True)[1]][labels]
    return np.unique(merged, return_inverse=True)[1]


def condensed(means: NDArray[np.floating], sums: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean distances of g groups of weighted tracks -> (g (g - 1) / 2,), as scipy lays them out.

    With weights w and bits x, the tracks' distance is w_i w_j sum_k |x_ik - x_jk|, and its mean over two groups is
    s_a sum(m_b) + s_b sum(m_a) - 2 m_a m_b, where m (g, K) is the mean of w x and s (g,) that of w. Rounded to a
    millionth of a bit, so that equal distances are equal whatever the order of the sums.
    """
    m, s = np.asarray(means, np.float64), np.asarray(sums, np.float64)
    ones = m.sum(axis=1)
    g = len(m)
    out = np.empty(g * (g - 1) // 2)
    at = 0
    for start in range(0, g, 512):
        rows = slice(start, min(start + 512, g))
        distances = s[rows, None] * ones[None] + ones[rows, None] * s[None] - 2 * m[rows] @ m.T
        for row in range(rows.start, rows.stop):
            out[at : at + g - 1 - row] = distances[row - rows.start, row + 1 :]
            at += g - 1 - row
    return np.maximum(np.round(out, 6), 0.0)


def linked(distances: NDArray[np.float64], g: int, apart: Pairs, limit: float) -> Labels:
    """Average linkage of g things, cut at ``limit`` -> (g,). ``distances`` (g (g - 1) / 2,) are changed: far apart."""
    if g < 2:
        return np.zeros(g, np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    first, second = np.sort(np.asarray(apart, np.int64).reshape(-1, 2), axis=1).T
    two = first < second  # a pair within one group is beyond help
    first, second = first[two], second[two]
    distances[g * first - first * (first + 1) // 2 + second - first - 1] = FAR
    return np.asarray(fcluster(linkage(distances, "average"), limit, "distance"), np.int64) - 1


def _means(
    codes: NDArray[np.uint8], weights: NDArray[np.float64], bits: int, group: Labels, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Per group, the means of its tracks' weighted bits (g, K) and of their weights (g,)."""
    from scipy.sparse import csr_matrix

    sizes = np.bincount(group, minlength=count)
    means = np.zeros((count, bits), np.float32)
    for start in range(0, len(codes), CHUNK):
        rows = slice(start, start + CHUNK)
        own, local = np.unique(group[rows], return_inverse=True)
        values = weights[rows] / sizes[group[rows]]
        part = csr_matrix((values, (local, np.arange(len(local)))), (len(own), len(local)))
        means[own] += part @ unpack(np.ascontiguousarray(codes[rows]), bits).astype(np.float64)
    return means, np.asarray(np.bincount(group, weights / sizes[group], count), np.float64)


def _near(means: NDArray[np.float32], rows: Labels, block: int, rng: np.random.Generator) -> Iterator[Labels]:
    """Rows -> blocks of at most ``block``, halved again and again at the median of a projection.

    The direction is a random mixture of the rows' deviations, so it mostly lies where they differ most.
    """
    if len(rows) <= block:
        yield np.sort(rows)
        return
    sample = means[rows[:: max(1, len(rows) // CHUNK)]].astype(np.float64)
    centre = sample.mean(axis=0)
    direction = (sample - centre).T @ rng.normal(size=len(sample))
    order = rows[np.argsort(means[rows] @ direction.astype(np.float32), kind="stable")]
    for half in np.array_split(order, 2):
        yield from _near(means, half, block, rng)


def _other_names(name: Labels) -> Pairs:
    """Pairs (p, 2) of groups (g,) that carry two names."""
    known = np.flatnonzero(name >= 0)
    a, b = np.triu_indices(len(known), 1)
    other = name[known[a]] != name[known[b]]
    return np.stack([known[a[other]], known[b[other]]], axis=1)


def _one_of_a_name(group: Labels, named: Labels) -> Labels:
    """All groups that hold tracks of one name become the first of them."""
    group = group.copy()
    for name in np.unique(named[named >= 0]):
        own = np.unique(group[named == name])
        group[np.isin(group, own)] = own[0]
    return group


def _numbered(group: Labels) -> Labels:
    """The same groups, numbered from 0 in the order of their first tracks."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[inverse], np.int64)
