"""sound: path -> Sounds: the audio streams of a file: channels, rate, when each begins and ends; and its reel."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from dhhcli.errors import VideoError
from dhhcli.media.files.demuxers import OPTIONS

REEL_KEYS: Final = ("reel_name", "tape_name", "reel", "tape", "com.apple.proapps.reel")  # in files' metadata


@dataclass(frozen=True)
class Sound:
    """One audio stream of a file; times are the file's own time stamps, as those of its pictures, in seconds."""

    stream: int  # number among them, from 0
    channels: int
    rate: int  # samples a second
    start: Fraction
    end: Fraction | None  # None: the file does not say


def reel_of(path: Path) -> str | None:
    """The tape or reel that a file says it is from: of its timecode track, its picture, or the whole; None: no word.

    Raises nothing: a file that is gone says nothing.
    """
    import av
    import av.error

    try:
        with av.open("file:" + os.fspath(path.absolute()), options=OPTIONS, metadata_errors="replace") as container:
            for metadata in (*(stream.metadata for stream in container.streams), container.metadata):
                for key, value in metadata.items():
                    if key.lower() in REEL_KEYS and value.strip():
                        return value.strip()
    except (OSError, av.error.FFmpegError, ValueError):
        return None
    return None


def sounds_of(path: Path) -> tuple[Sound, ...]:
    """The audio streams in the file's order; none for a silent film. Nothing is decoded.

    Raises VideoError where the file is not there any more or cannot be opened.
    """
    import av  # here: every query knows what a Sound is
    import av.error

    from dhhcli.media.stream_info import rational

    try:
        with av.open(
            "file:" + os.fspath(path.absolute()),
            options=OPTIONS,
            metadata_errors="replace",
        ) as container:
            begin = Fraction(container.start_time or 0, 1_000_000)
            whole = None if container.duration is None else begin + Fraction(container.duration, 1_000_000)
            found: list[Sound] = []
            for stream in container.streams.audio:
                ticks = rational(stream.time_base)
                if stream.codec_context is None or not stream.rate or not stream.channels or not ticks:
                    continue  # FFmpeg cannot read it, and says nothing of it
                start = begin if stream.start_time is None else stream.start_time * ticks
                end = whole if stream.duration is None else start + stream.duration * ticks
                found.append(Sound(len(found), int(stream.channels), int(stream.rate), start, end))
            return tuple(found)
    except (OSError, av.error.FFmpegError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise VideoError(f"{path}: its sound cannot be looked at ({words}); is the file still there?") from error
