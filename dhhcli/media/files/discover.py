"""discover: files and folders -> files of wanted suffixes (videos, photos), and what was passed over."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dhhcli.base.text import counted
from dhhcli.errors import MissingPathError, NoVideoError
from dhhcli.media.files.passed_over import is_of_system

# fmt: off
VIDEO_SUFFIXES: frozenset[str] = frozenset((
    ".264", ".265", ".360", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".avc", ".avi", ".dav", ".divx", ".dv", ".dvr-ms",
    ".f4v", ".flv", ".gxf", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v",
    ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mod", ".mov", ".mp2v", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf",
    ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vob", ".vro",
    ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
))
PHOTO_SUFFIXES: frozenset[str] = frozenset((
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfi", ".jfif", ".jif", ".jp2", ".jpe",
    ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
))
# fmt: on


@dataclass(frozen=True, slots=True)
class VideoList:
    """videos: files to read (photos too where these were asked for), in order, each once. ignored: what was passed over
    in folders. unreadable: folders below the named ones that could not be looked into.
    """

    videos: tuple[Path, ...]
    ignored: tuple[Path, ...]
    unreadable: tuple[Path, ...] = ()


def is_photo(path: Path) -> bool:
    """Whether a file is to be read as a photo, by its suffix."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def find_videos(paths: Iterable[Path], *, photos: bool = False) -> VideoList:
    """Files of a video's suffixes, with ``photos`` also of a photo's. Raises MissingPathError as ``find_files``."""
    return _find(paths, VIDEO_SUFFIXES | PHOTO_SUFFIXES if photos else VIDEO_SUFFIXES)


def find_files(paths: Iterable[Path], suffixes: frozenset[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """(files, ignored) under ``paths``: folders recursively in sorted order, files as named, whatever their
    suffix.

    In folders, hidden entries, folders of the system, folders that cannot be read and files of other suffixes are
    ignored and listed. A file that is reached twice (also over a symbolic link) is taken once. The result may be empty.
    Raises MissingPathError when a named path does not exist or a named folder cannot be read.
    """
    found = _find(paths, suffixes)
    return found.videos, found.ignored + found.unreadable


def _find(paths: Iterable[Path], suffixes: frozenset[str]) -> VideoList:
    files: dict[str, Path] = {}  # real path -> path
    ignored: dict[str, Path] = {}
    unreadable: dict[str, Path] = {}
    seen: set[str] = set()
    for path in paths:
        if path.is_dir():
            try:
                os.scandir(path).close()
            except OSError as error:
                raise MissingPathError(f"{path}: folder cannot be read: {error.strerror or error}") from error
            _walk(path, suffixes, files, ignored, unreadable, seen)
        elif path.exists():
            files.setdefault(os.path.realpath(path), path)
        else:
            raise MissingPathError(f"{path}: no such file or folder")
    passed_over = tuple(path for real, path in ignored.items() if real not in files)
    return VideoList(tuple(files.values()), passed_over, tuple(unreadable.values()))


def _walk(
    folder: Path,
    suffixes: frozenset[str],
    files: dict[str, Path],
    ignored: dict[str, Path],
    unreadable: dict[str, Path],
    seen: set[str],
) -> None:
    """Everything below a folder, however deep: what is still to be looked at lies on a stack."""
    stack: list[tuple[Path, str, bool, bool]] = [(folder, os.path.realpath(folder), True, False)]
    while stack:
        path, real, is_folder, is_file = stack.pop()
        if path is not folder and (path.name.startswith(".") or (is_folder and is_of_system(path))):
            ignored.setdefault(real, path)
        elif is_folder:
            if real not in seen:  # else a symbolic link into a folder above
                seen.add(real)
                try:
                    stack += reversed(_entries(path, real))
                except OSError:
                    unreadable.setdefault(real, path)
        elif path.suffix.lower() in suffixes and is_file:
            files.setdefault(real, path)
        else:
            ignored.setdefault(real, path)


def _entries(folder: Path, real: str) -> list[tuple[Path, str, bool, bool]]:
    """(path, real path, is a folder, is a file) of what is in a folder; OSError also in a folder without x."""
    return [
        (
            entry,
            os.path.realpath(entry) if entry.is_symlink() else f"{real.rstrip(os.sep)}{os.sep}{entry.name}",
            entry.is_dir(),
            entry.is_file(),
        )
        for entry in sorted(folder.iterdir())
    ]


def require_videos(paths: Iterable[Path], *, photos: bool = False) -> VideoList:
    """``find_videos``, when there must be some.

    Raises:
        MissingPathError: as ``find_videos``.
        NoVideoError: there is nothing of it among all of it.
    """
    paths = list(paths)
    found = find_videos(paths, photos=photos)
    if not found.videos:
        names, others = ", ".join(str(path) for path in paths), counted(len(found.ignored), "file")
        barred = f" ({len(found.unreadable)} folders cannot be read)" if found.unreadable else ""
        raise NoVideoError(
            f"{names}: no video{' or photo' if photos else ''} found among {others}{barred}; "
            "expected suffixes like .mp4, .mov, .mxf, .mkv"
        )
    return found
