"""encrypted: a file and its picture stream -> how it is encrypted, in words, or None: what nobody can look at here.

Decoders make noise of encrypted pictures, and damage is what they say of it, so the file's own words are asked:

- mp4, mov: a protected sample entry (``encv`` of ISO/IEC 23001-7 "common encryption", ``drmi`` of FairPlay);
- mkv, webm: ``ContentEncryption`` in the header (RFC 9559, 5.1.4.1.31);
- wmv, asf: one of the three objects "content encryption" of the ASF header (ASF specification, 3.14 to 3.16);
- transport streams: the scrambling bits of its packets (ISO/IEC 13818-1, 2.4.3.3), program streams and DVDs: those of
  its PES packets (2.4.3.7).
"""

import re
from pathlib import Path
from typing import Final

from av.container import InputContainer
from av.video.stream import VideoStream

from dhhcli.media.timing.quicktime import movie_box

LOOKED_AT: Final = 4 << 20  # bytes of the beginning of a file
HEADER: Final = 1 << 20  # within which mkv and asf say it
SCRAMBLED: Final = 0.5  # of the packets that say so
PROTECTED: Final = re.compile(rb"(encv|drmi)\0{6}")
ENCRYPTION: Final = re.compile(rb"\x6d\x80.{1,64}?\x50\x35", re.DOTALL)  # within ContentEncodings
ASF: Final = tuple(
    bytes.fromhex(guid)
    for guid in (
        "fbb3112223bdd211b4b700a0c955fc6e",
        "14e68a292226174cb935dae07ee9289c",
        "338505438169e6499b74ad12cb86d58c",
    )
)
PES: Final = re.compile(rb"\x00\x00\x01[\xe0-\xef]..([\x80-\xbf])", re.DOTALL)
SYNC: Final = 0x47
TS_STEPS: Final = (188, 192, 204)


def encryption(path: Path, container: InputContainer, stream: VideoStream) -> str | None:
    """Words for how the picture stream of a file is encrypted; None where it is not, or does not say so."""
    kind = container.format.name
    try:
        with path.open("rb") as file:
            if "mov" in kind.split(","):
                found = PROTECTED.search(movie_box(file))
                return {b"encv": "common encryption", b"drmi": "FairPlay"}[found[1]] if found else None
            head = file.read(LOOKED_AT)
    except OSError:
        return None
    if kind.startswith("matroska") and ENCRYPTION.search(head[:HEADER]):
        return "Matroska encryption"
    if kind == "asf" and any(guid in head[:HEADER] for guid in ASF):
        return "Windows Media DRM"
    if kind == "mpegts" and transport_scrambled(head, stream.id):
        return "a scrambled transport stream"
    if kind == "mpeg" and program_scrambled(head):
        return "a scrambled program stream, as on a DVD"
    return None


def transport_scrambled(head: bytes, pid: int) -> bool:
    """Whether most packets of a PID are scrambled in a transport stream that begins so."""
    step, first = _packets(head)
    if not step:
        return False
    said = [
        head[at + 3] >> 6
        for at in range(first, len(head) - 4, step)
        if head[at] == SYNC and (head[at + 1] & 31) << 8 | head[at + 2] == pid and head[at + 3] & 16
    ]
    return bool(said) and sum(bits >= 2 for bits in said) > SCRAMBLED * len(said)


def _packets(head: bytes) -> tuple[int, int]:
    """(bytes from a packet to the next, where the first begins); (0, 0) where no packets are seen."""
    for step in TS_STEPS:
        for first in range(min(step, len(head))):
            places = range(first, min(len(head), first + 16 * step), step)
            if len(places) > 4 and all(head[at] == SYNC for at in places):
                return step, first
    return 0, 0


def program_scrambled(head: bytes) -> bool:
    """Whether most picture packets of a program stream that begins so are scrambled."""
    said = [found[1][0] >> 4 & 3 for found in PES.finditer(head)]
    return bool(said) and sum(bits > 0 for bits in said) > SCRAMBLED * len(said)
