"""record: EncodedVideo (VideoRecord, shots (s,), tracks (t,), codes (t, B)) <-> Tables of that one video."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import ShardError
from dhhcli.models.binary_codes import code_bytes
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.schema import SHOT_DTYPE, TRACK_DTYPE, VIDEO_DTYPE, Tables, cut, video_digest
from dhhcli.storage.values import check_fields, check_shots, check_tracks

_FRACTIONS: Final = ("frame_rate", "time_base", "duration", "delay")
_KINDS: Final[dict[str, Any]] = {
    "fingerprint": str,
    "size": int,
    "mtime_ns": int,
    "width": int,
    "height": int,
    "frames": int,
    "frame_rate": list | None,
    "time_base": list,
    "start_pts": int,
    "duration": list | None,
    "start_timecode": str | None,
    "drop_frame": bool,
    "warnings": list,
}
# written only where they say something: older files do without
_LATER: Final[dict[str, Any]] = {"still": bool, "recorded": int, "delay": list}

_CONTENT: Final = re.compile(rb'"fingerprint": "([0-9a-f]{64})"')


@dataclass(frozen=True)
class VideoRecord:
    """Where codes come from. `path` is absolute, any bytes that the system allows; sizes in px as shown."""

    path: Path
    fingerprint: str  # content_fingerprint(path), hex
    size: int  # bytes
    mtime_ns: int
    width: int
    height: int
    frames: int  # decoded
    frame_rate: Fraction | None  # average, 1/s
    time_base: Fraction  # s
    start_pts: int  # of the first frame: the zero that times in the file are counted from
    duration: Fraction | None  # s
    start_timecode: str | None
    drop_frame: bool
    warnings: tuple[str, ...]
    still: bool = False  # a photo: one shot of no length, a track a face, its time means nothing
    recorded: int | None = None  # when, as the file itself says; seconds since 1970
    delay: Fraction = Fraction(0)  # s from the beginning of the file, as players count, to its first frame


@dataclass(frozen=True, eq=False)
class EncodedVideo:
    """One video, the unit of commit: in `tracks` and `shots`, `video` is 0 and `shot` a row of `shots`."""

    video: VideoRecord
    shots: NDArray[np.void]  # (s,) SHOT_DTYPE, by rising number
    tracks: NDArray[np.void]  # (t,) TRACK_DTYPE
    codes: NDArray[np.uint8]  # (t, B)
    thumbnails: tuple[bytes, ...]  # t JPEG files, b"" for none
    frame_codes: tuple[NDArray[np.uint8], ...] | None = None  # t times (m, B), m = frames_used; None: not kept


def content_fingerprint(path: Path) -> str:
    """SHA-256 (hex) of a file's size and its first, middle and last MiB, to know moved files in milliseconds.

    A change that keeps the size and these three places is not seen. Raises OSError.
    """
    mib = 1 << 20
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(f"{size} ".encode())
        for start in (0, max(0, size // 2 - mib // 2), max(0, size - mib)):
            file.seek(start)
            digest.update(file.read(mib))
    return digest.hexdigest()


def to_tables(tag: ModelTag, encoded: EncodedVideo) -> Tables:
    """One video as tables. Raises ValueError when it does not fit together."""
    shots, tracks, codes = encoded.shots, encoded.tracks, encoded.codes
    if not encoded.video.path.is_absolute():
        raise ValueError(f"{encoded.video.path}: an absolute path is expected")
    if shots.dtype != SHOT_DTYPE or tracks.dtype != TRACK_DTYPE or codes.dtype != np.uint8:
        raise ValueError(f"dtypes {shots.dtype}, {tracks.dtype}, {codes.dtype}")
    if codes.shape != (len(tracks), code_bytes(tag.bits)) or len(encoded.thumbnails) != len(tracks):
        raise ValueError(f"{len(tracks)} tracks, codes {codes.shape}, {len(encoded.thumbnails)} thumbnails")
    if shots["video"].any() or tracks["video"].any() or (np.diff(shots["number"]) <= 0).any():
        raise ValueError("video is 0 in a unit, and shots come by rising number")
    if len(tracks) and not (tracks["shot"].min() >= 0 and tracks["shot"].max() < len(shots)):
        raise ValueError(f"tracks of shots {tracks['shot'].min()} to {tracks['shot'].max()} of {len(shots)}")
    frames = _frame_tables(tag, encoded)
    text = _text(encoded.video)
    videos = np.zeros(1, VIDEO_DTYPE)
    videos["text_end"], videos["shot_end"], videos["track_end"] = len(text), len(shots), len(tracks)
    unit = Tables(
        codes=codes,
        tracks=tracks,
        shots=shots,
        videos=videos,
        texts=np.frombuffer(text, np.uint8),
        thumbnail_ends=np.cumsum([len(jpeg) for jpeg in encoded.thumbnails], dtype=np.int64),
        thumbnails=np.frombuffer(b"".join(encoded.thumbnails), np.uint8),
        frame_codes=frames[0],
        frame_code_ends=frames[1],
    )
    videos["digest"] = np.frombuffer(video_digest(unit), np.uint8)
    return unit


def _frame_tables(tag: ModelTag, encoded: EncodedVideo) -> tuple[NDArray[np.uint8] | None, NDArray[np.int64] | None]:
    """Codes of all frames (f, B) and where each track's end (t,), or neither; ValueError as above."""
    codes = encoded.frame_codes
    if (codes is not None) != tag.frame_codes:
        raise ValueError(f"codes of frames {'are' if tag.frame_codes else 'are not'} kept in this file")
    if codes is None:
        return None, None
    B = code_bytes(tag.bits)
    used = encoded.tracks["frames_used"].tolist()
    if [own.shape for own in codes] != [(m, B) for m in used] or not all(m > 0 for m in used):
        raise ValueError(f"codes of frames {[own.shape for own in codes][:3]}... of tracks with {used[:3]}... frames")
    if any(own.dtype != np.uint8 for own in codes):
        raise ValueError("codes of frames are uint8")
    return np.concatenate([np.empty((0, B), np.uint8), *codes]), np.cumsum(used, dtype=np.int64)


def intact(tables: Tables, row: int) -> bool:
    """Whether the bytes of the video in `row` are those that were committed."""
    unit = cut(tables, row, row + 1)
    return unit.videos["digest"].tobytes() == video_digest(unit)


def path_bytes(tables: Tables, row: int) -> bytes:
    """The path of the video in `row` as os.fsencode gives it."""
    return tables.text(row).partition(b"\0")[0]


def content_of(text: bytes) -> tuple[bytes, str]:
    """Path and content fingerprint of a video's text, without reading the rest of it. Raises ShardError."""
    path, _, rest = text.partition(b"\0")
    found = _CONTENT.search(rest)
    if found is None or rest.count(b'"fingerprint"') != 1:  # not as `_text` writes it
        return path, to_record(text).fingerprint
    return path, found[1].decode("ascii")


def _text(video: VideoRecord) -> bytes:
    """Path bytes, NUL, the other fields as ASCII JSON with fractions as [numerator, denominator]."""
    values: dict[str, Any] = {name: getattr(video, name) for name in _KINDS}
    values |= {name: getattr(video, name) for name in _LATER if getattr(video, name)}
    for name in _FRACTIONS:
        if values.get(name) is not None:
            values[name] = list(values[name].as_integer_ratio())
    return os.fsencode(video.path) + b"\0" + json.dumps(values, sort_keys=True).encode("ascii")


def to_record(text: bytes, *, checked: bool = True) -> VideoRecord:
    """The inverse of `_text`. Raises ShardError where the text is anything else.

    checked: also look at the values, as has to be done with what comes out of a file.
    """
    path, _, rest = text.partition(b"\0")
    try:
        values = json.loads(rest)
        kinds = _KINDS | {name: kind for name, kind in _LATER.items() if name in values}
        if set(values) != set(kinds) or not all(isinstance(values[name], kinds[name]) for name in kinds):
            raise ValueError("fields or their types differ")
        for name in _FRACTIONS:
            if values.get(name) is not None:
                numerator, denominator = values[name]
                values[name] = Fraction(numerator, denominator)
        if checked:
            check_fields(values)
        values["warnings"] = tuple(values["warnings"])
        if not path.startswith(b"/") and not Path(os.fsdecode(path)).is_absolute():
            raise ValueError("path")
    except (ValueError, TypeError, ZeroDivisionError, OverflowError, RecursionError, AttributeError) as error:
        raise ShardError(f"{os.fsdecode(path)[:200]!r}: damaged record in the codes file; encode again") from error
    return VideoRecord(path=Path(os.fsdecode(path)), **values)


def check_encoded(encoded: EncodedVideo) -> None:
    """Before it is written: whether it could be read again. Raises ShardError for what no file of ours may hold."""
    where = str(encoded.video.path)
    try:
        to_record(_text(encoded.video))
    except ShardError as error:
        raise ShardError(f"{where}: says something of itself that cannot be ({error.__cause__})") from error
    check_tracks(encoded.tracks, where)
    check_shots(encoded.shots, where)


def recorded_path(path: Path) -> Path:
    """How a file is named in the codes: its real path, so that a file reached over a link is not encoded twice."""
    return path.resolve()
