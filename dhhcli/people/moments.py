"""moments: tracks (n,) TRACK_DTYPE -> which are seen at once (p, 2), which share a shot, how long each is seen (n,)."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.storage.shard import Shard


def at_once(tracks: NDArray[np.void]) -> Rows:
    """Tracks (n,) TRACK_DTYPE -> pairs (p, 2) that are seen at the same time in one shot, so they are two people."""
    order = np.argsort(tracks["shot"], kind="stable")
    shot, begin, end = (tracks[name][order] for name in ("shot", "start_pts", "end_pts"))
    pairs = [np.empty((0, 2), np.int64)]
    at = np.arange(len(order))
    for behind in range(1, len(order)):  # each with the next one of its shot, then with the next but one, ...
        at = at[at + behind < len(order)]
        at = at[shot[at] == shot[at + behind]]
        if not len(at):
            break
        other = at + behind
        both = np.maximum(begin[at], begin[other]) <= np.minimum(end[at], end[other])
        pairs.append(np.stack([order[at[both]], order[other[both]]], axis=1))
    found = np.concatenate(pairs)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def shared_shots(tracks: NDArray[np.void], rows: Rows) -> Iterator[Rows]:
    """Of each shot that holds several of the rows (k,), those it holds."""
    rows = rows[np.argsort(tracks["shot"][rows], kind="stable")]
    shots = tracks["shot"][rows]
    edges = np.flatnonzero(np.diff(shots, prepend=-1, append=-1))  # no shot is -1
    for first, last in pairwise(edges.tolist()):
        if last - first > 1:
            yield rows[first:last]


def track_seconds(shard: Shard, tracks: NDArray[np.void]) -> NDArray[np.float64]:
    """How long each track is seen, (n,), to the end of its last frame; 0 in a photo."""
    ticks, frame = clock(shard)
    owner = tracks["video"]
    lasted = (tracks["end_pts"].astype(np.float64) - tracks["start_pts"]) * ticks[owner] + frame[owner]
    return np.asarray(np.where(ticks[owner] > 0, lasted, 0.0))


def clock(shard: Shard) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per video, seconds a tick and a frame; 0 for a photo, and for frames where there is no rate."""
    ticks = [0.0 if video.still else float(video.time_base) for video in shard.videos]
    frames = [0.0 if video.still or not video.frame_rate else float(1 / video.frame_rate) for video in shard.videos]
    return np.array(ticks), np.array(frames)
