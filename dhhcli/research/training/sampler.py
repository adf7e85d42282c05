"""sampler: face pack -> pairs of one still and one track of a person, some people a batch, pairs each.

Second-order sampling of Qiao et al. (TIP 2019): people first, then pairs within each, so that every batch
holds positives and negatives for both kinds of input. Of photos a track is made in one of two ways: a *shot* (one
photo, frames imitated) or a *set* (several photos of the person, one frame of each: a hard track, all unlike). Where a
pack has tracks of real film, half of the tracks of the people in it are those. The still is never a photo that the
track was made of, nor a frame of the same real track.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dhhcli.research.datasets.augmentation import imitate_frames, imitate_shot
from dhhcli.research.datasets.pack import FacePack

REAL_STRENGTH = 0.25  # of imitation on film: it looks like film already


@dataclass(frozen=True)
class Pair:
    """Rows of the pack: one still, and one row (a shot) or several (a set; or in order, a real track) that make the
    track.
    """

    identity: int
    still: int
    track: tuple[int, ...]
    real: bool = False  # frames of one real track


def rows_by_person(
    identity: npt.NDArray[np.int64], at_least: int = 2, track: npt.NDArray[np.int64] | None = None
) -> list[npt.NDArray[np.int64]]:
    """Rows of every person with at least so many photos; with ``track`` (n,), all frames of one count as one."""
    order = np.argsort(identity, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)
    if track is None:
        return [rows for rows in groups if len(rows) >= at_least]
    return [rows for rows in groups if len(rows) >= at_least and len(takes(rows, track)) >= at_least]


def takes(rows: npt.NDArray[np.int64], track: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """A person's rows in what was taken at once: every still alone, then the frames of every real track."""
    own = track[rows]
    stills = [rows[i : i + 1] for i in np.flatnonzero(own < 0)]
    return stills + [rows[own == number] for number in np.unique(own[own >= 0])]


def draw_pairs(
    people: list[npt.NDArray[np.int64]],
    identity: npt.NDArray[np.int64],
    *,
    count: int,
    pairs: int,
    frames: int,
    rng: np.random.Generator,
    track: npt.NDArray[np.int64] | None = None,
) -> list[Pair]:
    """``count`` people, ``pairs`` pairs of each; half of the tracks shots, half sets of 2 to ``frames``.

    Args:
        people: rows of each, as ``rows_by_person`` gives them for the same ``track``.
        identity: (n,) of all rows.
        count: people to draw, each once; all where there are fewer.
        pairs: of each.
        frames: most rows in a track.
        rng: what is drawn depends on it alone.
        track: (n,) of all rows, -1 for stills. Of people with real tracks half of the tracks are those, up to
            ``frames`` frames in order; shots and sets take at most one frame of each.
    """
    drawn: list[Pair] = []
    for person in rng.choice(len(people), min(count, len(people)), replace=False):
        rows = people[person]
        filmed = track is not None and bool((track[rows] >= 0).any())
        taken = takes(rows, track) if track is not None and filmed else []
        for _ in range(pairs):
            if filmed:
                pair = _draw_real(taken, identity, frames, rng)
                if pair is not None:
                    drawn.append(pair)
                    continue
                rows = np.array([rng.choice(take) for take in taken])
            still, *others = rng.permutation(rows)[: frames + 1].tolist()
            if rng.random() < 0.5 or len(others) == 1:
                others = others[:1]
            else:
                others = others[: int(rng.integers(2, len(others) + 1))]
            drawn.append(Pair(int(identity[still]), still, tuple(others)))
    return drawn


def _draw_real(
    taken: list[npt.NDArray[np.int64]], identity: npt.NDArray[np.int64], frames: int, rng: np.random.Generator
) -> Pair | None:
    """Half of the times: frames of a real track, and a still that was not taken with them."""
    tracks = [number for number, rows in enumerate(taken) if len(rows) > 1]
    if not tracks or rng.random() < 0.5:
        return None
    chosen = tracks[int(rng.integers(len(tracks)))]
    other = (chosen + 1 + int(rng.integers(len(taken) - 1))) % len(taken)
    still = int(rng.choice(taken[other]))
    places = np.sort(rng.permutation(len(taken[chosen]))[:frames])
    return Pair(int(identity[still]), still, tuple(taken[chosen][places].tolist()), real=len(places) > 1)


def draw_frames(
    pack: FacePack, pair: Pair, frames: int, rng: np.random.Generator, *, size: int = 64
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The pair's pictures, still (s, s, 3) and track (m, s, s, 3), as film or a photo might show them."""
    still = imitate_frames(pack.pictures[pair.still], 1, rng, size=size, strength=float(rng.random()))[0]
    if pair.real:
        return still, imitate_shot(pack.pictures[list(pair.track)], rng, size=size, strength=REAL_STRENGTH)
    if len(pair.track) == 1:
        return still, imitate_frames(pack.pictures[pair.track[0]], frames, rng, size=size)
    return still, np.concatenate([imitate_frames(pack.pictures[row], 1, rng, size=size) for row in pair.track])
