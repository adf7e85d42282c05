"""forget: codes file + videos, tracks, the photo or name of a person -> the same file without them, and a record of it.

What is removed is gone from the bytes of the codes file, which is written anew: codes, pictures, times, and for a whole
video its path. The index, which holds the same codes and can be made again, goes before, and so do unfinished files of
killed writers; people (storage/who/book.py) go last: as long as there are codes there is a way to ask for them. What
the disk keeps of a removed file is not in our hands.

Cut off anywhere, the same line does the rest. Tombstones say whose names are to go. Rows of tracks are other tracks'
after the codes have been written, so until everything is done and said the file `codes.h5.forgetting` holds the hash of
the codes that the rows were read from: whoever finds it, and other codes, does not go by rows.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.atomic_write import write_atomically
from dhhcli.encoding.begun import discard_begun
from dhhcli.encoding.query_photo import photo_code
from dhhcli.errors import ShardError, UsageError
from dhhcli.index.lookup import index_paths, remove_index
from dhhcli.media.timing.timecode import source_timecode
from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.models.network import load_network
from dhhcli.models.weights import shipped_as
from dhhcli.storage.codes_file import compact, lock, open_shard, parts_of, remove_unfinished, replace_all
from dhhcli.storage.migration import discard
from dhhcli.storage.record import VideoRecord, to_tables
from dhhcli.storage.schema import Tables
from dhhcli.storage.shard import Shard, check_model
from dhhcli.storage.skipped import note_skipped
from dhhcli.storage.tombstones import of_tracks, of_video, united, without_tracks
from dhhcli.storage.track_id import rows_meant, track_ids
from dhhcli.storage.who.book import forget_people, names_beside, open_book, people_in
from dhhcli.storage.who.journal import people_path
from dhhcli.storage.who.names import known_name, names_path, places_of


@dataclass(frozen=True)
class Removed:
    """One track that was removed, or a video that had none; the record that is printed."""

    video: Path
    fingerprint: str  # of its content
    whole: bool  # the whole video was removed
    shot: int | None
    start: str  # source timecode of the track's first frame
    end: str  # and of its last
    box: tuple[int, int, int, int] | None  # where the face shows best, pixels
    distance: int | None  # bits from the photo that was asked with
    track: int | None  # row in the codes file before
    track_id: str | None  # what means it wherever it lies (storage/track_id.py)


@dataclass(frozen=True)
class Erasure:
    """What to forget; everything that any of these name."""

    videos: tuple[Path, ...] = ()  # as the codes file names them, or where they lie
    tracks: tuple[int | str, ...] = ()  # rows in the codes file or track_ids, as query prints them
    photos: tuple[Path, ...] = ()  # of people
    within: int | None = None  # bits: how near to one of the photos
    face: int = 1  # which face of a photo
    names: tuple[str, ...] = ()  # of people (storage/who/book.py): all tracks that are theirs


Ask = Callable[[Sequence[Removed], Sequence[bytes]], bool]  # the record and a JPEG a line -> whether to go on
Tell = Callable[[Sequence[Removed], Sequence[str]], None]  # the record and notes


def forget(
    codes_path: Path,
    request: Erasure,
    *,
    weights: str | None = None,
    dry_run: bool = False,
    ask: Ask = lambda _removed, _pictures: True,
    tell: Tell = lambda _removed, _notes: None,
) -> tuple[list[Removed], list[str]]:
    """Remove from a codes file what ``request`` names and keep tombstones of it; the record, and notes.

    Killed anywhere, the codes are the old or the new ones; the same line again does what is left to do. Nothing is
    written with ``dry_run``, when nothing is found, or when ``ask`` says no. A track is removed from all copies of its
    video.

    Args:
        codes_path: the codes file.
        request: what to forget.
        weights: name or path of weights for the photos, where they are no shipped ones.
        dry_run: only say what would be removed.
        ask: called before anything is removed, with the record and the picture of each line, b"" for none.
        tell: called when everything is removed, and before it is taken for granted that the user knows.

    Raises:
        UsageError: nothing is named, photos without a distance, or a number out of its range.
        ShardError, MissingPathError: the file is damaged or being written, or holds no such video or track; or rows
            were given, and an earlier run was cut off after which they are others.
        NamesError: nobody is called so, or the names beside it are damaged.
        PhotoError, NoFaceError, WeightsError: a photo cannot be hashed.
    """
    if not (request.videos or request.tracks or request.photos or request.names):
        raise UsageError("name what to forget: --name, --video, --track, or --photo with --within")
    if bool(request.photos) != (request.within is not None):
        raise UsageError("--photo and --within go together: everyone within so many bits of the photo is forgotten")
    if request.face > 1 and not request.photos:
        raise UsageError("--face says which face of a --photo; add --photo")
    if request.face < 1:
        raise UsageError(f"--face {request.face} is not a number from 1 up")
    open_shard(codes_path).close()  # before the lock leaves its file beside a name that was mistyped
    with lock(codes_path):
        done = set() if dry_run else _finish_earlier(codes_path, request)
        with open_shard(codes_path) as shard:
            if request.within is not None and not 0 <= request.within <= shard.tag.bits:
                raise UsageError(f"--within {request.within}: the codes have {shard.tag.bits} bits")
            videos = _videos(codes_path, shard, request.videos)
            distances, notes = _near(shard, request, weights)
            called, people = _called(codes_path, shard, request.names, done)
            tracks = set(rows_meant(shard, request.tracks, str(codes_path)).tolist()) | set(distances) | called
            tracks |= _copies(shard, tracks)
            removed = _record(shard, videos, tracks, distances)
            pictures = [b"" if line.track is None else shard.picture(line.track) for line in removed]
            tag, content = shard.tag, shard.content
        notes += _other_names(codes_path)
        if not (removed or people) or (removed and not ask(removed, pictures)) or dry_run:
            return (removed if dry_run else []), notes
        write_atomically(_journal(codes_path), f"{content}\n".encode())
        if removed:
            if discard(codes_path):  # it holds codes of who is forgotten
                notes.append(f"{codes_path}: what dhh migrate had done so far is removed too; it begins anew")
            if discard_begun(codes_path):
                notes.append(f"{codes_path}: what a run that was cut off had done of films is removed too")
            remove_index(codes_path)
            compact(codes_path, tag)
            with open_shard(codes_path) as shard:
                if shard.content != content:
                    raise ShardError(f"{codes_path}: changed while it was being read; run the same line again")
                pieces, stones = _rest(shard, videos, tracks)
                stones = [united([shard.tombstones, *stones])]
                replace_all(codes_path, tag, pieces, stones[0])
            note_skipped(codes_path, {line.video: None for line in removed if line.whole})
            forget_people(codes_path, tag, stones[0], people)
        else:  # whoever has the name is in no video that is there now
            with open_shard(codes_path) as shard:
                forget_people(codes_path, tag, shard.tombstones, people)
        tell(removed, notes)
        _journal(codes_path).unlink(missing_ok=True)
    return removed, notes


def _journal(codes_path: Path) -> Path:
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.forgetting")


def _finish_earlier(codes_path: Path, request: Erasure) -> set[str]:
    """Do what a run that was cut off left to do; the names that nobody has any more then. The lock is held.

    Raises ShardError where the request names rows that this run has changed.
    """
    remove_unfinished(codes_path)
    journal = _journal(codes_path)
    with open_shard(codes_path) as shard:
        content = shard.content
        names = set(names_beside(codes_path))
        if len(shard.tombstones):
            forget_people(codes_path, shard.tag, shard.tombstones)
    done = names - set(names_beside(codes_path))
    try:
        before = journal.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return done
    if before != content:
        remove_index(codes_path)
    journal.unlink()
    if before != content and any(isinstance(track, int) or track.isdecimal() for track in request.tracks):
        raise ShardError(
            f"{codes_path}: an earlier forget was cut off and is finished now, so tracks have other numbers; "
            "look with dhh query or dhh people, and name them anew, best by track_id"
        )
    return done


def _copies(shard: Shard, tracks: set[int]) -> set[int]:
    """The same tracks in copies of their videos."""
    wanted = set(places_of(shard, np.array(sorted(tracks), np.int64)))
    contents = {place.content for place in wanted}
    found = set()
    first = 0
    for video, (count, _) in zip(shard.videos, shard.pictures(), strict=True):
        if count and video.fingerprint in contents:
            rows = np.arange(first, first + count)
            found |= {row for row, at in zip(rows.tolist(), places_of(shard, rows), strict=True) if at in wanted}
        first += count
    return found


def _other_names(codes_path: Path) -> list[str]:
    """Words about links: what is written anew, or removed, is not in the file that has the other name."""
    home = codes_path.resolve()
    notes = []
    for path in (
        home,
        *index_paths(codes_path),
        people_path(codes_path),
        names_path(codes_path),
        *parts_of(codes_path),
    ):
        if path.is_symlink():
            notes.append(f"{path}: is a link; what it leads to stays as it was: {path.resolve()}")
        elif path.exists() and (links := path.stat().st_nlink - 1):
            notes.append(f"{path}: the file has {links} more names (hard links); under those it stays as it was")
    return notes


def _videos(codes_path: Path, shard: Shard, names: Sequence[Path]) -> set[int]:
    rows = {video.path: row for row, video in enumerate(shard.videos)}
    found = set()
    for name in names:
        row = rows.get(name, rows.get(name.resolve()))
        if row is None:
            raise ShardError(f"{codes_path}: holds no video {name}; dhh info --list shows what it holds")
        found.add(row)
    # copies of the same content would be encoded no more, so they are not kept either
    contents = {shard.videos[row].fingerprint for row in found}
    return {row for row, video in enumerate(shard.videos) if video.fingerprint in contents}


def _called(codes_path: Path, shard: Shard, wanted: Sequence[str], done: set[str]) -> tuple[set[int], set[int]]:
    """Tracks of some names, and numbers of the people who have them, also in videos that are not in the file any more.

    done: names that have gone just now.
    """
    if not wanted:
        return set(), set()
    cast = open_book(codes_path).cast
    called = {name: number for number, name in cast.names.items()}
    known = [known_name({*called, *done}, name, codes_path) for name in wanted]
    people = {called[name] for name in known if name in called}
    person, _ = people_in(shard, cast)
    return set(np.flatnonzero(np.isin(person, list(people))).tolist()), people


def _near(shard: Shard, request: Erasure, weights: str | None) -> tuple[dict[int, int], list[str]]:
    """Track -> bits from the nearest of the photos, of those within the distance; and which faces were taken."""
    if not request.photos or request.within is None:
        return {}, []
    network = load_network(weights or shipped_as(shard.tag.fingerprint), tracks=False)
    check_model(shard, network.tag)
    codes = [photo_code(photo, network, number=request.face) for photo in request.photos]
    notes = [f"{code.path}: {code.faces} faces, took number {code.number} by size" for code in codes if code.faces > 1]
    queries = pack(binarise(np.stack([code.soft for code in codes])))  # (q, B)
    nearest: NDArray[np.int32] = hamming(queries, shard.codes).min(axis=0)  # (n,)
    return {int(track): int(nearest[track]) for track in np.flatnonzero(nearest <= request.within)}, notes


def _record(shard: Shard, videos: set[int], tracks: set[int], distances: dict[int, int]) -> list[Removed]:
    owners = shard.track_rows(np.arange(len(shard)))["video"] if len(shard) else np.empty(0, np.int32)
    every = sorted(tracks | {int(track) for video in videos for track in np.flatnonzero(owners == video)})
    rows = shard.track_rows(np.array(every, np.int64))
    shots = shard.shots_rows(rows["shot"])
    removed = []
    words = track_ids(shard, np.array(every, np.int64))
    for number, track, shot, word in zip(every, rows, shots, words, strict=True):
        video = shard.video(int(track["video"]))
        left, top, right, bottom = (round(float(edge)) for edge in track["box"])
        removed.append(
            Removed(
                video.path,
                video.fingerprint,
                int(track["video"]) in videos,
                int(shot["number"]),
                _timecode(video, int(track["start_pts"])),
                _timecode(video, int(track["end_pts"])),
                (left, top, right, bottom),
                distances.get(number),
                number,
                word,
            )
        )
    empty = videos - {int(owner) for owner in owners}
    return removed + [
        Removed(shard.video(row).path, shard.video(row).fingerprint, True, None, "", "", None, None, None, None)
        for row in sorted(empty)
    ]


def _timecode(video: VideoRecord, pts: int) -> str:
    if video.still:
        return ""
    seconds = (pts - video.start_pts) * video.time_base
    return source_timecode(seconds, video.frame_rate, video.start_timecode, drop=video.drop_frame)


def _rest(shard: Shard, videos: set[int], tracks: set[int]) -> tuple[list[Tables], list[NDArray[np.void]]]:
    """What stays, by path, and tombstones of the rest."""
    pieces, stones = [], []
    first = 0
    wanted = sorted(tracks)
    for row, video in enumerate(shard.videos):
        unit = shard.unit(row)
        last = first + len(unit.tracks)
        local = [track - first for track in wanted[bisect_left(wanted, first) : bisect_left(wanted, last)]]
        first = last
        if row in videos:
            stones.append(of_video(video.fingerprint))
        elif local:
            encoded = shard.encoded_video(row)
            stones.append(of_tracks(video.fingerprint, encoded.tracks[local]))
            pieces.append(to_tables(shard.tag, without_tracks(encoded, local)))
        else:
            pieces.append(unit)
    return pieces, stones
