"""decoders: names of codecs -> those of them that this FFmpeg cannot decode, and what it calls itself."""

from collections.abc import Iterable
from typing import Final

import av
import av.codec
import av.error

NEEDED: Final = ("h264", "hevc", "av1", "vp9", "prores", "dnxhd", "mpeg2video", "mjpeg", "mpeg4")


def missing_decoders(names: Iterable[str] = NEEDED) -> tuple[str, ...]:
    """Those that are not there; nothing is opened."""
    missing = []
    for name in names:
        try:
            av.codec.Codec(name, "r")
        except (ValueError, av.error.FFmpegError):
            missing.append(name)
    return tuple(missing)


def library_words() -> str:
    """PyAV's version, and that of FFmpeg's codecs in it."""
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codecs}"
