"""plmh: pairs of a photo (p,) and a video (q,), of one person or of two -> K hyperplanes that turn with where one
stands.

Parametric local multimodal hashing (Zhai, Chang, Zhen, Liu, Chen and Gao, IJCAI 2013). The hyperplane at x is a mixture
of C basis hyperplanes, w(x) = sum_c beta_c(x) w_c, with local weights beta that fall off with the distance to C
anchors; so a bit is linear in beta(x) (x) x, which is (C p,). Bits are found one after the other, each the pair of
directions with the largest weighted sum w s f(x) g(y), s = +-1, under a bound on their size and on how far the bases
are apart; then pairs that the bit has wrong gain weight, so that later bits mend earlier ones. Left open and chosen
here: C = 3 anchors by k-means, beta a softmax of -|x - anchor|^2 over half its mean, the bound (a^T (V + ridge + G) a =
1 with V the weighted variance, G a tenth of its mean times the squared distance of the bases to their mean), weights
multiplied by exp(-s h / 4), 4,000 pairs of either kind.
"""

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import euclidean_distances

from .protocol import Method, Training, Videowise
from .samples import pairs, strangers
from .spaces import spaces
from .views import half_inverse

ANCHORS, PAIRS, APART, RIDGE, STEP = 3, 4000, 0.1, 1e-2, 0.25
Matrix = npt.NDArray[np.float64]


class Local:
    """Vectors (n, p) -> beta(x) (x) x (n, C p), and the matrix that bounds bases (C p, C p)."""

    def __init__(self, X: Matrix, rng: np.random.Generator, anchors: int = ANCHORS) -> None:
        found = KMeans(anchors, n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(X)
        self.anchors = found.cluster_centers_
        self.width = float(np.square(euclidean_distances(X, self.anchors)).mean()) / 2

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


def strongest(A: Matrix, cross: Matrix, B: Matrix) -> tuple[Matrix, Matrix]:
    """Directions a = A u, b = B v of the largest a^T cross b with u, v of length 1; power iteration from cross itself.

    Thirty steps: the next bit's weights change the problem anyway.
    """
    M = A @ cross @ B
    v = M[np.square(M).sum(axis=1).argmax()]
    for _ in range(30):
        u = M @ v
        u /= max(float(np.linalg.norm(u)), 1e-300)
        v = M.T @ u
        v /= max(float(np.linalg.norm(v)), 1e-300)
    return A @ u, B @ v


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Bases of both."""
    both = spaces(training)
    still, track = Local(both.photos, rng), Local(both.videos, rng)
    same = pairs(both.photo_people, both.video_people, PAIRS, rng)
    other = strangers(both.photo_people, both.video_people, PAIRS, rng)
    X, Y = still(both.photos[np.r_[same[0], other[0]]]), track(both.videos[np.r_[same[1], other[1]]])
    s = np.repeat([1.0, -1.0], PAIRS)
    left, right = X.T @ X / len(X), Y.T @ Y / len(Y)
    left += APART * np.diag(left).mean() * still.apart(both.photos.shape[1])
    right += APART * np.diag(right).mean() * track.apart(both.videos.shape[1])
    w = np.full(len(s), 1 / len(s))
    turns = []
    A, B = half_inverse(left, RIDGE), half_inverse(right, RIDGE)
    for _ in range(bits):
        a, b = strongest(A, X.T @ (Y * (w * s)[:, None]), B)
        x, y = X @ a, Y @ b
        turns.append((a, -np.median(x), b, -np.median(y)))
        w = w * np.exp(-STEP * s * np.where(x >= np.median(x), 1.0, -1.0) * np.where(y >= np.median(y), 1.0, -1.0))
        w /= w.sum()
    a, c, b, e = (np.array(each) for each in zip(*turns, strict=True))
    return Videowise(
        lambda features: np.asarray(still(both.of_photos(features)) @ a.T + c >= 0),
        lambda tracks: np.asarray(track(both.of_videos(tracks)) @ b.T + e >= 0),
    )


METHOD = Method("plmh", "video-wise", fit)
