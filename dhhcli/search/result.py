"""result: hits + shard -> rows: everything that the formats print, in exact source time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from dhhcli.errors import EditError
from dhhcli.media.timing.timecode import source_timecode
from dhhcli.models.calibration import in_words
from dhhcli.search.collection import open_collection
from dhhcli.search.ranking import Hit
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import VideoRecord
from dhhcli.storage.track_id import track_ids


@dataclass(frozen=True)
class Row:
    """One shot that answers the query, in the order of the TSV's columns."""

    rank: int
    # bits in which the codes of photo and track differ (on average over its frames, where these have codes of their
    # own); of several people who are there, the farthest's
    distance: int | float
    bits: int  # of how many
    confidence: float | None  # probability that it is the person; None: the weights are not calibrated
    false_rate: float | None  # how often somebody else comes as near, at most
    video: Path
    shot: int  # number within the video, from 1
    start: str  # source timecode of the shot's first frame; "" in a photo, which has no time
    end: str  # source timecode of the frame after its last
    start_seconds: float  # since the beginning of the file, as players count
    end_seconds: float
    start_frame: int
    end_frame: int  # exclusive
    face_at: str  # source timecode of the frame where the face shows best
    face_frame: int
    box: tuple[int, int, int, int]  # left, top, right, bottom of the face in that frame, pixels
    tracks: int  # how many tracks of this shot are among the candidates
    track: int  # row in the codes file
    track_id: str | None = None  # what means this track for ever (storage/track_id.py); None: saved by an older dhh
    # what was given to people (storage/who/names.py); None: nobody has a name here
    name: str | None = None  # of whom the track shows
    names: tuple[str, ...] | None = None  # of everybody in the shot who has one
    # only where something was asked that gives them
    question: str | None = None  # which of several questions this answers
    also: tuple[int, ...] | None = None  # tracks of the people who had to be there too
    shots: int | None = None  # how many were joined to this one

    @property
    def confidence_in_words(self) -> str:
        """Number and words, ``0.93 very likely``; nothing where the weights are not calibrated.

        Cut, not rounded, to two digits: the number never promises more than the word beside it.
        """
        if self.confidence is None:
            return ""
        return f"{math.floor(round(100 * self.confidence, 4)) / 100:.2f} {in_words(self.confidence)}"


@dataclass(frozen=True)
class Chance:
    """What a hit is worth (``models/calibration.py``)."""

    confidence: float
    false_rate: float


def result_rows(shard: Shard, hits: Sequence[Hit], chances: Sequence[Chance] | None = None) -> list[Row]:
    """Read the metadata of the hits, and of nothing else; ``chances``: one a hit, None where nothing is known."""
    tracks = shard.track_rows(np.array([hit.track for hit in hits], np.int64))
    shots = shard.shots_rows(np.array([hit.shot for hit in hits], np.int64))
    known: Sequence[Chance | None] = chances or [None] * len(hits)
    words = track_ids(shard, np.array([hit.track for hit in hits], np.int64))
    return [
        replace(_row(shard, hit, chance, track, shot, shard.video(int(shot["video"]))), track_id=word)
        for hit, chance, track, shot, word in zip(hits, known, tracks, shots, words, strict=True)
    ]


def _row(shard: Shard, hit: Hit, chance: Chance | None, track: np.void, shot: np.void, video: VideoRecord) -> Row:
    def seconds(pts: int) -> Fraction:
        return (int(pts) - video.start_pts) * video.time_base

    def timecode(pts: int) -> str:
        if video.still:
            return ""
        return source_timecode(seconds(pts), video.frame_rate, video.start_timecode, drop=video.drop_frame)

    left, top, right, bottom = (round(float(edge)) for edge in track["box"])
    return Row(
        rank=hit.rank,
        distance=round(hit.distance, 6),
        bits=shard.tag.bits,
        confidence=None if chance is None else chance.confidence,
        false_rate=None if chance is None else chance.false_rate,
        video=video.path,
        shot=int(shot["number"]),
        start=timecode(shot["start_pts"]),
        end=timecode(shot["end_pts"]),
        start_seconds=round(float(video.delay + seconds(shot["start_pts"])), 6),
        end_seconds=round(float(video.delay + seconds(shot["end_pts"])), 6),
        start_frame=int(shot["start_frame"]),
        end_frame=int(shot["end_frame"]),
        face_at=timecode(track["best_pts"]),
        face_frame=int(track["best_frame"]),
        box=(left, top, right, bottom),
        tracks=hit.tracks,
        track=hit.track,
        also=tuple(claim.track for claim in hit.claims[1:]) or None,
    )


def joined(rows: Sequence[Row], seconds: float) -> list[Row]:
    """Join hits of a video that lie at most ``seconds`` apart: from the start of the first to the end of the last.

    Rank, distance, shot, face and track are those of the best of them, and so is its confidence: that the person is
    somewhere in the piece is at least as likely. ``tracks`` is their sum, ``shots`` how many there are. Photos have no
    time and stay alone. Rows come by rank; ranks count from 1 again.
    """
    videos: dict[object, list[Row]] = {}
    for row in rows:
        videos.setdefault(row.video if row.start else row.rank, []).append(row)
    runs: list[list[Row]] = []
    for own in videos.values():
        runs.append([])
        for row in sorted(own, key=lambda row: (row.start_seconds, row.end_seconds)):
            if runs[-1] and row.start_seconds - max(one.end_seconds for one in runs[-1]) > seconds:
                runs.append([])
            runs[-1].append(row)
    found = sorted((_one(run) for run in runs), key=lambda row: row.rank)
    return [replace(row, rank=rank) for rank, row in enumerate(found, start=1)]


def _one(run: Sequence[Row]) -> Row:
    best, first = min(run, key=lambda row: row.rank), run[0]
    last = max(run, key=lambda row: row.end_seconds)
    return replace(
        best,
        start=first.start,
        end=last.end,
        start_seconds=first.start_seconds,
        end_seconds=last.end_seconds,
        start_frame=first.start_frame,
        end_frame=last.end_frame,
        tracks=sum(row.tracks for row in run),
        shots=len(run),
        names=tuple(dict.fromkeys(name for row in run for name in row.names or ())) or None,
    )


def saved_videos(codes: Path | Sequence[Path], rows: Sequence[Row]) -> Mapping[Path, tuple[VideoRecord, int]]:
    """What codes files know of the videos of rows that were saved earlier.

    Raises:
        EditError: a video is in none of them.
        MissingPathError, ShardError: there are no codes, or they are damaged.
    """
    with open_collection([codes] if isinstance(codes, Path) else codes) as collection:
        shard = collection.shard
        wanted = {row.video for row in rows}
        found = films_of(shard, [number for number, video in enumerate(shard.videos) if video.path in wanted])
    for row in rows:
        if row.video not in found:
            raise EditError(
                f"{row.video}: not in {collection.words}; name the codes file that the rows came from, --codes"
            )
    return found


def films_of(shard: Shard, numbers: Sequence[int]) -> dict[Path, tuple[VideoRecord, int]]:
    """Path -> record and end of the last frame, pts, of some videos of a shard."""
    records = {number: shard.video(number) for number in numbers}
    return {record.path: (record, shard.end_pts(number)) for number, record in records.items()}
