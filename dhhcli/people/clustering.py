"""clustering: codes (n, B) of tracks + pairs of them that are two people (p, 2) -> which person each track is of (n,).

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
of 128 bits. It was chosen on half of the people of faces-val.h5 (never trained on) for a precision near 0.85; on the
other half it has .87 precision and .56 recall (B-cubed), on film .84 and .75. Other limits, complete linkage, connected
components and HDBSCAN were tried: docs/research/experiments.md#grouping-tracks-by-person. Where a file shows one person
alone, recall is .37: that is what it costs not to make one person of a webcam's fifteen.

Up to EXACT tracks all distances are looked at. Beyond, only those of groups that are neighbours: every track's
NEIGHBOURS nearest codes make a graph; groups that are each other's nearest along its edges become one, again and again,
which gives the same groups as average linkage where the edges hold what is near enough, as it never brings two groups
together of which all tracks are farther apart than the limit. When nothing is left, neighbours are sought anew among
the groups' majority codes. Memory: K numbers of 4 bytes a group, and NEIGHBOURS edges of 24 bytes a track at most: 0.5
GB each for a million tracks of 128 bits; time grows with all codes against all: 100,000 tracks take 31 s on two cores.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.index.codes import codes_of
from dhhcli.index.flat import Flat
from dhhcli.models.binary_codes import hamming, pack, unpack
from dhhcli.models.calibration import Curve

RATE: Final = 0.01  # share of strangers' tracks within the limit
USUAL: Final = 0.75  # which quantile of a track's distances says how far it usually is from others
STRANGERS: Final = 40  # imagined ones
OTHERS: Final = 1000  # tracks, at most, that each is compared with to know what is usual
EXACT: Final = 4000  # tracks; scipy needs time and memory that grow with the square
NEIGHBOURS: Final = 20
PASSES: Final = 6  # of looking for neighbours
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
    *,
    usual: NDArray[np.float64] | None = None,
    names: NDArray[np.integer] | None = None,
    exact: int = EXACT,
    neighbours: int = NEIGHBOURS,
) -> Labels:
    """Group tracks by who they show; groups are numbered by their first track.

    Args:
        codes: (n, B) of K = ``bits`` bits.
        apart: (p, 2) rows of tracks that are two people.
        limit: mean distance of the tracks of two groups, bits, up to which they become one.
        usual: (n,) of ``usual_distances``; None: distances are taken as they are.
        names: (n,) number of a name that each track was given, -1 for none. Tracks of one name end in one group, and
            a group holds one name at most.
        exact: up to so many tracks all distances are looked at.
        neighbours: of each track or group, otherwise.
    """
    n = len(codes)
    weights = np.ones(n) if usual is None else 1 / np.sqrt(usual)
    named = np.full(n, -1, np.int64) if names is None else np.asarray(names, np.int64)
    pairs = np.asarray(apart, np.int64).reshape(-1, 2)
    group = _one_of_a_name(np.arange(n), named)
    group = np.unique(group, return_inverse=True)[1]
    if n and group.max() < exact:
        groups = summed(codes, weights, bits, group, named)
        distances = mean_distances(groups)
        _keep_apart(distances, group[pairs], groups.name)
        group = linked(distances, groups.tracks, limit)[group]
    elif n:
        for _ in range(PASSES):
            groups = summed(codes, weights, bits, group, named)
            merged = joined_neighbours(groups, group[pairs], limit, neighbours)
            group = merged[group]
            if merged.max() + 1 == len(merged):
                break
    return _numbered(group)


def mean_distances(groups: "Sums") -> NDArray[np.float64]:
    """Mean distances of the tracks of g groups, (g, g); infinite from itself.

    With weights w and bits x, the tracks' distance is w_i w_j sum_k |x_ik - x_jk|, and its mean over two groups is
    s_a sum(m_b) + s_b sum(m_a) - 2 m_a m_b, where m (g, K) is the mean of w x and s (g,) that of w. Rounded to a
    millionth of a bit, so that equal distances are equal whatever the order of the sums.
    """
    m = groups.bits.astype(np.float64) / groups.tracks[:, None]
    s, ones = groups.weights / groups.tracks, m.sum(axis=1)
    out: NDArray[np.float64] = s[:, None] * ones[None]
    out += out.T
    out -= 2 * (m @ m.T)
    np.round(out, 6, out=out)
    np.maximum(out, 0.0, out=out)
    np.fill_diagonal(out, np.inf)
    return out


def linked(distances: NDArray[np.float64], sizes: NDArray[np.floating], limit: float) -> Labels:
    """Average linkage of g things (g, g) of sizes (g,), cut at ``limit`` -> (g,): the two that are nearest become one,
    of equals those of the lower numbers, while any are within the limit. ``distances`` are used up; infinite: never.
    """
    g = len(distances)
    label, sizes = np.arange(g), np.array(sizes, np.float64)
    if g < 2:
        return label
    nearest = distances.argmin(axis=1)
    best = distances[label, nearest]
    while best[one := int(best.argmin())] <= limit:
        other = int(nearest[one])
        one, other = min(one, other), max(one, other)
        row = sizes[one] * distances[one] + sizes[other] * distances[other]
        sizes[one] += sizes[other]
        row /= sizes[one]
        row[[one, other]] = np.inf
        np.round(row, 6, out=row)
        distances[one], distances[:, one] = row, row
        distances[other], distances[:, other] = np.inf, np.inf
        label[label == other] = one
        anew = np.flatnonzero((nearest == one) | (nearest == other))
        anew = np.union1d(anew, [one, other])
        nearest[anew] = distances[anew].argmin(axis=1)
        best[anew] = distances[anew, nearest[anew]]
        nearer = np.flatnonzero((row < best) | ((row == best) & (one < nearest) & np.isfinite(row)))
        nearest[nearer], best[nearer] = one, row[nearer]
    return label


def _keep_apart(distances: NDArray[np.float64], apart: Pairs, name: Labels) -> None:
    """Infinite distances for groups (g, g) that are kept apart, and for those of two names."""
    distances[apart[:, 0], apart[:, 1]] = distances[apart[:, 1], apart[:, 0]] = np.inf
    known = np.flatnonzero(name >= 0)
    distances[np.ix_(known, known)] = np.inf


@dataclass(frozen=True, eq=False)
class Sums:
    """Of g groups of tracks."""

    bits: NDArray[np.float32]  # (g, K) sums of weighted bits
    weights: NDArray[np.float64]  # (g,)
    tracks: NDArray[np.float64]  # (g,) how many
    name: Labels  # (g,) -1: none


def summed(codes: NDArray[np.uint8], weights: NDArray[np.float64], bits: int, group: Labels, named: Labels) -> Sums:
    """Tracks (n,) -> groups (g,)."""
    from scipy.sparse import csr_matrix

    count = int(group.max()) + 1
    sums = np.zeros((count, bits), np.float32)
    for start in range(0, len(codes), CHUNK):
        rows = slice(start, start + CHUNK)
        own, local = np.unique(group[rows], return_inverse=True)
        part = csr_matrix((weights[rows], (local, np.arange(len(local)))), (len(own), len(local)))
        sums[own] += part @ unpack(np.ascontiguousarray(codes[rows]), bits).astype(np.float64)
    name = np.full(count, -1, np.int64)
    np.maximum.at(name, group, named)
    tracks = np.bincount(group, minlength=count).astype(np.float64)
    return Sums(sums, np.asarray(np.bincount(group, weights, count), np.float64), tracks, name)


def joined_neighbours(groups: Sums, apart: Pairs, limit: float, neighbours: int) -> Labels:
    """Groups (g,) -> numbers (g,) of what they become: reciprocal nearest neighbours are joined while any are within
    the limit, along the edges to each one's nearest. ``groups`` is used up.
    """
    count = len(groups.tracks)
    label, key = np.arange(count), _edges(groups, limit, neighbours)
    a, b = np.divmod(key, count)
    changed = np.ones(count, bool)
    distances = np.zeros(len(key))
    while True:
        anew = changed[a] | changed[b]
        distances[anew] = _between(groups, a[anew], b[anew])
        first, second = np.sort(label[apart.reshape(-1, 2)], axis=1).T
        never = (groups.name[a] != groups.name[b]) & (groups.name[a] >= 0) & (groups.name[b] >= 0)
        never |= np.isin(a * count + b, np.unique(first * count + second))
        kept = (distances <= limit) & ~never
        a, b, distances = a[kept], b[kept], distances[kept]
        if not len(a):
            return np.unique(label, return_inverse=True)[1]
        one, other = _reciprocal(a, b, distances, count)
        groups.bits[one] += groups.bits[other]
        groups.weights[one] += groups.weights[other]
        groups.tracks[one] += groups.tracks[other]
        groups.name[one] = np.maximum(groups.name[one], groups.name[other])
        becomes = np.arange(count)
        becomes[other] = one
        label = becomes[label]
        changed = np.zeros(count, bool)
        changed[one] = True
        a, b = becomes[a], becomes[b]
        a, b = np.minimum(a, b), np.maximum(a, b)
        key, at = np.unique(np.where(a == b, -1, a * count + b), return_index=True)
        at = at[key >= 0]
        a, b, distances = a[at], b[at], distances[at]


def _edges(groups: Sums, limit: float, neighbours: int) -> Labels:
    """Pairs of neighbours a < b within the limit, as a g + b, rising."""
    count = len(groups.tracks)
    majority = pack(groups.bits >= 0.5 * groups.weights[:, None])
    found = [np.empty(0, np.int64)]
    for start in range(0, count, CHUNK):
        _, ids = Flat(codes_of(majority)).nearest(majority[start : start + CHUNK], neighbours + 1)
        own = np.repeat(np.arange(start, start + len(ids)), ids.shape[1])
        a, b = np.minimum(own, ids.ravel()), np.maximum(own, ids.ravel())
        a, b = a[a != b], b[a != b]
        near = _between(groups, a, b) <= limit
        found.append(np.unique(a[near] * count + b[near]))
    return np.unique(np.concatenate(found))


def _between(groups: Sums, a: Labels, b: Labels) -> NDArray[np.float64]:
    """Mean distances of the tracks of groups a (e,) and b (e,), as ``mean_distances`` has them."""
    out = np.empty(len(a))
    ones = groups.bits.sum(axis=1, dtype=np.float64)
    for start in range(0, len(a), CHUNK):
        i, j = a[start : start + CHUNK], b[start : start + CHUNK]
        both = np.einsum("ek,ek->e", groups.bits[i], groups.bits[j], dtype=np.float64)
        total = groups.weights[i] * ones[j] + groups.weights[j] * ones[i] - 2 * both
        out[start : start + CHUNK] = total / (groups.tracks[i] * groups.tracks[j])
    return np.round(out, 6)


def _reciprocal(a: Labels, b: Labels, distances: NDArray[np.float64], count: int) -> tuple[Labels, Labels]:
    """Pairs a < b that are each other's nearest along edges (e,); of equals the lower number, so there always are."""
    node, other, far = np.concatenate([a, b]), np.concatenate([b, a]), np.concatenate([distances, distances])
    order = np.lexsort((other, far, node))
    first = order[np.unique(node[order], return_index=True)[1]]
    best = np.full(count, -1, np.int64)
    best[node[first]] = other[first]
    ones = np.flatnonzero(best > np.arange(count))
    ones = ones[best[best[ones]] == ones]
    return ones, best[ones]


def _one_of_a_name(group: Labels, named: Labels) -> Labels:
    """Groups (n,) of single tracks -> those of one name are in one group."""
    group = group.copy()
    known = np.flatnonzero(named >= 0)
    _, first, which = np.unique(named[known], return_index=True, return_inverse=True)
    group[known] = known[first][which]
    return group


def _numbered(group: Labels) -> Labels:
    """The same groups, numbered from 0 in the order of their first tracks."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[inverse], np.int64)


def halves(codes: NDArray[np.uint8], bits: int) -> NDArray[np.bool_] | None:
    """Codes (n, B) in two -> the smaller half (n,); None where all are alike. Two means, from the codes farthest apart
    of those farthest from the middle.
    """
    x = unpack(codes, bits).astype(np.float32)
    first = int(np.square(x - x.mean(axis=0)).sum(axis=1).argmax()) if len(x) else 0
    if len(x) < 2 or (x == x[0]).all():
        return None
    means = np.stack([x[first], x[int(np.abs(x - x[first]).sum(axis=1).argmax())]])
    half = np.zeros(len(x), np.bool_)
    for _ in range(50):
        away = np.stack([np.square(x - mean).sum(axis=1) for mean in means])
        now = away[1] < away[0]
        if (now == half).all() or now.all() or not now.any():
            break
        half = now
        means = np.stack([x[~half].mean(axis=0), x[half].mean(axis=0)])
    return half if half.sum() * 2 <= len(x) else ~half
