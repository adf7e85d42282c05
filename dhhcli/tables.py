"""tables: videos (v,), shots (s,), tracks (t,), codes (t, B), thumbnails, cut and joined by video.

What a codes file holds, as arrays (`shardfile.py` maps them to a file, `shards.py` to the user's `codes.h5`):

================  =====================  ====================================================================
codes             (t, B) uint8           one packed code per face track
tracks            (t,) TRACK_DTYPE       `video` and `shot` are rows of the tables here
shots             (s,) SHOT_DTYPE        `video` is a row of the table here
videos            (v,) VIDEO_DTYPE       where each video's rows end, and the digest of everything it owns
texts             (x,) uint8             per video: path as os.fsencode bytes, NUL, the other fields as JSON
thumbnail_ends    (t,) int64             where each track's JPEG ends in `thumbnails`
thumbnails        (y,) uint8             JPEG files one after another; nothing where there is none
================  =====================  ====================================================================

Rows are grouped by video, so a run of videos is a slice of every array.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import ShardError

SHOT_DTYPE: Final = np.dtype(
    [
        ("video", "<i4"),
        ("number", "<i4"),  # 1-based
        ("start_frame", "<i8"),
        ("end_frame", "<i8"),  # exclusive
        ("start_pts", "<i8"),
        ("end_pts", "<i8"),
    ]
)
TRACK_DTYPE: Final = np.dtype(
    [
        ("video", "<i4"),
        ("shot", "<i4"),
        ("start_frame", "<i8"),
        ("end_frame", "<i8"),  # exclusive
        ("start_pts", "<i8"),
        ("end_pts", "<i8"),
        ("best_frame", "<i8"),
        ("best_pts", "<i8"),
        ("box", "<f4", (4,)),  # x0 y0 x1 y1 in the best frame, px
        ("score", "<f4"),
        ("face_px", "<f4"),
        ("sharpness", "<f4"),
        ("frames_used", "<i2"),
    ]
)
VIDEO_DTYPE: Final = np.dtype([("text_end", "<i8"), ("shot_end", "<i8"), ("track_end", "<i8"), ("digest", "u1", (32,))])


@dataclass(frozen=True)
class ModelTag:
    """What made the codes: K bits, and the SHA-256 (hex) of the weights."""

    bits: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Tables:
    """The seven datasets of a file (module docstring), mapped or in memory; complete in itself."""

    codes: NDArray[np.uint8]
    tracks: NDArray[np.void]
    shots: NDArray[np.void]
    videos: NDArray[np.void]
    texts: NDArray[np.uint8]
    thumbnail_ends: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]

    def text(self, row: int) -> bytes:
        """Path bytes, NUL, JSON of the video in `row`."""
        first = int(self.videos["text_end"][row - 1]) if row else 0
        return self.texts[first : int(self.videos["text_end"][row])].tobytes()

    def thumbnail(self, row: int) -> bytes:
        """JPEG of the track in `row`, b"" for none. Raises ShardError where the table is damaged."""
        first = int(self.thumbnail_ends[row - 1]) if row else 0
        last = int(self.thumbnail_ends[row])
        if not 0 <= first <= last <= len(self.thumbnails):
            raise ShardError(f"thumbnail of track {row} lies outside of its table: damaged codes file")
        return self.thumbnails[first:last].tobytes()


NAMES: Final = tuple(field.name for field in fields(Tables))


def cut(tables: Tables, first: int, last: int) -> Tables:
    """Videos [first, last) of `tables`, complete in themselves: rows and ends count from zero again."""
    if first == 0 and last == len(tables.videos):
        return tables
    before = tables.videos[first - 1] if first else np.zeros((), VIDEO_DTYPE)[()]
    after = tables.videos[last - 1] if last else np.zeros((), VIDEO_DTYPE)[()]
    row, text, shot, track = first, int(before["text_end"]), int(before["shot_end"]), int(before["track_end"])
    jpeg = int(tables.thumbnail_ends[track - 1]) if track else 0
    ends = tables.thumbnail_ends[track : int(after["track_end"])] - jpeg
    length = int(ends[-1]) if len(ends) else 0
    if not 0 <= jpeg <= jpeg + length <= len(tables.thumbnails):
        raise ShardError(f"thumbnails of videos {first} to {last} lie outside of their table: the file is damaged")
    return Tables(
        codes=tables.codes[track : int(after["track_end"])],
        tracks=shifted(tables.tracks[track : int(after["track_end"])], video=-row, shot=-shot),
        shots=shifted(tables.shots[shot : int(after["shot_end"])], video=-row),
        videos=shifted(tables.videos[first:last], text_end=-text, shot_end=-shot, track_end=-track),
        texts=tables.texts[text : int(after["text_end"])],
        thumbnail_ends=ends,
        thumbnails=tables.thumbnails[jpeg : jpeg + length],
    )


def shifted(rows: NDArray[np.void], **amounts: int) -> NDArray[np.void]:
    """A copy of structured `rows` with an amount added to some of its fields."""
    rows = rows.copy()
    for name, amount in amounts.items():
        rows[name] += amount
    return rows


def video_digest(unit: Tables) -> bytes:
    """SHA-256 (32 bytes) of all that one video owns; `unit` holds that video alone."""
    digest = hashlib.sha256()
    for name in NAMES:
        if name != "videos":  # which holds the digest itself, and ends that the lengths below imply
            array = np.ascontiguousarray(getattr(unit, name))
            digest.update(f"{name} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.digest()


def content_hash(tag: ModelTag, tables: Sequence[Tables]) -> str:
    """SHA-256 (hex) of the model and all videos' digests in order: the same before and after merging."""
    digest = hashlib.sha256(f"dhh {tag.bits} {tag.fingerprint} ".encode())
    for one in tables:
        digest.update(one.videos["digest"].tobytes())
    return digest.hexdigest()


def joined(pieces: Sequence[Tables], name: str) -> Iterator[NDArray[Any]]:
    """Dataset `name` of every piece, its row numbers and ends shifted to where the piece will stand."""
    video = shot = track = text = jpeg = 0
    for piece in pieces:
        array: NDArray[Any] = getattr(piece, name)
        match name:
            case "tracks":
                array = shifted(array, video=video, shot=shot)
            case "shots":
                array = shifted(array, video=video)
            case "videos":
                array = shifted(array, text_end=text, shot_end=shot, track_end=track)
            case "thumbnail_ends":
                array = array + jpeg
        yield array
        video, shot, track = video + len(piece.videos), shot + len(piece.shots), track + len(piece.tracks)
        text, jpeg = text + len(piece.texts), jpeg + len(piece.thumbnails)
