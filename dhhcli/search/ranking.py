"""ranking: soft bits of one person's codes (q, K), and rules -> shots in order, each by its best track.

A bit in which the photo is unsure says less than one in which it is sure, so `Rank.soft` orders by what differing
bits cost (`soft_codes`), a sum that equals the Hamming distance where all bits are equally sure, as those of stored
tracks are; then by Hamming distance, video path, shot number and track row. On people held out this finds sets of a
person by one photo with a mean average precision of 0.956 instead of 0.929 (128 bits; 48: 0.886 instead of 0.772), and
costs no byte of the store. `Rank.bits` orders by Hamming distance, then by soft distance sum |q_k - b_k|, then as
above. Short codes tie by the thousand; every track tied at the last place is looked at, so the result is what sorting
all tracks would give, whatever finds the candidates.

Where a question names several people, **a track is taken for the one it is nearest to**, by what it is ranked by; of
equals, for the one named first, in the order of `Rules`. So the tracks of who is not wanted fall away, and
two people are two tracks. Who is named by more photos has the advantage: of 400 tracks of val people, 4 % were
taken for somebody else where each of the two was named by one photo, 1 % by six, 9 % where the other had six and they
had one, 1 % the other way round (tests/bench/accuracy/fusion.py, 128 bits of the weights of 0.1.0).

What a track's distance is, a `Measure` says: that of its code (`ByCode`), or where its frames have codes of their own
their average or minimum (frame_distances.py). Confidence is learnt on codes of tracks, so `Rules.keep` is always asked
about these.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Ints
from dhhcli.index.codes import Allowed, Index
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import codes_in
from dhhcli.search.distances import (
    ByCode,
    Distances,
    Measure,
    Scores,
    Soft,
    candidates_of,
    keys,
    measured_by_code,
    reach,
    unit_of,
)
from dhhcli.search.options import FrameDistance, Rank
from dhhcli.search.unique import distinct, distinct_with
from dhhcli.storage.codes_file import Shard

# distances (p, n) and scores (p, n) of n rows' codes, the asked person first, then `also` -> which to keep (n,)
Keep = Callable[[NDArray[np.int32], NDArray[np.float32]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Claim:
    """A track that is taken for a person."""

    track: int  # row in the shard
    distance: int | float
    score: float


@dataclass(frozen=True)
class Hit:
    """One shot of a ranking; the numbers are those of its best track."""

    rank: int  # 1-based
    distance: int | float  # Hamming, bits; with `also`, of the person who is farther
    score: float  # by `Rank.soft` what the bits that differ cost, else the soft distance; 0 to K; likewise
    track: int  # row in the shard, of the person asked for
    shot: int  # row in the shard
    tracks: int  # of this shot, how many rank no lower than the last hit of the ranking
    claims: tuple[Claim, ...] = ()  # the asked person's, then those of `also`


@dataclass(frozen=True, eq=False)
class Rules:
    """What else an answer has to be. People are soft bits (r, K), as the one who is asked for."""

    also: tuple[Soft, ...] = ()  # are in the same shot, in tracks of their own
    without: tuple[Soft, ...] = ()  # their tracks are not taken for the asked person; see also `shots_of`
    never: tuple[Soft, ...] = ()  # nor are these
    allowed: Allowed | None = None  # tracks that are looked at
    apart: Ints | None = None  # (s,) rows of shots that are no answer
    gone: tuple[Ints, ...] = ()  # of who is asked for, then `also`: tracks that are not them, rising
    radius: int | None = None  # bits: no row is farther by Hamming distance
    reach: float | None = None  # nor by what it is ranked by
    per_video: int | None = None  # rows of one video, the first ones
    keep: Keep | None = None  # rows that are no answer otherwise


NO_RULES = Rules()


def search(
    shard: Shard,
    soft_queries: Soft,
    top: int | None,
    index: Index | None = None,
    rules: Rules = NO_RULES,
    way: FrameDistance = FrameDistance.majority,
    rank: Rank = Rank.soft,
) -> list[Hit]:
    """The `top` nearest shots (all: None, or when there are fewer) to one person, soft bits (q, K) in [0, 1].

    A track's distance and score are those to the row of the person that is nearest by what is ranked by; a shot is as
    near as its first track in the order of the module docstring, and where several people have to be in it, as the one
    of them who is farthest. Rows of a shard are sorted by video path and shot number, so shot
    rows and track rows stand for the last terms. Exact, unless `index` is an ivf index: then the ranking of what its
    probed lists hold. `way` other than by majority needs codes of frames, and no index. Raises ValueError for soft bits
    of another shape or not in [0, 1], for top or per_video < 1; ShardError where codes of frames are damaged.
    """
    wanted = [np.asarray(soft) for soft in (soft_queries, *rules.also)]
    others = [np.asarray(soft) for soft in (*rules.without, *rules.never)]
    for soft in (*wanted, *others):
        check_soft(soft, shard.tag.bits)
    if (top is not None and top < 1) or (rules.per_video is not None and rules.per_video < 1):
        raise ValueError(f"top {top} or per_video {rules.per_video} is less than 1")
    measure: Measure
    if way is FrameDistance.majority:
        measure = ByCode(shard, index or Flat(codes_in(shard)), [*wanted, *others], len(wanted), rules.allowed, rank)
    else:
        from dhhcli.search.frame_distances import ByFrames

        measure = ByFrames(shard, [*wanted, *others], len(wanted), way, rules.allowed, rank)
    farthest = reach(rank, wanted, rules.radius)
    farthest = farthest if rules.reach is None else min(farthest, rules.reach)
    shots = top
    while True:
        radius = farthest if shots is None else min(measure.radius(shots), farthest)
        found = _within(shard, measure, len(wanted), radius, rules, rank)
        rows = _ranked(shard, found, rules, None if way is FrameDistance.majority else wanted)
        if radius >= farthest or (top is not None and len(rows.shots) >= top):
            return _hits(found, rows, top)
        shots = 4 * (shots or 1)


def by_codes(shard: Shard, people: Sequence[Soft], hits: Sequence[Hit], rank: Rank = Rank.soft) -> list[Hit]:
    """The same hits, their claims measured by the codes of tracks: what confidence is learnt on."""
    if not hits:
        return []
    tracks = np.array([[claim.track for claim in hit.claims] for hit in hits], np.int64).T  # (p, n)
    distances, scores = _own_codes(shard, people, tracks, rank)
    return [
        replace(hit, claims=tuple(Claim(int(t), int(d), float(s)) for t, d, s in zip(*claims, strict=True)))
        for hit, *claims in zip(hits, tracks.T, distances.T, scores.T, strict=True)
    ]


def _own_codes(shard: Shard, people: Sequence[Soft], tracks: Ints, rank: Rank) -> tuple[Distances, NDArray[np.float32]]:
    """Distances and scores (p, n) of the codes of tracks (p, n), each to the person of its line."""
    found = [measured_by_code(shard, [soft], own, rank) for soft, own in zip(people, tracks, strict=True)]
    return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])


def check_soft(soft: Soft, K: int) -> None:
    """Raises ValueError for what is not the soft bits (r, K) of a person."""
    if soft.ndim != 2 or soft.shape[1] != K or not len(soft) or not ((soft >= 0) & (soft <= 1)).all():
        raise ValueError(f"soft bits (q, {K}) between 0 and 1 expected, not {soft.shape}")


def shots_of(
    shard: Shard,
    people: Sequence[Soft],
    who: int,
    radius: float,
    keep: Keep,
    index: Index | None = None,
    rank: Rank = Rank.soft,
    gone: Sequence[Ints] = (),
) -> Ints:
    """Rows of the shots that hold person number `who`, rising: a track within `radius` (of what is ranked by) that
    `keep` keeps, and that is taken for nobody else of `people`. gone: of each, tracks that are not them.
    """
    ids = candidates_of(index or Flat(codes_in(shard)), people[who], math.floor(radius * unit_of(rank)), None, rank)
    distances, scores = measured_by_code(shard, people, ids, rank)
    first, second = keys(rank, distances, scores)
    first = _far_where_gone(first, ids, gone)
    mine = (_owners(first, second) == who) & (first[who] <= radius)
    mine &= keep(distances[who][None], scores[who][None])
    return distinct(shard.track_rows(ids[mine])["shot"]).astype(np.int64)


# ------------------------------------------------------------------------------------------------------ candidates


@dataclass(frozen=True, eq=False)
class _Found:
    """Tracks within a radius that are taken for somebody who is wanted, p people."""

    owner: Ints  # (c,) number of the person
    ids: Ints  # (c,)
    shots: Ints  # (c,)
    distances: Distances  # (c,) to the owner
    scores: Scores  # (c,)
    people: int
    rank: Rank

    @property
    def keys(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What they are ranked by, and what decides among equals: (c,), (c,)."""
        return keys(self.rank, self.distances, self.scores)


def _within(shard: Shard, measure: Measure, wanted: int, radius: float, rules: Rules, rank: Rank) -> _Found:
    ids = measure.candidates(radius)
    shots = shard.track_rows(ids)["shot"].astype(np.int64)
    if rules.apart is not None and len(rules.apart):
        apart = np.sort(rules.apart)  # not np.isin, which brings numpy.ma, 6 ms
        kept = apart[np.searchsorted(apart, shots).clip(max=len(apart) - 1)] != shots
        ids, shots = ids[kept], shots[kept]
    distances, scores = measure.measured(ids)  # (p, c)
    first, second = keys(rank, distances, scores)
    first = _far_where_gone(first, ids, rules.gone)
    owner = _owners(first, second)
    at = np.arange(len(ids))
    kept = (owner < wanted) & (first[owner, at] <= radius)
    if rules.radius is not None:
        kept &= distances[owner, at] <= rules.radius
    at, owner = at[kept], owner[kept]
    return _Found(owner, ids[at], shots[at], distances[owner, at], scores[owner, at], wanted, rank)


def _far_where_gone(first: NDArray[Any], ids: Ints, gone: Sequence[Ints]) -> NDArray[Any]:
    """What tracks (c,) are ranked by, (p, c): infinitely far from those they are said not to be."""
    if not any(len(rows) for rows in gone):
        return first
    first = first.astype(np.float64)
    for person, rows in enumerate(gone):
        if len(rows):
            first[person, rows[np.searchsorted(rows, ids).clip(max=len(rows) - 1)] == ids] = np.inf
    return first


def _owners(first: NDArray[Any], second: NDArray[Any]) -> Ints:
    """Number of the person each track is nearest to by `keys`, (p, c), (p, c) -> (c,); of equals the first."""
    owner: Ints = np.zeros(first.shape[1], np.int64)
    at = np.arange(first.shape[1])
    for number in range(1, len(first)):
        d, best = first[number], first[owner, at]
        nearer = (d < best) | ((d == best) & (second[number] < second[owner, at]))
        owner[nearer] = number
    return owner


# --------------------------------------------------------------------------------------------------------- ranking


@dataclass(frozen=True, eq=False)
class _Rows:
    """Shots in order; r rows, p people."""

    shots: Ints  # (r,)
    distances: Distances  # (r,) of the farthest person
    scores: Scores  # (r,)
    claims: Ints  # (p, r) places in _Found


def _ranked(shard: Shard, found: _Found, rules: Rules, measured_by_codes: Sequence[Soft] | None) -> _Rows:
    """Shots that hold everybody who is wanted, in order, less those that the rules take away.

    measured_by_codes: who is wanted, where what was found is measured otherwise.
    """
    first, second = found.keys
    order = np.lexsort((found.ids, second, first, found.shots, found.owner))
    firsts = []
    for person in range(found.people):
        own = order[found.owner[order] == person]
        each = distinct_with(found.shots[own])
        firsts.append((each.values, own[each.first]))
    shots = firsts[0][0]
    for other, _ in firsts[1:]:
        shots = np.intersect1d(shots, other, assume_unique=True)
    claims = np.stack([at[np.searchsorted(own, shots)] for own, at in firsts])  # (p, r)
    distances, scores = found.distances[claims], found.scores[claims]
    farthest = np.lexsort((second[claims], first[claims]), axis=0)[-1]  # (r,)
    at = np.arange(len(shots))
    distance, score = distances[farthest, at], scores[farthest, at]
    rows = np.lexsort((found.ids[claims[0]], shots, *keys(found.rank, distance, score)[::-1]))
    if rules.keep is not None and measured_by_codes is None:
        rows = rows[rules.keep(distances[:, rows], scores[:, rows])]
    elif rules.keep is not None and measured_by_codes is not None:
        rows = rows[rules.keep(*_own_codes(shard, measured_by_codes, found.ids[claims[:, rows]], found.rank))]
    if rules.per_video is not None:
        rows = rows[_among_first(shard.shots_rows(shots[rows])["video"], rules.per_video)]
    return _Rows(shots[rows], distance[rows], score[rows], claims[:, rows])


def _among_first(groups: NDArray[np.integer[Any]], count: int) -> NDArray[np.bool_]:
    """(n,) -> (n,): is it one of the first `count` of its group?"""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    begins = np.searchsorted(ordered, ordered, side="left")
    kept = np.empty(len(groups), np.bool_)
    kept[order] = np.arange(len(groups)) - begins < count
    return kept


def _hits(found: _Found, rows: _Rows, top: int | None) -> list[Hit]:
    count = len(rows.shots) if top is None else min(top, len(rows.shots))
    if not count:
        return []
    last = keys(found.rank, rows.distances, rows.scores)[0][count - 1]
    near = (found.owner == 0) & (found.keys[0] <= last)
    shots, _, tracks, _ = distinct_with(found.shots[near])
    tracks_of = tracks[np.minimum(np.searchsorted(shots, rows.shots[:count]), len(shots) - 1)]
    return [
        Hit(
            rank=at + 1,
            distance=rows.distances[at].item(),
            score=float(rows.scores[at]),
            track=int(found.ids[rows.claims[0, at]]),
            shot=int(rows.shots[at]),
            tracks=int(tracks_of[at]),
            claims=tuple(
                Claim(int(found.ids[place]), found.distances[place].item(), float(found.scores[place]))
                for place in rows.claims[:, at]
            ),
        )
        for at in range(count)
    ]
