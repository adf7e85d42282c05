"""output: rows, scores and notes -> stdout (data) and stderr (words): a table for a terminal, TSV for a pipe."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .rows import Row
from .text import json_lines, tsv

if TYPE_CHECKING:
    from ..evaluate import Score
    from ..learning.ablate import Outcome


def print_notes(notes: Sequence[str]) -> None:
    """Words for the person at the keyboard, one line each."""
    for note in notes:
        sys.stderr.write(f"{note}\n")
    sys.stderr.flush()


def print_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    """The answer of a query. Nothing at all goes to stdout when nobody was found, except a TSV's header."""
    if as_json:
        _write(json_lines(rows))
    elif sys.stdout.isatty():
        if rows:
            from rich.console import Console

            from .table import result_table

            Console().print(result_table(rows))
    else:
        _write(tsv(rows))


def print_scores(scores: "Sequence[Score] | Sequence[Outcome]", *, as_json: bool) -> None:
    """Lines of an evaluation or of ablations; nothing for no scores."""
    if not scores:
        return
    if as_json:
        _write(json.dumps(dataclasses.asdict(score)) for score in scores)
        return
    names = [field.name for field in dataclasses.fields(scores[0])]
    cells = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in dataclasses.astuple(s)] for s in scores]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*names, box=None, pad_edge=False)
        for row in cells:
            table.add_row(*row)
        Console().print(table)
    else:
        _write("\t".join(row) for row in [names, *cells])


def _write(lines: Iterable[str]) -> None:
    # paths may hold bytes that are no UTF-8; they go out as they came in
    stream = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="surrogateescape")
    for line in lines:
        stream.write(f"{line}\n")
    stream.flush()
