"""joined: rows of one question + seconds -> rows; hits of one video that are no farther apart become one."""

from collections.abc import Sequence
from dataclasses import replace

from .rows import Row


def joined(rows: Sequence[Row], seconds: float) -> list[Row]:
    """Join hits of a video that lie at most ``seconds`` apart: from the start of the first to the end of the last.

    Rank, distance, shot, face and track are those of the best of them, and so is its confidence: that the person is
    somewhere in the piece is at least as likely. ``tracks`` is their sum, ``shots`` how many there are. Photos have no
    time and stay alone. Rows come by rank; ranks count from 1 again.
    """
    videos: dict[object, list[Row]] = {}
    for row in rows:
        videos.setdefault(row.video if row.start else row.rank, []).append(row)
    runs: list[list[Row]] = []
    for own in videos.values():
        runs.append([])
        for row in sorted(own, key=lambda row: (row.start_seconds, row.end_seconds)):
            if runs[-1] and row.start_seconds - max(one.end_seconds for one in runs[-1]) > seconds:
                runs.append([])
            runs[-1].append(row)
    found = sorted((_one(run) for run in runs), key=lambda row: row.rank)
    return [replace(row, rank=rank) for rank, row in enumerate(found, start=1)]


def _one(run: Sequence[Row]) -> Row:
    best, first = min(run, key=lambda row: row.rank), run[0]
    last = max(run, key=lambda row: row.end_seconds)
    return replace(
        best,
        start=first.start,
        end=last.end,
        start_seconds=first.start_seconds,
        end_seconds=last.end_seconds,
        start_frame=first.start_frame,
        end_frame=last.end_frame,
        tracks=sum(row.tracks for row in run),
        shots=len(run),
    )
