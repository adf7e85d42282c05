"""table: rows + names of columns -> a table for the terminal; a path is folded, and too wide a table is a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dhhcli.base.text import escaped
from dhhcli.output.columns import COLUMNS
from dhhcli.output.delimited import cell
from dhhcli.search.result import Row

LEFT = ("confidence", "start", "end", "face_at", "video", "question", "box")  # the others are numbers
NARROW = 8  # columns of a terminal that a folded path needs at least
GAPS = (2, 1)  # between two columns: as rich has it, and where that is too wide


def print_cells(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[str]], table: Table, folded: Sequence[str]
) -> None:
    """Print a table, or where the terminal is too narrow for it, a line for every cell and an empty one after a row.

    Cutting its columns would leave numbers that look whole and are not. ``folded``: columns
    that go on in a second line.
    """
    widths = [
        max(NARROW if name in folded else max((cell_len(row[at]) for row in rows), default=0), cell_len(name))
        for at, name in enumerate(names)
    ]
    for gap in GAPS:
        if sum(widths) + gap * (len(names) - 1) <= console.width:
            if gap == 1:
                table.padding = (0, 1, 0, 0)
            console.print(table)
            return
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, words in zip(names, row, strict=True):
            console.print(Text(f"{name}: {words}"), soft_wrap=True)


def print_result(console: Console, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> None:
    """The answer of a query, as ``result_table`` has it."""
    cells = [[_shown(row, name) for name in columns] for row in rows]
    names = [name.replace("_", " ") for name in columns]
    print_cells(console, names, cells, result_table(rows, columns), ("video", "question"))


def result_table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> Table:
    """Distances with the number of bits beside them, confidence with its word, paths from where the user stands when
    that is shorter."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        path = name in ("video", "question")
        table.add_column(
            name.replace("_", " "), justify="left" if name in LEFT else "right", no_wrap=not path, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_shown(row, name)) for name in columns))
    return table


def _shown(row: Row, name: str) -> str:
    if name == "distance":
        return f"{row.distance:g}/{row.bits}"
    if name == "confidence":
        return row.confidence_in_words
    text = _short(row.video) if name == "video" else cell(getattr(row, name))
    # what a terminal would act on instead of showing
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@dataclass(frozen=True)
class Grid:
    """A table of words: the first row of cells names the columns."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
