"""joining: codes (n, B) + Book (who is known) -> number of everybody, (n,): new tracks join people or are new ones.

Who is known stays: tracks that have a person keep it, whatever is encoded later, and two people never become one here.
A track that is new joins the person it is near to by the rules of clustering.py, or founds a new one with others that
are new; never one with whom it is seen at once, nor one it was said not to be. Copies of a video count once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, overload

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.errors import PassingError, ShardError, UsageError, WeightsError
from dhhcli.index.faiss_backend import knn
from dhhcli.models.calibration import Calibration, Curve, from_record
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.weights import load_weights, resolve_weights, shipped_as
from dhhcli.people.clustering import EXACT, NEIGHBOURS, group_tracks, limit_of, usual_distances
from dhhcli.people.moments import at_once, track_seconds
from dhhcli.storage.codes_file import Shard, lock, open_shard
from dhhcli.storage.who.book import Book, open_book, tracks_in, write_step
from dhhcli.storage.who.cast import Cast, Tracks, packed, words

Numbers = NDArray[np.int64]
COMPARED: Final = 20_000_000_000  # pairs of new tracks and all others, which takes some ten seconds
SAMPLE: Final = 500  # tracks of a person that new ones are compared with in a large file


@dataclass(frozen=True, eq=False)
class Scale:
    """How near tracks of one person are."""

    within: float  # bits, on average
    curve: Curve | None  # of the calibration: how far strangers are


@dataclass(frozen=True, eq=False)
class Joined:
    """Everybody's number."""

    number: Numbers  # (n,), from 1
    new: Rows  # (m,) rows of tracks that had none, each once
    tracks: Tracks  # (n,)
    next: int  # the first number that is free

    def step(self) -> dict[str, object]:
        """What a step "join" says."""
        return {
            "next": self.next,
            "tracks": packed(self.tracks.taken(self.new)),
            "people": words(self.number[self.new]),
        }


def scale_of(codes_path: Path, tag: ModelTag, within: float | None, weights: str | None) -> Scale:
    """By the calibration of the weights that made the codes, or as the user wants it.

    Raises UsageError, WeightsError as ``find_people``.
    """
    if within is not None and not 0 <= within <= tag.bits:
        raise UsageError(f"--within {within:g}: the codes have {tag.bits} bits")
    curve = _curve(codes_path, tag, weights, needed=within is None)
    if within is None:
        assert curve is not None
        within = limit_of(curve)
    return Scale(within, curve)


def _curve(codes_path: Path, tag: ModelTag, name: str | None, *, needed: bool) -> Curve | None:
    """What the calibration of the weights that made the codes says of two tracks."""
    if name is None and shipped_as(tag.fingerprint) is None and not needed:
        return None
    calibration = calibration_of(codes_path, tag, name, needed=needed)
    return calibration.curves["track-track"] if calibration else None


@overload
def calibration_of(
    codes_path: Path, tag: ModelTag, name: str | None, *, needed: Literal[True] = True
) -> Calibration: ...


@overload
def calibration_of(codes_path: Path, tag: ModelTag, name: str | None, *, needed: bool) -> Calibration | None: ...


def calibration_of(codes_path: Path, tag: ModelTag, name: str | None, *, needed: bool = True) -> Calibration | None:
    """The calibration of the weights that made the codes. Raises WeightsError: there are none, or they have none."""
    name = name or shipped_as(tag.fingerprint)
    if name is None:
        raise WeightsError(
            f"{codes_path}: made with weights {tag.fingerprint[:12]}, which are not shipped; name them with --weights, "
            f"or say with --within how many bits apart the tracks of one person may be"
        )
    weights = load_weights(resolve_weights(name))
    if not tag.compares(ModelTag(weights.bits, weights.fingerprint)):
        raise WeightsError(
            f"{weights.record_path}: did not make {codes_path} ({weights.bits} bits, {weights.fingerprint[:12]}; "
            f"expected {tag.bits} bits, {tag.fingerprint[:12]}); name those that did"
        )
    calibration = from_record(weights.record, tag.bits, weights.record_path)
    if calibration is None and needed:
        raise WeightsError(
            f"{weights.record_path}: not calibrated; say with --within how many bits apart the tracks of one person "
            f"may be, or run: dhh calibrate PACK --weights {weights.record_path}"
        )
    return calibration


def join(codes_path: Path, shard: Shard, cast: Cast, within: float | None, weights: str | None) -> Joined:
    """Everybody's number, with those who had none. Raises UsageError, WeightsError as ``find_people``."""
    tracks = tracks_in(shard)
    at = cast.find(tracks)
    known = np.concatenate([cast.person, np.zeros(1, np.int32)])[at].astype(np.int64)
    if within is not None and not 0 <= within <= shard.tag.bits:
        raise UsageError(f"--within {within:g}: the codes have {shard.tag.bits} bits")
    if known.all():
        return Joined(known, np.empty(0, np.int64), tracks, cast.next)
    scale = scale_of(codes_path, shard.tag, within, weights)
    one, copies = once(tracks)
    numbers = known[one]
    some = _concerned(shard, one, numbers)
    looked, codes = one[some], np.asarray(shard.codes)
    usual = usual_distances(np.asarray(shard.code_rows(looked)), scale.curve, codes if len(some) < len(one) else None)
    never = [pairs_of(away, np.flatnonzero(numbers[some] == who)) for away, who in never_of(cast, at[looked])]
    apart = np.concatenate([at_once(shard.track_rows(looked)), *never])
    numbers[some] = grouped(np.asarray(shard.code_rows(looked)), shard.tag.bits, apart, numbers[some], scale, usual)
    numbers = numbers[copies]
    new = np.unique(numbers[known == 0])
    new = new[new < 0]  # groups of new tracks only
    place = -numbers.clip(max=0)
    seconds = np.bincount(place, track_seconds(shard, shard.track_rows(np.arange(len(shard))))).round(6)
    sizes = np.bincount(place)
    order = np.lexsort((-new, -sizes[-new], -seconds[-new]))
    given = np.zeros(len(sizes), np.int64)
    given[-new[order]] = cast.next + np.arange(len(new))
    numbers = np.where(numbers < 0, given[place], numbers)
    fresh = one[known[one] == 0]
    return Joined(numbers, fresh, tracks, cast.next + len(new))


def once(tracks: Tracks) -> tuple[Rows, Rows]:
    """Rows (u,) of tracks without their copies, rising, and which of these each track (n,) is."""
    keys = np.stack([tracks.owner.astype(np.uint64), tracks.marks], axis=1)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: the first copy comes first
    new = np.ones(len(order), np.bool_)
    new[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    group = np.cumsum(new) - 1
    first = order[new]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    copies = np.empty(len(order), np.int64)
    copies[order] = rank[group]
    return np.sort(first), copies


def never_of(cast: Cast, at: Rows) -> list[tuple[Rows, int]]:
    """Which rows (k,) are not of which people; ``at`` (n,): where they are in the cast."""
    people: dict[int, list[int]] = {}
    for row, number in sorted(cast.never):
        people.setdefault(number, []).append(row)
    found = [(np.flatnonzero(np.isin(at, rows)), number) for number, rows in people.items()]
    return [(rows, number) for rows, number in found if len(rows)]


def _concerned(shard: Shard, one: Rows, known: Numbers) -> Rows:
    """Which of all tracks (u,) have to be looked at to number those that are new: all of them where there are few, or
    many new ones. Else these, who is in their shots, and of the people that their neighbours are of a SAMPLE each.
    """
    new = np.flatnonzero(known == 0)
    if len(one) <= EXACT or len(new) * len(one) > COMPARED or 2 * len(new) > len(one):
        return np.arange(len(one))
    codes = shard.code_rows(one)
    _, near = knn(codes, np.ascontiguousarray(codes[new]), NEIGHBOURS)
    people = np.unique(known[near.ravel()])
    own = np.flatnonzero(np.isin(known, people[people > 0]))
    own = own[np.argsort(known[own], kind="stable")]
    sizes = np.unique(known[own], return_counts=True)[1]
    place = np.arange(len(own)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    step = np.repeat(-(-sizes // SAMPLE), sizes)
    shots = shard.track_rows(one)["shot"]
    together = np.flatnonzero(np.isin(shots, np.unique(shots[new])))
    return np.unique(np.concatenate([new, together, own[place % step == 0]]))


def grouped(
    codes: NDArray[np.uint8],
    bits: int,
    apart: Rows,
    known: Numbers,
    scale: Scale,
    usual: NDArray[np.float64] | None = None,
) -> Numbers:
    """Codes (n, B), pairs (p, 2) that are two people, numbers (n,) of those who are known, else 0 -> numbers (n,); of
    people who are new -1, -2, ... in the order of the first tracks of each.
    """
    people, names = np.unique(known, return_inverse=True)
    names = names - 1 if len(people) and people[0] == 0 else names
    usual = usual_distances(codes, scale.curve) if usual is None else usual
    groups = group_tracks(codes, bits, apart, scale.within, usual=usual, names=names)
    whose = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    whose[groups[known > 0]] = known[known > 0]
    numbers = np.where(known > 0, known, whose[groups])
    return _numbered(_apart(numbers, groups, apart, known), numbers)


def pairs_of(one: Rows, other: Rows) -> Rows:
    return np.stack([np.repeat(one, len(other)), np.tile(other, len(one))], axis=1)


def _apart(numbers: Numbers, groups: Rows, apart: Rows, known: Numbers) -> Rows:
    """Groups of new tracks; one that came to somebody it is apart from is alone."""
    same = (numbers[apart[:, 0]] == numbers[apart[:, 1]]) & (numbers[apart[:, 0]] > 0)
    lone = np.unique(apart[same])
    lone = lone[known[lone] == 0]
    groups = groups.copy()
    groups[lone] = groups.max(initial=0) + 1 + np.arange(len(lone))
    numbers[lone] = 0
    return groups


def _numbered(groups: Rows, numbers: Numbers) -> Numbers:
    free = np.flatnonzero(numbers == 0)
    _, first, which = np.unique(groups[free], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    numbers[free] = -1 - place[which]
    return numbers


def everybody(codes_path: Path, within: float | None, weights: str | None) -> tuple[Shard, Cast, Joined, list[str]]:
    """Open a codes file and give everybody a number; numbers that are new are kept. And notes: why they are not.

    Raises as ``find_people``.
    """
    while True:
        shard = open_shard(codes_path)
        book = open_book(codes_path)
        joined = join(codes_path, shard, book.cast, within, weights)
        if not len(joined.new):
            return shard, book.cast, joined, []
        try:
            with lock(codes_path):
                if _changed(book, shard):  # while tracks were grouped; so do that again
                    continue
                write_step(book, shard.tag, "join", **joined.step())
        except (PassingError, ShardError, OSError) as error:
            why = str(error).removeprefix(f"{codes_path}: ")
            note = f"{codes_path}: numbers from {book.cast.next} on are not kept ({why})"
            return shard, book.cast, joined, [note]
        return shard, book.cast, joined, []


def _changed(book: Book, shard: Shard) -> bool:
    with open_shard(book.codes_path) as now:
        return now.content != shard.content or open_book(book.codes_path).journal.size != book.journal.size
