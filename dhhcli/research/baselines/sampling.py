"""sampling: people (n,) of photos and videos -> rows of some whole people, and pairs of one person or of two.

What methods are fitted on where all there is would be too much: drawn with the generator that the method was given.
"""

import numpy as np

from dhhcli.base.arrays import Rows


def whole_people(people: Rows, most: int, rng: np.random.Generator) -> Rows:
    """Rows of people drawn one after the other until there are ``most`` rows; the last one's may be cut."""
    order = rng.permutation(np.unique(people))
    rank = np.argsort(np.argsort(order))  # place of each person, in the order of their numbers, in the drawn order
    place = rank[np.searchsorted(np.sort(order), people)]
    rows = np.lexsort((np.arange(len(people)), place))[:most]
    return np.sort(rows)


def pairs(photos: Rows, videos: Rows, count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """``count`` pairs of a photo and a video of one person, drawn with replacement; rows of both.

    Raises ValueError where no person has both.
    """
    both = np.flatnonzero(np.isin(videos, photos))
    if not len(both):
        raise ValueError("nobody has a photo and a video")
    chosen = rng.choice(both, count)
    order = np.argsort(photos, kind="stable")
    first = np.searchsorted(photos[order], videos[chosen], "left")
    last = np.searchsorted(photos[order], videos[chosen], "right")
    return order[first + (rng.random(count) * (last - first)).astype(int)], chosen


def strangers(photos: Rows, videos: Rows, count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """``count`` pairs of a photo and a video of two people.

    Raises ValueError where all show one person.
    """
    if len(np.unique(np.concatenate([photos, videos]))) < 2:
        raise ValueError("everything shows one person")
    a, b = rng.integers(len(photos), size=count), rng.integers(len(videos), size=count)
    while len(same := np.flatnonzero(photos[a] == videos[b])):
        a[same], b[same] = rng.integers(len(photos), size=len(same)), rng.integers(len(videos), size=len(same))
    return a, b
