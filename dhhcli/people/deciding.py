"""deciding: people and tracks -> a step in `codes.h5.people`, and what was done: merge, split, confirm, not, undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Rows
from dhhcli.base.text import counted
from dhhcli.errors import NamesError, UsageError
from dhhcli.people.clustering import halves
from dhhcli.people.desk import (
    Desk,
    called,
    check_one_person,
    desk,
    join_new,
    number_meant,
    numbers_meant,
    packed_rows,
    rows_of_people,
    rows_wanted,
    say,
    say_yes,
)
from dhhcli.storage.who.book import take_back
from dhhcli.storage.who.cast import last_said

Word = str | int


@dataclass(frozen=True)
class Decided:
    """What was done, in words, and who it is about."""

    words: tuple[str, ...]
    people: tuple[int, ...]  # their numbers now


def merge_people(
    codes_path: Path, people: Sequence[Word], *, within: float | None = None, weights: str | None = None
) -> Decided:
    """Say that people are one: they have the number of the first from then on, and the name that one of them has.

    Raises:
        UsageError: fewer than two people.
        NamesError: there is no such person; two have different names; or two of their tracks are seen at once.
        MissingPathError, ShardError, WeightsError: as ``find_people``.
    """
    with desk(codes_path, within=within, weights=weights) as at:
        numbers = numbers_meant(at, people)
        if len(numbers) < 2:
            raise UsageError("name two people or more to merge: dhh people merge CODES 3 12")
        names = [at.cast.names[number] for number in numbers if number in at.cast.names]
        if len(names) > 1:
            raise NamesError(
                f"{codes_path}: {names[0]!r} and {names[1]!r} have names of their own; to make one of them: "
                f"dhh name {codes_path} {names[1]!r} {names[0]!r}"
            )
        rows = rows_of_people(at, numbers)
        check_one_person(at, rows, names[0] if names else f"person {numbers[0]}")
        say(at, "merge", people=numbers)
        others = ", ".join(map(str, numbers[1:]))
        words = f"{called(at, numbers[0])}: {counted(len(rows), 'track')}, also who was number {others}"
        return Decided((words,), (numbers[0],))


def split_person(
    codes_path: Path,
    person: Word,
    *,
    tracks: Sequence[int | str] = (),
    within: float | None = None,
    weights: str | None = None,
) -> Decided:
    """Say that some tracks of a person are somebody else, one who is new; without tracks: the two halves least alike.

    Raises:
        NamesError: there is no such person or track; a track is not of the person; nothing of the person would be
            left; two of the tracks are seen at once; or there is nothing to tell two halves by.
        MissingPathError, ShardError, WeightsError: as ``find_people``.
    """
    with desk(codes_path, within=within, weights=weights) as at:
        number = number_meant(at, person)
        own = rows_of_people(at, [number])
        if tracks:
            rows = rows_wanted(at, tracks)
            _check_own(at, rows, own, number)
        else:
            rows = _other_half(at, own)
        if not len(np.setdiff1d(own, rows)):
            raise NamesError(f"{codes_path}: nothing of {called(at, number)} would be left; name fewer tracks")
        check_one_person(at, rows, called(at, at.cast.next))
        new = at.cast.next
        say(at, "split", who=number, to=new, next=new + 1, tracks=packed_rows(at, rows))
        words = f"{called(at, number)}: {counted(len(own) - len(rows), 'track')} left; person {new}: {len(rows)}"
        return Decided((words,), (number, new))


def reject_tracks(
    codes_path: Path,
    person: Word,
    tracks: Sequence[int | str],
    *,
    within: float | None = None,
    weights: str | None = None,
) -> Decided:
    """Say that tracks are not a person: they never come back to them. Those that were theirs become somebody else.

    Raises:
        UsageError: no track.
        NamesError: there is no such person or track.
        MissingPathError, ShardError, WeightsError: as ``find_people``.
    """
    if not tracks:
        raise UsageError("say which tracks are not the person: dhh people not CODES 3 TRACK")
    with desk(codes_path, within=within, weights=weights) as at:
        number = number_meant(at, person)
        rows, who = rows_wanted(at, tracks), called(at, number)
        say(at, "not", who=number, tracks=packed_rows(at, rows))
        now = sorted(set(join_new(at)[rows].tolist()))
        words = f"not {who}: {counted(len(rows), 'track')}, now of {', '.join(called(at, one) for one in now)}"
        return Decided((words,), (number, *now))


def confirm_tracks(
    codes_path: Path,
    person: Word,
    tracks: Sequence[int | str],
    *,
    within: float | None = None,
    weights: str | None = None,
) -> Decided:
    """Say that tracks are a person, whoever they were taken for. Raises as ``reject_tracks``, and NamesError where two
    of what is sure would be seen at once.
    """
    if not tracks:
        raise UsageError("say which tracks are the person")
    with desk(codes_path, within=within, weights=weights) as at:
        number, rows = number_meant(at, person), rows_wanted(at, tracks)
        check_one_person(at, np.union1d(rows, rows_of_people(at, [number], sure=True)), called(at, number))
        say_yes(at, number, rows)
        join_new(at)
        return Decided((f"{called(at, number)}: {counted(len(rows), 'track')} confirmed",), (number,))


def undo(codes_path: Path) -> Decided:
    """Take back the last thing that was said; what it was, in words. Nothing that was forgotten comes back.

    Raises:
        NamesError: there is nothing to take back.
        MissingPathError, ShardError: as ``find_people``.
    """
    with desk(codes_path, grouped=False) as at:
        step = last_said(at.book.entries)
        words = _words(at, step) if step else ""
        if take_back(at.book, at.shard.tag) is None:
            raise NamesError(f"{codes_path}: nothing was said about its people that can be taken back")
        return Decided((f"taken back: {words}",), ())


def _words(at: Desk, step: dict[str, object]) -> str:
    match step["op"]:
        case "name":
            return f"the name {step['name']!r} of {_listed(step['people'])}"
        case "rename":
            return f"the name {step['name']!r} of person {step['who']}"
        case "free":
            return f"that {called(at, int(str(step['who'])))} lost a name"
        case "merge":
            return f"that {_listed(step['people'])} are one"
        case "yes":
            return f"that tracks are {step.get('name') or called(at, int(str(step['who'])))}"
        case "split":
            return f"that person {step['to']} is not {called(at, int(str(step['who'])))}"
        case "not":
            return f"that tracks are not {called(at, int(str(step['who'])))}"
        case _:
            return "grouping anew"


def _listed(people: object) -> str:
    numbers = list(people) if isinstance(people, list) else []
    return f"person {numbers[0]}" if len(numbers) == 1 else f"people {', '.join(map(str, numbers))}"


def _check_own(at: Desk, rows: Rows, own: Rows, number: int) -> None:
    for row in np.setdiff1d(rows, own).tolist():
        raise NamesError(f"{at.codes_path}: track {row} is not of {called(at, number)}; dhh people shows who is who")


def _other_half(at: Desk, own: Rows) -> Rows:
    """The smaller of the two halves of a person's tracks that are least alike."""
    codes = np.asarray(at.shard.code_rows(own))
    half = halves(codes, at.shard.tag.bits)
    if half is None:
        raise NamesError(
            f"{at.codes_path}: all {len(own)} tracks are alike, so they have no halves; name tracks with --track"
        )
    return own[half]
