"""ksh: features (n, d) with people -> K signs of kernel functions whose inner products tell one person from two.

Supervised hashing with kernels (Liu, Wang, Ji, Jiang and Chang, CVPR 2012). h(x) = sgn(a^T k(x)), k(x) the Gaussian
kernel to m anchors less its mean (equation 3); bits are found one after the other to make the codes' inner products
near r S, S = 1 for pairs of one person and -1 for those of two: bit k minimises -h^T R h with the residue R = r S - sum
of earlier h h^T (equation 9). It starts at the strongest generalised eigenvector of K^T R K and K^T K (equation 10),
then lowers -phi(K a)^T R phi(K a), phi(x) = 2 / (1 + exp(-x)) - 1 (equations 12 and 13); the better of both is kept by
its signs. S = 2 Y Y^T - 1 with indicators Y of people, so no matrix of pairs is made and all photos can be labelled (at
most 6,000). Deviations: L-BFGS (30 iterations) in place of Nesterov's method. 300 anchors drawn from the photos, as in
the paper; the kernel's width is the mean distance to them.
"""

import numpy as np
import scipy.linalg
from scipy.optimize import minimize
from sklearn.metrics.pairwise import euclidean_distances

from dhhcli.base.arrays import Matrix, Rows
from dhhcli.models.feature_map import Expansion
from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import Layer, framewise
from dhhcli.research.baselines.sampling import whole_people

ANCHORS, PHOTOS, ITERATIONS = 300, 6000, 30


class Residue:
    """R = r S - H H^T as a map of (n, j) -> (n, j), from people (n,) and the bits found so far."""

    def __init__(self, people: Rows, bits: int) -> None:
        self.group = np.unique(people, return_inverse=True)[1]
        self.bits = bits
        self.found = np.empty((len(people), 0))

    def __call__(self, v: Matrix) -> Matrix:
        """R v."""
        sums = np.zeros((self.group.max() + 1, v.shape[1]))
        np.add.at(sums, self.group, v)
        pairs = 2 * sums[self.group] - v.sum(axis=0)
        return np.asarray(self.bits * pairs - self.found @ (self.found.T @ v))


def objective(a: Matrix, K: Matrix, R: Residue) -> tuple[float, Matrix]:
    """-phi(K a)^T R phi(K a) and its gradient by a."""
    phi = np.tanh(0.5 * (K @ a))
    moved = R(phi[:, None])[:, 0]
    return -float(phi @ moved), np.asarray(-K.T @ (moved * (1 - phi**2)))


def start(K: Matrix, R: Residue) -> Matrix:
    """Strongest generalised eigenvector of K^T R K and K^T K, of length such that |K a| = sqrt(n)."""
    left = K.T @ R(K)
    right = K.T @ K
    right += 1e-8 * np.trace(right) / len(right) * np.eye(len(right))
    m = len(right)
    a = scipy.linalg.eigh((left + left.T) / 2, right, subset_by_index=[m - 1, m - 1])[1][:, 0]
    return np.asarray(a * np.sqrt(len(K)) / np.linalg.norm(K @ a))


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Anchors and their weights."""
    features = training.features.astype(np.float64)
    anchors = features[np.sort(rng.choice(len(features), min(ANCHORS, len(features)), replace=False))]
    rows = whole_people(training.feature_people, PHOTOS, rng)
    d, width = features.shape[1], float(euclidean_distances(features[rows], anchors).mean())
    kernel = Expansion("gaussian", np.eye(d), np.zeros(d), anchors, 2 * width**2)
    K = np.asarray(kernel(features[rows]), np.float64)
    mean = K.mean(axis=0)
    K -= mean
    R = Residue(training.feature_people[rows], bits)
    weights = []
    for _ in range(bits):
        first = start(K, R)
        found = minimize(objective, first, (K, R), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x

        def gain(a: Matrix) -> float:
            signs = np.where(K @ a >= 0, 1.0, -1.0)[:, None]
            return float((signs * R(signs)).sum())

        best = max(first, found, key=gain)
        weights.append(best)
        R.found = np.concatenate([R.found, np.where(K @ best >= 0, 1.0, -1.0)[:, None]], axis=1)
    weight = np.stack(weights)
    return framewise(Layer(weight, -weight @ mean, kernel))


METHOD = Method("ksh", "frame-wise", fit)
