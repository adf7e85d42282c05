"""plmh: pairs of a photo (p,) and a video (q,), of one person or of two -> K hyperplanes that turn with the place.

Parametric local multimodal hashing (Zhai, Chang, Zhen, Liu, Chen and Gao, IJCAI 2013). The hyperplane at x is a mixture
of C basis hyperplanes, w(x) = sum_c beta_c(x) w_c, with local weights beta that fall off with the distance to C
anchors; so a bit is linear in beta(x) (x) x, which is (C p,). Bases are the canonical directions of such vectors: the
largest sum of f(x) g(y) over pairs of one person less that over pairs of two, under a bound on their variance and on
how far the bases of a bit are apart. Deviation: the paper finds bits one after the other, mending what earlier ones
have wrong, by conjugate gradients; here all come from one decomposition, uncorrelated instead (boosting the pairs, as
cmssh.py does, gave less than half of the mAP). Left open and chosen: C = 3 anchors by k-means, beta a softmax of -|x -
anchor|^2 over twice its mean, the bound a^T (V + 0.1 v I + v G) a = 1, V the variance, v the mean of its diagonal, a^T
G a the squared distance of the bases to their mean; 9,000 pairs of either kind.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import euclidean_distances

from dhhcli.base.arrays import Matrix
from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.projections import canonical
from dhhcli.research.baselines.cross_modal.spaces import spaces
from dhhcli.research.baselines.linear_layer import Layer, videowise
from dhhcli.research.baselines.sampling import pairs, strangers

ANCHORS, PAIRS, APART, RIDGE = 3, 9000, 1.0, 0.1


class Local:
    """Vectors (n, p) -> beta(x) (x) x (n, C p), and the matrix that bounds bases (C p, C p)."""

    def __init__(self, X: Matrix, rng: np.random.Generator, anchors: int = ANCHORS) -> None:
        found = KMeans(min(anchors, len(X)), n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(X)
        self.anchors = found.cluster_centers_
        self.width = float(np.square(euclidean_distances(X, self.anchors)).mean()) * 2

    def weights(self, X: Matrix) -> Matrix:
        """beta (n, C), rows sum to 1."""
        near = np.exp(-np.square(euclidean_distances(X, self.anchors)) / self.width)
        return np.asarray(near / np.maximum(near.sum(axis=1, keepdims=True), 1e-300))

    def __call__(self, X: Matrix) -> Matrix:
        """Every vector once for each anchor, times its weight."""
        return np.asarray((self.weights(X)[:, :, None] * X[:, None, :]).reshape(len(X), -1))

    def apart(self, p: int) -> Matrix:
        """Of stacked bases w (C p,): w^T apart w is the sum over c of |w_c - mean of all|^2."""
        C = len(self.anchors)
        return np.asarray(np.kron(np.eye(C) - 1 / C, np.eye(p)), np.float64)


def bound(X: Matrix, local: Local, p: int) -> Matrix:
    """V + v G of stacked vectors X (n, C p)."""
    variance = X.T @ X / len(X)
    return np.asarray(variance + APART * np.diag(variance).mean() * local.apart(p))


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Bases of both.

    Raises:
        UsageError: more bits than dimensions.
    """
    both = spaces(training)
    still, track = Local(both.photos, rng), Local(both.videos, rng)
    same = pairs(both.photo_people, both.video_people, PAIRS, rng)
    other = strangers(both.photo_people, both.video_people, PAIRS, rng)
    X, Y = still(both.photos[same[0]]), track(both.videos[same[1]])
    most = min(X.shape[1], Y.shape[1])
    if bits > most:
        raise UsageError(f"plmh: {bits} bits of {most} dimensions; there are no more canonical directions: fewer bits")
    x, y = X.mean(axis=0), Y.mean(axis=0)
    cross = (X - x).T @ (Y - y) / PAIRS
    cross -= (still(both.photos[other[0]]) - x).T @ (track(both.videos[other[1]]) - y) / PAIRS
    left, right = bound(X - x, still, both.photos.shape[1]), bound(Y - y, track, both.videos.shape[1])
    a, b, _ = canonical(cross, left, right, RIDGE, bits)
    photo = Layer(a.T, -x @ a, both.photo_space.expansion("local", still.anchors, still.width))
    video = Layer(b.T, -y @ b, both.video_space.expansion("local", track.anchors, track.width))
    return videowise(photo, video, both.covariance)


METHOD = Method("plmh", "video-wise", fit)
