"""columns: a comma-separated list -> names of a row's columns, in that order; and which are usual."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from dhhcli.errors import UsageError

if TYPE_CHECKING:
    from dhhcli.search.result import Row


# The fields of a Row, which is not imported: completion reads them at every press of a key.
COLUMNS: Final = (
    "rank",
    "distance",
    "bits",
    "confidence",
    "false_rate",
    "video",
    "shot",
    "start",
    "end",
    "start_seconds",
    "end_seconds",
    "start_frame",
    "end_frame",
    "face_at",
    "face_frame",
    "box",
    "tracks",
    "track",
    "track_id",
    "name",
    "names",
)  # of TSV, CSV and JSON lines
EXTRAS: Final = ("question", "also", "shots")  # there only when something was asked that gives them
KNOWN: Final = (*COLUMNS, *EXTRAS)


def parse_columns(text: str | None) -> tuple[str, ...] | None:
    """``rank,video,start`` -> names; None for None. Raises UsageError for a name that is not known, or comes twice."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in KNOWN:
            raise UsageError(f"--columns: there is no column {name!r}; known are {', '.join(KNOWN)}")
        if names.count(name) > 1:
            raise UsageError(f"--columns: {name} comes twice")
    return names


def extras_of(rows: "Iterable[Row]") -> tuple[str, ...]:
    """The columns beside the usual ones that rows have something in."""
    kept = tuple(rows)
    return tuple(name for name in EXTRAS if any(getattr(row, name) is not None for row in kept))


def asked_extras(*, each: bool, several: bool, merged: bool) -> tuple[str, ...]:
    """The columns beside the usual ones of an answer: to several questions, of several people, of joined shots."""
    return tuple(name for name, there in zip(EXTRAS, (each, several, merged), strict=True) if there)
