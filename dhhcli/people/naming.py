"""naming: numbers of `dhh people`, tracks or a name + a new name -> a step in `codes.h5.people`, and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Rows
from dhhcli.base.text import counted
from dhhcli.errors import NamesError, ShardError, UsageError
from dhhcli.people.desk import (
    Desk,
    check_one_person,
    desk,
    number_meant,
    packed_rows,
    rows_of_people,
    rows_wanted,
    say,
    say_yes,
)
from dhhcli.people.identities import Person
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.track_id import rows_called
from dhhcli.storage.who.book import open_book, people_in, tracks_in
from dhhcli.storage.who.names import checked_name, known_name

Who = str | int | Person


@dataclass(frozen=True)
class Named:
    """A name, and what was said to be its person."""

    name: str
    tracks: int  # in the codes file
    videos: int
    missing: int  # tracks of it that the codes file does not hold (any more)


def list_names(codes_path: Path) -> list[Named]:
    """All names, in the order of the alphabet.

    Raises:
        MissingPathError, ShardError, NamesError: a file is not there or damaged.
    """
    with open_shard(codes_path) as shard:
        cast = open_book(codes_path).cast
        person, sure = people_in(shard, cast)
        videos = shard.track_rows(np.flatnonzero(sure))["video"]
        whose, own = person[sure], np.bincount(cast.person[cast.sure], minlength=cast.next)
        found = []
        for name, number in sorted((name, number) for number, name in cast.names.items()):
            rows = np.flatnonzero(sure)[whose == number]
            different = np.unique(cast.find(tracks_in(shard, rows)))  # copies of a video count once
            missing = int(own[number]) - len(different)
            found.append(Named(name, len(rows), len(np.unique(videos[whose == number])), missing))
        return found


def give_name(
    codes_path: Path,
    who: Who | Sequence[Who] | None,
    new: str,
    *,
    tracks: Sequence[int | str] = (),
    seen: tuple[Path, int] | None = None,
    within: float | None = None,
    weights: str | None = None,
) -> list[str]:
    """Give a name to people, who are one from then on, or to some tracks, or rename somebody; what was done, in words.

    Args:
        codes_path: the codes file.
        who: number of a person as ``dhh people`` prints it, or several; or a name that is given already; a Person; or
            None: ``tracks``.
        new: the name. Who has it already stays who has it too.
        tracks: rows of the codes file, or track_ids.
        seen: path of the video and number of the shot in which the tracks must be, where that is known.
        within, weights: as for ``find_people``.

    Raises:
        UsageError: no person and no tracks, or both.
        NamesError: there is no such person, track or name (any more); a person has another name; or two of the
            tracks are seen at once, so they are two people.
        MissingPathError, ShardError, WeightsError: as ``find_people``.
    """
    people = [] if who is None else [who] if isinstance(who, (str, int, Person)) else list(who)
    if bool(people) == bool(tracks):
        raise UsageError("say whom to name: a number of dhh people, a name, or --track")
    new = checked_name(new)
    renamed = len(people) == 1 and isinstance(people[0], str) and not people[0].isdecimal()
    with desk(codes_path, within=within, weights=weights, grouped=bool(people) and not renamed) as at:
        if tracks:
            return _name_tracks(at, rows_wanted(at, tracks, seen), new)
        there = at.cast.called(new)
        if renamed:
            number = number_meant(at, str(people[0]))
            what = f"{at.cast.names[number]} is now called {new}"
            if there not in (None, number):
                check_one_person(at, rows_of_people(at, [number, int(there or 0)]), new)
                say(at, "merge", people=[there, number])
            else:
                say(at, "rename", who=number, name=new)
            return [what]
        numbers = []
        for one in people:
            number = _number(at, one)
            _check_free(at, one, number, new)
            numbers.append(number)
        own = rows_of_people(at, numbers)
        whole = list(dict.fromkeys(numbers if there is None else [there, *numbers]))
        check_one_person(at, rows_of_people(at, whole), new)
        say(at, "name", people=whole, name=new)
        return [_what(at, len(own), whole[0])]


def _number(at: Desk, who: Who) -> int:
    """The number that is meant now. A Person of an earlier list must still hold the track that shows them best."""
    if not isinstance(who, Person):
        return number_meant(at, who)
    person, _ = people_in(at.shard, at.cast)
    try:
        number = number_meant(at, who.person)
        if person[rows_called(at.shard, who.track_id, str(at.codes_path))[0]] == number:
            return number
    except ShardError:  # there is no such track
        pass
    raise NamesError(f"{at.codes_path}: has changed since person {who.person} was listed; list the people again")


def _check_free(at: Desk, word: Who, number: int, new: str) -> None:
    known = at.cast.names.get(number, new)
    if known != new:
        word = word.person if isinstance(word, Person) else word
        raise NamesError(
            f"{at.codes_path}: person {word} is {known!r} already; to rename: dhh name {at.codes_path} {known!r} "
            f"{new!r}, for some tracks only: --track"
        )


def _name_tracks(at: Desk, rows: Rows, new: str) -> list[str]:
    there = at.cast.called(new)
    number = there or at.cast.next
    check_one_person(at, np.union1d(rows, rows_of_people(at, [number], sure=True)), new)
    say_yes(at, number, rows, name=new, next=max(at.cast.next, number + 1))
    return [_what(at, len(rows), number)]


def _what(at: Desk, named: int, number: int) -> str:
    words = f"{at.cast.names[number]}: {counted(named, 'track')}"
    total = len(rows_of_people(at, [number]))
    return words if total == named else f"{words}, {total} tracks have this name"


def take_name(codes_path: Path, name: str, *, tracks: Sequence[int | str] = ()) -> list[str]:
    """Take a name away, from some tracks or altogether; what was done, in words.

    Raises:
        NamesError: there is no such name, or a track does not have it.
        MissingPathError, ShardError: as ``open_shard``.
    """
    with desk(codes_path, grouped=False) as at:
        numbers = {own: number for number, own in at.cast.names.items()}
        known = known_name(numbers, name, codes_path)
        number = numbers[known]
        if not tracks:
            count = int(((at.cast.person == number) & at.cast.sure).sum())
            say(at, "free", who=number)
            return [f"{known}: {count} tracks have no name now"]
        rows = rows_wanted(at, tracks)
        person, sure = people_in(at.shard, at.cast)
        for row in rows[(person[rows] != number) | ~sure[rows]]:
            raise NamesError(f"{codes_path}: track {row} is not called {known!r}; dhh people shows who is who")
        say(at, "free", who=number, tracks=packed_rows(at, rows))
        return [f"{known}: {len(rows)} tracks have no name now"]
