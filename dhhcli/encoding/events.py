"""events: what encode does -> an event for every step and file, and for the rounds of a watch."""

from dataclasses import dataclass
from pathlib import Path

from dhhcli.media.files.discover import VideoList


@dataclass(frozen=True)
class Step:
    """How far into a file: seconds of film done, of how many (None: the file does not say).

    since: how many of them an earlier run had done, which was killed.
    """

    path: Path
    seconds: float
    duration: float | None
    since: float = 0.0


@dataclass(frozen=True)
class Encoded:
    """A file is done and safely on disk."""

    path: Path
    shots: int
    tracks: int
    seconds: float  # of film
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Unchanged:
    """A file was encoded by an earlier run."""

    path: Path
    warnings: tuple[str, ...] = ()  # what was wrong with it then, and still is
    note: str = ""  # what was done to its pictures, or could be


@dataclass(frozen=True)
class Relinked:
    """A file whose content was known under another path: its codes were taken from there."""

    path: Path
    before: Path
    moved: bool  # nothing is at `before` any more, and the codes file names it no longer
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forgotten:
    """A file that `dhh forget` removed: it is not encoded again."""

    path: Path


@dataclass(frozen=True)
class Gone:
    """Nothing is at this path any more; its codes were dropped, or are kept."""

    path: Path
    dropped: bool
    now: Path | None = None  # where the same content lies, and keeps its codes
    kept: str = ""  # why it was not dropped though that was asked for


@dataclass(frozen=True)
class Skipped:
    """A file could not be encoded; the others go on."""

    path: Path
    reason: str


FileEvent = Encoded | Unchanged | Relinked | Forgotten | Skipped | Gone  # what became of a file


@dataclass(frozen=True)
class Watching:
    """Files and folders are looked at from now on, until the process is interrupted."""

    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Waiting:
    """Something that was named is not there: it is looked for again. A round that had begun is over."""

    reason: str


@dataclass(frozen=True)
class Began:
    """A round begins: what becomes of these files is said next."""

    files: VideoList


@dataclass(frozen=True)
class Ended:
    """A round is over, and everything of it merged into the codes file."""


RoundEvent = Watching | Waiting | Began | Ended
