"""saved_rows: JSON lines of a query, as saved or picked by jq -> rows; the way back of output/delimited.py."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dhhcli.errors import EditError, MissingPathError
from dhhcli.search.result import Row


def read_hits(path: Path) -> list[Row]:
    """Rows of a file of JSON lines, "-" for standard input. Raises EditError, MissingPathError."""
    if str(path) == "-":
        return read_rows(sys.stdin, "standard input")
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return read_rows(file, str(path))
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be opened: {error.strerror or error}") from error


def read_rows(lines: Iterable[str], where: str) -> list[Row]:
    """Rows of JSON lines; empty lines and other keys are passed over. `where` names the lines in errors.

    Raises EditError, with the number of the line, for what is not a row.
    """
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            rows.append(_row(value))
        except (ValueError, TypeError, RecursionError) as error:
            words = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            raise EditError(
                f"{where}: line {number}: {words}; expected a line as `dhh query --json` prints it"
            ) from None
    return rows


def _row(value: Any) -> Row:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    found: dict[str, Any] = {}
    for field in dataclasses.fields(Row):
        if field.name in value:
            found[field.name] = _cell(field.name, str(field.type), value[field.name])
        elif "None" in str(field.type):  # rows saved before there was such a column
            found[field.name] = None
        else:
            raise ValueError(f"{field.name} is missing")
    return Row(**found)


def _cell(name: str, kind: str, value: Any) -> Any:
    """A value as the column holds it. Raises ValueError."""
    if value is None and "None" in kind:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name == "video" and isinstance(value, str) and Path(value).is_absolute() and "\0" not in value:
        return Path(value)
    if name == "names" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if name == "also" and isinstance(value, list) and all(type(track) is int for track in value):
        return tuple(value)
    if name == "box" and isinstance(value, list) and len(value) == 4 and all(isinstance(edge, int) for edge in value):
        return tuple(value)
    if "int" in kind and name not in ("box", "also") and isinstance(value, int) and number:
        return value
    if "float" in kind and number:
        return float(value)
    if kind.startswith(("str", "<class 'str'")) and isinstance(value, str):
        return value
    raise ValueError(f"{name} is {str(value)[:40]!r}")
