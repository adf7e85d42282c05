"""curve_fit: pairs (q, n) -> curve of ``models/calibration.py``: false matches (K + 1,) and falling log ratios.

All pairs of pictures are compared; what a person's own pairs say counts once a person, however many there are.

Isotonic, not logistic: on people held out both have a log loss of 0.032 (128 bits), but logistic promises too much at
the top. Curves that know the face's size gain 0.0003 at most, so they do not depend on it, and confidence never rises
down a list (docs/research/experiments.md#curves-of-confidence).
"""

import math

import numpy as np

from dhhcli.base.arrays import Doubles
from dhhcli.models.calibration import PRIOR, STEPS_A_BIT, Curve, Spread, cells, score_place
from dhhcli.research.calibration.pairs import Pairs


def how_alike(single: Pairs, group: Pairs, photos: int) -> float:
    """Exponent a: ``photos`` of a person are mistaken for somebody else as often as photos ** a independent ones.

    Measured at the largest distance where one photo is mistaken in at most one of a hundred pairs (or at the least
    distance where it is at all); 1 where there is nothing to measure on, as if photos were independent.
    """
    one = _false_rate(single.among(np.unique(group.asking)))
    several = _false_rate(group)
    if one is None or several is None:
        return 1.0
    mistaken = np.flatnonzero(one > 0)
    at = max(int(mistaken[0]), int(np.searchsorted(one, 0.01, side="right")) - 1)
    if several[at] >= 1:
        return 1.0
    # 1 - (1 - F)^k of k independent photos
    independent = math.log1p(-float(several[at])) / math.log1p(-float(one[at]))
    return float(np.clip(math.log(max(independent, 1.0)) / math.log(photos), 0.0, 1.0))


def _false_rate(pairs: Pairs) -> Doubles | None:
    others = pairs.distances[~pairs.same & pairs.usable]
    if not len(others):
        return None
    return np.asarray(np.cumsum(np.bincount(others)) / len(others))


def falling(values: Doubles, weights: Doubles) -> Doubles:
    """The sequence (n,) that never rises and is nearest to ``values`` in weighted squares: isotonic regression."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(values, weights=weights, increasing=False).x, np.float64)


def fit_curve(pairs: Pairs, bits: int, prior: float = PRIOR) -> Curve:
    """The curve of some pairs: both tables of ``calibration.Curve``.

    The isotonic fit is of the probability at ``prior``, where answers are decided; each person's pairs weigh alike.
    """
    same, other = pairs.same & pairs.usable, ~pairs.same & pairs.usable
    people = len(np.unique(np.concatenate([pairs.asking, pairs.asked])))
    people_pairs = max(1, people * (people - 1) // 2)
    spread = None if pairs.weighed else _spread(pairs, bits)
    weights = person_weights(pairs)
    n = STEPS_A_BIT * (bits + 1)
    genuine = np.bincount(
        cells(pairs.distances[same], pairs.scores[same], bits, spread), weights=weights, minlength=n
    ) / max(weights.sum(), 1e-12)
    false = np.bincount(cells(pairs.distances[other], pairs.scores[other], bits, spread), minlength=n)
    mass = prior * genuine + (1 - prior) * false / max(1, false.sum())
    seen = np.flatnonzero(mass)
    chance = falling((prior * genuine / np.maximum(mass, 1e-300))[seen], mass[seen])
    with np.errstate(divide="ignore"):
        ratios = np.asarray(np.log(chance) - np.log1p(-chance) - math.log(prior / (1 - prior)), np.float64)
    most = math.log(max(1.0, people_pairs / 3))
    ratios = np.asarray(np.round(np.clip(ratios, -most, most), 4), np.float64)
    begins = np.flatnonzero(np.r_[True, np.diff(ratios) != 0])
    near = np.bincount(pairs.distances[same], weights=weights, minlength=bits + 1)
    return Curve(
        bits=bits,
        spread=spread,
        false_matches=np.cumsum(false.reshape(-1, STEPS_A_BIT).sum(axis=1)).astype(np.int64),
        true_rate=np.minimum(np.cumsum(near) / max(weights.sum(), 1e-12), 1.0),
        people_pairs=people_pairs,
        first_cells=np.r_[0, seen[begins[1:] - 1] + 1].astype(np.int64),  # cells never seen go with the farther step
        log_ratios=ratios[begins],
    )


def _spread(pairs: Pairs, bits: int) -> Spread:
    low, high = np.quantile(score_place(pairs.distances, pairs.scores, bits)[pairs.usable], [0.05, 0.95])
    return Spread(round(float(low), 4), max(round(float(high), 4), round(float(low), 4) + 1e-3))


def person_weights(pairs: Pairs) -> Doubles:
    """(pairs of one person,) weights, in the order of ``[pairs.same & pairs.usable]``: each person's sum to 1."""
    asking, _ = np.nonzero(pairs.same & pairs.usable)
    _, inverse, counts = np.unique(pairs.asking[asking], return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse])
