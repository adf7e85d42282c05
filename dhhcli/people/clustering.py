"""clustering: codes (n, B) of tracks + pairs of them that are two people (p, 2) -> which person each track is of (n,).

Average linkage (UPGMA): two groups become one while the mean distance of their tracks stays within a limit, and while
no track of one is known to be somebody else than a track of the other: two that are visible at once in one shot, or
that carry different names. Such a pair is infinitely far, so a group never holds one. Tracks of one name are one group
from the beginning.

**Distances are relative to the footage.** How far strangers' codes lie apart depends on what was filmed: 64 of 128 bits
between celebrities' photos, 37 between students before one webcam, where a limit in bits makes one person of fifteen.
So the distance of two tracks is divided by how far each of them usually is from others (geometric mean of the 75th
percentiles of their distances to all tracks of the file and to STRANGERS imagined ones, which lie as strangers did
when the weights were calibrated) and multiplied by that percentile of the calibration. The imagined ones hold the
scale where a file shows few people.

**The limit** is the distance within which RATE of strangers' tracks lie, by the calibration in the weights' record; 43
of 128 bits. What it reaches, and what else was tried (other limits, complete linkage, connected components, HDBSCAN,
shared neighbours, averaged codes), is in docs/research/experiments.md#grouping-tracks-by-person.

Up to EXACT groups all distances are looked at; beyond, those of groups that are neighbours (neighbours.py), which gives
the same groups where the edges hold what is near enough. Memory: K numbers of 4 bytes a group, and NEIGHBOURS edges of
some 30 bytes a track at most: a GB for a million tracks of 128 bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.models.binary_codes import hamming, unpack
from dhhcli.models.calibration import Curve
from dhhcli.people.neighbours import ALL, CHUNK, SURE, Labels, Pairs, Sums, joined_neighbours, summed

RATE: Final = 0.01  # share of strangers' tracks within the limit
USUAL: Final = 0.75  # which quantile of a track's distances says how far it usually is from others
STRANGERS: Final = 40  # imagined ones
OTHERS: Final = 1000  # tracks, at most, that each is compared with to know what is usual
EXACT: Final = 4000  # tracks; time and memory grow with the square
NEIGHBOURS: Final = 12
PASSES: Final = 6  # of looking for neighbours
MANY: Final = 3  # of these among more groups than can be compared with each other
FEW: Final = 1e-3  # of the groups: when no more became others in a pass, the next would find little


def limit_of(curve: Curve, rate: float = RATE) -> int:
    """The largest distance, bits, that at most ``rate`` of strangers' tracks are within."""
    return max(0, int(np.searchsorted(curve.false_rate, rate, side="right")) - 1)


def usual_distances(
    codes: NDArray[np.uint8], curve: Curve | None, whole: NDArray[np.uint8] | None = None
) -> NDArray[np.float64]:
    """How far each track usually is from others, as a share of what the calibration says, (n,); 1 without one.

    whole: of a part of a file the codes of all of it, (m, B); then a track may be among its own others.
    """
    n = len(codes)
    if curve is None or n == 0:
        return np.ones(n)
    shares = (np.arange(STRANGERS) + 0.5) / STRANGERS
    imagined = np.searchsorted(curve.false_rate, shares)  # (s,) bits
    expected = max(1.0, float(np.searchsorted(curve.false_rate, USUAL)))
    among = codes if whole is None else whole
    others = np.unique(np.linspace(0, len(among) - 1, min(len(among), OTHERS)).round().astype(np.int64))
    sampled = np.ascontiguousarray(among[others])
    others = others if whole is None else np.full(len(others), -1)
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
        for turn in range(PASSES):
            groups = summed(codes, weights, bits, group, named)
            many = len(groups.tracks) > ALL and turn < MANY
            merged = joined_neighbours(groups, group[pairs], SURE * limit if many else limit, neighbours, turn)
            group = merged[group]
            if not many and len(merged) - merged.max() - 1 <= FEW * len(merged):
                break
    return _numbered(group)


def mean_distances(groups: Sums) -> NDArray[np.float64]:
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
    return np.asarray(out)


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
