"""write_results: cells of a comparison -> ``rivals.csv``, ``rivals.tex`` and precision-recall curves in a folder."""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

from dhhcli.base.atomic_write import write_atomically
from dhhcli.output.terminal.table import Grid
from dhhcli.research.baselines.comparison.run import Cell
from dhhcli.research.baselines.comparison.summary import SummaryLine, grids, summarise
from dhhcli.research.evaluation.plots import plot_curves


def write_comparison(folder: Path, cells: Sequence[Cell], search: str) -> None:
    """All figures as CSV, the tables as LaTeX, and a picture of curves for each length (the first seed's)."""
    lines = summarise(cells)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "rivals.csv", csv_text(lines).encode())
    write_atomically(folder / "rivals.tex", "\n\n".join(map(latex, grids(lines, search))).encode())
    for bits in sorted({cell.bits for cell in cells if cell.bits}):
        draw_curves(folder / f"curves-{bits}.png", cells, bits, search)


def draw_curves(path: Path, cells: Sequence[Cell], bits: int, search: str) -> None:
    """Precision over recall of every method at one length, of its first seed; real-valued features beside them."""
    first: dict[str, Cell] = {}
    for cell in cells:
        if cell.bits in (0, bits):
            first.setdefault(cell.method, cell)
    shown = [
        replace(one, line=replace(one.line, representation=f"{cell.bits or 'real-valued'}"))
        for cell in first.values()
        for one in cell.results
        if one.line.representation in ("code", search, "all frames")
    ]
    plot_curves(path, shown)


def csv_text(lines: Sequence[SummaryLine]) -> str:
    """A header and a row a line; nothing where there is no spread."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(SummaryLine)])
    writer.writerows(
        [f"{value:.6g}" if isinstance(value, float) else value for value in astuple(line)] for line in lines
    )
    return text.getvalue()


def latex(grid: Grid) -> str:
    """A tabular without packages."""
    lines = [f"\\begin{{tabular}}{{ll{'r' * (len(grid.header) - 2)}}}", "\\hline"]
    for number, row in enumerate((grid.header, *grid.rows)):
        lines.append(" & ".join(map(_escaped, row)) + " \\\\")
        lines += ["\\hline"] if number in (0, len(grid.rows)) else []
    return "\n".join([*lines, "\\end{tabular}", ""])


def _escaped(text: str) -> str:
    for plain, written in (("→", "$\\rightarrow$"), ("±", "$\\pm$"), ("_", "\\_"), ("%", "\\%"), ("&", "\\&")):
        text = text.replace(plain, written)
    return text
