"""exact: rows + shard -> Hits: rows as Python programs take them, with exact times (fractions, pts) and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Ints
from dhhcli.search.question.scope import extents
from dhhcli.search.result import Row
from dhhcli.storage.codes_file import Shard


@dataclass(frozen=True)
class Hit:
    """A shot that shows whoever was asked for; best first, ``rank`` counts from 1.

    Times are exact: seconds since the first frame of the file, and the file's own time stamps (``pts``, in ticks of its
    time base). A photo has no time: these are None, timecodes are "".
    """

    rank: int
    video: Path  # or photo
    shot: int  # number within the video, from 1
    start: Fraction | None  # of the shot's first frame
    end: Fraction | None  # of the frame after its last
    face_at: Fraction | None  # of the frame where the face shows best
    start_pts: int | None
    end_pts: int | None
    face_pts: int | None
    start_timecode: str  # source timecode
    end_timecode: str
    face_timecode: str
    start_frame: int
    end_frame: int  # exclusive
    face_frame: int
    box: tuple[int, int, int, int]  # left, top, right, bottom of the face in that frame, pixels
    confidence: float | None  # probability that it is the person; None: the weights are not calibrated
    false_rate: float | None  # how often somebody else comes as near, at most
    distance: int | float  # bits in which the codes of question and track differ
    bits: int  # of how many
    track: int  # row of the face's track in the codes file
    tracks: int  # of this shot, how many are candidates
    also: tuple[int, ...]  # rows of the tracks of those who had to be there too
    shots: int  # how many are joined in this one
    name: str | None  # of whom it shows, where they were given one
    names: tuple[str, ...] | None  # of everybody in the shot who was
    thumbnail: bytes = field(repr=False)  # JPEG of the face; b"" if not asked for, or not there


def exact_hits(shard: Shard, rows: Sequence[Row], thumbnails: Sequence[bytes]) -> list[Hit]:
    """A hit a row, also a joined one; ``thumbnails``: one a row."""
    starts = extents(shard, "shot")
    tracks = shard.track_rows(np.array([row.track for row in rows], np.int64))
    return [_hit(shard, *one, starts) for one in zip(rows, thumbnails, tracks, strict=True)]


def _hit(shard: Shard, row: Row, thumbnail: bytes, track: np.void, starts: Ints) -> Hit:
    number = int(track["video"])
    video = shard.video(number)
    pts: tuple[int | None, int | None, int | None] = (None, None, None)
    if not video.still:
        shots = shard.shots_rows(np.arange(starts[number], starts[number + 1]))
        first, last = shots[shots["start_frame"] == row.start_frame][0], shots[shots["end_frame"] == row.end_frame][0]
        pts = (int(first["start_pts"]), int(last["end_pts"]), int(track["best_pts"]))
    start, end, face = (None if tick is None else (tick - video.start_pts) * video.time_base for tick in pts)
    return Hit(
        rank=row.rank,
        video=row.video,
        shot=row.shot,
        start=start,
        end=end,
        face_at=face,
        start_pts=pts[0],
        end_pts=pts[1],
        face_pts=pts[2],
        start_timecode=row.start,
        end_timecode=row.end,
        face_timecode=row.face_at,
        start_frame=row.start_frame,
        end_frame=row.end_frame,
        face_frame=row.face_frame,
        box=row.box,
        confidence=row.confidence,
        false_rate=row.false_rate,
        distance=row.distance,
        bits=row.bits,
        track=row.track,
        tracks=row.tracks,
        also=row.also or (),
        shots=row.shots or 1,
        name=row.name,
        names=row.names,
        thumbnail=thumbnail,
    )
