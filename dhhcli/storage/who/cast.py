"""cast: steps of `codes.h5.people` -> Cast: number, and whether it is sure, of every track that was seen; names.

A person has a number that is given once. It means that person for ever: a number whose people were merged into another
means these from then on (`became`), one that is gone means nobody, and none is given twice (`next`).

====== =============================================================================================================
base   everything as it was when the file was written anew: next, names, became, tracks with people and sure, not
join   `tracks` have `people` now: those that had nobody. By their codes, not by a user
name   the `people` become the first of them and are called `name`; all their tracks are sure
rename the person `who` is called `name`
free   the person `who` has no name any more, and nothing is sure; with `tracks`: these have nobody now
merge  the `people` become the first of them; all their tracks are sure
yes    `tracks` are of the person `who`, for sure, who is called `name` if there is one; so `away`, which were taken for
       them, have nobody
split  `tracks` of the person `who` are the person `to`, for sure, and not `who`
not    `tracks` are not of the person `who`; those that were have nobody now
again  `tracks` have `people` now; `became`: what numbers mean now that they have no tracks
undo   the step `of` is as if it had never been
====== =============================================================================================================

`sure` is what a user has said, by naming, merging or picking: it stays together whatever is grouped anew, and answers
for the name. Numbers are given by `next`: the first free one after the step.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.storage.who.journal import Entry
from dhhcli.storage.who.marks import STEP, Marks, mixed

Numbers = NDArray[np.int32]
LARGEST: Final = (1 << 31) - 1  # number of a person
SAID: Final = ("name", "rename", "free", "merge", "yes", "split", "not", "again")  # by a user, who can take it back


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks (t,) by what means them for ever."""

    contents: tuple[str, ...]  # fingerprints of videos, hex
    owner: Rows  # (t,) place in these
    marks: Marks  # (t,)

    def taken(self, rows: Rows | NDArray[np.bool_]) -> "Tracks":
        """Some of them."""
        return Tracks(self.contents, self.owner[rows], self.marks[rows])


@dataclass(eq=False)
class Cast:
    """Who is who; n tracks."""

    videos: dict[str, int] = field(default_factory=dict)  # content -> number
    video: Numbers = field(default_factory=lambda: np.empty(0, np.int32))  # (n,)
    marks: Marks = field(default_factory=lambda: np.empty(0, np.uint64))  # (n,)
    person: Numbers = field(default_factory=lambda: np.empty(0, np.int32))  # (n,) 0: nobody
    sure: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))  # (n,)
    names: dict[int, str] = field(default_factory=dict)
    became: dict[int, int] = field(default_factory=dict)
    never: set[tuple[int, int]] = field(default_factory=set)  # (row here, number)
    next: int = 1
    _sorted: tuple[Marks, Rows] = field(default_factory=lambda: (np.empty(0, np.uint64), np.empty(0, np.int64)))

    def find(self, tracks: Tracks) -> Rows:
        """Rows (t,) here of some tracks, -1 for those that are not known."""
        wanted = _keys(np.array([self.videos.get(one, -1) for one in tracks.contents], np.int64)[tracks.owner], tracks)
        n, known = len(self.marks), len(self._sorted[0])
        if n - known > max(1000, known // 4):
            self._sorted, known = self._order(0), n
        found = _looked_up(self._sorted, wanted)
        if known < n:
            late = _looked_up(self._order(known), wanted)
            found = np.where(late >= 0, late, found)
        return found

    def add(self, tracks: Tracks) -> Rows:
        """The same; those that are not known are added, with nobody."""
        rows = self.find(tracks)
        new = np.flatnonzero(rows < 0)
        if len(new):
            numbers = np.array([self.videos.setdefault(one, len(self.videos)) for one in tracks.contents], np.int32)
            keys = _keys(numbers[tracks.owner[new]].astype(np.int64), tracks.taken(new))
            _, first, which = np.unique(keys, return_index=True, return_inverse=True)  # copies come once
            rows[new] = len(self.marks) + which
            self.video = np.concatenate([self.video, numbers[tracks.owner[new[first]]]])
            self.marks = np.concatenate([self.marks, tracks.marks[new[first]]])
            self.person = np.concatenate([self.person, np.zeros(len(first), np.int32)])
            self.sure = np.concatenate([self.sure, np.zeros(len(first), np.bool_)])
        return rows

    def tracks(self, rows: Rows) -> Tracks:
        """What means some rows (t,) for ever."""
        used, owner = np.unique(self.video[rows], return_inverse=True)
        contents = list(self.videos)
        return Tracks(tuple(contents[video] for video in used.tolist()), owner.astype(np.int64), self.marks[rows])

    def now(self, number: int) -> int:
        """The number of whom a number means by now."""
        passed: set[int] = set()
        while number in self.became and number not in passed:  # a damaged file may go round in circles
            passed.add(number)
            number = self.became[number]
        return number

    def called(self, name: str) -> int | None:
        """Number of whoever has exactly this name."""
        return next((number for number, known in self.names.items() if known == name), None)

    def __len__(self) -> int:
        return len(self.marks)

    def _order(self, first: int) -> tuple[Marks, Rows]:
        keys = self.marks[first:] ^ mixed((self.video[first:].astype(np.uint64) + np.uint64(1)) * STEP)
        order = np.argsort(keys, kind="stable")
        return keys[order], order + first


def _keys(video: Rows, tracks: Tracks) -> Marks:
    return tracks.marks ^ mixed((video.astype(np.uint64) + np.uint64(1)) * STEP)


def _looked_up(known: tuple[Marks, Rows], wanted: Marks) -> Rows:
    keys, rows = known
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, rows[at], -1)


# ------------------------------------------------------------------------------------------------------------ replay


def undone_in(entries: Iterable[Entry]) -> set[int]:
    """Numbers of the steps that were taken back."""
    return {entry["of"] for entry in entries if entry["op"] == "undo"}


def replayed(entries: Sequence[Entry], undone: Collection[int] | None = None) -> Cast:
    """What the steps come to, without those that were ``undone`` (None: by one of them).

    Raises KeyError, TypeError, ValueError for steps that are none.
    """
    undone = undone_in(entries) if undone is None else undone
    cast = Cast()
    for entry in entries:
        if entry["op"] == "base" or entry["step"] not in undone:  # a base has the number of the last step in it
            apply(cast, entry)
        cast.next = max(cast.next, _number(entry["next"] - 1) + 1)
    return cast


def last_said(entries: Sequence[Entry]) -> Entry | None:
    """The last step of a user that was not taken back."""
    undone = undone_in(entries)
    return next((one for one in reversed(entries) if one["op"] in SAID and one["step"] not in undone), None)


def apply(cast: Cast, entry: Entry) -> None:
    """Take one step. Raises as ``replayed``."""
    op = entry["op"]
    if op == "base":
        _base(cast, entry)
    elif op in ("join", "again"):
        rows = cast.add(tracks_of(entry["tracks"]))
        people = numbers_in(entry["people"], len(rows))
        free = (cast.person[rows] == 0) if op == "join" else np.ones(len(rows), np.bool_)
        cast.person[rows[free]] = people[free]
        cast.became |= {_number(old): _number(new) for old, new in entry.get("became", ())}
    elif op in ("name", "merge"):
        first, *others = map(_number, entry["people"])
        for other in others:
            _absorb(cast, first, other)
        cast.sure[cast.person == first] = True
        if op == "name":
            cast.names[first] = str(entry["name"])
    elif op == "rename":
        cast.names[_number(entry["who"])] = str(entry["name"])
    elif op == "free":
        if "tracks" in entry:
            rows = cast.add(tracks_of(entry["tracks"]))
            cast.person[rows], cast.sure[rows] = 0, False
        else:
            cast.sure[cast.person == _number(entry["who"])] = False
            cast.names.pop(_number(entry["who"]), None)
    elif op in ("yes", "split"):
        rows, who = cast.add(tracks_of(entry["tracks"])), _number(entry["who"])
        to = _number(entry["to"]) if op == "split" else who
        cast.person[rows], cast.sure[rows] = to, True
        cast.never -= {(row, to) for row in rows.tolist()}
        if "away" in entry:
            cast.person[cast.add(tracks_of(entry["away"]))] = 0
        if op == "split":
            cast.never |= {(row, who) for row in rows.tolist()}
        elif "name" in entry:
            cast.names[who] = str(entry["name"])
    elif op == "not":
        rows, who = cast.add(tracks_of(entry["tracks"])), _number(entry["who"])
        cast.never |= {(row, who) for row in rows.tolist()}
        gone = rows[cast.person[rows] == who]
        cast.person[gone], cast.sure[gone] = 0, False
    elif op != "undo":
        raise ValueError(f"step {op!r} is not known")
    if op in ("free", "yes", "split", "not", "again") and cast.names:  # whoever has no track left is nobody
        there = np.isin(list(cast.names), cast.person)
        cast.names = {number: name for (number, name), keep in zip(cast.names.items(), there, strict=True) if keep}


def _absorb(cast: Cast, first: int, other: int) -> None:
    """Person ``other`` is ``first`` from now on."""
    cast.person[cast.person == other] = first
    cast.became[other] = first
    name = cast.names.pop(other, None)
    if name is not None:
        cast.names.setdefault(first, name)
    cast.never = {(row, first if number == other else number) for row, number in cast.never}
    cast.never = {(row, number) for row, number in cast.never if number != first or cast.person[row] != first}


def _base(cast: Cast, entry: Entry) -> None:
    rows = cast.add(tracks_of(entry["tracks"]))
    cast.person[rows] = numbers_in(entry["people"], len(rows))
    cast.sure[rows] = np.unpackbits(np.frombuffer(b64decode(entry["sure"]), np.uint8), count=len(rows)).astype(bool)
    cast.names = {_number(number): str(name) for number, name in entry["names"]}
    cast.became = {_number(old): _number(new) for old, new in entry["became"]}
    rejected = cast.add(tracks_of(entry["not"])).tolist()
    cast.never = set(zip(rejected, numbers_in(entry["not_people"], len(rejected)).tolist(), strict=True))


def base(cast: Cast, step: int = 0) -> Entry:
    """A step that says all of it."""
    order = np.lexsort((cast.marks, cast.video))
    order = order[cast.person[order] > 0]
    rejected = sorted(cast.never)
    return {
        "step": step,
        "op": "base",
        "next": cast.next,
        "names": sorted(cast.names.items()),
        "became": sorted(cast.became.items()),
        "tracks": packed(cast.tracks(order)),
        "people": words(cast.person[order]),
        "sure": b64encode(np.packbits(cast.sure[order]).tobytes()).decode("ascii"),
        "not": packed(cast.tracks(np.array([row for row, _ in rejected], np.int64))),
        "not_people": words([number for _, number in rejected]),
    }


# ------------------------------------------------------------------------------------------------------------- values


def packed(tracks: Tracks) -> dict[str, Any]:
    """Tracks as JSON has them."""
    return {"videos": list(tracks.contents), "video": words(tracks.owner), "marks": _coded(tracks.marks, "<u8")}


def words(numbers: Iterable[int] | NDArray[np.integer[Any]]) -> str:
    """Numbers of people or videos as JSON has them: base64 of 32 bits each, little endian."""
    return _coded(np.asarray(list(numbers) if not isinstance(numbers, np.ndarray) else numbers), "<i4")


def tracks_of(value: Any) -> Tracks:
    """Back. Raises ValueError, KeyError, TypeError."""
    contents = tuple(value["videos"])
    if not all(isinstance(one, str) and len(bytes.fromhex(one)) == 32 for one in contents):
        raise ValueError("no fingerprint of a video")
    marks = np.frombuffer(b64decode(value["marks"], validate=True), "<u8").astype(np.uint64)
    owner = np.frombuffer(b64decode(value["video"], validate=True), "<i4").astype(np.int64)
    if len(owner) != len(marks) or (len(owner) and not 0 <= owner.min() <= owner.max() < len(contents)):
        raise ValueError("tracks of no video")
    return Tracks(contents, owner, marks)


def numbers_in(value: Any, count: int) -> Numbers:
    """Numbers of people back (count,). Raises ValueError, TypeError."""
    numbers = np.frombuffer(b64decode(value, validate=True), "<i4").astype(np.int32)
    if len(numbers) != count or (count and numbers.min() < 1):
        raise ValueError("numbers of people that are none")
    return numbers


def _coded(values: NDArray[Any], kind: str) -> str:
    return b64encode(values.astype(kind).tobytes()).decode("ascii")


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < LARGEST:
        raise ValueError(f"{value!r} is no number of a person")
    return value
