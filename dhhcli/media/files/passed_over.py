"""passed_over: path of what was passed over in a folder -> why, in words: hidden, of the system, of what kind it is."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from dhhcli.base.text import counted
from dhhcli.media.timing.quicktime import movie_box

# Thumbnails, trash, snapshots and databases of file servers and systems; those with a dot in front are hidden anyway.
SYSTEM: Final = frozenset(
    (
        "@eadir", "@recently-snapshot", "@recycle", "@synoresource", "@tmp", "@transcode", "@__thumb", "#recycle",
        "#snapshot", "$recycle.bin", "__macosx", "lost+found", "network trash folder", "recycled", "recycler",
        "system volume information", "temporary items", "~snapshot",
    )
)  # fmt: skip
BOXES: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # what a QuickTime file begins with
BRAW: Final = re.compile(rb"stsd.{12}br(xq|st|vn|s2|aw|xh|hd)", re.DOTALL)  # sample entries of Blackmagic RAW
OF_SYSTEM: Final = "a folder of the system (thumbnails, trash, snapshots)"
HIDDEN: Final = "hidden"
CAMERA_RAW: Final = {
    ".ari": "ARRIRAW",
    ".arx": "ARRIRAW",
    ".braw": "Blackmagic RAW",
    ".crm": "Canon Cinema RAW",
    ".nev": "Nikon N-RAW",
    ".r3d": "REDCODE RAW",
}
_KINDS: Final = {
    "a raw photo, not developed; export a JPEG of it": (
        ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .sr2 .srf .srw "
        ".x3f"
    ),
    "a small copy that the camera keeps beside its film": ".lrf .lrv .thm",
    "sound": ".aac .ac3 .aif .aiff .amr .caf .flac .m4a .mka .mp2 .mp3 .oga .ogg .opus .wav .wma",
    "a picture that is no photo": ".ai .dds .eps .exr .hdr .ico .pdf .ps .psd .svg .tga .xcf",
}
KINDS: Final = {suffix: words for words, suffixes in _KINDS.items() for suffix in suffixes.split()}
OF_MAKER: Final = "which only its maker's software reads; export it, or give its proxies"
LISTED: Final = 20  # that are named; the rest are counted


def is_of_system(folder: Path) -> bool:
    """Whether a folder of this name is no place where people keep films: @eaDir, #recycle and the like."""
    return folder.name.lower() in SYSTEM


def camera_raw(path: Path) -> str | None:
    """Words for raw video of cameras, which only their makers' libraries decode; None for anything else.

    Told by the suffix, or by how the file begins.
    """
    name = CAMERA_RAW.get(path.suffix.lower()) or _begins_as(path)
    return f"{name}, {OF_MAKER}" if name else None


def _begins_as(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head[4:8] in (b"RED1", b"RED2"):
                return CAMERA_RAW[".r3d"]
            if head[4:12] == b"ftypcrx ":
                return CAMERA_RAW[".crm"]
            file.seek(0)
            return CAMERA_RAW[".braw"] if head[4:8] in BOXES and BRAW.search(movie_box(file)) else None
    except OSError:
        return None


def why(path: Path, videos: frozenset[str], photos: frozenset[str]) -> str:
    """Why something in a folder was passed over. videos, photos: their suffixes."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return HIDDEN
    if is_of_system(path) and path.is_dir():
        return OF_SYSTEM
    if suffix in videos | photos and not path.is_file():
        return "no file; a link to nothing, or a device"
    if suffix in photos:
        return "a photo, and photos are left out"
    raw = CAMERA_RAW.get(suffix)
    return f"{raw}, {OF_MAKER}" if raw else KINDS.get(suffix) or "not the suffix of a video or photo"


def passed_over_lines(paths: Sequence[Path], videos: frozenset[str], photos: frozenset[str]) -> list[str]:
    """What was passed over, for people: folders of the system counted, the first others by name, the rest counted."""
    reasons = [(path, why(path, videos, photos)) for path in paths]
    system = [path for path, reason in reasons if reason == OF_SYSTEM]
    others = [(path, reason) for path, reason in reasons if reason != OF_SYSTEM]
    lines = [f"ignored: {path}: {reason}" for path, reason in others[:LISTED]]
    if len(others) > LISTED:
        left = _counts(reason for _, reason in others[LISTED:])
        lines.append(f"ignored: {counted(len(others) - LISTED, 'more file')} ({left})")
    if system:
        names = ", ".join(sorted({path.name for path in system}))
        lines.append(f"ignored: {counted(len(system), 'folder')} of the system, with all that is in them: {names}")
    return lines


def _counts(reasons: Iterable[str]) -> str:
    return "; ".join(f"{number}: {reason}" for reason, number in Counter(reasons).most_common())
