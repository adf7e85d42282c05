"""whole: crops that each part of a training looks at, and their sizes -> Parts with costs, which make up a whole.

A cost of one is a crop of 64x64 pixels that goes through the backbone there and back; a third of it is there.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from dhhcli.base.patience import Part

SIDE: Final = 64  # pixels
THERE: Final = 1 / 3
QUICK: Final = 0.02  # a crop of which only features are looked at


def trained(what: str, crops: float, side: int = SIDE) -> Part:
    """Crops that a network is trained on."""
    return Part(what, crops * (side / SIDE) ** 2)


def seen(what: str, crops: float) -> Part:
    """Crops that a network only looks at."""
    return Part(what, crops * THERE)


def hashed(what: str, crops: float) -> Part:
    """Crops whose features are there already."""
    return Part(what, crops * QUICK)


def growing(what: str, crops: float, sizes: Sequence[tuple[float, int]]) -> Part:
    """Crops that are trained on in several sizes: (until this share, pixels), the last until 1."""

    def pixels(share: float) -> float:
        ends = [0.0, *(until for until, _ in sizes)]
        return sum(
            max(0.0, min(share, until) - begin) * side**2
            for (begin, until), (_, side) in zip(pairwise(ends), sizes, strict=True)
        )

    return Part(what, crops * pixels(1.0) / SIDE**2, lambda share: pixels(share) / pixels(1.0))
