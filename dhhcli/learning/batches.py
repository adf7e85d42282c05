"""batches: face pack -> pairs of one still and one track of a person, some people a batch, pairs each.

Second-order sampling of Qiao et al. (TIP 2019): people first, then pairs within each, so that every batch
holds positives and negatives for both kinds of input. A pack holds photos, so a track is made in one of two
ways: a *shot* (one photo, frames imitated) or a *set* (several photos of the person, one frame of each: a
hard track, all unlike). The still is never a photo that the track was made of.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..imitation import imitate_frames
from ..packs import FacePack

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Rows of the pack: one still, and one row (a shot) or several (a set) that make the track."""

    identity: int
    still: int
    track: tuple[int, ...]


def rows_by_person(identity: npt.NDArray[np.int64], at_least: int = 2) -> list[npt.NDArray[np.int64]]:
    """Rows of every person with at least so many photos."""
    order = np.argsort(identity, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)
    return [rows for rows in groups if len(rows) >= at_least]


def draw_pairs(
    people: list[npt.NDArray[np.int64]],
    identity: npt.NDArray[np.int64],
    *,
    count: int,
    pairs: int,
    frames: int,
    rng: np.random.Generator,
) -> list[Pair]:
    """``count`` people, ``pairs`` pairs of each; half of the tracks shots, half sets of 2 to ``frames``."""
    drawn: list[Pair] = []
    for person in rng.choice(len(people), min(count, len(people)), replace=False):
        rows = people[person]
        for _ in range(pairs):
            still, *others = rng.permutation(rows)[: frames + 1].tolist()
            if rng.random() < 0.5 or len(others) == 1:
                others = others[:1]
            else:
                others = others[: int(rng.integers(2, len(others) + 1))]
            drawn.append(Pair(int(identity[still]), still, tuple(others)))
    return drawn


def draw_frames(
    pack: FacePack, pair: Pair, frames: int, rng: np.random.Generator, *, size: int = 64
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The pair's pictures, still (s, s, 3) and track (m, s, s, 3), as film or a photo might show them."""
    still = imitate_frames(pack.pictures[pair.still], 1, rng, size=size, strength=float(rng.random()))[0]
    if len(pair.track) == 1:
        return still, imitate_frames(pack.pictures[pair.track[0]], frames, rng, size=size)
    return still, np.concatenate([imitate_frames(pack.pictures[row], 1, rng, size=size) for row in pair.track])


def drawn_ahead(draw: Callable[[int], T], start: int, steps: int) -> Iterator[tuple[int, T]]:
    """(step, draw(step)) for every step, each drawn by another thread while the one before is being used."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw, start)
        for step in range(start, steps):
            batch = pending.result()
            if step + 1 < steps:
                pending = pool.submit(draw, step + 1)
            yield step, batch
