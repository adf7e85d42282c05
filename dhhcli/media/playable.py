"""playable: path of a video -> the MIME type under which a browser is likely to play it; None for every other file."""

from pathlib import Path
from typing import Final

import av
import av.error

CODECS: Final = ("h264", "vp8", "vp9", "av1")
PIXELS: Final = ("yuv420p", "yuvj420p")  # of H.264, browsers play no others


def playable(path: Path) -> str | None:
    """By what is in the file, not by its name: H.264, VP8, VP9 or AV1 in MP4 (or QuickTime, its father) or WebM."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return None
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None or stream.codec_context is None:
                return None
            codec, kinds = stream.codec_context.codec.canonical_name, set(container.format.name.split(","))
            if codec not in CODECS or (codec == "h264" and stream.codec_context.pix_fmt not in PIXELS):
                return None
            return "video/mp4" if "mp4" in kinds else "video/webm" if "webm" in kinds else None
    except (OSError, ValueError, av.error.FFmpegError):
        return None
