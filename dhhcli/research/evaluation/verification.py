"""verification: distances of pairs of one person (s,) and of two people (o,) -> error rates of "within t: the same".

Codes tie, so the curve of rates over thresholds has few and wide steps. Between two thresholds the tied pairs are
accepted at random, each with the same probability p: in expectation that lies on the straight line between the two
thresholds' rates, and rates at a given false accept rate are read off those lines. The two-fold accuracy uses no such
mixture: its threshold lies between two distances that occur.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Numbers


@dataclass(frozen=True, eq=False)
class Rates:
    """Every threshold's rates, from "accept nothing" (0, 0) to "accept all" (1, 1)."""

    false_accepts: npt.NDArray[np.float64]  # (t + 1,) rising
    true_accepts: npt.NDArray[np.float64]  # (t + 1,) rising

    def true_accepts_at(self, false_accept_rate: float) -> float:
        """Share of the same-person pairs accepted where that share of the others is, ties at random."""
        # where several points lie above each other the highest counts: np.interp takes the last of equals
        return float(np.interp(false_accept_rate, self.false_accepts, self.true_accepts))

    def equal_error(self) -> float:
        """The rate at which as many others are accepted as same-person pairs are refused."""
        gap = self.true_accepts + self.false_accepts - 1  # rises from -1 to 1
        i = int(np.argmax(gap >= 0))
        share = -gap[i - 1] / (gap[i] - gap[i - 1])
        return float(self.false_accepts[i - 1] + share * (self.false_accepts[i] - self.false_accepts[i - 1]))


def rates(same: Numbers, other: Numbers) -> Rates:
    """Rates at every distance that occurs.

    Args:
        same: (s,) distances of pairs of one person, s >= 1.
        other: (o,) distances of pairs of two people, o >= 1.

    Raises:
        ValueError: one of them is empty.
    """
    if not len(same) or not len(other):
        raise ValueError(f"{len(same)} pairs of one person and {len(other)} of two: both are needed")
    thresholds = np.unique(np.concatenate([same, other]))
    accepted = [np.searchsorted(np.sort(pairs), thresholds, "right") / len(pairs) for pairs in (other, same)]
    return Rates(np.r_[0.0, accepted[0]], np.r_[0.0, accepted[1]])


def best_threshold(same: Numbers, other: Numbers) -> float:
    """The threshold of the best balanced accuracy, the lowest of equals: half way between two distances that occur."""
    curve = rates(same, other)
    values = np.unique(np.concatenate([same, other])).astype(np.float64)
    best = int(np.argmax(np.round(curve.true_accepts - curve.false_accepts, 12)))
    if best == 0:
        return float(values[0] - 1)
    return float((values[best - 1] + values[min(best, len(values) - 1)]) / 2)


def balanced_accuracy(same: Numbers, other: Numbers, threshold: float) -> float:
    """Mean of the share of same-person pairs within the threshold and of the others beyond it."""
    return float(((np.asarray(same) <= threshold).mean() + (np.asarray(other) > threshold).mean()) / 2)


@dataclass(frozen=True)
class Verification:
    """Figures of pairs."""

    balanced_accuracy: float  # mean of the two folds; nan where a half has no pair of either kind
    tar_at_far_1e2: float
    tar_at_far_1e3: float
    equal_error: float
    same_pairs: int
    other_pairs: int


def verify(distances: Numbers, people: npt.NDArray[np.integer]) -> Verification | None:
    """All pairs of n items; None when there is no pair of one person, or none of two.

    The accuracy is two-fold by person: people in the order of their numbers go to two halves in turn, the threshold
    that is best on the pairs inside one half is applied to those inside the other, and the mean of both is the figure,
    so no person has a say in the threshold that judges them. The other figures use all pairs.

    Args:
        distances: (n, n), symmetric.
        people: (n,) who each item is of.
    """
    half = np.unique(people, return_inverse=True)[1] % 2
    first, second = np.triu_indices(len(people), 1)
    pairs = np.asarray(distances)[first, second]
    alike = people[first] == people[second]
    if not alike.any() or alike.all():
        return None
    inside = [(half[first] == side) & (half[second] == side) for side in (0, 1)]
    folds = [(pairs[within & alike], pairs[within & ~alike]) for within in inside]
    accuracy = float("nan")
    if all(len(same) and len(other) for same, other in folds):
        (a, b), (c, d) = folds
        accuracy = (balanced_accuracy(c, d, best_threshold(a, b)) + balanced_accuracy(a, b, best_threshold(c, d))) / 2
    curve = rates(pairs[alike], pairs[~alike])
    return Verification(
        accuracy,
        curve.true_accepts_at(1e-2),
        curve.true_accepts_at(1e-3),
        curve.equal_error(),
        int(alike.sum()),
        int((~alike).sum()),
    )
