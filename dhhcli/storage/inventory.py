"""inventory: codes file -> what is in it, as one line of totals or a line a video."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from dhhcli.models.weights import shipped_as
from dhhcli.storage.codes_file import Shard, open_shard, parts_of
from dhhcli.storage.record import VideoRecord
from dhhcli.storage.skipped import read_skipped
from dhhcli.storage.who.book import names_beside


@dataclass(frozen=True)
class Inventory:
    """Totals of a codes file, in the order in which they are printed."""

    path: Path
    format: int  # version of the file's format
    model: str  # name of the shipped weights that made it, or the beginning of their SHA-256
    fingerprint: str  # SHA-256 (hex) of the weights
    bits: int
    dhh_version: str  # that wrote it
    videos: int
    photos: int
    shots: int  # of videos
    tracks: int  # of videos
    faces: int  # in photos
    hours: float  # of film
    pictures: int  # small pictures kept
    frame_codes: int  # codes of single frames kept beside those of tracks
    frame_code_bytes: int  # that these take, with where each track's end
    bytes: int  # of the codes file and its parts
    parts: int  # files in codes.h5.parts that are not merged yet
    incomplete: int  # videos that were kept as far as they decode
    damaged: int | None  # videos whose bytes in the codes file are not those that were written; None: not checked
    skipped: int  # files that the last attempt could not encode
    forgotten_videos: int
    forgotten_tracks: int
    names: int  # given to people


@dataclass(frozen=True)
class Entry:
    """One video or photo of a codes file, or a file that was skipped."""

    kind: str  # video, photo, skipped
    path: Path
    shots: int
    tracks: int
    seconds: float
    frames: int
    width: int
    height: int
    frame_rate: str  # frames a second, a fraction; "" when the file does not say
    start: str  # timecode
    bytes: int
    fingerprint: str
    problems: tuple[str, ...]


def take_inventory(codes_path: Path, *, check: bool = False) -> Inventory:
    """Count what is in a codes file; ``check`` also reads every byte of it for damage.

    Raises:
        MissingPathError, ShardError: as ``open_shard``.
        NamesError: the names beside it are damaged.
    """
    with open_shard(codes_path) as shard:
        if check:
            shard.check_values()
        entries = _entries(shard, codes_path)
        totals: Counter[str] = Counter()
        for entry in entries:
            totals[entry.kind] += 1
            totals[f"{entry.kind} shots"] += entry.shots
            totals[f"{entry.kind} tracks"] += entry.tracks
        whole = int(shard.tombstones["whole"].sum())
        files = parts_of(codes_path)
        return Inventory(
            path=codes_path,
            format=shard.version,
            model=shipped_as(shard.tag.fingerprint) or shard.tag.fingerprint[:12],
            fingerprint=shard.tag.fingerprint,
            bits=shard.tag.bits,
            dhh_version=shard.dhh_version,
            videos=totals["video"],
            photos=totals["photo"],
            shots=totals["video shots"],
            tracks=totals["video tracks"],
            faces=totals["photo tracks"],
            hours=round(sum(entry.seconds for entry in entries) / 3600, 4),
            pictures=sum(
                int((np.diff(piece.thumbnail_ends, prepend=piece.origin.jpeg) > 0).sum()) for piece in shard.pieces
            ),
            frame_codes=sum(len(codes) for codes, _ in shard.frame_pieces),
            frame_code_bytes=sum(codes.nbytes + ends.nbytes for codes, ends in shard.frame_pieces),
            bytes=sum(path.stat().st_size for path in (codes_path, *files) if path.exists()),
            parts=len(files),
            incomplete=sum(bool(entry.problems) for entry in entries if entry.kind != "skipped"),
            damaged=len(shard.damaged_videos()) if check else None,
            skipped=totals["skipped"],
            forgotten_videos=whole,
            forgotten_tracks=len(shard.tombstones) - whole,
            names=len(names_beside(codes_path)),
        )


def list_entries(codes_path: Path) -> list[Entry]:
    """Every video and photo of a codes file by path, then the files that were skipped.

    Raises:
        MissingPathError, ShardError: as ``open_shard``.
    """
    with open_shard(codes_path) as shard:
        return _entries(shard, codes_path)


def _entries(shard: Shard, codes_path: Path) -> list[Entry]:
    entries = [
        _entry(video, shots, tracks, last)
        for video, (shots, tracks, last) in zip(shard.videos, _counts(shard), strict=True)
    ]
    known = {video.path for video in shard.videos}
    skipped = {path: reason for path, reason in read_skipped(codes_path).items() if path not in known}
    return entries + [
        Entry("skipped", path, 0, 0, 0.0, 0, 0, 0, "", "", 0, "", (reason,)) for path, reason in sorted(skipped.items())
    ]


def _counts(shard: Shard) -> list[tuple[int, int, int]]:
    """Per video: shots, tracks, and pts of the end of its last shot."""
    counts = []
    for piece in shard.pieces:
        shots = np.concatenate([[piece.origin.shot], piece.videos["shot_end"]]) - piece.origin.shot
        tracks = np.diff(piece.videos["track_end"], prepend=piece.origin.track)
        for row, n in enumerate(np.diff(shots)):
            last = int(piece.shots["end_pts"][shots[row + 1] - 1]) if n else 0
            counts.append((int(n), int(tracks[row]), last))
    return counts


def _entry(video: VideoRecord, shots: int, tracks: int, last: int) -> Entry:
    seconds = (last - video.start_pts) * video.time_base if shots else Fraction(0)
    return Entry(
        kind="photo" if video.still else "video",
        path=video.path,
        shots=0 if video.still else shots,
        tracks=tracks,
        seconds=round(float(seconds), 3),
        frames=video.frames,
        width=video.width,
        height=video.height,
        frame_rate=str(video.frame_rate or ""),
        start=video.start_timecode or "",
        bytes=video.size,
        fingerprint=video.fingerprint,
        problems=tuple(video.warnings),
    )
