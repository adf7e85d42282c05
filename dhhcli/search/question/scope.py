"""scope: words about files (name, glob, dates) + Shard -> its videos, shots and ranges of tracks (r, 2)."""

import glob as globs_of
import os
import re
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np

from dhhcli.base.arrays import Ints
from dhhcli.errors import ShardError, UsageError
from dhhcli.search.options import Only
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import path_bytes


@dataclass(frozen=True)
class Where:
    """Of which videos the answer is wanted; all of this has to hold."""

    globs: tuple[str, ...] = ()  # at least one of them matches
    # seconds since 1970; a video is of the time at which it was recorded, where it says so, else last written
    after: float | None = None  # then or later
    before: float | None = None  # earlier
    only: Only | None = None  # None: videos and photos

    def __post_init__(self) -> None:
        """Raises UsageError for a glob of nothing, which would match everything."""
        if not all(self.globs):
            raise UsageError("--in '': expected a file, a folder or a glob, say 'day1/*.mov'")

    @property
    def everywhere(self) -> bool:
        """Nothing is asked."""
        return self == EVERYWHERE


EVERYWHERE: Final = Where()


def moment(text: str, option: str) -> float:
    """A date, or a date and time, of the local clock unless it names its zone -> seconds since 1970.

    Raises UsageError for anything else; a date stands for its first second.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day).astimezone().timestamp()
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.astimezone()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option} {text}: expected a date like 2024-05-31, or with a time, 2024-05-31T18:00"
        ) from None


def paths_of(shard: Shard) -> list[str]:
    """Path of every video, by row; nothing else of it is read."""
    return [os.fsdecode(path_bytes(piece, row)) for piece in shard.pieces for row in range(len(piece.videos))]


def matches(path: str, glob: str) -> bool:
    """Whether a glob names a path, or whole parts of it: a file, or a folder that it lies in, with those above it.

    ``*`` and ``?`` also stand for a slash. A glob that begins with one begins at the root.
    """
    heads = ("",) if glob.startswith("/") else ("", "*/")
    return any(fnmatchcase(path, f"{head}{glob.rstrip('/')}{tail}") for head in heads for tail in ("", "/*"))


def from_here(glob: str) -> str:
    """The real path that a glob names from where the user stands: ``./day1/*`` -> ``/films/day1/*``.

    Codes files hold real paths. What is there by this very name, brackets and all, is meant itself; else the parts
    before the first wildcard are a folder.
    """
    parts = glob.split("/")
    wild = next((number for number, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts))
    if os.path.lexists(glob):
        wild = len(parts)
    head = os.path.realpath("/".join(parts[:wild]) or ("/" if glob.startswith("/") else "."))
    return "/".join([globs_of.escape(head).rstrip("/"), *parts[wild:]]) or "/"


def tracks_where(shard: Shard, where: Where) -> Ints:
    """Ranges of tracks [first, last) (r, 2) of the videos that are meant, rising and apart.

    A glob is taken both as it is, anywhere in a path, and from the current folder.
    """
    globs = dict.fromkeys((*where.globs, *map(from_here, where.globs)))
    chosen = np.array([any(matches(path, glob) for glob in globs) for path in paths_of(shard)], np.bool_)
    if not where.globs:
        chosen[:] = True
    if where.only is not None:
        for row in np.flatnonzero(chosen):
            chosen[row] = shard.video(int(row)).still == (where.only is Only.photos)
    if where.after is not None or where.before is not None:
        for row in np.flatnonzero(chosen):
            video = shard.video(int(row))
            seconds = video.mtime_ns / 1e9 if video.recorded is None else video.recorded
            chosen[row] = (where.after is None or seconds >= where.after) and (
                where.before is None or seconds < where.before
            )
    starts = extents(shard, "track")
    held = np.diff(starts) > 0  # a video without tracks does not part its neighbours
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen[held], [False]]).astype(np.int8)))
    return np.concatenate([starts[:-1][held], starts[-1:]])[edges].reshape(-1, 2)


def extents(shard: Shard, what: str) -> Ints:
    """Where the rows of every video begin, (v + 1,); what: "track" or "shot". Raises ShardError where they fall."""
    parts: list[Ints] = [np.zeros(1, np.int64)]
    for piece in shard.pieces:
        ends = piece.videos[f"{what}_end"].astype(np.int64) - getattr(piece.origin, what)
        parts.append(ends + parts[-1][-1])
    starts = np.concatenate(parts)
    if (np.diff(starts) < 0).any() or (what == "track" and starts[-1] != len(shard)):
        raise ShardError(f"{what}s of the videos are not in order: damaged codes file; encode again")
    return starts


def video_row(shard: Shard, name: str, where: str) -> int:
    """Row of the video called ``name``: its path, or as much of the path's end as only one video has.

    Raises ShardError, which begins with ``where``.
    """
    paths = paths_of(shard)
    full = str(Path(name).absolute())
    found = [row for row, path in enumerate(paths) if path in (name, full)]
    found = found or [row for row, path in enumerate(paths) if path.endswith(f"/{name}")]
    if len(found) != 1:
        count = f"{len(found)} videos are" if found else "no video is"
        raise ShardError(f"{where}: {count} called {name!r} in the codes file; dhh info --list shows their paths")
    return found[0]


def shot_tracks_of(shard: Shard, video: int, number: int, where: str) -> tuple[int, Ints]:
    """Row of shot ``number`` (from 1) of a video, and the rows of its tracks. Raises ShardError, as above."""
    shots, tracks = extents(shard, "shot"), extents(shard, "track")
    rows = np.arange(shots[video], shots[video + 1])
    at = np.flatnonzero(shard.shots_rows(rows)["number"] == number)
    if not len(at):
        last = f"shots up to {len(rows)}" if len(rows) else "no shots"
        raise ShardError(f"{where}: there is no shot {number} of this video in the codes file, only {last}")
    shot = int(rows[at[0]])
    own = np.arange(tracks[video], tracks[video + 1])
    return shot, own[shard.track_rows(own)["shot"] == shot]
