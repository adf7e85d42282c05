"""stream_choice: an open video file -> the picture stream that is the film, and words about the others.

A still beside the film (a preview, a chapter's picture) may be larger than it, and need not be marked as one.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice

import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

STILL_FRAMES = 2  # a stream of no more frames is a still, where another has more
SHORT = Fraction(1, 10)  # of the longest: a stream that ends before is no film beside it
LOOKED_AT = 300  # packets that are read where the file does not say how many frames there are
ASIDE = Disposition.attached_pic | Disposition.timed_thumbnails


def film_of(container: InputContainer, again: Callable[[], InputContainer]) -> tuple[VideoStream | None, list[str]]:
    """The largest picture stream that is not a still, of equals the first; and a line for each other film.

    again: opens the same file once more, to be read from where it does not say how many frames there are.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & ASIDE]
    if len(streams) < 2:
        return (streams[0] if streams else None), []
    frames = _frames(streams, again)
    films = [s for s in streams if frames[s.index] > STILL_FRAMES] or streams
    longest = max(_seconds(stream) for stream in films)
    long_enough = [stream for stream in films if not _seconds(stream) or _seconds(stream) >= SHORT * longest]
    film = max(long_enough, key=_area)
    return film, [_words(stream, stream in long_enough) for stream in streams if stream is not film]


def _frames(streams: Sequence[VideoStream], again: Callable[[], InputContainer]) -> dict[int, int]:
    """Frames of each stream, by its index: what the file says, else how many are among its first packets."""
    said = {stream.index: stream.frames for stream in streams}
    if all(said.values()):
        return said
    seen = dict.fromkeys(said, 0)
    try:
        with again() as aside:
            wanted = [stream for stream in aside.streams.video if stream.index in said]
            for packet in islice(aside.demux(*wanted), LOOKED_AT):
                seen[packet.stream.index] += packet.size > 0
    except (av.error.FFmpegError, IndexError):  # said when the film itself is read
        pass
    return {index: said[index] or seen[index] for index in said}


def _seconds(stream: VideoStream) -> Fraction:
    return Fraction(stream.duration or 0) * Fraction(stream.time_base or 0)


def _area(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0


def _words(stream: VideoStream, film: bool) -> str:
    size = f"{stream.codec_context.width}x{stream.codec_context.height}" if stream.codec_context else "unknown size"
    kind = "another picture stream" if film else "a still or a preview"
    return f"holds {kind} beside this film (stream {stream.index}, {size}): it is not indexed"
