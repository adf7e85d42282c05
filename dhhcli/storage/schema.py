"""schema: videos (v,), shots (s,), tracks (t,), codes (t, B), codes of frames, thumbnails, cut and joined by video.

What a codes file holds, as arrays (`hdf5_file.py` maps them to a file, `codes_file.py` to the user's `codes.h5`):

================  =====================  ====================================================================
codes             (t, B) uint8           one packed code per face track
tracks            (t,) TRACK_DTYPE       `video` and `shot` are rows of the tables here
shots             (s,) SHOT_DTYPE        `video` is a row of the table here
videos            (v,) VIDEO_DTYPE       where each video's rows end, and the digest of everything it owns
texts             (x,) uint8             per video: path as os.fsencode bytes, NUL, the other fields as JSON
thumbnail_ends    (t,) int64             where each track's JPEG ends in `thumbnails`
thumbnails        (y,) uint8             JPEG files one after another; nothing where there is none
frame_codes       (f, B) uint8           only with `ModelTag.frame_codes`: codes of all frames that were used of
                                         each track, track after track; `codes` is then what most of them say
frame_code_ends   (t,) int64             where each track's end in `frame_codes`; a track has at least one
================  =====================  ====================================================================

Rows are grouped by video, so a run of videos is a slice of every array. Beside these a file holds tombstones (x,)
TOMBSTONE_DTYPE: what `dhh forget` removed, and what may therefore not come back.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import ShardError
from dhhcli.models.model_tag import ModelTag

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
# Where a face was and when it was forgotten, and nothing of how it looked: a code kept to recognise a person by would
# be what is to be forgotten.
TOMBSTONE_DTYPE: Final = np.dtype(
    [
        ("fingerprint", "u1", (32,)),  # of the video's content, so that a copy under another name counts too
        ("whole", "u1"),  # 1: the whole video; the fields up to `at` are 0 then
        ("start_pts", "<i8"),
        ("end_pts", "<i8"),
        ("best_pts", "<i8"),
        ("box", "<f4", (4,)),
        ("at", "<i8"),  # seconds since 1970, UTC
    ]
)
NO_TOMBSTONES: Final[NDArray[np.void]] = np.empty(0, TOMBSTONE_DTYPE)
CHUNK: Final = 1 << 18  # rows that are copied at once when files are joined


class Origin(NamedTuple):
    """What row numbers and ends in a view count from: rows and bytes that lie before it in its file."""

    video: int = 0
    shot: int = 0
    text: int = 0
    track: int = 0
    jpeg: int = 0
    frame: int = 0


BEGINNING: Final = Origin()


@dataclass(frozen=True, eq=False)
class Tables:
    """The datasets of a file (module docstring), mapped or in memory, or a view of some of its videos.

    In a view nothing is copied: the values of `video`, `shot` and of the ends count from `origin`.
    """

    codes: NDArray[np.uint8]
    tracks: NDArray[np.void]
    shots: NDArray[np.void]
    videos: NDArray[np.void]
    texts: NDArray[np.uint8]
    thumbnail_ends: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    frame_codes: NDArray[np.uint8] | None = None  # both or neither
    frame_code_ends: NDArray[np.int64] | None = None
    origin: Origin = BEGINNING

    def text(self, row: int) -> bytes:
        """Path bytes, NUL, JSON of the video in `row`."""
        first = int(self.videos["text_end"][row - 1]) - self.origin.text if row else 0
        return self.texts[first : int(self.videos["text_end"][row]) - self.origin.text].tobytes()

    def thumbnail(self, row: int) -> bytes:
        """JPEG of the track in `row`, b"" for none. Raises ShardError where the table is damaged."""
        first = int(self.thumbnail_ends[row - 1]) - self.origin.jpeg if row else 0
        last = int(self.thumbnail_ends[row]) - self.origin.jpeg
        if not 0 <= first <= last <= len(self.thumbnails):
            raise ShardError(f"thumbnail of track {row} lies outside of its table: damaged codes file")
        return self.thumbnails[first:last].tobytes()

    def frames(self, row: int) -> NDArray[np.uint8]:
        """Codes (m, B) of the frames of the track in `row`. Raises ShardError where the table is damaged."""
        assert self.frame_codes is not None
        assert self.frame_code_ends is not None
        first = int(self.frame_code_ends[row - 1]) - self.origin.frame if row else 0
        last = int(self.frame_code_ends[row]) - self.origin.frame
        if not 0 <= first < last <= len(self.frame_codes):
            raise ShardError(f"codes of the frames of track {row} lie outside of their table: damaged codes file")
        return self.frame_codes[first:last]


NAMES: Final = ("codes", "tracks", "shots", "videos", "texts", "thumbnail_ends", "thumbnails")
FRAME_NAMES: Final = ("frame_codes", "frame_code_ends")


def names_of(tables: Tables) -> tuple[str, ...]:
    """The datasets that there are."""
    return NAMES if tables.frame_codes is None else NAMES + FRAME_NAMES


def view(tables: Tables, first: int, last: int) -> Tables:
    """Videos [first, last) of `tables`, nothing copied."""
    if first == 0 and last == len(tables.videos):
        return tables
    origin = tables.origin
    start, stop = _edge(tables, first), _edge(tables, last)
    if not 0 <= start.jpeg - origin.jpeg <= stop.jpeg - origin.jpeg <= len(tables.thumbnails):
        raise ShardError(f"thumbnails of videos {first} to {last} lie outside of their table: the file is damaged")
    frames = slice(start.frame - origin.frame, stop.frame - origin.frame)
    if tables.frame_codes is not None and not 0 <= frames.start <= frames.stop <= len(tables.frame_codes):
        raise ShardError(f"frames of videos {first} to {last} lie outside of their table: the file is damaged")
    tracks = slice(start.track - origin.track, stop.track - origin.track)
    return Tables(
        codes=tables.codes[tracks],
        tracks=tables.tracks[tracks],
        shots=tables.shots[start.shot - origin.shot : stop.shot - origin.shot],
        videos=tables.videos[first:last],
        texts=tables.texts[start.text - origin.text : stop.text - origin.text],
        thumbnail_ends=tables.thumbnail_ends[tracks],
        thumbnails=tables.thumbnails[start.jpeg - origin.jpeg : stop.jpeg - origin.jpeg],
        frame_codes=None if tables.frame_codes is None else tables.frame_codes[frames],
        frame_code_ends=None if tables.frame_code_ends is None else tables.frame_code_ends[tracks],
        origin=start,
    )


def _edge(tables: Tables, row: int) -> Origin:
    """Where the video in `row` begins, in the numbers that the tables hold."""
    if row == 0:
        return tables.origin
    before = tables.videos[row - 1]
    track = int(before["track_end"])
    tracks = track - tables.origin.track

    def end(ends: NDArray[np.int64] | None, otherwise: int) -> int:
        return int(ends[tracks - 1]) if ends is not None and tracks else otherwise

    return Origin(
        video=tables.origin.video + row,
        shot=int(before["shot_end"]),
        text=int(before["text_end"]),
        track=track,
        jpeg=end(tables.thumbnail_ends, tables.origin.jpeg),
        frame=end(tables.frame_code_ends, tables.origin.frame),
    )


def cut(tables: Tables, first: int, last: int) -> Tables:
    """Videos [first, last) of `tables`, complete in themselves: rows and ends count from zero again, in a copy."""
    part = view(tables, first, last)
    if part.origin == BEGINNING:
        return part
    copies: dict[str, NDArray[Any]] = {name: np.concatenate([*joined([part], name)]) for name in names_of(part)}
    return Tables(**copies, origin=BEGINNING)


def shifted(rows: NDArray[np.void], **amounts: int) -> NDArray[np.void]:
    """A copy of structured `rows` with an amount added to some of its fields."""
    rows = rows.copy()
    for name, amount in amounts.items():
        rows[name] += amount
    return rows


def video_digest(unit: Tables) -> bytes:
    """SHA-256 (32 bytes) of all that one video owns; `unit` holds that video alone."""
    digest = hashlib.sha256()
    for name in names_of(unit):
        if name != "videos":  # which holds the digest itself, and ends that the lengths below imply
            array = np.ascontiguousarray(getattr(unit, name))
            digest.update(f"{name} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.digest()


def content_hash(tag: ModelTag, tables: Sequence[Tables], tombstones: NDArray[np.void] = NO_TOMBSTONES) -> str:
    """SHA-256 (hex) of the model, all videos' digests in order, and tombstones: the same before and after merging."""
    digest = hashlib.sha256(f"dhh {tag.bits} {tag.fingerprint} ".encode())
    for one in tables:
        digest.update(one.videos["digest"].tobytes())
    if len(tombstones):
        digest.update(b"tombstones" + tombstones.tobytes())
    return digest.hexdigest()


def joined(pieces: Sequence[Tables], name: str) -> Iterator[NDArray[Any]]:
    """Dataset `name` of every piece, in one or more arrays each, its row numbers and ends shifted to where the piece
    will stand; at most CHUNK shifted rows are in memory at once.
    """
    to = BEGINNING
    for piece in pieces:
        array: NDArray[Any] = getattr(piece, name)
        video, shot, text, track, jpeg, frame = (there - here for there, here in zip(to, piece.origin, strict=True))
        amounts = {
            "tracks": {"video": video, "shot": shot},
            "shots": {"video": video},
            "videos": {"text_end": text, "shot_end": shot, "track_end": track},
        }.get(name)
        ends = {"thumbnail_ends": jpeg, "frame_code_ends": frame}.get(name)
        if amounts is None and ends is None:
            yield array
        else:
            for first in range(0, max(len(array), 1), CHUNK):
                rows = array[first : first + CHUNK]
                yield rows + ends if amounts is None else shifted(rows, **amounts)
        to = Origin(
            to.video + len(piece.videos),
            to.shot + len(piece.shots),
            to.text + len(piece.texts),
            to.track + len(piece.tracks),
            to.jpeg + len(piece.thumbnails),
            to.frame + (0 if piece.frame_codes is None else len(piece.frame_codes)),
        )
