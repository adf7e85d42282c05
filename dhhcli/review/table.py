"""table: codes file (n tracks) -> Table: everybody's number, rows and screen time, in arrays, so it takes a moment.

``people.identities.find_people`` says more of each person and takes longer for it; a page needs what is in sight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.people.joining import everybody
from dhhcli.people.moments import track_seconds
from dhhcli.storage.shard import Shard
from dhhcli.storage.who.book import people_in


@dataclass(frozen=True, eq=False)
class Table:
    """Who is in a codes file; numbers of people go up to P."""

    shard: Shard
    tracks: NDArray[np.void]  # (n,) TRACK_DTYPE
    number: Rows  # (n,)
    sure: NDArray[np.bool_]  # (n,) said by a user
    names: dict[int, str]
    seconds: NDArray[np.float64]  # (n,) of each track
    total: NDArray[np.float64]  # (P + 1,) of each person
    by_person: Rows  # (n,) rows by number, then video and time
    ends: Rows  # (P + 1,) where those of each number end in these
    people: Rows  # numbers: those with a name and the others by falling screen time
    notes: tuple[str, ...]

    def rows(self, person: int) -> Rows:
        """Rows (t,) of a person, by video and time; none where there is nobody."""
        if not 0 < person < len(self.ends):
            return np.empty(0, np.int64)
        return self.by_person[self.ends[person - 1] : self.ends[person]]


def read_table(codes_path: Path, weights: str | None) -> Table:
    """Everybody as they are now; who is new gets a number, which is kept.

    Raises as ``people.identities.find_people``.
    """
    shard, cast, joined, notes = everybody(codes_path, None, weights)
    tracks = shard.track_rows(np.arange(len(shard)))
    number = joined.number
    count = int(number.max(initial=0))
    seconds = track_seconds(shard, tracks)
    total = np.asarray(np.bincount(number, seconds, count + 1).round(6), np.float64)
    sizes = np.bincount(number, minlength=count + 1)
    order = np.lexsort((np.arange(count + 1), -sizes, -total))
    names = {person: name for person, name in cast.names.items() if person <= count and sizes[person]}
    return Table(
        shard=shard,
        tracks=tracks,
        number=number,
        sure=people_in(shard, cast)[1],
        names=names,
        seconds=seconds,
        total=total,
        by_person=np.lexsort((tracks["start_pts"], tracks["video"], number)),
        ends=np.cumsum(sizes),
        people=order[(sizes[order] > 0) & (order > 0)],
        notes=tuple(notes),
    )


def found_people(table: Table, words: str) -> Sequence[int]:
    """Numbers of the people whose name holds some words, or who have them as number; all for none."""
    wanted = words.strip().casefold()
    if not wanted:
        return [int(person) for person in table.people]
    named = [person for person in table.people.tolist() if wanted in table.names.get(person, "").casefold()]
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0
    return [*([number] if len(table.rows(number)) and number not in named else []), *named]


def picked_faces(table: Table, person: int, most: int) -> Rows:
    """Rows of a person's tracks to know them by: the largest face, then others spread over the footage."""
    own = table.rows(person)
    best = own[np.argmax(table.tracks["face_px"][own])]
    rest = own[own != best]
    few = min(len(rest), most - 1)
    spread = rest[np.linspace(0, len(rest) - 1, few).round().astype(np.int64)] if few else rest[:0]
    return np.concatenate([[best], spread]).astype(np.int64)
