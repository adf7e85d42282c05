"""exporting: track_ids of shots that were picked -> a file of a format (EDL, OTIO, FCPXML, FCP7, CSV), as text."""

from dataclasses import dataclass, replace
from typing import Any, Final

from dhhcli.base.extras import require
from dhhcli.errors import UsageError
from dhhcli.output.columns import COLUMNS
from dhhcli.output.delimited import csv_lines
from dhhcli.output.formats import OTIO, Format, Order, SequenceLayout
from dhhcli.output.timelines.cuts import parse_handles
from dhhcli.output.timelines.export import export, films
from dhhcli.review.bodies import text_in, texts_in
from dhhcli.review.state import Review
from dhhcli.search.result import Row, saved_videos

SUFFIXES: Final = {
    Format.edl: ".edl",
    Format.otio: ".otio",
    Format.fcpxml: ".fcpxml",
    Format.fcp7: ".xml",
    Format.csv: ".csv",
}


@dataclass(frozen=True)
class Made:
    """A file to be saved."""

    name: str
    data: bytes
    notes: tuple[str, ...]


def export_picks(review: Review, body: dict[str, Any]) -> Made:
    """The shots in the order in which they were picked. Raises UsageError, and as ``output.timelines.export``."""
    wanted, picks = text_in(body, "format"), texts_in(body, "picks")
    formats = {format.value: format for format in SUFFIXES}
    if wanted not in formats:
        raise UsageError(f"{wanted[:40]!r} is no format of this page; it has {', '.join(formats)}")
    if not picks:
        raise UsageError("nothing is picked: pick shots first")
    format, handles = formats[wanted], text_in(body, "handles") or "0f"
    order = Order.time if text_in(body, "order") == Order.time else Order.rank
    if format in OTIO:
        require("otio", f"--format {format}")
    with review.lock:
        found = [review.row_of(track) for track in dict.fromkeys(picks)]
        shots: dict[tuple[object, int], Row] = {}
        for row in found:  # two people of one shot are one shot
            shots.setdefault((row.video, row.shot), row)
        rows = [replace(row, rank=rank) for rank, row in enumerate(shots.values(), start=1)]
        videos = saved_videos(review.codes, rows)
    if format is Format.csv:
        data = "".join(f"{line}\r\n" for line in csv_lines(rows, COLUMNS)).encode("utf-8", "surrogateescape")
        return Made("shots.csv", data, ())
    file = export(
        rows, videos, format, handles=parse_handles(handles), order=order, layout=SequenceLayout.stringout, name="shots"
    )[0]
    return Made(f"shots{SUFFIXES[format]}", file.data(), _left_out(len(rows) - len(films(rows, videos))))


def _left_out(photos: int) -> tuple[str, ...]:
    return (f"{photos} photo{'s' if photos > 1 else ''} left out: a timeline is of videos",) if photos else ()
