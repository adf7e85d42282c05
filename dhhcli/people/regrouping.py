"""regrouping: a codes file whose people are known -> who they would be if all tracks were grouped anew, and how that
differs; then, if wanted, a step that says so.

What a user said stays: sure tracks of a person together, and rejected ones away. A group that holds sure tracks keeps
their number. Of the others each takes the number of which it has most tracks, the largest share first; what is left is
new. A number that ends without tracks means whoever has all of them now; where several have, it means nobody. Grouped
from the codes alone, the same footage gives the same people whatever was encoded first; joining.py, which never moves a
track, may not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.people.desk import Desk, desk, say
from dhhcli.people.joining import grouped, never_of, once, pairs_of, scale_of
from dhhcli.people.moments import at_once
from dhhcli.storage.who.book import tracks_in
from dhhcli.storage.who.cast import Cast, packed, words

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Change:
    """What would become of one person."""

    person: int
    name: str
    before: int  # tracks
    after: int
    gained: int
    lost: int
    becomes: str  # "" for the same, else "new", "person 3" or "nobody"


Ask = Callable[[Sequence[Change]], bool]  # what would change -> whether to do it


def group_again(
    codes_path: Path, *, ask: Ask, within: float | None = None, weights: str | None = None
) -> tuple[list[Change], bool]:
    """Group everybody anew: what changes, and whether it was done, as ``ask`` wants. Raises as ``find_people``."""
    with desk(codes_path, within=within, weights=weights) as at:
        tracks = tracks_in(at.shard)
        one, _ = once(tracks)
        rows = at.cast.find(tracks)[one]
        before, sure = at.cast.person[rows].astype(np.int64), at.cast.sure[rows]
        after, free = _anew(at, one, rows, before, sure)
        became = _became(at.cast, rows, before, after)
        changes = _changes(at.cast, before, after, became)
        if not changes or not ask(changes):
            return changes, False
        moved = np.flatnonzero(before != after)
        new = tracks.taken(one[moved])
        say(at, "again", next=free, tracks=packed(new), people=words(after[moved]), became=sorted(became.items()))
        return changes, True


def _anew(at: Desk, one: Rows, rows: Rows, before: Numbers, sure: NDArray[np.bool_]) -> tuple[Numbers, int]:
    """Numbers (n,) of everybody, and the first free one."""
    scale = scale_of(at.codes_path, at.shard.tag, at.within, at.weights)
    tracks, codes = at.shard.track_rows(one), np.asarray(at.shard.code_rows(one))
    said = np.where(sure, before, 0)
    never = []
    for away, who in never_of(at.cast, rows):
        own = np.flatnonzero(said == who)
        never.append(pairs_of(away, own if len(own) else np.flatnonzero(before == who)))
    found = grouped(codes, at.shard.tag.bits, np.concatenate([at_once(tracks), *never]), said, scale)
    return _matched(found, before, never_of(at.cast, rows), at.cast.next)


def _matched(found: Numbers, before: Numbers, never: Sequence[tuple[Rows, int]], free: int) -> tuple[Numbers, int]:
    """Numbers for groups -1, -2, ... of ``found`` (n,): each the one it has most tracks of, which nobody else has."""
    taken = set(np.unique(found[found > 0]).tolist())
    number: dict[int, int] = {}
    forbidden = {(group, who) for rows, who in never for group in found[rows].tolist()}
    loose = found < 0
    pairs, counts = np.unique(np.stack([found[loose], before[loose]]), axis=1, return_counts=True)
    for at in np.lexsort((-pairs[0], pairs[1], -counts)).tolist():
        group, old = int(pairs[0, at]), int(pairs[1, at])
        if group not in number and old not in taken and (group, old) not in forbidden:
            number[group] = old
            taken.add(old)
    for group in sorted(set(pairs[0].tolist()) - number.keys(), reverse=True):
        number[group], free = free, free + 1
    return np.array([number.get(one, one) for one in found.tolist()], np.int64), free


def _became(cast: Cast, rows: Rows, before: Numbers, after: Numbers) -> dict[int, int]:
    """Numbers that have no track any more -> the one that has all of them."""
    elsewhere = np.ones(len(cast), np.bool_)
    elsewhere[rows] = False  # of videos that are not in the file now
    left = {*np.unique(after).tolist(), *np.unique(cast.person[elsewhere]).tolist()}
    found = {}
    for old in sorted(set(np.unique(before).tolist()) - left):
        now = np.unique(after[before == old])
        if len(now) == 1:
            found[old] = int(now[0])
    return found


def _changes(cast: Cast, before: Numbers, after: Numbers, became: dict[int, int]) -> list[Change]:
    size = int(max(before.max(initial=0), after.max(initial=0))) + 1
    was, now = np.bincount(before, minlength=size), np.bincount(after, minlength=size)
    stayed = np.bincount(before[before == after], minlength=size)
    changes = []
    for person in np.flatnonzero((was != stayed) | (now != stayed)).tolist():
        becomes = "" if now[person] and was[person] else "new" if now[person] else "nobody"
        becomes = f"person {became[person]}" if person in became else becomes
        gained, lost = int(now[person] - stayed[person]), int(was[person] - stayed[person])
        name = cast.names.get(person, "")
        changes.append(Change(person, name, int(was[person]), int(now[person]), gained, lost, becomes))
    return changes
