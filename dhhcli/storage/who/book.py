"""book: codes file (n tracks) + `codes.h5.people` -> Book: person and sureness of every track, names; and its steps.

Steps are written with the lock of the codes file held. `codes.h5.names`, where earlier versions kept names, is read on:
whoever has a name in it has it, and the first step that is written takes them over and removes that file.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.errors import NamesError
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.schema import TOMBSTONE_DTYPE
from dhhcli.storage.shard import Shard
from dhhcli.storage.who.cast import Cast, Numbers, Tracks, apply, base, last_said, replayed, tracks_of
from dhhcli.storage.who.cast import undone_in as undone_steps
from dhhcli.storage.who.journal import NOTHING, Entry, Journal, add_entry, people_path, read_journal, write_journal
from dhhcli.storage.who.marks import marks_of, pieces_of_marks
from dhhcli.storage.who.names import Names, Place, known_name, names_path, read_names

KEPT: Final = 32  # steps that can be taken back, at least
WORK: Final = 1 << 28  # tracks times steps that are replayed before old ones are folded into the base


@dataclass(eq=False)
class Book:
    """What is known of the people of a codes file, and the file that says so."""

    codes_path: Path
    journal: Journal
    entries: list[Entry]
    cast: Cast
    names: Names  # of the old file, which the next step takes over


def open_book(codes_path: Path) -> Book:
    """Read what lies beside a codes file; nobody where there is nothing.

    Raises:
        NamesError: it is damaged, foreign, or of another version.
    """
    names = read_names(codes_path)  # before the other, which takes its place
    journal = read_journal(codes_path)
    try:
        cast = replayed(journal.entries)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NamesError(
            f"{people_path(codes_path)}: damaged ({type(error).__name__}: {error}); restore it, or move it elsewhere"
        ) from None
    for name, places in sorted(names.items()):
        _take_over(cast, name, places)
    return Book(codes_path, journal, list(journal.entries), cast, names)


def _take_over(cast: Cast, name: str, places: Sequence[Place]) -> None:
    """A name of the old file: a person, unless somebody has it."""
    who = cast.called(name) or cast.next
    rows = cast.add(tracks_at(places))
    rows = rows[~cast.sure[rows]]
    cast.person[rows], cast.sure[rows] = who, True
    cast.names[who] = name
    cast.next = max(cast.next, who + 1)


def write_step(book: Book, tag: ModelTag, op: str, **values: Any) -> None:
    """Add a step to the file, and take it. The lock is held."""
    step = 1 + max((entry["step"] for entry in book.entries), default=0)
    entry = {"step": step, "op": op, "next": book.cast.next, **values}
    apply(book.cast, entry)
    book.cast.next = entry["next"]
    fresh = book.journal is NOTHING or book.names or book.journal.weights != tag.fingerprint
    if fresh or len(book.entries) > max(2 * KEPT, WORK // (len(book.cast) + 1)):
        _write_anew(book, tag, entry)
    else:
        add_entry(book.codes_path, book.journal, entry)
        book.entries.append(entry)
        book.journal = read_journal_size(book)


def read_journal_size(book: Book) -> Journal:
    """The same journal with one line more."""
    size = people_path(book.codes_path).stat().st_size
    return Journal(book.journal.weights, book.journal.entries, size)


def _write_anew(book: Book, tag: ModelTag, entry: Entry) -> None:
    """The file with one step more, old ones folded."""
    if book.names or not book.entries:  # there is no step yet that says what the names were
        book.entries = [base(_before(book), 0)]
    entries = [*book.entries, entry]
    if len(entries) > 2 * KEPT:
        undone = undone_steps(entries)
        old, late = entries[:-KEPT], entries[-KEPT:]
        entries = [base(replayed(old, undone), old[-1]["step"]), *late]
    write_journal(book.codes_path, tag, entries)
    names_path(book.codes_path).unlink(missing_ok=True)
    book.entries, book.names = entries, {}
    book.journal = Journal(tag.fingerprint, (), people_path(book.codes_path).stat().st_size)


def _before(book: Book) -> Cast:
    cast = replayed(book.entries)
    for name, places in sorted(book.names.items()):
        _take_over(cast, name, places)
    return cast


def take_back(book: Book, tag: ModelTag) -> Entry | None:
    """Undo the last step of a user, and which that was; None where there is none. The lock is held."""
    last = last_said(book.entries)
    if last is not None:
        write_step(book, tag, "undo", of=last["step"])
        book.cast = replayed(book.entries)
    return last


# ------------------------------------------------------------------------------------------------------------ tracks


def tracks_in(shard: Shard, rows: Rows | None = None) -> Tracks:
    """What means tracks for ever: some rows (k,) of a shard, or all (n,)."""
    if rows is None:
        pieces = list(pieces_of_marks(shard))
        video = np.concatenate([np.empty(0, np.int64), *(piece[0] for piece in pieces)])
        marks = np.concatenate([np.empty(0, np.uint64), *(piece[1] for piece in pieces)])
    else:
        tracks = shard.track_rows(rows)
        video, marks = tracks["video"].astype(np.int64), marks_of(tracks)
    used, owner = np.unique(video, return_inverse=True)
    contents = [shard.video(number).fingerprint for number in used.tolist()]
    place: dict[str, int] = {}
    for content in contents:  # copies of a video are one
        place.setdefault(content, len(place))
    return Tracks(tuple(place), np.array([place[one] for one in contents], np.int64)[owner], marks)


def tracks_at(places: Sequence[Place]) -> Tracks:
    """The same of places."""
    rows = np.zeros(len(places), TOMBSTONE_DTYPE)
    for row, place in zip(rows, places, strict=True):
        row["start_pts"], row["end_pts"], row["best_pts"] = place.start_pts, place.end_pts, place.best_pts
        row["box"] = place.box
    contents = {place.content: 0 for place in places}
    number = {content: at for at, content in enumerate(contents)}
    return Tracks(tuple(contents), np.array([number[one.content] for one in places], np.int64), marks_of(rows))


def tracks_under(tombstones: NDArray[np.void]) -> Tracks:
    """The same of tombstones of tracks."""
    words = [stone.tobytes().hex() for stone in tombstones["fingerprint"]]
    number: dict[str, int] = {}
    for word in words:
        number.setdefault(word, len(number))
    return Tracks(tuple(number), np.array([number[word] for word in words], np.int64), marks_of(tombstones))


def people_in(shard: Shard, cast: Cast) -> tuple[Numbers, NDArray[np.bool_]]:
    """Number of the person of every track (n,), 0 for nobody yet, and whether that is sure (n,)."""
    rows = cast.find(tracks_in(shard))
    person = np.concatenate([cast.person, np.zeros(1, np.int32)])[rows]  # row -1: the last
    return person, np.concatenate([cast.sure, np.zeros(1, np.bool_)])[rows]


def names_beside(codes_path: Path) -> dict[str, int]:
    """Every name that somebody has, and how many tracks were said to be theirs. Raises NamesError as ``open_book``."""
    cast = open_book(codes_path).cast
    sure = np.bincount(cast.person[cast.sure], minlength=cast.next)
    return {name: int(sure[number]) for number, name in sorted(cast.names.items(), key=lambda item: item[1])}


@dataclass(frozen=True, eq=False)
class Known:
    """Rows of the tracks of somebody who has a name."""

    yes: Rows  # (y,), y >= 1: sure ones; all where none of these is there
    no: Rows  # (x,) said not to be theirs


def cast_of(codes: Path | Sequence[Path]) -> Cast:
    """Who is who in one codes file, or in several as one. Raises NamesError as ``open_book``."""
    casts = [open_book(path).cast for path in ([codes] if isinstance(codes, Path) else codes)]
    return casts[0] if len(casts) == 1 else united_people(casts)[0]


def known_rows(codes: Path | Sequence[Path], shard: Shard, name: str) -> Known:
    """Which tracks are somebody's who has a name, and which are not.

    Raises:
        NamesError: there is no such name, or none of its tracks is in the codes file any more.
    """
    cast, codes_path = cast_of(codes), codes if isinstance(codes, Path) else codes[0]
    called = {known: number for number, known in cast.names.items()}
    known = known_name(called, name, codes_path)
    number = called[known]
    at = cast.find(tracks_in(shard))
    person = np.concatenate([cast.person, np.zeros(1, np.int32)])[at]
    sure = np.concatenate([cast.sure, np.zeros(1, np.bool_)])[at]
    own = np.flatnonzero((person == number) & sure)
    own = own if len(own) else np.flatnonzero(person == number)
    if not len(own):
        count = int((cast.person == number).sum())
        raise NamesError(
            f"{codes_path}: holds none of the {count} tracks called {known!r} any more; "
            f"encode their videos again, or dhh name {codes_path} --remove {known!r}"
        )
    never = np.array(sorted(row for row, whom in cast.never if whom == number), np.int64)
    return Known(own, np.flatnonzero(np.isin(at, never)))


# ------------------------------------------------------------------------------------------------- forget and merge


def forget_people(codes_path: Path, tag: ModelTag, tombstones: NDArray[np.void], people: Collection[int] = ()) -> None:
    """Leave nothing beside a codes file of what was forgotten: tracks, whole videos, and people with all they have.

    Steps are folded into what is left, so nothing of it can be taken back. The lock is held. Raises NamesError.
    """
    book = open_book(codes_path)
    if book.journal is NOTHING and not book.names:
        return
    whole = {stone["fingerprint"].tobytes().hex() for stone in tombstones[tombstones["whole"] > 0]}
    stones = tracks_under(tombstones[tombstones["whole"] == 0])
    mentioned = Cast()
    for entry in book.entries:
        for where in ("tracks", "not", "away"):
            if isinstance(entry.get(where), dict):
                mentioned.add(tracks_of(entry[where]))
    mentioned.add(book.cast.tracks(np.arange(len(book.cast))))
    if not people and not whole & set(mentioned.videos) and not (mentioned.find(stones) >= 0).any():
        return
    rows = book.cast.find(stones)
    gone = np.zeros(len(book.cast), np.bool_)
    gone[rows[rows >= 0]] = True
    gone |= np.isin(book.cast.video, [number for content, number in book.cast.videos.items() if content in whole])
    gone |= np.isin(book.cast.person, list(people))
    left = without(book.cast, gone)
    step = max((entry["step"] for entry in book.entries), default=0) + 1
    write_journal(codes_path, tag, [base(left, step)])
    names_path(codes_path).unlink(missing_ok=True)


def without(cast: Cast, gone: NDArray[np.bool_]) -> Cast:
    """The same without some tracks (n,), people who had only these, and what was said of them; numbers stay taken."""
    left = Cast(next=cast.next)
    kept = np.flatnonzero(~gone & (cast.person > 0))
    rows = left.add(cast.tracks(kept))
    left.person[rows], left.sure[rows] = cast.person[kept], cast.sure[kept]
    there = set(np.unique(left.person).tolist())
    left.names = {number: name for number, name in cast.names.items() if number in there}
    left.became = {old: cast.now(old) for old in cast.became if cast.now(old) in there}
    said = sorted((row, number) for row, number in cast.never if not gone[row] and number in there)
    about = left.add(cast.tracks(np.array([row for row, _ in said], np.int64))).tolist()
    left.never = set(zip(about, (number for _, number in said), strict=True))
    return left


def united_people(casts: Sequence[Cast]) -> tuple[Cast, int]:
    """Everybody of several files, and how many tracks had two names: the first file's people and numbers count.

    Somebody of a later file is whoever has the same name, else whoever has most of the tracks that both files hold,
    else somebody new.
    """
    whole, clashes = without(casts[0], np.zeros(len(casts[0]), np.bool_)), 0
    for cast in casts[1:]:
        rows = whole.add(cast.tracks(np.arange(len(cast))))
        before, sure = whole.person[rows], whole.sure[rows]
        becomes = _becomes(whole, cast, before)
        new = np.array([becomes.get(number, 0) for number in range(cast.next)], np.int32)[cast.person]
        named = np.array([number in cast.names for number in range(cast.next)], np.bool_)[cast.person]
        named_before = np.isin(before, list(whole.names))
        clashes += int((cast.sure & sure & named & named_before & (new != before)).sum())
        taken = (before == 0) | (cast.sure & ~sure)
        whole.person[rows[taken]], whole.sure[rows[taken]] = new[taken], cast.sure[taken]
        whole.sure[rows[(before == new) & cast.sure]] = True
        for number, name in cast.names.items():
            whole.names.setdefault(becomes[number], name)
        whole.never |= {(int(rows[row]), becomes[number]) for row, number in cast.never if number in becomes}
        whole.never = {(row, number) for row, number in whole.never if whole.person[row] != number}
        whole.next = max([whole.next, *(number + 1 for number in becomes.values())])
    return whole, clashes


def _becomes(whole: Cast, cast: Cast, before: Numbers) -> dict[int, int]:
    """Number in a later file -> number in the whole."""
    called = {name: number for number, name in whole.names.items()}
    becomes = {number: called[name] for number, name in cast.names.items() if name in called}
    taken = set(becomes.values())
    both = (before > 0) & (cast.person > 0)
    pairs, counts = np.unique(np.stack([cast.person[both], before[both]]), axis=1, return_counts=True)
    for at in np.argsort(-counts, kind="stable").tolist():
        number, other = int(pairs[0, at]), int(pairs[1, at])
        two_names = number in cast.names and other in whole.names
        if number not in becomes and other not in taken and not two_names:
            becomes[number] = other
            taken.add(other)
    free = whole.next
    for number in sorted({*np.unique(cast.person).tolist(), *cast.names} - {0}):
        if number not in becomes:
            becomes[number] = free
            free += 1
    return becomes


def write_people(codes_path: Path, tag: ModelTag, cast: Cast) -> None:
    """Put people beside a new codes file; nothing where there is nobody."""
    write_journal(codes_path, tag, [base(cast)] if len(cast) else [])
