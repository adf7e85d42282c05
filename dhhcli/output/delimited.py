"""delimited: rows + names of columns -> TSV or CSV with a header line, or JSON lines; what pipes read."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence

from dhhcli.base.text import in_a_cell
from dhhcli.output.columns import COLUMNS
from dhhcli.search.result import Row


def tsv(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """Lines without their newline: names of the columns, then the rows; tab, newline, backslash and what a terminal
    would act on are escaped.

    What is not known is an empty cell.
    """
    yield "\t".join(columns)
    for row in rows:
        yield "\t".join(cell(getattr(row, name)) for name in columns)


def json_lines(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """One JSON object a row; path bytes that are no UTF-8 come as lone surrogates, as os.fsdecode makes them."""
    for row in rows:
        values = dataclasses.asdict(row) | {"video": str(row.video)}
        yield json.dumps({name: values[name] for name in columns})


def csv_lines(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """Lines without their CRLF, of the same columns (RFC 4180): a cell that holds a comma, quote or line break is
    quoted, quotes are doubled, nothing else is changed."""
    yield ",".join(columns)
    for row in rows:
        yield ",".join(quoted(_plain(getattr(row, name))) for name in columns)


def quoted(cell: str) -> str:
    """A cell of CSV."""
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell


def cell(value: object) -> str:
    """A value as TSV has it."""
    return in_a_cell(_plain(value))


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        words = all(isinstance(part, str) for part in value)  # names: a comma may be part of one
        return ("; " if words else ",").join(str(part) for part in value)
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value)
