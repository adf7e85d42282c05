"""share: what a question is to the tracks (n,) of a codes file -> the share of them that are the person's.

Confidence needs the odds before looking. They are taken from the answer itself: with a share s, the tracks' log ratios
r_i (models/calibration.py) are as likely as the product of 1 - s + s exp(r_i), which has one maximum. The stored prior
is what is thought before the first track: it weighs as much as `BELIEF` tracks, so that a few tracks say little, and
that of many where nobody comes near the person is rare.

Each row of a person that is a photo has an estimate of its own, and the largest is taken; log ratios rise with every
photo too, so nothing is less likely because a photo was added.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from dhhcli.index.codes import Allowed
from dhhcli.models.binary_codes import UNIT, hamming, soft_codes, soft_distance, unpack, weighed_distances
from dhhcli.models.calibration import whole_bits
from dhhcli.search.confidence import ConfidenceModel
from dhhcli.storage.codes_file import Shard

BELIEF: Final = 300.0  # tracks that the prior weighs
LOOKED_AT: Final = 1 << 16  # codes that are compared for it, all rows together; evenly spread where there are more
LEAST, MOST = 1e-5, 0.5  # of what is estimated
Floats = npt.NDArray[np.float64]


def most_likely_share(log_ratios: Floats, prior: float) -> float:
    """Log ratios (n,) of tracks -> the likeliest share, with what the prior says as `BELIEF` tracks more.

    The logarithm of the likelihood and of that is concave in the share, so its slope has one zero: bisection.
    """
    values, counts = np.unique(log_ratios, return_counts=True)
    ratios = np.exp(np.clip(values, -50.0, 50.0))
    mine, others = BELIEF * prior, BELIEF * (1 - prior)
    low, high = math.log(LEAST / (1 - LEAST)), math.log(MOST / (1 - MOST))
    for _ in range(40):
        middle = (low + high) / 2
        share = 1 / (1 + math.exp(-middle))
        slope = (
            float((counts * (ratios - 1) / (1 - share + share * ratios)).sum()) + mine / share - others / (1 - share)
        )
        low, high = (middle, high) if slope > 0 else (low, middle)
    return 1 / (1 + math.exp(-low))


def share_of(worth: ConfidenceModel, shard: Shard, allowed: Allowed | None) -> float:
    """The share of the allowed tracks that are of the one person of ``worth``."""
    (person,) = worth.people
    curves, weighed = worth.curves_of(person)
    rows = looked_at(shard, allowed, len(person.soft))
    if not len(rows):
        return curves.prior
    codes, bits = shard.code_rows(rows), person.soft.shape[1]
    asked = soft_codes(person.soft)
    distances = hamming(asked.codes, codes)  # (r, n)
    if weighed:
        scores = weighed_distances(asked, codes).astype(np.float32) / np.float32(UNIT)
        distances = whole_bits(scores, bits).astype(np.int32)
    else:
        scores = np.stack([soft_distance(row, unpack(codes, bits)) for row in person.soft])
    if person.kind == "still-track":  # photos: each for itself
        each = [worth.log_ratio(person, d, s) for d, s in zip(distances, scores, strict=True)]
    else:
        first, second = (scores, distances) if weighed else (distances, scores)
        near = np.lexsort((second, first), axis=0)[0], np.arange(len(rows))
        each = [worth.log_ratio(person, distances[near], scores[near])]
    return max(most_likely_share(ratios, curves.prior) for ratios in each)


def looked_at(shard: Shard, allowed: Allowed | None, rows: int) -> npt.NDArray[np.int64]:
    """Tracks (m,) from all over the allowed ones: all of them, or evenly spread so many that `rows` cost no more."""
    if allowed is None:
        ranges = np.array([[0, len(shard)]], np.int64)
    elif allowed.dtype == np.bool_:
        ids = np.flatnonzero(allowed)
        return np.asarray(ids[_spread(len(ids), rows)], np.int64)
    else:
        ranges = np.asarray(allowed, np.int64).reshape(-1, 2)
    lengths = ranges[:, 1] - ranges[:, 0]
    ends = np.cumsum(lengths)
    places = _spread(int(ends[-1]) if len(ends) else 0, rows)
    own = np.searchsorted(ends, places, side="right")
    return np.asarray(ranges[own, 1] - (ends[own] - places), np.int64)


def _spread(n: int, rows: int) -> npt.NDArray[np.int64]:
    most = max(1, LOOKED_AT // max(1, rows))
    return np.arange(n, dtype=np.int64) if n <= most else np.arange(most, dtype=np.int64) * n // most
