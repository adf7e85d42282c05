"""frame_distances: codes of frames (f, B) of n things -> distances (n, m) over all pairs of frames of two things.

How the paper's single-modality baselines search video, and how frames are taken out of one.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats
from dhhcli.models.binary_codes import hamming


@dataclass(frozen=True, eq=False)
class Frames:
    """Codes of the frames of n things, end to end; a still is a thing of one frame."""

    codes: npt.NDArray[np.uint8]  # (f, B)
    starts: npt.NDArray[np.int64]  # (n,) where each thing's frames begin


def frame_distances(a: Frames, b: Frames, how: Literal["average", "minimum"]) -> npt.NDArray[np.float64]:
    """Average or minimum of the Hamming distances over all pairs of frames of two things, (n, m)."""
    reduce: Any = np.add if how == "average" else np.minimum
    rows = []
    ends = np.r_[a.starts[1:], len(a.codes)]
    for first, last in zip(a.starts, ends, strict=True):  # one thing at a time: never all frames by all frames
        columns = reduce.reduceat(hamming(a.codes[first:last], b.codes), b.starts, axis=1)
        rows.append(reduce.reduce(columns, axis=0))
    distances = np.stack(rows).astype(np.float64)
    if how == "average":
        distances /= np.outer(ends - a.starts, np.diff(np.r_[b.starts, len(b.codes)]))
    return distances


def evenly(frames: Floats, m: int) -> Floats:
    """At most m of a video's frames (n, d), evenly spaced: the middles of m equal parts, as encode samples them."""
    n = len(frames)
    return frames if n <= m else frames[[(2 * i + 1) * n // (2 * m) for i in range(m)]]
