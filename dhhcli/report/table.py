"""table: rows + names of columns -> a table for the terminal; a path is folded where it is too long."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from .columns import SHOWN
from .rows import Row
from .text import cell

LEFT = ("confidence", "start", "end", "face_at", "video", "question", "box")  # the others are numbers


def result_table(rows: Sequence[Row], columns: Sequence[str] = SHOWN) -> Table:
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
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
