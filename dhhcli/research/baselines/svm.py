"""svm: vectors (n, p) and bits (n, K) -> K linear support vector machines, weight (K, p) and bias (K,).

What DBC, PDH and HER predict their bits with. scikit-learn's LinearSVC: squared hinge loss, C = 1, tolerance 1e-2, at
most 200 iterations. A bit that is the same everywhere has no two sides and gets the constant.
"""

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.base import Bits


def machines(X: Matrix, bits: Bits, C: float = 1.0) -> tuple[Matrix, Matrix]:
    """One machine a bit."""
    weight, bias = np.zeros((bits.shape[1], X.shape[1])), np.zeros(bits.shape[1])
    for k, target in enumerate(bits.T):
        if target.all() or not target.any():
            bias[k] = 1.0 if target.all() else -1.0
            continue
        machine = LinearSVC(C=C, tol=1e-2, max_iter=200, dual=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # bits are made anew from it, whatever it reached
            machine.fit(X, target)
        weight[k], bias[k] = machine.coef_[0], machine.intercept_[0]
    return weight, bias


def class_bits(signs: list[Matrix], groups: list[npt.NDArray[np.int64]], people: int) -> Bits:
    """Give every person the bits that lower within-person distances and raise those between people.

    The term of DBC and HER is the mean Hamming distance of pairs of one person minus that of pairs of two. With b = +-1
    a distance is (1 - b_i b_j) / 2, so its subgradient by a person's bits is half of (mean of all others - own mean),
    and the person's bits become the signs of the way down. People are gone through in order, each seeing the choices
    made before.

    Args:
        signs: of each space the signs (n_i, K) that its vectors have now.
        groups: of each space the person (n_i,), 0 .. people - 1, of each vector.
        people: how many.

    Returns:
        (people, K).
    """
    K = signs[0].shape[1]
    sums, counts = np.zeros((people, K)), np.zeros(people)
    for each, group in zip(signs, groups, strict=True):
        np.add.at(sums, group, each)
        np.add.at(counts, group, 1)
    total, n = sums.sum(axis=0), counts.sum()
    chosen = np.zeros((people, K), bool)
    for person in range(people):
        others = (total - sums[person]) / max(n - counts[person], 1)
        chosen[person] = sums[person] / max(counts[person], 1) >= others
        new = counts[person] * np.where(chosen[person], 1.0, -1.0)
        total += new - sums[person]
        sums[person] = new
    return chosen
