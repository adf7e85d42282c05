"""stream_info: an open video file and its first frame -> VideoInfo, what the file says about its picture stream."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from dhhcli.media.frame import orientation, square
from dhhcli.media.timing.capture_time import video_recorded
from dhhcli.media.timing.quicktime import timecode_rate
from dhhcli.media.timing.timecode import recounted

LABEL = re.compile(r"(\d+):(\d+):(\d+)([:;.])(\d+)")


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says about its picture stream.

    width, height: of the first frame, upright, on square pixels. frame_rate: frames a second, what the file says or
    its frames show (media/timing/frame_rate.py). duration: seconds, as declared. rotation: 0, 90, 180 or 270 degrees
    clockwise, applied to frames after they were mirrored, where the first is. start_timecode: "01:00:00:00", with ";"
    before the frames when drop-frame. start_pts: first pts the stream declares. recorded: when, as the file says,
    seconds since 1970. delay: seconds from the beginning of the file, as players count (of its sound, say), to the
    first frame.
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
    delay: Fraction = Fraction(0)
    mirrored: bool = False


def info_of(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    time_base: Fraction,
    first: av.VideoFrame,
    rate: Fraction | None,
) -> VideoInfo:
    """What container and stream say of themselves; the size and the rotation are those of the first frame.

    time_base: seconds a tick of the stream. rate: frames a second.
    """
    rotation, mirrored = orientation(first)
    width, height = square(first.width, first.height, rational(stream.sample_aspect_ratio))
    if rotation % 180:
        width, height = height, width
    duration = None
    if stream.duration is not None:
        duration = stream.duration * time_base
    elif container.duration is not None:
        duration = Fraction(container.duration, 1_000_000)
    timecode, drop_frame = _start_timecode(path, container, stream, rate)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        codec=stream.codec_context.codec.name if stream.codec_context else "unknown",
        frame_rate=rate,
        time_base=time_base,
        duration=duration,
        rotation=rotation,
        start_timecode=timecode,
        drop_frame=drop_frame,
        start_pts=stream.start_time,
        recorded=video_recorded((container.metadata, stream.metadata)),
        delay=_delay(container, stream, time_base, first, rate),
        mirrored=mirrored,
    )


def _delay(
    container: InputContainer, stream: VideoStream, time_base: Fraction, first: av.VideoFrame, rate: Fraction | None
) -> Fraction:
    """How much later than the file the picture begins, seconds; less than half a frame is rounding."""
    # AVI counts from 0, and FFmpeg's time stamps of its pictures are a guess
    begin = stream.start_time if container.format.name == "avi" or first.pts is None else first.pts
    if begin is None or container.start_time is None:
        return Fraction(0)
    delay = begin * time_base - Fraction(container.start_time, 1_000_000)
    return delay if delay * 2 > 1 / (rate or Fraction(25)) else Fraction(0)


def _start_timecode(
    path: Path, container: InputContainer, stream: VideoStream, rate: Fraction | None
) -> tuple[str | None, bool]:
    """Source timecode of the first frame: of the picture stream, else of a timecode track, else of the
    container.

    A timecode track may count at another rate than the picture has: its label becomes that of the picture's frame.
    """
    others = [s.metadata for s in container.streams if s.type == "data"]
    for metadata in (stream.metadata, *others, container.metadata):
        text = next((value for key, value in metadata.items() if key.lower() == "timecode"), "").strip()
        match = LABEL.fullmatch(text)
        if match:
            drop_frame = match[4] in ";."
            hours, minutes, seconds, frames = (int(match[part]) for part in (1, 2, 3, 5))
            separator = ";" if drop_frame else ":"
            label = f"{hours:02}:{minutes:02}:{seconds:02}{separator}{frames:02}"
            counted = timecode_rate(path) if others and rate and container.format.name.startswith("mov") else None
            return (recounted(label, counted, rate) if counted and rate else label), drop_frame
    return None, False


def rational(value: Any) -> Fraction | None:
    """A rate or time base of PyAV as Fraction; None when unknown (FFmpeg writes that as 0/0 or 0)."""
    return Fraction(int(value.numerator), int(value.denominator)) if value else None
