"""inventory: totals of a codes file, its videos, or what was removed from it -> table, TSV or JSON lines."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.text import counted, escaped, in_a_cell, take_any_text
from dhhcli.output.console import print_notes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from dhhcli.search.forget import Removed
    from dhhcli.storage.inventory import Inventory


WIDE = ("fingerprint", "frames", "width", "height", "frame_rate", "bytes", "box")  # not shown on a terminal


def print_pairs(line: "DataclassInstance", *, as_json: bool) -> None:
    """One thing: a line a field, its name and its value; or one JSON object."""
    if as_json:
        _write([_object(line)])
    else:
        names = [field.name for field in dataclasses.fields(line)]
        cells = [_cell(getattr(line, name)) for name in names]
        if sys.stdout.isatty():
            _table([], list(zip(names, cells, strict=True)))
        else:
            _write(f"{name}\t{cell}" for name, cell in zip(names, cells, strict=True))


def print_lines(lines: "Sequence[DataclassInstance]", *, as_json: bool) -> None:
    """Videos or removed tracks: a table, or TSV with a header, or a JSON object each; nothing for none."""
    if as_json:
        _write(_object(line) for line in lines)
    elif lines:
        names = [field.name for field in dataclasses.fields(lines[0])]
        if sys.stdout.isatty():
            names = [name for name in names if name not in WIDE]
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
        return ",".join(str(part) for part in value)
    return in_a_cell(str(value))


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dhhcli.output.table import NARROW, print_cells

    rows = [["".join(c if c.isprintable() else escaped(c) for c in cell) for cell in row] for row in rows]
    take_any_text(sys.stdout)
    if not names:  # a pair a line: a value goes on in the next line
        pairs = Table(box=None, pad_edge=False, show_header=False)
        pairs.add_column(no_wrap=True)
        pairs.add_column(overflow="fold")
        for row in rows:
            pairs.add_row(*map(Text, row))
        Console().print(pairs)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        long = name in ("path", "video", "problems")
        table.add_column(name, no_wrap=not long, overflow="fold", min_width=NARROW if long else None)
    for row in rows:
        table.add_row(*map(Text, row))
    print_cells(Console(), names, rows, table, ("path", "video", "problems"))


def _write(lines: Iterable[str]) -> None:
    # paths may hold bytes that are no UTF-8; they go out as they came in
    stream = sys.stdout
    take_any_text(stream)
    for line in lines:
        stream.write(f"{line}\n")
    stream.flush()
