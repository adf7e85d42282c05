"""naming: a number of `dhh people`, tracks or a name + a new name -> `codes.h5.names`, and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.base.text import counted
from dhhcli.errors import NamesError, ShardError, UsageError
from dhhcli.people.identities import Person, at_once, people_numbers
from dhhcli.storage.codes_file import Shard, lock, open_shard
from dhhcli.storage.names import (
    Place,
    checked_name,
    known_name,
    places_of,
    read_names,
    rows_of,
    with_name,
    without_places,
    write_names,
)
from dhhcli.storage.track_id import rows_meant


@dataclass(frozen=True)
class Named:
    """A name, and how much it was given to."""

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
        names = read_names(codes_path)
        rows = rows_of(shard, names)
        return [_named(shard, name, rows[name], names[name]) for name in sorted(names)]


def give_name(
    codes_path: Path,
    who: str | Person | None,
    new: str,
    *,
    tracks: Sequence[int | str] = (),
    seen: tuple[Path, int] | None = None,
    within: float | None = None,
    weights: str | None = None,
) -> list[str]:
    """Give a name to a person or to some tracks, or rename somebody; what was done, in words.

    Args:
        codes_path: the codes file; the names lie beside it.
        who: number of a person as ``dhh people`` prints it with the same ``within`` and ``weights``, or a name that is
            given already; a Person: whoever their best track is of now; None: ``tracks``.
        new: the name. Who has it already stays who has it too.
        tracks: rows of the codes file, or track_ids.
        seen: path of the video and number of the shot in which the tracks must be, where that is known.
        within, weights: as for ``find_people``.

    Raises:
        UsageError: no person and no tracks, or both.
        NamesError: there is no such person, track or name (any more); the person has another name; or two of the
            tracks are seen at once, so they are two people.
        MissingPathError, ShardError, WeightsError: as ``find_people``.
    """
    if (who is None) != bool(tracks):
        raise UsageError("say whom to name: a number of dhh people, a name, or --track")
    new = checked_name(new)
    open_shard(codes_path).close()  # before the lock leaves its file beside a name that was mistyped
    with lock(codes_path), open_shard(codes_path) as shard:
        names = read_names(codes_path)
        rows = rows_of(shard, names)
        all_tracks = shard.track_rows(np.arange(len(shard)))
        if isinstance(who, str) and not who.isdecimal():
            old = known_name(names, who, codes_path)
            own, places = rows[old], list(names[old])
            what = f"{old} is now called {new}"
        else:
            if who is None:
                own = _tracks(codes_path, shard, tracks, seen)
            else:
                number = people_numbers(codes_path, shard, all_tracks, rows, within=within, weights=weights)
                now = int(who) if isinstance(who, str) else _number_now(codes_path, shard, all_tracks, number, who)
                own = _person(codes_path, now, number, rows, new)
            places = places_of(shard, own)
            what = f"{new}: {counted(len(own), 'track')}"
        after = with_name(names, new, places)
        _check_one_person(shard, all_tracks, np.union1d(own, rows.get(new, own)), new)
        write_names(codes_path, after)
        total = len(after[new])
        return [what if total == len(places) else f"{what}, {total} tracks have this name"]


def _tracks(codes_path: Path, shard: Shard, tracks: Sequence[int | str], seen: tuple[Path, int] | None = None) -> Rows:
    try:
        rows = rows_meant(shard, tracks, str(codes_path))
    except ShardError as error:
        raise NamesError(str(error).replace("dhh query", "dhh people")) from None
    for row in rows if seen else ():
        if _place(shard, shard.track_rows(np.array([row]))[0]) != seen:
            raise NamesError(f"{codes_path}: has changed since track {row} was found; search again")
    return rows


def _place(shard: Shard, track: np.void) -> tuple[Path, int]:
    """Path of a track's video, and number of its shot."""
    return shard.video(int(track["video"])).path, int(shard.shots_rows(track["shot"][None])[0]["number"])


def _number_now(codes_path: Path, shard: Shard, tracks: NDArray[np.void], number: Rows, person: Person) -> int:
    """Number of whoever the person's best track is of; NamesError where they are not first seen where they were."""
    if person.track < len(number):
        now = int(number[person.track])
        own = np.flatnonzero(number == now)
        first = tracks[own[np.lexsort((own, tracks["start_pts"][own], tracks["video"][own]))[0]]]
        if _place(shard, first) == (person.video, person.shot):
            return now
    raise NamesError(f"{codes_path}: has changed since person {person.person} was listed; list the people again")


def _person(codes_path: Path, person: int, number: Rows, rows: dict[str, Rows], new: str) -> Rows:
    own = np.flatnonzero(number == person)
    if not len(own):
        raise NamesError(
            f"{codes_path}: has people 1 to {number.max(initial=0)}, not {person}; dhh people {codes_path} shows them"
        )
    known = next((name for name, named in rows.items() if len(named) and number[named[0]] == person), new)
    if known != new:
        raise NamesError(
            f"{codes_path}: person {person} is {known!r} already; to rename: dhh name {codes_path} {known!r} {new!r}, "
            f"for some tracks only: --track"
        )
    return own


def _check_one_person(shard: Shard, tracks: NDArray[np.void], rows: Rows, name: str) -> None:
    """Raises NamesError where two of the tracks are seen at the same time in one shot."""
    pairs = at_once(tracks[rows])
    if len(pairs):
        a, b = rows[pairs[0]]
        shot = shard.shots_rows(tracks["shot"][[a]])[0]
        raise NamesError(
            f"{name!r} cannot be one person: tracks {a} and {b} are seen at once in shot {shot['number']} of "
            f"{shard.video(int(shot['video'])).path}; name the right tracks with --track"
        )


def take_name(codes_path: Path, name: str, *, tracks: Sequence[int | str] = ()) -> list[str]:
    """Take a name away, from some tracks or altogether; what was done, in words.

    Raises:
        NamesError: there is no such name, or a track does not have it.
        MissingPathError, ShardError: as ``open_shard``.
    """
    open_shard(codes_path).close()
    with lock(codes_path), open_shard(codes_path) as shard:
        names = read_names(codes_path)
        known = known_name(names, name, codes_path)
        places: Sequence[Place] = names[known]
        if tracks:
            own = _tracks(codes_path, shard, tracks)
            places = places_of(shard, own)
            for row, place in zip(own, places, strict=True):
                if place not in names[known]:
                    raise NamesError(f"{codes_path}: track {row} is not called {known!r}; dhh people shows who is who")
        write_names(codes_path, without_places(names, places))
        return [f"{known}: {len(places)} tracks have no name now"]


def _named(shard: Shard, name: str, rows: Rows, places: Sequence[Place]) -> Named:
    found = set(places_of(shard, rows)) if len(rows) else set()
    return Named(name, len(rows), len(np.unique(shard.track_rows(rows)["video"])), len(places) - len(found))
