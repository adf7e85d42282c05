"""stream_info: an open video file and its first frame -> VideoInfo, what the file says about its picture stream."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from dhhcli.media.capture_time import video_recorded

ASPECT = Fraction(4)  # pixels wider or higher than this are a mistake of the file


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says about its picture stream.

    width, height: of the upright picture on square pixels. frame_rate: average, frames a
    second. duration: seconds, as declared. rotation: 0, 90, 180 or 270 degrees clockwise, already applied to
    frames. start_timecode: "01:00:00:00", with ";" before the frames when drop-frame. start_pts: first pts
    the stream declares. recorded: when, as the file says, seconds since 1970.
    """

    path: Path
    width: int
    height: int
    codec: str
    frame_rate: Fraction | None
    time_base: Fraction
    duration: Fraction | None
    rotation: int
    start_timecode: str | None
    drop_frame: bool
    start_pts: int | None
    recorded: int | None = None


def info_of(
    path: Path, container: InputContainer, stream: VideoStream, time_base: Fraction, first: av.VideoFrame
) -> VideoInfo:
    """What container and stream say of themselves; the size and the rotation are those of the first frame.

    time_base: seconds a tick of the stream.
    """
    # FFmpeg gives the angle counterclockwise that the display matrix turns by.
    rotation = round(-first.rotation / 90) * 90 % 360
    width, height = _square(first.width, first.height, rational(stream.sample_aspect_ratio))
    if rotation % 180:
        width, height = height, width
    duration = None
    if stream.duration is not None:
        duration = stream.duration * time_base
    elif container.duration is not None:
        duration = Fraction(container.duration, 1_000_000)
    timecode, drop_frame = _start_timecode(container, stream)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        codec=stream.codec_context.codec.name if stream.codec_context else "unknown",
        frame_rate=rational(stream.average_rate) or rational(stream.guessed_rate),
        time_base=time_base,
        duration=duration,
        rotation=rotation,
        start_timecode=timecode,
        drop_frame=drop_frame,
        start_pts=stream.start_time,
        recorded=video_recorded((container.metadata, stream.metadata)),
    )


def _square(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size on square pixels: a picture of oblong ones is made wider or narrower, as a player shows it."""
    if aspect is None or not 1 / ASPECT <= aspect <= ASPECT:
        return width, height
    return max(1, round(width * aspect)), height


def _start_timecode(container: InputContainer, stream: VideoStream) -> tuple[str | None, bool]:
    """Source timecode of the first frame: of the picture stream, else of a timecode track, else of the
    container.
    """
    others = [s.metadata for s in container.streams if s.type == "data"]
    for metadata in (stream.metadata, *others, container.metadata):
        text = next((value for key, value in metadata.items() if key.lower() == "timecode"), "").strip()
        digits = text.replace(";", ":").replace(".", ":").split(":")
        if len(digits) == 4 and all(part.isdecimal() for part in digits):
            drop_frame = text[-3:-2] in (";", ".")
            hours, minutes, seconds, frames = (int(part) for part in digits)
            separator = ";" if drop_frame else ":"
            return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{frames:02}", drop_frame
    return None, False


def rational(value: Any) -> Fraction | None:
    """A rate or time base of PyAV as Fraction; None when unknown (FFmpeg writes that as 0/0 or 0)."""
    return Fraction(int(value.numerator), int(value.denominator)) if value else None
