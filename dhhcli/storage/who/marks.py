"""marks: tracks (t,) -> 64 bits each, (t,) uint64, that mean a track within its video for ever, whatever its row is.

What they are made of is when (start, end, best pts) and where in the picture (the box) the track is: nothing of how a
face looks. h = 0; for each of the three times and of the four edges, as they lie in the file (64 and 32 bits, little
endian): h = mix(h + 0x9E3779B97F4A7C15 + word), where mix is the finaliser of SplitMix64. Two of a video's 100,000
tracks share a mark with a chance of 3e-10.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.storage.shard import Shard

Marks = NDArray[np.uint64]
STEP: Final = np.uint64(0x9E3779B97F4A7C15)
CHUNK: Final = 1 << 18  # tracks read at once


def mixed(words: Marks) -> Marks:
    """SplitMix64's finaliser of words (t,)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def marks_of(tracks: NDArray[np.void]) -> Marks:
    """Marks of rows (t,) that have times and boxes: TRACK_DTYPE, TOMBSTONE_DTYPE."""
    found = np.zeros(len(tracks), np.uint64)
    for name in ("start_pts", "end_pts", "best_pts"):
        words = np.ascontiguousarray(tracks[name], "<i8").view("<u8")
        found = mixed(found + STEP + words)
    edges = np.ascontiguousarray(tracks["box"], "<f4").view("<u4").astype(np.uint64)  # (t, 4)
    for edge in edges.T:
        found = mixed(found + STEP + edge)
    return found


def pieces_of_marks(shard: Shard) -> Iterator[tuple[NDArray[np.int64], Marks]]:
    """Rows of videos (c,) and marks (c,) of a shard's tracks, a piece at a time, in the order of the rows."""
    for start in range(0, len(shard), CHUNK):
        tracks = shard.track_rows(np.arange(start, min(start + CHUNK, len(shard))))
        yield tracks["video"].astype(np.int64), marks_of(tracks)
