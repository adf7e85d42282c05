"""ssh: features (n, d) with people -> K <= d directions along which one person's photos agree and all photos spread.

Semi-supervised hashing (Wang, Kumar and Chang, CVPR 2010, equations 7 to 11), the form with orthogonal projections: the
K strongest eigenvectors of M = X_l S X_l^T + eta X X^T, where S is 1 for labelled pairs of one person and -1 for those
of two, bits cut at the mean. With s_c the sum of a person's labelled features and s that of all of them, X_l S X_l^T =
2 sum_c s_c s_c^T - s s^T, so no matrix of pairs is made. Left open by the paper and chosen here: 2,000 labelled photos
of whole people; both terms are divided by their trace, eta = 0.25.
"""

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Matrix
from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import linear
from dhhcli.research.baselines.sampling import whole_people

LABELLED, ETA = 2000, 0.25


def pair_scatter(X: Matrix, people: npt.NDArray[np.int64]) -> Matrix:
    """X^T S X (d, d) of rows X (n, d), with S = 1 for pairs of one person (and a row with itself), else -1."""
    sums = np.zeros((len(np.unique(people)), X.shape[1]))
    np.add.at(sums, np.unique(people, return_inverse=True)[1], X)
    whole = X.sum(axis=0)
    return np.asarray(2 * sums.T @ sums - np.outer(whole, whole))


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Orthogonal directions.

    Raises:
        UsageError: more bits than features.
    """
    features = training.features.astype(np.float64)
    if bits > features.shape[1]:
        raise UsageError(f"ssh: {bits} bits of {features.shape[1]} features; its directions are orthogonal: fewer bits")
    mean = features.mean(axis=0)
    X = features - mean
    rows = whole_people(training.feature_people, LABELLED, rng)
    labelled, spread = pair_scatter(X[rows], training.feature_people[rows]), X.T @ X
    M = labelled / max(abs(np.trace(labelled)), 1e-12) + ETA * spread / np.trace(spread)
    weight = np.linalg.eigh(M)[1][:, : -bits - 1 : -1].T
    return linear(weight, -weight @ mean)


METHOD = Method("ssh", "frame-wise", fit)
