"""one_person: a face track and features (m, d + 1) of its m sampled frames -> the tracks of one person each that it is.

Where the camera pans fast, somebody passes in front, or a shot dissolves into the next, the tracker goes on with
another face at the same place. Features tell: before and after such a moment they point into different directions. How
different they may be depends on the network, so it stands in the record (``Weights.one_person``). On film, 15 of 83
tracks are cut; none of 48 pieces of a webcam's sessions, shrunk to 64, 24 or 14 pixels
(docs/research/experiments.md#tracks-of-two-people).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dhhcli.faces.tracker import SURE, FaceTrack, Observation

Features = npt.NDArray[np.float32]


def cut_places(features: Features, least: float) -> list[int]:
    """Numbers of the frames (of m) with which another person begins, rising.

    Features are laid out with their weight as the last number (research/training/networks/laid_out.py). A track is cut
    where the means before and after are least alike, if their cosine is below ``least``, and the parts likewise.
    """
    sums = np.zeros((len(features) + 1, features.shape[1] - 1))
    np.cumsum(features[:, :-1].astype(np.float64) * features[:, -1:], axis=0, out=sums[1:])
    places: list[int] = []
    parts = [(0, len(features))]
    while parts:
        first, end = parts.pop()
        if end - first < 2:
            continue
        inner = sums[first + 1 : end]
        before, after = inner - sums[first], sums[end] - inner
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        likeness = (before * after).sum(axis=1) / np.maximum(lengths, 1e-12)
        lowest = int(likeness.argmin())
        if likeness[lowest] < least:
            middle = first + 1 + lowest
            places.append(middle)
            parts += [(first, middle), (middle, end)]
    return sorted(places)


def parts_of(track: FaceTrack, sampled: Sequence[Observation], places: Sequence[int]) -> list[tuple[FaceTrack, slice]]:
    """The tracks that a track is cut into before the sampled frames of these numbers, and which frames are theirs.

    A part of one look that was not sure falls away, as a track of one would (tracker.py); it may be that none is left.
    """
    if not places:
        return [(track, slice(0, len(sampled)))]
    found = []
    for first, end in zip([0, *places], [*places, len(sampled)], strict=True):
        begins = sampled[first].frame if first else track.first_frame
        ends = sampled[end].frame if end < len(sampled) else track.last_frame + 1
        own = tuple(seen for seen in track.observations if begins <= seen.frame < ends)
        last = track if end == len(sampled) else None
        whole = FaceTrack(
            own,
            begins,
            last.last_frame if last else own[-1].frame,
            own[0].pts if first else track.first_pts,
            last.last_pts if last else own[-1].pts,
            len(own),
        )
        found.append((whole, slice(first, end)))
    return [
        (part, frames)
        for part, frames in found
        if len(part.observations) > 1 or part.observations[0].face.score >= SURE
    ]
