"""values: rows, records, pictures and codes out of a codes file -> nothing, or ShardError for what cannot be.

Codes files come from other people too. Hashes say that nothing was damaged, not that it makes sense; so every value is
looked at here once, where it is read, and nobody behind has to think of a box without end or a picture of a gigapixel.
Frames and times of tracks may be any whole numbers: they are only compared and printed.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import ShardError
from dhhcli.models.binary_codes import code_bytes

FARTHEST: Final = 1e7  # pixels
LARGEST_PICTURE: Final = 1024  # pixels a side of a track's small picture; ours have 112
MOST_BYTES: Final = 1 << 20  # of such a picture
CHUNK: Final = 1 << 20  # rows that are looked at together
WRONG: Final = "damaged codes file (made to do harm?); restore it, or encode again"


def check_tracks(tracks: NDArray[np.void], where: str) -> None:
    """Tracks (k,) TRACK_DTYPE. Raises ShardError, which begins with ``where``, as all here do."""
    box = tracks["box"]
    if not (np.abs(box) <= FARTHEST).all():  # no comparison with NaN holds
        raise ShardError(f"{where}: a track's box lies nowhere in a picture: {WRONG}")
    if not all(np.isfinite(tracks[name]).all() for name in ("score", "face_px", "sharpness")):
        raise ShardError(f"{where}: a track's score, size or sharpness is no number: {WRONG}")


def check_shots(shots: NDArray[np.void], where: str) -> None:
    """Shots (k,) SHOT_DTYPE. Raises ShardError."""
    if (
        (shots["number"] < 1).any()
        or (shots["start_frame"] > shots["end_frame"]).any()
        or (shots["start_pts"] > shots["end_pts"]).any()
    ):
        raise ShardError(f"{where}: a shot ends before it begins: {WRONG}")


def check_unit(tracks: NDArray[np.void], shots: NDArray[np.void], where: str) -> None:
    """All tracks and shots of one video, counted from 0. Raises ShardError."""
    owned = not shots["video"].any() and not tracks["video"].any() and bool((np.diff(shots["number"]) > 0).all())
    if not owned or not ((tracks["shot"] >= 0) & (tracks["shot"] < len(shots))).all():
        raise ShardError(f"{where}: tracks and shots of a video do not fit together: {WRONG}")


def check_tombstones(stones: NDArray[np.void], where: str) -> None:
    """Tombstones (x,) TOMBSTONE_DTYPE. Raises ShardError."""
    if not ((stones["whole"] <= 1).all() and (np.abs(stones["box"]) <= FARTHEST).all() and (stones["at"] >= 0).all()):
        raise ShardError(f"{where}: what was forgotten is nowhere in a picture: {WRONG}")


def check_padding(pieces: Iterable[NDArray[np.uint8]], bits: int, where: str) -> None:
    """Codes (n, B) in pieces: bits behind the last would make distances that no code has. Raises ShardError."""
    spare = 8 * code_bytes(bits) - bits
    if not spare:
        return
    mask = np.packbits(np.arange(8 * code_bytes(bits)) >= bits, bitorder="little")
    own = np.flatnonzero(mask)
    for piece in pieces:
        for first in range(0, len(piece), CHUNK):
            if (piece[first : first + CHUNK, own[0] :] & mask[own[0] :]).any():
                raise ShardError(f"{where}: codes have more than {bits} bits: {WRONG}")


def picture(jpeg: bytes, track: int, where: str) -> bytes:
    """The small picture of a track, b"" for what is no JPEG. Raises ShardError for one of huge size."""
    size = jpeg_size(jpeg)
    if size is None:
        return b""
    if max(size) > LARGEST_PICTURE or len(jpeg) > MOST_BYTES:
        raise ShardError(
            f"{where}: picture of track {track}: {size[0]}x{size[1]} pixels in {len(jpeg):,} bytes: {WRONG}"
        )
    return jpeg


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG says, without decoding it; None for what is none, or says two."""
    if data[:2] != b"\xff\xd8":
        return None
    at, size = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the start of a frame
            if size is not None or length < 8 or at + 9 > len(data):
                return None
            size = int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xDA:  # what follows is the picture
            return size if size and all(size) and data.count(b"\xff\xd8", at) == 0 and not _frames(data, at) else None
        if length < 2:
            return None
        at += 2 + length
    return None


def _frames(data: bytes, at: int) -> bool:
    """Whether another frame begins behind the first scan, or lines are added to it."""
    return re.search(rb"\xff+[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xdc]", data[at:]) is not None


def check_fields(values: dict[str, Any]) -> None:
    """Fields of a video's record (storage/record.py), of the right types. Raises ValueError."""
    if not re.fullmatch(r"[0-9a-f]{64}", values["fingerprint"]):
        raise ValueError("fingerprint")
    for name, least, most in (
        ("size", 0, 1 << 63),
        ("mtime_ns", -(1 << 63), 1 << 63),
        ("width", 1, 1 << 20),
        ("height", 1, 1 << 20),
        ("frames", 0, 1 << 63),
        ("start_pts", -(1 << 63), 1 << 63),
        ("recorded", -(1 << 37), 1 << 37),  # seconds: to the year 6325
    ):
        if name in values and (isinstance(values[name], bool) or not least <= values[name] < most):
            raise ValueError(name)
    for name, most in (("frame_rate", 1_000_000), ("time_base", 1_000_000), ("duration", 1 << 40)):
        fraction = values[name]
        if fraction is not None and not (0 <= fraction <= most and fraction.denominator < 1 << 63):
            raise ValueError(name)
    if values["time_base"] == 0:
        raise ValueError("time_base")
    if values["start_timecode"] is not None and len(values["start_timecode"]) > 1000:
        raise ValueError("start_timecode")
    if len(values["warnings"]) > 1000 or not all(isinstance(words, str) for words in values["warnings"]):
        raise ValueError("warnings")
