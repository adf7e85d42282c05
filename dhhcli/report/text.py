"""text: rows -> TSV or CSV with a header line, or JSON lines; what pipes read."""

import dataclasses
import json
from collections.abc import Iterable, Iterator

from .rows import Row

COLUMNS = tuple(field.name for field in dataclasses.fields(Row))
# the four characters that would break a line or a column apart
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def tsv(rows: Iterable[Row]) -> Iterator[str]:
    """Lines without their newline: names of the columns, then the rows; tab, newline and backslash are escaped.

    What is not known is an empty cell.
    """
    yield "\t".join(COLUMNS)
    for row in rows:
        yield "\t".join(_cell(getattr(row, name)) for name in COLUMNS)


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """One JSON object a row; path bytes that are no UTF-8 come as lone surrogates, as os.fsdecode makes them."""
    for row in rows:
        yield json.dumps(dataclasses.asdict(row) | {"video": str(row.video)})


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Lines without their CRLF, of the same columns (RFC 4180): a cell that holds a comma, quote or line break is
    quoted, quotes are doubled, nothing else is changed."""
    yield ",".join(COLUMNS)
    for row in rows:
        yield ",".join(_quoted(_plain(getattr(row, name))) for name in COLUMNS)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell


def _cell(value: object) -> str:
    return _plain(value).translate(_ESCAPES)


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value)
