"""console: rows, scores and notes -> stdout (data) and stderr (words): a table for a terminal, TSV for a pipe."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dhhcli.base.text import in_a_cell, one_line, take_any_text
from dhhcli.output.columns import COLUMNS
from dhhcli.output.delimited import tsv
from dhhcli.search.result import Row

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from dhhcli.output.terminal.table import Grid


def print_notes(notes: Sequence[str]) -> None:
    """Words for the person at the keyboard, one line each, whatever a file in them is called."""
    for note in notes:
        sys.stderr.write(f"{one_line(note)}\n")
    sys.stderr.flush()


def print_rows(
    rows: Sequence[Row],
    *,
    table: bool,
    columns: Sequence[str] | None = None,
    extras: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """The answer of a query as a line a hit, else TSV; ``columns``: instead of the usual ones, ``extras``: beside them,
    ``wide``: all columns on a terminal too.

    Nothing goes to stdout when nobody was found, except a TSV's header."""
    if table:
        if rows:
            from dhhcli.output.terminal.screen import hit_columns, print_columns, terminal
            from dhhcli.output.terminal.table import print_result

            take_any_text(sys.stdout)
            console = terminal()
            if columns or wide:
                print_result(console, rows, columns or (*COLUMNS, *extras))
            else:
                ascii_only = not (console.encoding or "").lower().startswith("utf")
                print_columns(console, hit_columns(rows, ascii_only=ascii_only, extras=extras))
    else:
        _write(tsv(rows, columns or (*COLUMNS, *extras)))


def write_bytes(data: bytes) -> None:
    """Data for the next program, as it is."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_tables(tables: "Mapping[str, Sequence[DataclassInstance]]", *, as_json: bool) -> None:
    """Tables of an evaluation: an empty line between two, or as JSON lines that say their table; nothing for none."""
    if as_json:
        _write(_object(line, table=name) for name, lines in tables.items() for line in lines)
        return
    for number, lines in enumerate(lines for lines in tables.values() if lines):
        if number:
            _write([""])
        _print_table(lines)


def print_scores(scores: "Sequence[DataclassInstance]", *, as_json: bool) -> None:
    """Lines of one table; nothing for no scores."""
    if as_json:
        _write(_object(score) for score in scores)
    elif scores:
        _print_table(scores)


def print_grids(grids: "Sequence[Grid]") -> None:
    """Tables of words, an empty line between two."""
    for number, grid in enumerate(grids):
        if number:
            _write([""])
        _print_cells(grid.header, grid.rows)


def _print_table(lines: "Sequence[DataclassInstance]") -> None:
    names = [column.name for column in dataclasses.fields(lines[0])]
    _print_cells(names, [[_cell(value) for value in dataclasses.astuple(line)] for line in lines])


def _print_cells(names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        from dhhcli.output.terminal.screen import terminal
        from dhhcli.output.terminal.table import print_cells

        table = Table(*names, box=None, pad_edge=False)
        for row in cells:
            table.add_row(*map(Text, row))
        print_cells(terminal(), names, cells, table, ())
    else:
        _write("\t".join(row) for row in [names, *cells])


def _object(line: "DataclassInstance", **first: str) -> str:
    return json.dumps(first | {key: _json(value) for key, value in dataclasses.asdict(line).items()})


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else in_a_cell(str(value))


def _json(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _write(lines: Iterable[str]) -> None:
    # paths may hold bytes that are no UTF-8; they go out as they came in
    stream = sys.stdout
    take_any_text(stream)
    for line in lines:
        stream.write(f"{line}\n")
    stream.flush()
