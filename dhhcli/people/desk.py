"""desk: codes file + lock -> Desk: everybody's number as it is now, and a pen for the next step; who words mean."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.errors import NamesError, ShardError
from dhhcli.people.joining import join
from dhhcli.people.moments import at_once
from dhhcli.storage.codes_file import Shard, lock, open_shard
from dhhcli.storage.track_id import rows_meant
from dhhcli.storage.who.book import Book, open_book, people_in, tracks_in, write_step
from dhhcli.storage.who.cast import Cast, packed
from dhhcli.storage.who.names import known_name


@dataclass(frozen=True, eq=False)
class Desk:
    """A codes file while something is said about its people; the lock is held."""

    codes_path: Path
    shard: Shard
    book: Book
    within: float | None
    weights: str | None

    @property
    def cast(self) -> Cast:
        """Who is who."""
        return self.book.cast


@contextmanager
def desk(
    codes_path: Path, *, within: float | None = None, weights: str | None = None, grouped: bool = True
) -> Iterator[Desk]:
    """Hold a codes file to say something about its people; ``grouped``: everybody has a number by then.

    Raises as ``find_people``, and PassingError while another process writes.
    """
    open_shard(codes_path).close()  # before the lock leaves its file beside a name that was mistyped
    with lock(codes_path), open_shard(codes_path) as shard:
        found = Desk(codes_path, shard, open_book(codes_path), within, weights)
        if grouped:
            join_new(found)
        yield found


def join_new(at: Desk) -> NDArray[np.int64]:
    """Give a number to every track that has none; everybody's (n,)."""
    joined = join(at.codes_path, at.shard, at.cast, at.within, at.weights)
    if len(joined.new):
        say(at, "join", **joined.step())
    return joined.number


def say(at: Desk, op: str, **values: object) -> None:
    """Write a step (storage/who/cast.py) and take it."""
    write_step(at.book, at.shard.tag, op, **values)


def say_yes(at: Desk, number: int, rows: Rows, **more: object) -> None:
    """Tracks are a person's; what was taken for them by its code alone and is seen at once with these gives way."""
    person, sure = people_in(at.shard, at.cast)
    unsure = np.setdiff1d(np.flatnonzero((person == number) & ~sure), rows)
    both = np.concatenate([rows, unsure])
    pairs = both[at_once(at.shard.track_rows(both))]  # (p, 2)
    with_one = np.isin(pairs[:, 0], rows) | np.isin(pairs[:, 1], rows)
    away = np.intersect1d(pairs[with_one], unsure)
    if len(away):
        more["away"] = packed_rows(at, away)
    say(at, "yes", who=number, tracks=packed_rows(at, rows), **more)


def packed_rows(at: Desk, rows: Rows) -> dict[str, object]:
    """Tracks as a step has them."""
    return packed(tracks_in(at.shard, rows))


def number_meant(at: Desk, word: str | int) -> int:
    """Number of the person whom a number or a name means now.

    Raises NamesError where there is nobody.
    """
    if isinstance(word, str) and not word.isdecimal():
        called = {name: number for number, name in at.cast.names.items()}
        return called[known_name(called, word, at.codes_path)]
    number = at.cast.now(int(word))
    if not 0 < number < at.cast.next:
        raise NamesError(
            f"{at.codes_path}: has people 1 to {at.cast.next - 1}, not {word}; dhh people {at.codes_path} shows them"
        )
    if not (at.cast.person == number).any():
        raise NamesError(
            f"{at.codes_path}: person {word} is no more: forgotten, or of other people now; "
            f"dhh people {at.codes_path} shows who is there"
        )
    return number


def numbers_meant(at: Desk, words: Sequence[str | int]) -> list[int]:
    """The same of several, once each, in their order."""
    return list(dict.fromkeys(number_meant(at, word) for word in words))


def rows_wanted(at: Desk, tracks: Sequence[int | str], seen: tuple[Path, int] | None = None) -> Rows:
    """Rows (k,) of tracks, with the copies of their videos.

    seen: path of the video and number of the shot in which they must be, where that is known. Raises NamesError.
    """
    try:
        rows = rows_meant(at.shard, tracks, str(at.codes_path))
    except ShardError as error:
        raise NamesError(str(error).replace("dhh query", "dhh people")) from None
    for row in rows if seen else ():
        track = at.shard.track_rows(np.array([row]))[0]
        shot = int(at.shard.shots_rows(track["shot"][None])[0]["number"])
        if (at.shard.video(int(track["video"])).path, shot) != seen:
            raise NamesError(f"{at.codes_path}: has changed since track {row} was found; search again")
    return rows


def rows_of_people(at: Desk, numbers: Sequence[int], *, sure: bool = False) -> Rows:
    """Rows (k,) of everybody with one of these numbers, or only what is sure."""
    person, said = people_in(at.shard, at.cast)
    found = np.isin(person, list(numbers))
    return np.flatnonzero(found & said if sure else found)


def check_one_person(at: Desk, rows: Rows, name: str) -> None:
    """Raises NamesError where two of the tracks are seen at the same time in one shot."""
    tracks = at.shard.track_rows(rows)
    pairs = at_once(tracks)
    if len(pairs):
        a, b = rows[pairs[0]]
        shot = at.shard.shots_rows(tracks["shot"][pairs[0][:1]])[0]
        raise NamesError(
            f"{name!r} cannot be one person: tracks {a} and {b} are seen at once in shot {shot['number']} of "
            f"{at.shard.video(int(shot['video'])).path}; name the right tracks with --track"
        )


def called(at: Desk, number: int) -> str:
    """Name of a person, else "person 12"."""
    return at.cast.names.get(number, f"person {number}")
