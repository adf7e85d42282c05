"""demuxers: a path -> what FFmpeg may open it as, and in words what it is where that is nothing of these.

FFmpeg goes by what is in a file, not by its name. A list of other files (ffconcat, HLS, DASH), a description of a
broadcast (SDP) or a numbered picture called ``a.mp4`` would be followed to files that nobody named, or to the network.
So only containers that hold their film themselves are opened, and whatever these open in turn is held to the same list.
"""

import re
from pathlib import Path
from typing import Final

# FFmpeg's names; one of several names of a demuxer is enough
ALLOWED: Final = (
    *("mov", "mp4", "matroska", "webm", "avi", "mxf", "mpegts", "mpeg", "mpegvideo", "ogg", "asf", "asf_o", "flv"),
    *("live_flv", "kux", "rm", "dv", "yuv4mpegpipe", "gxf", "nut", "nsv", "ivf", "wtv", "lxf", "ty", "pva", "dhav"),
    *("h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "m4v", "mjpeg", "vc1", "dirac", "dnxhd", "cavsvideo"),
    *("gif", "wav", "mp3", "flac", "aac"),  # these hold no film, which is said then
)
OPTIONS: Final = {"protocol_whitelist": "file", "format_whitelist": ",".join(ALLOWED)}
HEAD: Final = 4096  # bytes that are looked at

_SIGNS: Final = (
    (rb"ffconcat\s", "a list of other files (ffconcat)"),
    (rb"#EXTM3U", "a playlist (M3U, HLS)"),
    (rb"\[playlist\]", "a playlist (PLS)"),
    (rb"\[reference\]", "a list of other files (ASF reference)"),
    (rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<asx\b", "a playlist (ASX)"),
    (rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<MPD\b", "a manifest (DASH)"),
    (rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<SmoothStreamingMedia\b", "a manifest (Smooth Streaming)"),
    (rb"v=0\s", "the description of a broadcast (SDP)"),
    (rb"WEBVTT", "subtitles (WebVTT)"),
    (rb"\[script info\]", "subtitles (ASS)"),
    (rb"\d+\s+\d\d:\d\d:\d\d,\d\d\d -->", "subtitles (SubRip)"),
    (rb"\{\d+\}\{\d*\}", "subtitles (MicroDVD)"),
    (rb"<sami\b", "subtitles (SAMI)"),
)
_PICTURES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\x01\0",
    b"8BPS",
    b"P4\n",
    b"P5\n",
    b"P6\n",
)


def kind_in_words(path: Path) -> str | None:
    """What a file is that holds no film, by how it begins; None where that says nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for sign, words in _SIGNS:
        if re.match(sign, text, re.IGNORECASE | re.DOTALL):
            return words
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "a still picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "sound"
    if head.startswith((b"ID3", b"fLaC")):
        return "sound"
    if text and not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text):
        return "a text"
    return None
