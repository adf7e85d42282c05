"""itself: a file or shot that is asked with + Shard -> shots (s,) that show the very same, so no answer.

Two things are the same where they have one path, or one content (storage/record.py, content_fingerprint): a photo that
was encoded beside the footage is not found by itself, nor is a copy of it in another folder.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Ints
from dhhcli.search.question.scope import extents
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import content_fingerprint, path_bytes, recorded_path

NONE: Ints = np.empty(0, np.int64)


def same_photo(shard: Shard, path: Path) -> Ints:
    """Shots (s,) of a photo and its copies; none for what is no file that can be read twice, say a pipe."""
    if not path.is_file():
        return NONE
    here = os.fsencode(recorded_path(path))
    rows = {row for row in _rows_with(shard, here + b"\0") if _path(shard, row) == here}
    starts = extents(shard, "shot")
    rows |= set(copies(shard, content_fingerprint(path)))
    return np.array([shot for row in sorted(rows) for shot in range(starts[row], starts[row + 1])], np.int64)


def same_moment(shard: Shard, fingerprint: str, pts: int) -> Ints:
    """Shots (s,) at ``pts`` of every video of this content."""
    starts = extents(shard, "shot")
    found = []
    for row in copies(shard, fingerprint):
        shots = np.arange(starts[row], starts[row + 1])
        table = shard.shots_rows(shots)
        found += shots[(table["start_pts"] <= pts) & ((pts < table["end_pts"]) | shard.video(row).still)].tolist()
    return np.array(found, np.int64)


def copies(shard: Shard, fingerprint: str) -> list[int]:
    """Rows of the videos and photos of this content."""
    rows = _rows_with(shard, fingerprint.encode("ascii"))
    return [row for row in rows if shard.video(row).fingerprint == fingerprint]


def _rows_with(shard: Shard, part: bytes) -> Iterator[int]:
    """Rows of the videos whose texts hold some bytes; a search in the mapped file, so that no record is parsed."""
    wanted, first = re.compile(re.escape(part)), 0
    for piece in shard.pieces:
        ends = piece.videos["text_end"].astype(np.int64) - piece.origin.text
        if len(piece.texts):
            at = [match.start() for match in wanted.finditer(piece.texts.data)]
            yield from sorted({first + int(row) for row in np.searchsorted(ends, at, "right")})
        first += len(piece.videos)


def _path(shard: Shard, row: int) -> bytes:
    first = 0
    for piece in shard.pieces:
        if row < first + len(piece.videos):
            return path_bytes(piece, row - first)
        first += len(piece.videos)
    raise IndexError(row)
