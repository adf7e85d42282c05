"""summary: cells -> a line for every method, length, way and direction, with mean and spread over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dhhcli.output.terminal.table import Grid
from dhhcli.research.baselines.comparison.run import Cell
from dhhcli.research.evaluation.tasks import Result

SEARCHES = ("average", "minimum", "majority", "mean")  # of frame-wise methods; see baselines/comparison/measure.py


@dataclass(frozen=True)
class SummaryLine:
    """One method at one length in one direction."""

    method: str
    kind: str
    bits: int  # 0: real numbers
    search: str  # code, or how frames are searched
    query: str
    database: str
    mean_ap: float
    spread: float | None  # standard deviation over seeds; None: one seed
    precision_at_1: float
    precision_at_10: float
    seeds: int
    fit_seconds: float
    queries: int
    items: int


def summarise(cells: Sequence[Cell]) -> list[SummaryLine]:
    """Mean over seeds, in the order of the cells."""
    found: dict[tuple[str, int, str, str, str], list[tuple[Cell, Result]]] = {}
    for cell in cells:
        for one in cell.results:
            key = cell.method, cell.bits, one.line.representation, one.line.query, one.line.database
            found.setdefault(key, []).append((cell, one))
    lines = []
    for (method, bits, search, query, database), each in found.items():
        maps = [one.line.mean_ap for _, one in each]
        first = each[0][1].line
        lines.append(
            SummaryLine(
                method,
                each[0][0].kind,
                bits,
                search,
                query,
                database,
                float(np.mean(maps)),
                float(np.std(maps, ddof=1)) if len(maps) > 1 else None,
                float(np.mean([one.line.precision_at_1 for _, one in each])),
                float(np.mean([one.line.precision_at_10 for _, one in each])),
                len(maps),
                float(np.mean([cell.fit_seconds for cell, _ in each])),
                first.queries,
                first.items,
            )
        )
    return lines


def grids(lines: Sequence[SummaryLine], search: str = "average") -> list[Grid]:
    """The shape of the paper's Tables III and IV: images ask for videos, then videos for images.

    A row a method, a column a kind of video and length; frame-wise methods as they search by ``search``, real-valued
    features in every column. Cells are mean average precision, with +- the spread where there are several seeds.
    """
    shown = [line for line in lines if line.search in ("code", search) or line.bits == 0]
    lengths = sorted({line.bits for line in shown if line.bits})
    both = []
    for title, ways in _tables(shown):
        rows: dict[tuple[str, str], dict[tuple[str, str, int], str]] = {}
        for line in shown:
            name = (
                (line.method if line.search in ("code", search, "all frames") else f"{line.method}, {line.search}"),
                line.kind,
            )
            row = rows.setdefault(name, {})
            for bits in (line.bits,) if line.bits else lengths or (0,):
                row[line.query, line.database, bits] = _cell(line)
        columns = [(*way, bits) for way in ways for bits in lengths or (0,)]
        header = (title, "", *(f"{query} → {database}, {bits or ''}".rstrip(", ") for query, database, bits in columns))
        both.append(Grid(header, tuple((*name, *(row.get(c, "") for c in columns)) for name, row in rows.items())))
    return both


def _tables(lines: Sequence[SummaryLine]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Directions whose query is an image, and the others; photos are called still everywhere."""
    ways = list(dict.fromkeys((line.query, line.database) for line in lines))
    parts = (
        ("image to video", [way for way in ways if way[0] == "still"]),
        ("video to image", [way for way in ways if way[0] != "still"]),
    )
    return [(title, some) for title, some in parts if some]


def _cell(line: SummaryLine) -> str:
    return f"{line.mean_ap:.3f}" if line.spread is None else f"{line.mean_ap:.3f} ± {line.spread:.3f}"
