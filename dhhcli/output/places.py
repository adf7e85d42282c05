"""places: a path that is to be written -> nothing, or an error where something lies there that nobody means to replace.

``-o`` is typed quickly, and the name of a video or a codes file is at hand; answers, sheets and timelines replace older
ones of their kind, but no film and no codes.
"""

from pathlib import Path
from typing import Final

from dhhcli.errors import DhhError
from dhhcli.media.files.discover import VIDEO_SUFFIXES

BESIDE: Final = (
    ".people",
    ".names",
    ".faiss",
    ".faiss.json",
    ".skipped",
    ".lock",
    ".migrating",
    ".forgetting",
    ".merging",
    ".parts",
)  # what lies beside codes files
HEAD: Final = 400  # bytes that are looked at
# what files of films and codes begin with: offset, bytes, what it is
_BEGINNINGS: Final = (
    (0, b"\x89HDF\r\n\x1a\n", "a codes file or face pack"),
    (4, b"ftyp", "a video"),
    (4, b"moov", "a video"),
    (4, b"mdat", "a video"),
    (4, b"wide", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),  # Matroska, WebM
    (8, b"AVI ", "a video"),
    (0, b"FLV", "a video"),
    (0, b"OggS", "a video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video"),  # ASF, WMV
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", "a video"),  # MXF
    (0, b"\x00\x00\x01\xba", "a video"),  # MPEG-PS
    (0, b"\x00\x00\x01\xb3", "a video"),
)


def check_place(path: Path) -> None:
    """Raises DhhError where a video or a codes file, or what lies or belongs beside one, would be replaced."""
    for suffix in BESIDE:  # there or not: it would be read as what it is called
        home = path.with_name(path.name.removesuffix(suffix)) if path.name != suffix else path
        if path.name.endswith(suffix) and (path.exists() or (home != path and home.is_file())):
            raise DhhError(f"{path}: belongs to a codes file, and is not replaced; name another file")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD) if path.is_file() else b""
    except OSError:  # nothing there, or said when it is written
        return
    for offset, begins, kind in _BEGINNINGS:
        if head[offset : offset + len(begins)] == begins:
            raise DhhError(f"{path}: is {kind}, which is not replaced; name another file")
    if head and (path.suffix.lower() in VIDEO_SUFFIXES or (head[:1] == b"\x47" and head[188:189] == b"\x47")):
        raise DhhError(f"{path}: is there already and called a video, which is not replaced; name another file")
