"""inventory: totals of a codes file, its videos, or what was removed from it -> table, TSV or JSON lines."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.text import counted, in_a_cell, take_any_text
from dhhcli.output.terminal.console import print_notes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from dhhcli.search.forget import Removed
    from dhhcli.storage.inventory import Inventory


# on a terminal these fall away where it is too narrow, the last first; --wide and pipes have all
FALLING = (
    "name",
    "seconds",
    "tracks",
    "first_seen",
    "shots",
    "problems",
    "start",
    "whole",
    "seen_with",
    "videos",
    "end",
    "shot",
    "kind",
    "distance",
    "track",
    "start_seconds",
    "end_seconds",
    "track_id",
    "missing",
)
WIDE = ("fingerprint", "frames", "width", "height", "frame_rate", "bytes", "box")  # not shown on a terminal


def print_pairs(line: "DataclassInstance", *, as_json: bool) -> None:
    """One thing: a line a field, its name and its value; or one JSON object."""
    if as_json:
        _write([_object(line)])
    else:
        names = [field.name for field in dataclasses.fields(line)]
        cells = [_cell(getattr(line, name)) for name in names]
        if sys.stdout.isatty():
            _pairs(list(zip(names, cells, strict=True)))
        else:
            _write(f"{name}\t{cell}" for name, cell in zip(names, cells, strict=True))


def print_lines(lines: "Sequence[DataclassInstance]", *, as_json: bool, wide: bool = False) -> None:
    """Videos, people, names or removed tracks: a line each that fits the terminal, with all columns where ``wide``; or
    TSV with a header, or a JSON object each; nothing for none.
    """
    if as_json:
        _write(_object(line) for line in lines)
    elif lines:
        names = [field.name for field in dataclasses.fields(lines[0])]
        if sys.stdout.isatty() and not wide:
            _screen(lines, [name for name in names if name not in WIDE])
            return
        rows = [[_cell(getattr(line, name)) for name in names] for line in lines]
        if sys.stdout.isatty():
            _table(names, rows)
        else:
            _write("\t".join(row) for row in [names, *rows])


def inventory_notes(taken: "Inventory") -> int:
    """Say what should not be overlooked; the exit code: 1 when something is damaged."""
    if taken.parts:
        belong = "belongs" if taken.parts == 1 else "belong"
        print_notes(
            [
                f"{taken.path}: {counted(taken.parts, 'file')} in {taken.path}.parts {belong} to it; "
                "copy or move both together"
            ]
        )
    if taken.damaged:
        are, them = ("is", "it") if taken.damaged == 1 else ("are", "them")
        words = f"{counted(taken.damaged, 'video')} {are} damaged in it; encode {them}"
        print_notes([f"{taken.path}: {words} again to a new file"])
    return 1 if taken.damaged else 0


def removal_note(removed: "Sequence[Removed]", codes_path: Path, *, dry_run: bool) -> str:
    """One line: how much was removed."""
    tracks = sum(line.track is not None for line in removed)
    videos = len({line.video for line in removed if line.whole})
    if not removed:
        return f"{codes_path}: nothing found, nothing removed"
    did = "would be removed" if dry_run else "removed"
    return f"{codes_path}: {counted(tracks, 'track')} {did}, among them all of {counted(videos, 'whole video')}"


def _object(line: "DataclassInstance") -> str:
    values = dataclasses.asdict(line)
    return json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        between = "; " if all(isinstance(part, str) for part in value) else ", "
        if all(isinstance(part, int) for part in value):
            between = ","
        return in_a_cell(between.join(map(str, value)))
    return in_a_cell(str(value))


def _screen(lines: "Sequence[DataclassInstance]", names: Sequence[str]) -> None:
    from rich.text import Text

    from dhhcli.output.terminal.screen import Column, path_text, plain, print_columns, terminal

    columns = []
    for name in names:
        values = [getattr(line, name) for line in lines]
        path = any(isinstance(value, Path) for value in values)
        columns.append(
            Column(
                name.replace("_", " "),
                [path_text(value) if isinstance(value, Path) else Text(plain(_cell(value))) for value in values],
                right=all(value is None or type(value) in (int, float) for value in values),
                elastic=path or name in ("name", "other_name", "problems", "seen_with"),
                order=FALLING.index(name) + 1 if name in FALLING and not path else 0,
            )
        )
    take_any_text(sys.stdout)
    print_columns(terminal(), columns)


def _pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """A pair a line; a value goes on in the next line."""
    from rich.table import Table
    from rich.text import Text

    from dhhcli.output.terminal.screen import plain, terminal

    take_any_text(sys.stdout)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(plain(value)))
    terminal().print(table)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from dhhcli.output.terminal.screen import plain, terminal
    from dhhcli.output.terminal.table import NARROW, print_cells

    rows = [[plain(cell) for cell in row] for row in rows]
    take_any_text(sys.stdout)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        long = name in ("path", "video", "problems")
        table.add_column(name, no_wrap=not long, overflow="fold", min_width=NARROW if long else None)
    for row in rows:
        table.add_row(*map(Text, row))
    print_cells(terminal(), names, rows, table, ("path", "video", "problems"))


def _write(lines: Iterable[str]) -> None:
    # paths may hold bytes that are no UTF-8; they go out as they came in
    stream = sys.stdout
    take_any_text(stream)
    for line in lines:
        stream.write(f"{line}\n")
    stream.flush()
