"""table: rows -> a table for the terminal, widest column last to be cut."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from .rows import Row


def result_table(rows: Sequence[Row]) -> Table:
    """Rank, distance, confidence, where it is. Paths are shown from where the user stands when that is shorter."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("rank", "right"),
        ("distance", "right"),
        ("confidence", "left"),
        ("shot", "right"),
        ("start", "left"),
        ("end", "left"),
        ("face at", "left"),
        ("video", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name != "video", overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(
            str(row.rank),
            f"{row.distance}/{row.bits}",
            row.confidence_in_words,
            str(row.shot),
            row.start,
            row.end,
            row.face_at,
            Text(_shown(row.video)),
        )
    return table


def _shown(path: Path) -> str:
    try:
        text = str(path.relative_to(Path.cwd()))
    except ValueError:
        text = str(path)
    # what a terminal would act on instead of showing
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
