"""delivery: rows + what the user wants -> a table, lines or timelines, on stdout or in files; words about them."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.extras import require
from dhhcli.base.text import counted, on_a_terminal
from dhhcli.errors import UsageError, VideoError
from dhhcli.output.columns import COLUMNS, extras_of
from dhhcli.output.delimited import csv_lines, json_lines, tsv
from dhhcli.output.formats import BINARY, OTIO, ROWS, SUFFIXES, Format, Order, SequenceLayout
from dhhcli.output.terminal.console import print_rows, write_bytes
from dhhcli.output.terminal.pictures import may_show
from dhhcli.search.result import Row
from dhhcli.storage.record import VideoRecord

if TYPE_CHECKING:
    from dhhcli.media.sound import Sound


@dataclass(frozen=True)
class OutputOptions:
    """What the user asked for. format: None is a table on a terminal, TSV elsewhere; layout: what suits the format."""

    format: Format | None = None
    out: Path | None = None
    handles: str = "0f"
    order: Order = Order.rank
    layout: SequenceLayout | None = None
    columns: tuple[str, ...] | None = None  # None: the usual ones
    rate: str | None = None  # of a timeline; None: as most of its shots
    sound: bool = True  # in timelines that can hold some
    wide: bool = False  # all columns on a terminal too
    extras: tuple[str, ...] = ()  # columns beside the usual ones that were asked for by other options
    faces: bool | None = None  # small pictures below a table; None: where the terminal can show some


def wished(wish: OutputOptions) -> OutputOptions:
    """With ``-`` for standard output, and the format that a file's suffix says where none is named."""
    if wish.out is not None and str(wish.out) == "-":
        return replace(wish, out=None)
    if wish.out is not None and wish.format is None:
        return replace(wish, format=SUFFIXES.get(wish.out.suffix.lower()))
    return wish


def check_wish(wish: OutputOptions, *, as_json: bool = False, explain: bool = False, each: bool = False) -> None:
    """Raises UsageError for options that contradict each other, MissingExtraError for a format whose library is not
    installed: before anything is searched.
    """
    longer = wish.handles != OutputOptions.handles
    if longer or wish.rate is not None:
        from dhhcli.output.timelines.cuts import parse_handles, parse_rate  # most answers are no timeline

        handles = parse_handles(wish.handles)
        longer = bool(handles.frames or handles.seconds)
        if wish.rate is not None:
            parse_rate(wish.rate)
    if explain and (wish.format not in (None, Format.json) or wish.out):
        raise UsageError("--explain takes the place of the answer: leave --format and --out out; --json is possible")
    if as_json and wish.format is not Format.json:
        raise UsageError(f"--json and --format {wish.format}: give one of them")
    if wish.faces and (each or explain or wish.format not in (None, Format.table)):
        raise UsageError("--faces are small pictures below the table of one question; leave other formats out")
    if wish.format in ROWS or wish.format is None:
        shaped = longer or wish.order is not Order.rank or wish.layout or wish.rate
        if shaped or not wish.sound:
            raise UsageError(
                "--handles, --order, --sequence, --rate and --no-audio shape a timeline; give its --format, say edl or "
                "otio"
            )
        if wish.out and wish.format in (None, Format.table):
            raise UsageError(f"--out needs a --format, say csv or edl; {wish.out.name!r} ends like none")
    elif wish.columns:
        raise UsageError(f"--columns are of a table, tsv, csv or json; --format {wish.format} has its own")
    elif each:
        raise UsageError(f"--each asks several questions: ask them one by one for --format {wish.format}")
    elif wish.rate and wish.format is Format.edl:
        raise UsageError("--rate: an EDL counts in the rate of its sources, a file a rate; take otio, fcpxml or fcp7")
    if wish.format in BINARY and not wish.out and sys.stdout.isatty():
        raise UsageError(f"--format {wish.format} is no text for a terminal; name a file with --out")
    if wish.format in OTIO:
        require("otio", f"--format {wish.format}")


def shows_faces(wish: OutputOptions, *, each: bool = False) -> bool:
    """Whether small pictures are to be shown, as far as can be said before the terminal is asked what it can do."""
    if each or wish.format not in (None, Format.table):
        return False
    return bool(wish.faces) or may_show(wanted=wish.faces)


def deliver(
    rows: Sequence[Row],
    videos: Mapping[Path, tuple[VideoRecord, int]],
    wish: OutputOptions,
    name: str,
    thumbnails: Sequence[bytes] = (),
) -> Sequence[str]:
    """Write the answer. Nothing is written where nobody was found, except the head of a table. ``thumbnails``: JPEGs
    of the rows' faces, for a terminal that shows some.

    Raises UsageError where several files need a name, EditError as `edit.export`.
    """
    extras = wish.extras or extras_of(rows)
    if wish.format is None or wish.format is Format.table:
        table = wish.format is Format.table or sys.stdout.isatty()
        print_rows(rows, table=table, columns=wish.columns, extras=extras, wide=wish.wide)
        if not thumbnails or not shows_faces(wish):
            return ()
        from dhhcli.output.terminal.faces import show_faces

        faces = [(str(row.rank), jpeg) for row, jpeg in zip(rows, thumbnails, strict=True)]
        return show_faces(faces, wanted=wish.faces)
    if wish.format in ROWS:
        if wish.out and not rows:
            return ()
        columns = wish.columns or (*COLUMNS, *extras)
        lines = {Format.tsv: tsv, Format.json: json_lines, Format.csv: csv_lines}[wish.format](rows, columns)
        end = "\r\n" if wish.format is Format.csv else "\n"
        data = "".join(f"{line}{end}" for line in lines).encode("utf-8", "surrogateescape")
        if wish.out is None:
            write_bytes(shown(data))
            return ()
        from dhhcli.output.timelines.export import TimelineFile, write_files

        return write_files([TimelineFile(None, lambda stream: stream.write(data))], wish.out)
    from dhhcli.output.timelines.cuts import parse_handles, parse_rate
    from dhhcli.output.timelines.export import export, films, write_files  # XML and zip: what most queries do not need

    sounds, notes = sounds_heard(rows, videos, wish)
    files = export(
        rows,
        videos,
        wish.format,
        handles=parse_handles(wish.handles),
        order=wish.order,
        layout=wish.layout,
        name=name,
        counting=parse_rate(wish.rate) if wish.rate else None,
        sounds=sounds,
    )
    photos = len(rows) - len(films(rows, videos))
    if photos:
        notes.append(f"{counted(photos, 'photo')} left out: a timeline is of videos")
    if wish.out:
        return [*write_files(files, wish.out), *notes]
    if len(files) > 1:
        way = "" if files[0].part else ", or take --sequence stringout"
        each = "rate" if files[0].part else "video"
        raise UsageError(f"--format {wish.format} makes {len(files)} files, one a {each}; name one with --out{way}")
    if files:
        made = io.BytesIO()
        files[0].write(made)
        write_bytes(made.getvalue() if wish.format in BINARY else shown(made.getvalue()))
    return notes


def sounds_heard(
    rows: Sequence[Row], videos: Mapping[Path, tuple[VideoRecord, int]], wish: OutputOptions
) -> tuple[dict[Path, "tuple[Sound, ...]"], list[str]]:
    """The sound of every video of a timeline that is to have some, and words about those that cannot be looked at."""
    from dhhcli.media.sound import sounds_of
    from dhhcli.output.timelines.export import SOUNDING, films

    found: dict[Path, tuple[Sound, ...]] = {}
    notes = []
    if wish.sound and wish.format in SOUNDING:
        for path in dict.fromkeys(row.video for row in films(rows, videos)):
            try:
                found[path] = sounds_of(path)
            except VideoError as error:
                notes.append(f"without sound: {error}")
    return found, notes


def shown(data: bytes) -> bytes:
    """Text for standard output: a terminal gets nothing that it would act on."""
    if not sys.stdout.isatty():
        return data
    return on_a_terminal(data.decode("utf-8", "surrogateescape")).encode("utf-8")
