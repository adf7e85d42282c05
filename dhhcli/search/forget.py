"""forget: codes file + videos, tracks, the photo or name of a person -> the same file without them, and a record of it.

What is removed is gone from the bytes of the codes file, which is written anew: codes, pictures, times, and for a whole
video its path. The index holds the same codes and is removed first, and so are the names of what is removed
(storage/names.py) and unfinished files of killed writers. What the disk keeps of a removed file is not in our hands.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dhhcli.encoding.query_photo import photo_code
from dhhcli.errors import ShardError, UsageError
from dhhcli.index.lookup import remove_index
from dhhcli.media.timecode import source_timecode
from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.models.network import load_network
from dhhcli.models.weights import shipped_as
from dhhcli.storage.codes_file import compact, lock, open_shard, replace_all
from dhhcli.storage.names import Place, forget_names, known_name, places_of, read_names, rows_of
from dhhcli.storage.record import VideoRecord, to_tables
from dhhcli.storage.schema import Tables
from dhhcli.storage.shard import Shard, check_model
from dhhcli.storage.tombstones import of_tracks, of_video, united, without_tracks


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


@dataclass(frozen=True)
class Request:
    """What to forget; everything that any of these name."""

    videos: tuple[Path, ...] = ()  # as the codes file names them, or where they lie
    tracks: tuple[int, ...] = ()  # rows in the codes file, as query prints them
    photos: tuple[Path, ...] = ()  # of people
    within: int | None = None  # bits: how near to one of the photos
    face: int = 1  # which face of a photo
    names: tuple[str, ...] = ()  # of people (storage/names.py): all tracks that were given one


def forget(
    codes_path: Path, request: Request, *, weights: str | None = None, dry_run: bool = False
) -> tuple[list[Removed], list[str]]:
    """Remove from a codes file what ``request`` names and keep tombstones of it; the record, and notes.

    Killed anywhere, the file is the old or the new one; nothing is half removed. Nothing is written with ``dry_run``,
    or when nothing is found.

    Raises:
        UsageError: nothing is named, photos without a distance, or a number out of its range.
        ShardError, MissingPathError: the file is damaged or being written, or holds no such video or track.
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
        with open_shard(codes_path) as shard:
            if request.within is not None and not 0 <= request.within <= shard.tag.bits:
                raise UsageError(f"--within {request.within}: the codes have {shard.tag.bits} bits")
            videos = _videos(codes_path, shard, request.videos)
            distances, notes = _near(shard, request, weights)
            called, places = _called(codes_path, shard, request.names)
            tracks = set(request.tracks) | set(distances) | called
            if any(not 0 <= track < len(shard) for track in tracks):
                raise ShardError(f"{codes_path}: has tracks 0 to {len(shard) - 1}; see the column track of dhh query")
            removed = _record(shard, videos, tracks, distances)
            places += places_of(shard, np.array([line.track for line in removed if line.track is not None], np.int64))
            tag, content = shard.tag, shard.content
        if dry_run or not (removed or places):
            return removed, notes
        forget_names(codes_path, places, {line.fingerprint for line in removed if line.whole})
        if not removed:  # whoever has the name is in no video that is there now
            return removed, notes
        remove_index(codes_path)
        compact(codes_path, tag)
        with open_shard(codes_path) as shard:
            if shard.content != content:
                raise ShardError(f"{codes_path}: changed while it was being read; run the same line again")
            pieces, stones = _rest(shard, videos, tracks)
            replace_all(codes_path, tag, pieces, united([shard.tombstones, *stones]))
    return removed, notes


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


def _called(codes_path: Path, shard: Shard, wanted: Sequence[str]) -> tuple[set[int], list[Place]]:
    """Tracks of some names, and all places that have them, also of videos that are not in the file any more."""
    names = read_names(codes_path)
    known = [known_name(names, name, codes_path) for name in wanted]
    rows = rows_of(shard, {name: names[name] for name in known})
    return {int(row) for own in rows.values() for row in own}, [place for name in known for place in names[name]]


def _near(shard: Shard, request: Request, weights: str | None) -> tuple[dict[int, int], list[str]]:
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
    for number, track, shot in zip(every, rows, shots, strict=True):
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
            )
        )
    empty = videos - {int(owner) for owner in owners}
    return removed + [
        Removed(shard.video(row).path, shard.video(row).fingerprint, True, None, "", "", None, None, None)
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
