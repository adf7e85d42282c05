"""frame_rate: what fields of a file say + the stamps (n,) of its first frames -> frames a second, or None.

A field may be off by any factor: a clock of milliseconds taken for 1000 frames a second, a number that a recorder made
up. What differs much from the steps between frames is not believed.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median

USUAL = (24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)
NTSC = (24, 30, 48, 60, 120, 240)  # also at 1000 / 1001 of it
LEAST = 8  # frames that a rate can be told from
DOUBT = Fraction(6, 5)  # a field that differs from the steps by this factor is looked into
OFF = Fraction(3, 2)  # and by this one it is wrong
NEAR = Fraction(3, 100)


def doubtful(claimed: Fraction | None, stamps: Sequence[int], time_base: Fraction, factor: Fraction = DOUBT) -> bool:
    """Whether the steps between ``stamps`` (ticks) contradict a rate: both their mean and the one in the middle."""
    found = _measured(stamps, time_base)
    if not found or not claimed:
        return bool(found)
    return all(not 1 / factor <= claimed / one <= factor for one in found)


def real_rate(fields: Sequence[Fraction | None], stamps: Sequence[int], time_base: Fraction) -> Fraction | None:
    """The first of ``fields`` that the frames agree with; else their own rate, as the usual one next to it.

    stamps: of frames in a row, ticks; too few of them contradict nothing.
    """
    said = [field for field in fields if field]
    found = _measured(stamps, time_base)
    if not found:
        return said[0] if said else None
    agreed = [field for field in said if not doubtful(field, stamps, time_base, OFF)]
    return agreed[0] if agreed else _usual(found[0])


def _measured(stamps: Sequence[int], time_base: Fraction) -> tuple[Fraction, ...]:
    """Rates by the mean of the steps and by the one in the middle; none of too few frames."""
    ordered = sorted(set(stamps))
    if len(ordered) < LEAST:
        return ()
    steps = [after - before for before, after in pairwise(ordered)]
    return tuple(
        1 / (Fraction(step) * time_base) for step in (Fraction(sum(steps), len(steps)), Fraction(median(steps)))
    )


def _usual(rate: Fraction) -> Fraction:
    known = [Fraction(one) for one in USUAL] + [Fraction(one * 1000, 1001) for one in NTSC]
    nearest = min(known, key=lambda one: abs(one - rate))
    if abs(nearest - rate) <= NEAR * rate:
        return nearest
    return Fraction(round(rate)) if abs(round(rate) - rate) <= NEAR * rate else rate.limit_denominator(1001)
