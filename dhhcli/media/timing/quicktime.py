"""quicktime: a QuickTime or MP4 file -> labels a second of its timecode track, which FFmpeg keeps to itself."""

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 256 << 20  # of the "moov" box, which is read whole
# In the sample description of a timecode track: reserved (6), data reference (2), reserved (4), flags, ticks a second,
# ticks a frame (4 each), frames a second (1); QuickTime File Format, "Timecode Sample Description".
TRACK = re.compile(rb"stsd.{12}tmcd.{16}(.{4})(.{4})(.)", re.DOTALL)


def timecode_rate(path: Path) -> Fraction | None:
    """Labels a second of the first timecode track, exact; None where there is none, or the file is not of this kind."""
    try:
        with path.open("rb") as file:
            match = TRACK.search(movie_box(file))
    except OSError:
        return None
    if not match:
        return None
    (ticks,), (step,) = struct.unpack(">I", match[1]), struct.unpack(">I", match[2])
    return Fraction(ticks, step) if ticks and step else Fraction(match[3][0]) or None


def movie_box(file: BinaryIO) -> bytes:
    """The box that describes the tracks, b"" where there is none."""
    end = file.seek(0, 2)
    at = 0
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            wide = file.read(8)
            if len(wide) < 8:
                break
            size, head = struct.unpack(">Q", wide)[0], 16
        size = size or end - at
        if kind == b"moov":
            return file.read(min(size - head, MOST_BYTES))
        if size < head:
            break
        at += size
    return b""
