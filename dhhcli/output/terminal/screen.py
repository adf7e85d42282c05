"""screen: columns of words + how wide a terminal is -> a line a row that fits: columns fall away, paths are elided.

Numbers and timecodes are never cut: what looks whole is whole. ``--wide`` and pipes have every column (table.py).
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from dhhcli.base.text import escaped
from dhhcli.output.delimited import cell
from dhhcli.search.result import Row

STYLES: Final = {"very likely": "green", "likely": "cyan", "unsure": "yellow", "unlikely": "red"}
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
BAR: Final = 6  # columns of a bar
NARROW: Final = 8  # columns that an elided word keeps at least, if it has as many
USUAL: Final = 12  # that it keeps before others fall away
SPEAKS: Final = 3  # letters of a beginning that say something
GAP: Final = 1


@dataclass(frozen=True)
class Column:
    """Cells of one column. order: the column with the highest falls away first, 0 never does."""

    head: str
    cells: Sequence[Text]
    right: bool = False
    elastic: bool = False  # may be elided in the middle
    order: int = 0

    @property
    def width(self) -> int:
        return max([cell_len(self.head), *(text.cell_len for text in self.cells)])


def terminal(file: IO[str] | None = None) -> Console:
    """Where a person reads; with NO_COLOR set to anything, nothing is written that is not text."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=file or sys.stdout, highlight=False, color_system=None if plain else "auto")


def print_columns(console: Console, columns: Sequence[Column]) -> None:
    """A head and a line a row, none wider than the console; where even that cannot be, a line a cell."""
    columns = [column for column in columns if any(column.cells) or not column.order]
    chosen = fitted(columns, console.width)
    if chosen is None:
        _print_list(console, columns)
        return
    ascii_only = not (console.encoding or "").lower().startswith("utf")
    heads = [Text(column.head, style="bold") for column, _ in chosen]
    rows = zip(*(column.cells for column, _ in chosen), strict=True)
    for texts in (heads, *rows):
        line = Text()
        for number, (text, (column, width)) in enumerate(zip(texts, chosen, strict=True)):
            shown = elided(text, width, "~" if ascii_only else "…") if column.elastic else text
            pad = " " * (width - shown.cell_len)
            last = number == len(chosen) - 1
            line.append_text(Text(pad) + shown if column.right else shown + Text("" if last else pad))
            if not last:
                line.append(" " * GAP)
        console.print(line, soft_wrap=True)


def fitted(columns: Sequence[Column], width: int) -> list[tuple[Column, int]] | None:
    """Which columns are shown, and how wide each is; None where not even those fit that never fall away."""
    left = list(columns)
    while left:
        fixed = sum(column.width for column in left if not column.elastic) + GAP * (len(left) - 1)
        elastic = [column for column in left if column.elastic]
        droppable = [column for column in left if column.order]
        least = USUAL if droppable else NARROW
        room = width - fixed
        if room >= sum(min(column.width, least) for column in elastic):
            return [(column, wide) for column, wide in zip(left, _shared(left, room), strict=True)]
        if not droppable:
            return None
        left.remove(max(droppable, key=lambda column: column.order))
    return None


def _shared(columns: Sequence[Column], room: int) -> list[int]:
    """Widths; elastic columns share what there is, those first that want little."""
    widths = [column.width for column in columns]
    elastic = sorted((at for at, column in enumerate(columns) if column.elastic), key=lambda at: widths[at])
    for number, at in enumerate(elastic):
        widths[at] = min(widths[at], room // (len(elastic) - number))
        room -= widths[at]
    return widths


def elided(text: Text, width: int, mark: str) -> Text:
    """Text of at most ``width`` columns: its middle gives way, so that beginning and suffix stay."""
    if text.cell_len <= width:
        return text
    if width < 1:
        return Text()
    plain = text.plain
    name = plain.rpartition("/")[2]
    if name == plain or cell_len(name) >= width - 1:  # no room for a folder: both ends of what the file is called
        return text[len(plain) - len(name) :] if cell_len(name) <= width else _both_ends(text, name, width, mark)
    whole = cell_len(name) + 1  # a file's name
    end = max((width - 1) * 2 // 3, whole)
    begin = width - 1 - end if width - 1 - end >= SPEAKS else 0
    head = chop_cells(plain, begin)[0] if begin else ""
    tail = ""
    for letter in reversed(plain):
        if cell_len(letter + tail) > end:
            break
        tail = letter + tail
    return text[: len(head)] + Text(mark, style="dim") + text[len(plain) - len(tail) :]


def _both_ends(text: Text, name: str, width: int, mark: str) -> Text:
    """A name in so many columns: mostly its beginning, in which clips of a camera differ, but its suffix whole."""
    suffix = Path(name).suffix
    most = min(width * 2 // 3, width - 1 - cell_len(suffix)) if cell_len(suffix) < width // 2 else width // 2
    begin = chop_cells(name, most)[0] if most else ""
    end = ""
    for letter in reversed(name[len(begin) :]):
        if cell_len(begin + letter + end) > width - 1:
            break
        end = letter + end
    first, last = len(text.plain) - len(name), len(text.plain) - len(end)
    return text[first : first + len(begin)] + Text(mark, style="dim") + text[last:]


def _print_list(console: Console, columns: Sequence[Column]) -> None:
    for number, texts in enumerate(zip(*(column.cells for column in columns), strict=True)):
        if number:
            console.print()
        for column, text in zip(columns, texts, strict=True):
            console.print(Text(f"{column.head}: {text.plain}"), soft_wrap=True)


def path_text(path: Path) -> Text:
    """A path from where the user stands when that is shorter, its folder dimmed."""
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    folder, slash, name = str(path).rpartition("/")
    return Text.assemble((plain(folder + slash), "dim"), plain(name))


def plain(text: str) -> str:
    """What a terminal would act on, escaped."""
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def bar(share: float, *, ascii_only: bool) -> str:
    """0 .. 1 as a bar of BAR columns."""
    if ascii_only:
        return ("#" * round(share * BAR)).ljust(BAR, ".")
    eighths = round(share * BAR * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(BAR)


def hit_columns(rows: Sequence[Row], *, ascii_only: bool = False, extras: Sequence[str] = ()) -> list[Column]:
    """One line a hit: rank, confidence as a word and a bar, file, timecode in and out, duration, name."""
    sure = []
    bars = []
    for row in rows:
        word = row.confidence_in_words.partition(" ")[2]
        sure.append(Text(word, STYLES[word]) if word else Text(f"{row.distance:g}/{row.bits}"))
        bars.append(Text(bar(row.confidence, ascii_only=ascii_only), STYLES[word]) if row.confidence else Text(""))
    columns = [
        Column("#", [Text(str(row.rank)) for row in rows], right=True),
        Column("confidence" if any(row.confidence is not None for row in rows) else "bits", sure),
        Column("", bars, order=2),
        Column("file", [path_text(row.video) for row in rows], elastic=True),
        *([Column("in", [Text(row.start) for row in rows])] if any(row.start for row in rows) else []),  # not of photos
        Column("out", [Text(row.end) for row in rows], order=1),
        Column("length", [Text(_length(row)) for row in rows], right=True, order=3),
        Column("name", [Text(plain(row.name or ""), "bold") for row in rows], elastic=True, order=4),
    ]
    named = [Column(name, [Text(plain(cell(getattr(row, name)))) for row in rows], elastic=True) for name in extras]
    return [*named, *columns]


def _length(row: Row) -> str:
    return f"{row.end_seconds - row.start_seconds:.1f} s" if row.start else "photo"
