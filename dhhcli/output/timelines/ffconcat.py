"""ffconcat: Timeline -> script for FFmpeg's concat demuxer, which plays or joins the cuts.

https://ffmpeg.org/ffmpeg-formats.html#concat: times are time stamps of the file in microseconds; a packet from the out
point on is left out, and reading begins at the key frame at or before the in point. So codecs that hold every picture
whole (ProRes, DNxHR) are cut at the frame, others begin up to a group of pictures early unless they are encoded again.
"""

import math
import os
from fractions import Fraction

from dhhcli.base.text import one_line
from dhhcli.errors import EditError
from dhhcli.output.timelines.cuts import Timeline

SLACK = Fraction(1, 800)  # s; Matroska rounds time stamps to milliseconds, so two of them are 1 ms off at most


def ffconcat(timeline: Timeline) -> bytes:
    """Lines of bytes; paths as the system has them. Raises EditError where one holds a line break."""
    lines = [b"ffconcat version 1.0"]
    for event in timeline.events:
        cut, media = event.cut, event.cut.media
        path = os.fsencode(media.path)
        if b"\n" in path or b"\r" in path:
            raise EditError(
                f"{one_line(str(media.path))}: ffconcat has no way to write a line break in a path; rename the file"
            )
        start, end = media.origin + cut.start_time + SLACK, media.origin + cut.end_time - SLACK
        lines += [
            f"# {one_line(cut.title)} {one_line(cut.comment)}".encode(),
            b"file '" + path.replace(b"'", b"'\\''") + b"'",
            f"inpoint {_microseconds(start)}".encode(),
            f"outpoint {_microseconds(end)}".encode(),
        ]
    return b"".join(line + b"\n" for line in lines)


def _microseconds(time: Fraction) -> str:
    whole = math.floor(time * 1_000_000)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    return f"{sign}{whole // 1_000_000}.{whole % 1_000_000:06}"
